"""The dashboard in headless Chromium: time to the first chart, main thread, memory, bytes."""

import gzip
import time
from typing import Any, Final

import httpx
from playwright.sync_api import CDPSession, expect, sync_playwright
from rich.console import Console
from rich.table import Table

from tests.api.static.chromium import QUIET, find_browser
from tests.api.static.own_site import own_site

HOURS: Final = 24
WATCHED_S: Final = 30
FILES: Final = (
    "main.js", "settings.js", "style.css", "lightweight-charts.js", "api.js", "bars.js",
    "chart.js", "data.js", "dom.js", "exchanges.js", "feeds.js", "format.js", "keys.js",
    "live.js", "picker.js", "strip.js", "table.js", "text.js", "view.js",
)  # fmt: skip


def metrics(session: CDPSession) -> dict[str, float]:
    """Return what Chromium counts of a page."""
    answer: dict[str, Any] = session.send("Performance.getMetrics")
    return {each["name"]: each["value"] for each in answer["metrics"]}


def measure(url: str) -> dict[str, float]:
    """Watch the dashboard for a while."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=QUIET)
        page = browser.new_page(viewport={"width": 1_600, "height": 1_000})
        session = page.context.new_cdp_session(page)
        # By the CPU time of threads: a busy machine must not count.
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        started = time.monotonic()
        page.goto(url)
        expect(page.locator("#empty")).to_be_hidden(timeout=60_000)
        first_s = time.monotonic() - started
        page.wait_for_timeout(5_000)
        before = metrics(session)
        page.wait_for_timeout(WATCHED_S * 1_000)
        session.send("HeapProfiler.collectGarbage")
        after = metrics(session)
        browser.close()
    sizes = [len(gzip.compress(httpx.get(f"{url}/static/{name}").content, 5)) for name in FILES]
    return {
        "first chart, s": first_s,
        "main thread, %": 100 * (after["TaskDuration"] - before["TaskDuration"]) / WATCHED_S,
        "heap, MB": after["JSHeapUsedSize"] / 1e6,
        "files compressed, kB": sum(sizes) / 1e3,
    }


def show(console: Console) -> None:
    """Print the figures."""
    with own_site(HOURS) as url:
        figures = measure(url)
    table = Table("dashboard, ten exchanges live", "")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.1f}")
    console.print(table)


if __name__ == "__main__":
    show(Console())
