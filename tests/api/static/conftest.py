"""The dashboard in a real browser, on an API and a PostgreSQL of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from connectors.process.environment import Environment
from schemas.settings import Settings
from tests.api.conftest import new_database
from tests.api.helpers import prepare, serving
from tests.api.static.chromium import QUIET, find_browser
from tests.api.static.market import Market, fill, this_minute, with_outages, write_events
from tests.api.v1.minutes import write_verdicts

HOURS = 5
# The machine may be busy; a page that is right answers in a fraction of it.
expect.set_options(timeout=20_000)


# Of a module: while Playwright runs, nothing else on its thread can start an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=QUIET)
        yield browser
        browser.close()


@dataclass
class Site:
    """An API with the dashboard, and the market in its database."""

    url: str
    dsn: str
    settings: Settings
    market: Market


@pytest.fixture(scope="module")
def site(services: Environment, settings: Settings) -> Iterator[Site]:
    """A market of some hours with outages, which the tests of a module share."""
    with new_database(services) as dsn:
        prepare(dsn, settings)
        now = this_minute()
        market, events = with_outages(now)
        market.bases = ("BTC", "ETH", "USDT")
        fill(dsn, market, now - HOURS * 3_600, now)
        with psycopg.connect(dsn) as connection:
            write_events(connection, events)
        verdicts = ["equal"] * 8 + ["different", "explained"]
        write_verdicts(
            dsn, "upbit", "BTC-KRW", now - 1_200, verdicts, "ours minus theirs: volume +1"
        )
        with serving(settings, dsn) as client:
            yield Site(str(client.base_url), dsn, settings, market)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages, and fails when one of them logs an error or asks another site."""
    failures: list[str] = []
    with ExitStack() as contexts:

        def open_(url: str, *, has_clock: bool = False, **options: object) -> Page:
            size = {"width": 1_400, "height": 900}
            context = browser.new_context(
                **{"viewport": size, "locale": "en-GB", "color_scheme": "dark", **options}  # type: ignore[arg-type]
            )
            contexts.callback(context.close)
            page = context.new_page()
            if has_clock:
                page.clock.install()
            page.set_default_timeout(15_000)
            page.on("pageerror", lambda error: failures.append(str(error)))
            host = "/".join(url.split("/")[:3])
            page.on(
                "request",
                lambda request: (
                    None
                    if request.url.startswith((host, "data:", "blob:"))
                    else failures.append(f"asked {request.url}")
                ),
            )
            page.goto(url)
            return page

        yield open_
    assert failures == []
