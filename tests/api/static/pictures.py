"""`make screenshots`: the dashboard's pictures in the README, so that they stay true.

The page, the API and the database are the real ones; the minutes are those of `market.py`, which
has hours of history and outages at once. `--url` takes the pictures of a running one instead.
"""

from pathlib import Path
from typing import Any, Final

import click
from playwright.sync_api import Browser, expect, sync_playwright

from tests.api.static.chromium import QUIET, find_browser
from tests.api.static.own_site import own_site

HERE: Final = Path(__file__).with_name("pictures")
HOURS: Final = 12

# By name: the view, and the browser that it is seen in.
PICTURES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "dashboard-dark": ("", {"color_scheme": "dark"}),
    "dashboard-light": ("?interval=5m&cvd=exchange&fourth=depth", {"color_scheme": "light"}),
    "dashboard-phone": (
        "",
        {
            "color_scheme": "dark",
            "locale": "ko-KR",
            "viewport": {"width": 390, "height": 844},
            "device_scale_factor": 2,
        },
    ),
}


def take(browser: Browser, url: str, name: str) -> None:
    """Take one picture."""
    view, options = PICTURES[name]
    size = {"width": 1_600, "height": 1_000}
    context = browser.new_context(**{"viewport": size, "timezone_id": "Asia/Seoul", **options})
    page = context.new_page()
    page.goto(f"{url}/{view}")
    expect(page.locator("#empty")).to_be_hidden(timeout=60_000)
    expect(page.locator("#premium")).to_contain_text("%", timeout=60_000)
    # Fonts, and the first live minute.
    page.wait_for_timeout(3_000)
    HERE.mkdir(exist_ok=True)
    page.screenshot(path=HERE / f"{name}.png")
    context.close()
    click.echo(f"{HERE / name}.png")


def take_all(url: str) -> None:
    """Take all pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=QUIET)
        for name in PICTURES:
            take(browser, url, name)
        browser.close()


@click.command()
@click.option("--url", help="Of a running dashboard, instead of one of its own.")
def main(url: str | None) -> None:
    """Take the pictures."""
    if url:
        take_all(url.rstrip("/"))
        return
    with own_site(HOURS) as own:
        take_all(own)


if __name__ == "__main__":
    main()
