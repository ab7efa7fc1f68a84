import gzip
import re
from hashlib import sha256
from html import unescape
from pathlib import Path

import httpx
import msgspec
import pytest

from api.routes.pages import is_simulated
from schemas.settings import Settings, Urls

STATIC = Path(__file__).parents[3] / "api" / "static"


def references(page: str) -> list[str]:
    return [unescape(reference) for reference in re.findall(r'(?:src|href)="([^"]*)"', page)]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_needs_nothing_from_another_site(api: httpx.Client, path: str) -> None:
    page = api.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    loaded = re.sub(r'<a [^>]*href="https://www.tradingview.com/"[^>]*>[^<]*</a>', "", page.text)
    assert "//" not in loaded
    own = [each for each in references(loaded) if not each.startswith(("data:", "#"))]
    assert own
    for reference in own:
        assert reference.startswith("/")
        assert api.get(reference).status_code == 200, reference


def test_docs_start_swagger_ui_on_the_own_document(api: httpx.Client) -> None:
    assert "SwaggerUIBundle" in api.get("/docs/swagger-ui-bundle.js").text
    assert ".swagger-ui" in api.get("/docs/swagger-ui.css").text
    start = api.get("/docs/start.js")
    assert start.headers["content-type"].startswith("text/javascript")
    assert 'url: "/openapi.json"' in start.text
    # Its default is an address of Swagger's.
    assert "validatorUrl: null" in start.text


@pytest.mark.parametrize("name", ["__init__.py", "redoc.js", "..%2f__init__.py", "swagger"])
def test_docs_serve_nothing_but_swagger_ui(api: httpx.Client, name: str) -> None:
    assert api.get(f"/docs/{name}").status_code == 404


def test_chart_library_is_the_published_file(api: httpx.Client) -> None:
    library = api.get("/static/lightweight-charts.js").content
    assert (
        sha256(library).hexdigest()
        == "756b0ba9f58930226d6b8b9d47ad310448ab85d799ea1f7c2c02304777c10b52"
    )


def test_dashboard_names_the_chart_library_as_its_licence_asks(api: httpx.Client) -> None:
    page = api.get("/").text
    assert "TradingView Lightweight Charts™ Copyright (c) 2025 TradingView, Inc." in page
    assert 'href="https://www.tradingview.com/"' in page


def test_dashboard_is_light_enough_for_a_phone(api: httpx.Client) -> None:
    files = [path.name for path in STATIC.iterdir() if path.suffix in {".js", ".css"}]
    total = len(gzip.compress(api.get("/").content))
    for name in [*files, "lightweight-charts.js"]:
        total += len(gzip.compress(api.get(f"/static/{name}").content, 5))
    assert total <= 300_000


def test_unchanged_file_is_not_sent_again(api: httpx.Client) -> None:
    first = api.get("/static/main.js")
    again = api.get("/static/main.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.parametrize("name", ["index.html", "..%2fapp.py", "lightweight-charts", "none.js"])
def test_static_files_are_those_of_the_dashboard_alone(api: httpx.Client, name: str) -> None:
    assert api.get(f"/static/{name}").status_code == 404


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:9000", True), ("localhost:9000", True), ("api.example.com", False)],
)
def test_simulated_exchanges_are_known_by_their_addresses(
    settings: Settings, address: str, expected: bool
) -> None:
    urls = Urls(ws={"spot": f"ws://{address}/ws"}, rest={"spot": f"http://{address}"})
    exchanges = {
        code: msgspec.structs.replace(exchange, urls=urls)
        for code, exchange in settings.exchanges.items()
    }
    assert is_simulated(msgspec.structs.replace(settings, exchanges=exchanges)) is expected
    assert not is_simulated(settings)
