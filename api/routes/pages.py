"""The pages for people: `/`, and `/docs` with Swagger UI. They load nothing from elsewhere."""

from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from litestar import MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from connectors.process.clock import now_ns

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

_LANDING: Final = (
    _HEAD
    + """\
<title>marketflow</title>
<style>
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 44rem; margin: 4rem auto; padding: 0 1rem;
       color: #1d2530; background: #fff }}
code {{ background: #eef1f5; padding: .1rem .3rem; overflow-wrap: anywhere }}
a {{ color: #0b57d0 }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #dde3ea; background: #14181d }}
  code {{ background: #232a33 }}
  a {{ color: #8ab4f8 }}
}}
</style>
</head>
<body>
<h1>marketflow</h1>
<p>Exact market data of ten crypto exchanges: the volume that takers bought and sold in each
minute, summed without rounding from every single trade.</p>
<p>The last hour of all exchanges:</p>
<p><a href="{example}"><code>GET {example}</code></a></p>
<ul>
<li><a href="/docs">Documentation, to try out</a> (<a href="/openapi.json">OpenAPI</a>)</li>
<li><a href="/health/ready">Health</a>, <a href="/metrics">metrics</a></li>
</ul>
</body>
</html>
"""
)

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
_OFFAPI_FILES: Final = {
    "swagger-ui-bundle.js": ("swagger_bundle.js", _JAVASCRIPT),
    "swagger-ui.css": ("swagger_style.css", "text/css; charset=utf-8"),
}


@get("/", include_in_schema=False)
async def landing() -> Response[str]:
    """Says what this is, with an example whose times are right."""
    now = now_ns() // 1_000_000_000
    example = f"/taker_volume/all_exchange/from={now - 3_600}/to={now}/100"
    page = _LANDING.format(example=escape(example))
    return Response(page, media_type=MediaType.HTML, headers=_HEADERS)


@get("/docs", include_in_schema=False)
async def docs() -> Response[str]:
    """Shows the OpenAPI document, and lets one call what it describes."""
    return Response(_DOCS, media_type=MediaType.HTML, headers=_HEADERS)


@get("/docs/{name:str}", include_in_schema=False)
async def docs_asset(name: FromPath[str]) -> Response[bytes]:
    """Answers a file of Swagger UI."""
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
