"""The dashboard as a person meets it: in a browser, from a real API and database."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import msgspec
import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from psycopg import sql

from connectors.process.environment import Environment
from schemas.settings import Settings, Urls
from tests.api.conftest import new_database
from tests.api.helpers import prepare, serving
from tests.api.static.conftest import Site
from tests.api.static.market import Columns, fill, this_minute, write

Open = Callable[..., Page]
PERP = "binance:BTC-USDT-PERP"
MODULE = "import('/static/main.js')"


@pytest.fixture
def page(open_page: Open, site: Site) -> Page:
    page = open_page(site.url)
    loaded(page)
    return page


def loaded(page: Page) -> None:
    expect(page.locator("#empty")).to_be_hidden()
    expect(page.locator("#connection")).to_have_text(re.compile("live|실시간"))


def ask(page: Page, expression: str) -> object:
    """Return what an expression of the page's module `m` is worth."""
    return page.evaluate(f"async () => {{ const m = await {MODULE}; return {expression}; }}")


def eventually(page: Page, expression: str) -> None:
    """Wait until an expression of the page's module `m` is true."""
    page.wait_for_function(f"async () => {{ const m = await {MODULE}; return {expression}; }}")


def open_minute(site: Site, price: float) -> None:
    """Write a state of the minute that is open, at a price of its own."""
    minute = this_minute()
    rows: list[Columns] = [
        {**row, "close": price if row["symbol"] == "BTC-USDT-PERP" else row["close"]}
        for row in site.market.rows(minute)
    ]
    with psycopg.connect(site.dsn) as connection:
        write(connection, rows, is_final=False, books=False)


def test_page_shows_prices_shares_and_a_row_for_each_market(page: Page) -> None:
    expect(page.locator("#price")).to_have_text(re.compile(r"^[\d,.]+ USDT$"))
    expect(page.locator("#premium")).to_have_text(re.compile(r"^.\d\.\d\d%$"))
    expect(page.locator("#exchanges tbody tr")).to_have_count(15)
    eventually(page, "m.page.data.bars.list.filter(bar => !bar.missing).length > 200")
    expect(page.locator("#exchanges tr.reference")).to_have_attribute("data-market", PERP)


def test_new_state_of_a_minute_appears_by_itself(page: Page, site: Site) -> None:
    open_minute(site, 71_234.5)
    expect(page.locator("#price")).to_have_text("71,234.5 USDT")
    expect(page.locator("#info")).to_contain_text("C 71,234.5")
    eventually(page, "m.chart.price.data().at(-1).close === 71234.5")


def test_symbol_is_found_by_typing(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("eth-u")
    expect(page.locator("#market-list li").first).to_contain_text("ETH-USDT")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"market=ETH-USDT$"))
    loaded(page)
    expect(page.locator("#price-of")).to_contain_text("ETH-USDT")
    assert ask(page, "[...m.page.data.recent.keys()].every(key => key.endsWith('ETH-USDT'))")


def test_address_brings_the_whole_view_back(open_page: Open, site: Site) -> None:
    view = "?market=ETH&interval=5m&cvd=exchange&fourth=depth&reference=okx:ETH-USDT&table=1"
    page = open_page(site.url + "/" + view)
    loaded(page)
    for name in ("5m", "by exchange", "Depth"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_attribute(
            "aria-pressed", "true"
        )
    expect(page.locator("#price-of")).to_have_text("OKX ETH-USDT")
    expect(page.locator("#table-section")).to_be_visible()
    assert page.url.endswith(view)
    eventually(page, "m.chart.lines.size > 5 && m.chart.bid.data().length > 10")


def test_every_key_of_the_list_works(page: Page) -> None:
    keyboard = page.keyboard
    keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    expect(page.locator("#key-list dt")).to_have_count(17)
    keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    for number, interval in enumerate(("1m", "5m", "15m", "30m", "1h", "4h", "1d"), 1):
        keyboard.press(str(number))
        expect(page.locator(f"[data-interval='{interval}']")).to_have_attribute(
            "aria-pressed", "true"
        )
    keyboard.press("1")
    loaded(page)
    keyboard.press("g")
    expect(page.locator("#chart")).to_be_focused()
    keyboard.press("ArrowLeft")
    expect(page.locator("#spoken")).to_contain_text("CVD since")
    before = page.locator("#spoken").inner_text()
    keyboard.press("Shift+ArrowLeft")
    expect(page.locator("#spoken")).not_to_have_text(before)
    first = ask(page, "m.page.data.bars.first.time")
    keyboard.press("Home")
    assert ask(page, "m.chart.current.time") == first
    keyboard.press("End")
    # The next minute may begin between the key and the question.
    eventually(page, "m.page.data.bars.list.slice(-2).includes(m.chart.current)")
    keyboard.press("Escape")
    eventually(page, "m.chart.chosen === null")
    wide = ask(page, "m.chart.visibleBars")
    keyboard.press("+")
    eventually(page, f"m.chart.visibleBars < {wide}")
    keyboard.press("-")
    keyboard.press("PageUp")
    expect(page.locator("#to-live")).to_be_visible()
    keyboard.press("PageDown")
    keyboard.press("n")
    expect(page.locator("#to-live")).to_be_hidden()
    for key, selector in (("c", "[data-cvd=exchange]"), ("p", "[data-fourth=spread]")):
        keyboard.press(key)
        expect(page.locator(selector)).to_have_attribute("aria-pressed", "true")
    keyboard.press("t")
    expect(page.locator("#table-title")).to_be_focused()
    keyboard.press("t")
    expect(page.locator("#table-section")).to_be_hidden()
    for key, title in (("e", "#exchanges-title"), ("f", "#feeds-title")):
        keyboard.press(key)
        expect(page.locator(title)).to_be_focused()
    for key, name, value in (
        ("d", "theme", "dark"), ("b", "palette", "red-blue"),
    ):  # fmt: skip
        keyboard.press(key)
        assert page.locator("html").get_attribute(f"data-{name}") == value
    keyboard.press("l")
    expect(page.locator("#exchanges-title")).to_have_text("거래소 비교")


def test_short_interval_after_a_long_one_shows_its_bars(page: Page) -> None:
    page.keyboard.press("7")
    loaded(page)
    page.keyboard.press("1")
    loaded(page)
    eventually(page, "Math.abs(m.chart.chart.timeScale().scrollPosition() - 4) < 1")


def test_bar_is_read_where_no_price_is_visible(page: Page) -> None:
    ask(
        page,
        "(m.page.data.bars.list.slice(-3).forEach(bar => { bar.close = bar.vwap = null; }), "
        "m.chart.show(m.page.data.bars.list), m.chart.scroll(1000))",
    )
    ask(page, "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    page.keyboard.press("g")
    page.keyboard.press("End")
    expect(page.locator("#spoken")).to_contain_text("CVD since")


def test_settings_are_kept_in_the_browser(page: Page) -> None:
    page.keyboard.press("l")
    page.keyboard.press("b")
    page.reload()
    loaded(page)
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page.locator("html")).to_have_attribute("data-palette", "red-blue")


@pytest.mark.parametrize("interval", ["1m", "15m"])
def test_table_is_the_answer_of_the_api(open_page: Open, site: Site, interval: str) -> None:
    page = open_page(f"{site.url}/?market=BTC-USDT&interval={interval}&table=1")
    loaded(page)
    rows = page.locator("#minutes tbody tr")
    expect(rows.first).to_be_visible()
    address = page.locator("#table-csv").get_attribute("href") or ""
    answer = httpx.get(site.url + address.replace("&format=csv", "")).json()["rows"]
    shown = page.evaluate(
        """() => [...document.querySelectorAll('#minutes tbody tr')].map(row => Object.fromEntries(
            [['time', row.querySelector('time').dateTime], ...[...row.querySelectorAll('td')]
                .map(cell => [cell.dataset.column, cell.textContent])]))"""
    )
    assert len(shown) == len(answer) > 15
    for row, cells in zip(answer, shown, strict=True):
        for name in ("time", "symbol", "taker_buy_volume", "taker_sell_volume", "delta", "vwap"):
            assert cells[name] == row[name]
        assert cells["exchanges"] == " ".join(row["exchanges"])


def test_outage_is_a_gap_and_never_a_line(page: Page) -> None:
    lost = sorted(minute * 60 for minute in site_lost(page))
    assert len(lost) == 12
    for series in ("cvd", "vwap", "ratio"):
        points = ask(page, f"m.chart.{series}.data()")
        assert isinstance(points, list)
        times = {point["time"]: point for point in points}
        assert not [time for time in lost if "value" in times.get(time, {})]
        assert times[lost[0] - 60]["color"] == "transparent"
        assert "color" not in times[lost[-1] + 60]
    place = ask(page, f"m.page.data.bars.places.get({lost[3]})")
    ask(page, f"(m.chart.choose({place}), m.chart.speak())")
    expect(page.locator("#spoken")).to_contain_text("no data: outage")
    runs = ask(page, "m.chart.marked().filter(run => run[2]).length")
    assert runs == 1


def site_lost(page: Page) -> list[int]:
    missing = ask(page, "m.page.data.bars.list.filter(bar => bar.missing).map(bar => bar.time)")
    assert isinstance(missing, list)
    return [time // 60 for time in missing if time < this_minute() - 600]


def test_minutes_of_which_a_part_is_missing_are_hatched(page: Page) -> None:
    incomplete = ask(page, "m.page.data.bars.list.filter(bar => bar.complete === false).length")
    # Eight of OKX say so themselves; nine more lack Bybit.
    assert incomplete == 17


def test_outages_are_listed_with_their_end(page: Page) -> None:
    rows = page.locator("#incidents tbody tr")
    expect(rows.first).to_be_visible()
    expect(rows.filter(has_text="closed by the exchange (1006)")).to_contain_text("Bybit")


def test_the_audit_is_shown_beside_its_market_and_among_incidents(page: Page) -> None:
    health = page.locator('#exchanges tr[data-market="upbit:BTC-KRW"] td').last
    expect(health.locator("small")).to_have_text(re.compile("80.0%"))
    expect(health.locator("small")).to_have_attribute("title", re.compile("10 .*8 .*1 "))
    rows = page.locator("#incidents tbody tr")
    expect(rows.filter(has_text="ours minus theirs: volume +1")).to_contain_text("BTC-KRW")


def test_older_bars_are_loaded_on_scrolling_back(page: Page) -> None:
    page.keyboard.press("3")
    loaded(page)
    page.keyboard.press("1")
    loaded(page)
    ask(page, "m.page.data.bars.trim(120)")
    first = ask(page, "m.page.data.bars.first.time")
    for _ in range(3):
        page.keyboard.press("PageUp")
    page.wait_for_function(f"async () => (await {MODULE}).page.data.bars.first.time < {first}")
    assert ask(page, "m.page.data.bars.list.length <= 1500")


def test_restart_of_the_api_is_seen_and_leaves_no_hole(
    open_page: Open, site: Site, settings: Settings
) -> None:
    with ExitStack() as running:
        client = running.enter_context(serving(settings, site.dsn))
        page = open_page(str(client.base_url))
        loaded(page)
        page.evaluate("window.sameVisit = true")
        port = client.base_url.port
        running.close()
        expect(page.locator("#notices")).to_contain_text("The API does not answer")
        open_minute(site, 72_345.5)
        with serving(settings, site.dsn, port=port or 0):
            expect(page.locator("#price")).to_have_text("72,345.5 USDT")
            loaded(page)
            expect(page.locator("#notices")).to_be_empty()
            assert page.evaluate("window.sameVisit")
            page.close()


@pytest.fixture
def moved(services: Environment, settings: Settings) -> Iterator[tuple[str, str, str]]:
    """An API on a database that can be shut: its address, its DSN, the server's DSN."""
    with new_database(services) as dsn:
        prepare(dsn, settings)
        with serving(settings, dsn) as client:
            yield str(client.base_url), dsn, services.require_postgres()


def test_no_data_yet_is_said_and_the_first_minute_appears(
    open_page: Open, moved: tuple[str, str, str], site: Site
) -> None:
    url, dsn, _ = moved
    page = open_page(url)
    expect(page.locator("#empty")).to_contain_text("No minute of BTC yet")
    now = this_minute()
    fill(dsn, site.market, now - 300, now)
    expect(page.locator("#empty")).to_be_hidden()
    expect(page.locator("#price")).to_have_text(re.compile(r"^[\d,.]+ (USDT|USD|KRW)$"))


def test_database_away_is_said_and_heals(
    open_page: Open, moved: tuple[str, str, str], site: Site
) -> None:
    url, dsn, server = moved
    now = this_minute()
    fill(dsn, site.market, now - 1_200, now)
    page = open_page(url)
    loaded(page)
    name = sql.Identifier(dsn.rpartition("/")[2])
    with psycopg.connect(server, autocommit=True) as connection:
        shut = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        connection.execute(shut.format(name, sql.SQL("false")))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [dsn.rpartition("/")[2]],
        )
        try:
            expect(page.locator("#notices")).to_contain_text(
                "The database does not answer", timeout=40_000
            )
        finally:
            connection.execute(shut.format(name, sql.SQL("true")))
    loaded(page)
    expect(page.locator("#notices")).to_be_empty()


def test_sleep_is_noticed_and_a_wrong_clock_is_said(open_page: Open, site: Site) -> None:
    page = open_page(site.url, has_clock=True)
    loaded(page)
    page.clock.fast_forward("20:00")
    expect(page.locator("#notices")).to_contain_text("This computer's clock is 20 min ahead")
    loaded(page)
    expect(page.locator("#notices")).not_to_contain_text("asleep")
    assert ask(page, "m.page.status.connection") == "live"


def test_simulated_exchanges_are_said(open_page: Open, site: Site, settings: Settings) -> None:
    urls = Urls(ws={"spot": "ws://127.0.0.1:9/ws"}, rest={"spot": "http://127.0.0.1:9"})
    exchanges = {
        code: msgspec.structs.replace(exchange, urls=urls)
        for code, exchange in settings.exchanges.items()
    }
    simulated = msgspec.structs.replace(settings, exchanges=exchanges)
    with serving(simulated, site.dsn) as client:
        page = open_page(str(client.base_url))
        expect(page.locator("#notices")).to_contain_text("Simulated exchanges")
        page.close()


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [390, 1_400])
def test_page_looks_right(open_page: Open, site: Site, scheme: str, width: int) -> None:
    page = open_page(
        f"{site.url}/?fourth=spread", color_scheme=scheme, viewport={"width": width, "height": 860}
    )
    loaded(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    panes = page.evaluate(LOOK)
    assert len(panes) == 4
    for pane in panes:
        assert (pane["ground"] < 60) if scheme == "dark" else (pane["ground"] > 200)
        # Something is drawn in each pane, and it is not all drawn over.
        assert 0.004 < pane["drawn"] < 0.75


LOOK = """() => [...document.querySelectorAll('#canvas tr td:nth-child(2) canvas:first-of-type')]
    .filter(canvas => canvas.height > 60).slice(0, 4).map(canvas => {
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const counts = new Map();
        for (let at = 0; at < data.length; at += 4) {
            const key = (data[at] << 16) + (data[at + 1] << 8) + data[at + 2];
            counts.set(key, (counts.get(key) ?? 0) + 1);
        }
        const [ground, most] = [...counts].sort((one, other) => other[1] - one[1])[0];
        const light = ((ground >> 16) + ((ground >> 8) & 255) + (ground & 255)) / 3;
        return {ground: light, drawn: 1 - most / (data.length / 4)};
    })"""


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_serious(open_page: Open, site: Site, scheme: str) -> None:
    page = open_page(f"{site.url}/?market=BTC-USDT&interval=1h&table=1", color_scheme=scheme)
    loaded(page)
    expect(page.locator("#minutes tbody tr").first).to_be_visible()
    serious(page)
    for palette in ("red-blue", "blue-orange"):
        page.evaluate("palette => { document.documentElement.dataset.palette = palette }", palette)
        serious(page, "#exchanges", "color-contrast")
    for button, dialog in (("#show-keys", "#keys"), ("#show-settings", "#settings")):
        page.locator(button).click()
        serious(page, dialog)
        page.keyboard.press("Escape")


def serious(page: Page, context: str | None = None, *rules: str) -> None:
    options = {"runOnly": list(rules)} if rules else {}
    found = Axe().run(page, context=context, options=options).response["violations"]
    assert [
        (each["id"], each["help"], [node["html"] for node in each["nodes"]][:3])
        for each in found
        if each["impact"] in {"serious", "critical"}
    ] == []


def test_old_minutes_are_shown_as_old(
    open_page: Open, moved: tuple[str, str, str], site: Site
) -> None:
    url, dsn, _ = moved
    ended = this_minute() - 20 * 3_600
    fill(dsn, site.market, ended - 3_600, ended)
    page = open_page(url)
    expect(page.locator("#empty")).to_be_hidden()
    expect(page.locator("#notices")).to_contain_text("No newer minute for 20 h")
    eventually(page, "m.chart.price.data().length >= 60")
