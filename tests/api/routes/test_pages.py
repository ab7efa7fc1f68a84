import re
from html import unescape

import httpx
import pytest

from connectors.process.clock import now_ns


def references(page: str) -> list[str]:
    return [unescape(reference) for reference in re.findall(r'(?:src|href)="([^"]*)"', page)]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_needs_nothing_from_another_site(api: httpx.Client, path: str) -> None:
    page = api.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "//" not in page.text
    own = [reference for reference in references(page.text) if reference != "data:,"]
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


def test_the_example_of_the_landing_page_asks_for_the_last_hour(api: httpx.Client) -> None:
    example = next(path for path in references(api.get("/").text) if "/from=" in path)
    times = re.fullmatch(r"/taker_volume/all_exchange/from=(\d+)/to=(\d+)/100", example)
    assert times is not None
    first, last = int(times[1]), int(times[2])
    assert last - first == 3_600
    assert 0 <= now_ns() // 1_000_000_000 - last < 60
