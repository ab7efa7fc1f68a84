"""The pages for people: the dashboard at `/`, and `/docs` with Swagger UI.

They load nothing from elsewhere: what is not our own comes from installed packages.
"""

from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import MediaType, Request, Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from schemas.settings import Settings

_HEADERS: Final = {
    # What the pages must not do, load from other sites, browsers will refuse to do.
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
}
_ASSET_HEADERS: Final = {"cache-control": "public, max-age=86400", **_HEADERS}

_HEAD: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
"""

_DOCS: Final = (
    _HEAD
    + """\
<title>marketflow API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
)

# Fonts and the request proxy of its makers are elsewhere: without them.
_REFERENCE: Final = (
    _HEAD
    + """\
<title>marketflow API reference</title>
</head>
<body>
<div id="reference"></div>
<script src="/docs/scalar.js"></script>
<script src="/docs/start-reference.js"></script>
</body>
</html>
"""
)
_START_REFERENCE: Final = """\
Scalar.createApiReference("#reference", {
  url: "/openapi.json",
  withDefaultFonts: false,
  telemetry: false,
  hideClientButton: true,
  agent: { disabled: true },
});
"""

# The validator would send the document to a server of Swagger's.
_START: Final = """\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""

_JAVASCRIPT: Final = "text/javascript; charset=utf-8"
_MEDIA_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": _JAVASCRIPT}
_STATIC: Final = Path(__file__).parents[1] / "static"
CHART_LIBRARY: Final = "lightweight-charts.js"
"""TradingView's Lightweight Charts 5.1.0, as the package litecharts 0.2.0 ships it."""
_STATIC_NAMES: Final = frozenset(
    [CHART_LIBRARY, *(path.name for path in _STATIC.iterdir() if path.suffix in _MEDIA_TYPES)]
)
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_OFFAPI_FILES: Final = {
    "swagger-ui-bundle.js": ("swagger_bundle.js", _JAVASCRIPT),
    "scalar.js": ("scalar.js", _JAVASCRIPT),
    "swagger-ui.css": ("swagger_style.css", "text/css; charset=utf-8"),
}


@get("/", include_in_schema=False)
async def dashboard(settings: NamedDependency[Settings]) -> Response[str]:
    """Answer the dashboard; it says itself when what it shows is simulated."""
    page = (_STATIC / "index.html").read_text()
    if is_simulated(settings):
        page = page.replace("<html ", '<html data-source="simulator" ', 1)
    headers = {"cache-control": "no-cache", **_HEADERS}
    return Response(page, media_type=MediaType.HTML, headers=headers)


def is_simulated(settings: Settings) -> bool:
    """Tell whether the exchanges' addresses are all on this machine, as a simulator's are."""
    hosts = {
        urlsplit(url).hostname
        for exchange in settings.exchanges.values()
        for urls in (exchange.urls.ws, exchange.urls.rest)
        for url in urls.values()
    }
    return bool(hosts) and hosts <= _LOOPBACK


@get("/static/{name:str}", include_in_schema=False)
async def static_file(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
    """Answer a file of the dashboard."""
    file = _static_file(name)
    if file is None:
        raise NotFoundException
    body, media_type, tag = file
    # Asked for again at each visit and rarely sent: a new release shows at once.
    headers = {"cache-control": "no-cache", "etag": tag, **_HEADERS}
    if tag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, media_type=media_type, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


@cache
def _static_file(name: str) -> tuple[bytes, str, str] | None:
    path = _chart_library() if name == CHART_LIBRARY else _STATIC / name
    if path is None or name not in _STATIC_NAMES:
        return None
    body = path.read_bytes()
    return body, _MEDIA_TYPES[path.suffix], f'"{sha256(body).hexdigest()[:20]}"'


def _chart_library() -> Path | None:
    # Found, not imported: only its file is wanted.
    package = find_spec("litecharts")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "js" / CHART_LIBRARY


@get("/docs", include_in_schema=False)
async def docs() -> Response[str]:
    """Show the OpenAPI document, and let one call what it describes."""
    return Response(_DOCS, media_type=MediaType.HTML, headers=_HEADERS)


@get("/docs/{name:str}", include_in_schema=False)
async def docs_asset(name: FromPath[str]) -> Response[bytes]:
    """Answer the reference page, or a file of one of the two pages."""
    if name == "reference":
        return Response(_REFERENCE.encode(), media_type=MediaType.HTML, headers=_HEADERS)
    if name == "start-reference.js":
        script = _START_REFERENCE.encode()
        return Response(script, media_type=_JAVASCRIPT, headers=_ASSET_HEADERS)
    if name == "start.js":
        return Response(_START.encode(), media_type=_JAVASCRIPT, headers=_ASSET_HEADERS)
    if name not in _OFFAPI_FILES:
        raise NotFoundException
    file, media_type = _OFFAPI_FILES[name]
    return Response(_offapi_file(file), media_type=media_type, headers=_ASSET_HEADERS)


@cache
def _offapi_file(name: str) -> bytes:
    # Found, not imported: the package reads all it has, for three viewers, when it is.
    package = find_spec("offapi")
    if package is None or package.origin is None:
        raise NotFoundException
    return Path(package.origin).with_name(name).read_bytes()


HANDLERS: Final = (dashboard, static_file, docs, docs_asset)
