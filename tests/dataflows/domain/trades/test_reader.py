"""From records to minutes without Kafka: nothing but the log itself decides what the rows are."""

from __future__ import annotations

import pickle
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.postgres.tables import TAKER_VOLUME
from dataflows.domain.trades.minutes import TradeBatch
from dataflows.domain.trades.reader import TradeReader
from dataflows.operators.minutes import MinutesLogic
from schemas.processed import encode_taker_volume
from schemas.records import DeadLetter, TakerVolume
from schemas.settings import Settings, parse_settings
from tests.raw_record import RawRecord
from tests.schemas.exchanges.frames import lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PATH = Path(__file__).parents[4] / "pipeline.yaml"
SETTINGS: Settings = parse_settings(PATH.read_bytes(), str(PATH))
TOPIC = SETTINGS.regions["NE"].topics.trade

MINUTE_MS = 60_000
START_MINUTE = 28_827_980  # 2024-10-23 10:20 UTC, counted from the Unix epoch
START_MS = START_MINUTE * MINUTE_MS
LATENESS_MS = SETTINGS.taker_volume.lateness_ms
HORIZON_MINUTES = SETTINGS.taker_volume.correction_horizon_ms // MINUTE_MS
DAY_MINUTES = 24 * 60
NOW_NS = (START_MS + 100 * DAY_MINUTES * MINUTE_MS) * 1_000_000


class Print(NamedTuple):
    """A trade of the test's market, before it is a record."""

    exchange: str
    coin: str
    number: int
    time_ms: int
    price: str = "2.5"
    size: str = "1"
    taker_buys: bool = True

    @property
    def symbol(self) -> str:
        return f"{self.coin}-USDT" if self.exchange == "binance" else f"{self.coin}-USD-PERP"

    @property
    def key(self) -> tuple[str, int]:
        return f"{self.exchange}:{self.symbol}", self.time_ms // MINUTE_MS


def frame(trade: Print) -> bytes:
    if trade.exchange == "binance":
        return b'{"e":"trade","s":"%sUSDT","t":%d,"p":"%s","q":"%s","T":%d,"m":%s}' % (
            trade.coin.encode(),
            trade.number,
            trade.price.encode(),
            trade.size.encode(),
            trade.time_ms,
            b"false" if trade.taker_buys else b"true",
        )
    time = datetime.fromtimestamp(trade.time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    row = {
        "timestamp": f"{time}.{trade.time_ms % 1000:03d}Z",
        "symbol": f"{trade.coin}USD",
        "side": "Buy" if trade.taker_buys else "Sell",
        "size": 1,
        "price": Decimal(trade.price),
        "trdMatchID": f"id-{trade.number:04d}",
        "homeNotional": Decimal(trade.size),
        "foreignNotional": Decimal(trade.size) * Decimal(trade.price),
    }
    table = {"table": "trade", "action": "insert", "data": [row]}
    return msgspec.json.Encoder(decimal_format="number").encode(table)


def records(trades: Iterable[Print]) -> list[RawRecord]:
    return [RawRecord(at, t.exchange.encode(), frame(t)) for at, t in enumerate(trades)]


class Flow:
    """The reader and the minutes, wired as the dataflow wires them; a table as PostgreSQL's."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.settings = settings
        self.reader = TradeReader(settings, "NE", TOPIC, 0)
        self.logics: dict[str, MinutesLogic] = {}
        self.letters: list[DeadLetter] = []
        self.finals: list[TakerVolume] = []
        self.duplicates = 0

    def read(self, messages: Sequence[RawRecord], now_ns: int = NOW_NS) -> None:
        self.take(self.reader.read(messages, now_ns))

    def idle(self, seconds: float) -> None:
        self.take(self.reader.idle(int(seconds * 1e9)))

    def finish(self) -> None:
        self.take(self.reader.finish())

    def snapshot(self) -> bytes:
        """All state as a pickle, as the engine's recovery store keeps it."""
        states = {key: logic.snapshot() for key, logic in self.logics.items()}
        return pickle.dumps((self.reader.state(), states))

    def go_back(self, snapshot: bytes) -> None:
        reader, states = pickle.loads(snapshot)  # noqa: S301  # our own
        self.reader = TradeReader(self.settings, "NE", TOPIC, 0, reader)
        self.logics = {
            key: MinutesLogic(self.settings.taker_volume, state) for key, state in states.items()
        }

    def restart(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.settings
        self.go_back(self.snapshot())

    def table(self) -> dict[tuple[str, int], TakerVolume]:
        rows: dict[tuple[str, int], TakerVolume] = {}
        for row in self.finals:
            key = f"{row.exchange}:{row.symbol}", row.minute // 60
            if key not in rows or TAKER_VOLUME.is_newer(row, rows[key]):
                rows[key] = row
        return rows

    def content(self) -> dict[tuple[str, int], bytes]:
        return {key: content(row) for key, row in self.table().items()}

    def take(self, items: Iterable[tuple[str, Any]]) -> None:
        by_key: defaultdict[str, list[TradeBatch]] = defaultdict(list)
        for key, item in items:
            if isinstance(item, DeadLetter):
                self.letters.append(item)
            else:
                by_key[key].append(item)
        for key, batches in by_key.items():
            logic = self.logics.setdefault(key, MinutesLogic(self.settings.taker_volume, None))
            outputs, is_discarded = logic.on_batch(batches)
            self.finals += [row for rows in outputs for row in rows if row.is_final]
            if is_discarded:
                del self.logics[key]


def with_horizon(minutes: int) -> Settings:
    """Settings with another correction horizon."""
    times = msgspec.structs.replace(SETTINGS.taker_volume, correction_horizon_ms=minutes * 60_000)
    return msgspec.structs.replace(SETTINGS, taker_volume=times)


def content(row: TakerVolume) -> bytes:
    """The bytes of a row, but for the count of duplicates."""
    return encode_taker_volume(msgspec.structs.replace(row, duplicate_trades=0), SETTINGS)


def run(log: Sequence[Print], cuts: Iterable[int] = (), *, restart: bool = False) -> Flow:
    flow = Flow()
    messages = records(log)
    borders = sorted({0, len(messages), *(cut for cut in cuts if cut < len(messages))})
    for start, end in pairwise(borders):
        flow.read(messages[start:end])
        if restart:
            flow.restart()
    flow.finish()
    return flow


def one_by_one(log: Sequence[Print]) -> Flow:
    return run(log, range(len(log)))


class Expected(NamedTuple):
    rows: dict[tuple[str, int], dict[str, Any]]
    duplicates: int
    refused: int


def expected(log: Sequence[Print]) -> Expected:
    """What the rules say, a trade at a time, with nothing of the project."""
    newest: dict[str, int] = defaultdict(int)
    final_before: dict[str, int] = defaultdict(int)
    alive: dict[str, set[int]] = defaultdict(set)
    in_time: dict[str, set[int]] = defaultdict(set)
    minutes: dict[tuple[str, int], dict[int, Print]] = defaultdict(dict)
    late: dict[tuple[str, int], int] = defaultdict(int)
    duplicates = refused = 0
    for trade in log:
        exchange, at = trade.exchange, trade.time_ms // MINUTE_MS
        newest[exchange] = max(newest[exchange], trade.time_ms)
        final_before[exchange] = max(
            final_before[exchange], (newest[exchange] - LATENESS_MS) // MINUTE_MS
        )
        is_late = at < final_before[exchange]
        if at < final_before[exchange] - HORIZON_MINUTES:
            refused += 1
            continue
        if not is_late:
            alive[exchange].add(at)
            in_time[trade.key[0]].add(at)
        if trade.number in minutes[trade.key]:
            duplicates += 1
            continue
        minutes[trade.key][trade.number] = trade
        late[trade.key] += is_late
    for key, traded in in_time.items():
        for at in alive[key.partition(":")[0]]:
            if any(at - DAY_MINUTES <= other <= at for other in traded):
                minutes[key, at]
    rows = {key: row(list(trades.values()), late[key]) for key, trades in minutes.items()}
    return Expected(rows, duplicates, refused)


def row(trades: list[Print], late: int) -> dict[str, Any]:
    trades = sorted(trades, key=lambda t: (t.time_ms, t.number))
    prices = [Decimal(t.price) for t in trades]
    buys = [t for t in trades if t.taker_buys]
    sells = [t for t in trades if not t.taker_buys]
    return {
        "taker_buy_volume": sum((Decimal(t.size) for t in buys), Decimal(0)),
        "taker_sell_volume": sum((Decimal(t.size) for t in sells), Decimal(0)),
        "taker_buy_notional": sum((Decimal(t.size) * Decimal(t.price) for t in buys), Decimal(0)),
        "taker_sell_notional": sum((Decimal(t.size) * Decimal(t.price) for t in sells), Decimal(0)),
        "buy_count": len(buys),
        "sell_count": len(sells),
        "open": prices[0] if prices else None,
        "high": max(prices, default=None),
        "low": min(prices, default=None),
        "close": prices[-1] if prices else None,
        "late_trades": late,
        "revision": 1 + late,
        "is_final": True,
    }


def assert_as_expected(flow: Flow, log: Sequence[Print]) -> None:
    rules = expected(log)
    table = flow.table()
    assert table.keys() == rules.rows.keys()
    for key, values in rules.rows.items():
        assert {name: getattr(table[key], name) for name in values} == values, key
    assert len(flow.letters) == rules.refused


# A market's log: the exchange's time moves on in steps, some of them an outage or longer than a
# symbol lives; each trade is as old as it is, from in time to beyond the horizon.
STEPS_MS = st.sampled_from(
    [0, 0, 1, 700, 4_000, 20_000, 59_999, 60_000, 130_000]
    + [k * MINUTE_MS for k in (30, 70, DAY_MINUTES - 1, DAY_MINUTES, DAY_MINUTES + 1, 2_000)]
)
AGES_MS = st.sampled_from(
    [0, 0, 0, 1, 3_000, 9_999, 10_000, 10_001, 61_000, 30 * MINUTE_MS, 62 * MINUTE_MS]
)
PRICES = st.sampled_from(["1", "1.0", "1.00", "2.5", "2.50", "100", "0.0000001"])
SIZES = st.sampled_from(["1", "0.1", "0.10000000", "12345.678"])


@st.composite
def logs(draw: st.DrawFn) -> list[Print]:
    clock_ms = {"binance": START_MS, "bitmex": START_MS + 3_000}
    known: dict[tuple[str, str, int], Print] = {}
    log = []
    # Frames of one exchange alone are decoded together.
    exchanges = draw(st.sampled_from([["binance"], ["binance", "binance", "bitmex"]]))
    for _ in range(draw(st.integers(1, 40))):
        exchange = draw(st.sampled_from(exchanges))
        clock_ms[exchange] += draw(STEPS_MS)
        trade = Print(
            exchange,
            draw(st.sampled_from(["BTC", "BTC", "ETH", "XRP"])),
            draw(st.integers(1, 60)),
            clock_ms[exchange] - draw(AGES_MS),
            draw(PRICES),
            draw(SIZES),
            draw(st.booleans()),
        )
        # The same id is the same trade, sent again.
        log.append(known.setdefault((exchange, trade.coin, trade.number), trade))
    return log


CUTS = st.lists(st.integers(1, 39))
PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PROPERTY
@given(logs())
def test_rows_are_what_the_rules_say_for_each_trade_in_its_place(log: list[Print]) -> None:
    assert_as_expected(one_by_one(log), log)


@PROPERTY
@given(logs(), CUTS, st.booleans())
def test_neither_batches_nor_restarts_show_in_any_row_or_revision(
    log: list[Print],
    cuts: list[int],
    restart: bool,
) -> None:
    reference = one_by_one(log)
    states = {(r.exchange, r.symbol, r.minute, r.revision): content(r) for r in reference.finals}

    flow = run(log, cuts, restart=restart)

    assert flow.content() == reference.content()
    for final in flow.finals:
        at = final.exchange, final.symbol, final.minute, final.revision
        assert content(final) == states[at]
    assert [letter.offset for letter in sorted(flow.letters, key=_offset)] == [
        letter.offset for letter in reference.letters
    ]


def _offset(letter: DeadLetter) -> int:
    return letter.offset


@PROPERTY
@given(st.data())
def test_neither_order_within_the_lateness_nor_duplicates_show_in_the_rows(
    data: st.DataObject,
) -> None:
    sent = data.draw(logs())
    # As they happened, without what came too late.
    trades = sorted({(t.exchange, t.coin, t.number): t for t in sent}.values(), key=_time_ms)
    delays = data.draw(
        st.lists(st.integers(0, LATENESS_MS), min_size=len(trades), max_size=len(trades))
    )
    arrivals = sorted(zip(trades, delays, strict=True), key=lambda pair: pair[0].time_ms + pair[1])
    messy = [trade for trade, _ in arrivals]
    for index in data.draw(st.lists(st.integers(0, len(messy) - 1), max_size=10)):
        messy.insert(index + 1, messy[index])

    flow = run(messy, data.draw(CUTS))

    assert flow.content() == run(trades).content()
    assert_as_expected(flow, trades)


def _time_ms(trade: Print) -> int:
    return trade.time_ms


@PROPERTY
@given(logs(), st.sets(st.integers(0, 39), max_size=4), CUTS)
def test_every_trade_is_counted_once_as_new_duplicate_or_dead(
    log: list[Print], silences: set[int], cuts: list[int]
) -> None:
    flow = Flow()
    messages = records(log)
    for index, message in enumerate(messages):
        flow.read([message])
        if index in silences:
            flow.idle(seconds=100 * index)
        if index in cuts:
            flow.restart()
    flow.finish()

    rows = flow.table().values()
    counted = sum(row.buy_count + row.sell_count for row in rows)
    distinct = {(t.exchange, t.coin, t.number) for t in log}
    refused = [log[letter.offset] for letter in flow.letters]
    lost = distinct - {(t.exchange, t.coin, t.number) for t in refused}
    assert counted >= len(lost)
    assert counted <= len(distinct)
    assert sum(row.late_trades for row in rows) + len(rows) == sum(row.revision for row in rows)


def day(minute: int, coin: str = "ETH", number: int | None = None, second: float = 0) -> Print:
    """A trade at a minute after the start; its id is its minute unless given."""
    at_ms = START_MS + minute * MINUTE_MS + round(second * 1000)
    return Print("binance", coin, minute if number is None else number, at_ms)


def minutes_of(flow: Flow, coin: str) -> list[int]:
    key = f"binance:{coin}-USDT"
    return sorted(at - START_MINUTE for of, at in flow.table() if of == key)


def test_a_quiet_minute_of_a_live_exchange_is_a_row_of_zeros_and_an_outage_is_none() -> None:
    log = [day(0, "BTC"), day(0), day(1), day(2), day(7), day(8, "BTC")]

    flow = run(log)

    assert minutes_of(flow, "BTC") == [0, 1, 2, 7, 8]
    quiet = flow.table()["binance:BTC-USDT", START_MINUTE + 1]
    assert quiet.taker_buy_volume == 0
    assert (quiet.buy_count, quiet.sell_count) == (0, 0)
    assert (quiet.open, quiet.close, quiet.vwap) == (None, None, None)
    assert (quiet.is_final, quiet.revision) == (True, 1)


def test_a_symbol_has_no_rows_before_its_first_trade() -> None:
    assert minutes_of(run([day(0), day(1), day(2, "BTC"), day(3)]), "BTC") == [2, 3]


@pytest.mark.parametrize("cuts", [(), range(10_000), (700, 1_400, 1_441, 1_442, 1_900)])
def test_a_symbol_silent_for_a_day_has_no_more_rows_until_it_returns(cuts: Sequence[int]) -> None:
    log = [day(0, "BTC"), *(day(minute) for minute in range(2_000)), day(2_000, "BTC"), day(2_001)]

    flow = run(log, cuts)

    assert minutes_of(flow, "BTC") == [*range(DAY_MINUTES + 1), 2_000, 2_001]
    assert minutes_of(flow, "ETH") == list(range(2_002))


def test_the_state_of_a_symbol_silent_for_a_day_is_given_up() -> None:
    flow = Flow()
    flow.read(records([day(0, "BTC"), day(0)]))
    size_with_both = len(flow.logics)

    flow.read(records([day(2_000), day(2_002)]))

    assert size_with_both == 2
    assert list(flow.logics) == ["binance:ETH-USDT"]
    assert list(flow.reader.state()[1]["binance"][-1]) == ["ETH-USDT"]


def test_a_return_after_a_day_in_the_batch_of_the_last_trade_is_as_in_a_later_one() -> None:
    log = [day(0, "BTC"), day(1), day(2_000), day(2_001, "BTC"), day(2_003)]
    assert minutes_of(run(log), "BTC") == minutes_of(one_by_one(log), "BTC") == [0, 1, 2_001, 2_003]


def test_order_at_the_border_of_a_minute_does_not_move_the_end_of_a_symbols_life() -> None:
    first, second = day(0, "BTC", 1, second=59.9), day(1, "BTC", 2, second=0.1)
    live = [day(minute, second=30) for minute in range(2, 1_500)]
    assert run([first, second, *live]).content() == run([second, first, *live]).content()


def test_a_trade_from_the_future_is_refused_and_moves_nothing() -> None:
    limit_ms = SETTINGS.taker_volume.future_limit_ms
    now_ns = (START_MS + 30_000) * 1_000_000
    flow = Flow()
    flow.read(records([day(0, "BTC", 1)]), now_ns)
    before = flow.reader.state()

    ahead = Print("binance", "BTC", 2, START_MS + 30_000 + limit_ms + 1)
    flow.read([RawRecord(7, b"binance", frame(ahead), [("received_at", b"1")])], now_ns)

    (letter,) = flow.letters
    assert letter.error.startswith("future: trade 2 of BTC-USDT at 2024-10-23T10:21:30")
    assert "expected at most 60000 ms after its record" in letter.error
    assert (letter.topic, letter.partition, letter.offset) == (TOPIC, 0, 7)
    assert letter.exchange == "binance"
    assert (letter.key, letter.value) == (b"binance", frame(ahead))
    assert letter.headers == [("received_at", b"1")]
    assert flow.reader.state() == before


def test_what_is_the_future_is_decided_by_the_record_s_stamp_whatever_the_clock_says() -> None:
    at_ms = START_MS + 30_000
    good = Print("binance", "BTC", 1, at_ms)
    ahead = Print("binance", "BTC", 2, at_ms + SETTINGS.taker_volume.future_limit_ms + 1)
    for clock_ms in (0, at_ms - 7_200_000, at_ms + 7_200_000):
        flow = Flow()
        for offset, trade in enumerate((good, ahead)):
            record = RawRecord(offset, b"binance", frame(trade), timestamp_ms=at_ms)
            flow.read([record], clock_ms * 1_000_000)
        flow.finish()

        assert [letter.offset for letter in flow.letters] == [1]
        assert minutes_of(flow, "BTC") == [0]


def test_a_trade_at_the_limit_of_the_future_counts() -> None:
    limit_ms = SETTINGS.taker_volume.future_limit_ms
    flow = Flow()
    flow.read(records([Print("binance", "BTC", 2, START_MS + limit_ms)]), START_MS * 1_000_000)
    flow.finish()
    assert not flow.letters
    assert minutes_of(flow, "BTC") == [1]


def test_a_late_trade_revises_up_to_the_horizon_and_is_dead_beyond_it() -> None:
    log = [day(0, "BTC"), day(1, "BTC"), day(HORIZON_MINUTES + 1, second=10)]
    oldest = day(1, "BTC", 91, second=0)  # minutes before HORIZON + 1 are final now
    older = day(0, "BTC", 92, second=59.999)

    flow = run([*log, oldest, older])

    row = flow.table()["binance:BTC-USDT", START_MINUTE + 1]
    assert (row.buy_count, row.revision, row.late_trades) == (2, 2, 1)
    (letter,) = flow.letters
    assert letter.offset == 4
    assert letter.error.startswith("late: trade 92 of BTC-USDT at 2024-10-23T10:20:59")


def test_minutes_close_after_a_silence_and_grow_by_what_comes_then() -> None:
    flow = Flow()
    log = [day(0, "BTC", 1, second=50), day(3, "BTC", 2), day(0, "BTC", 3, 55), day(9, "BTC", 4)]
    first, inside, before, after = records(log)
    flow.read([first])

    flow.idle(seconds=300)

    row = flow.table()["binance:BTC-USDT", START_MINUTE]
    assert (row.buy_count, row.revision) == (1, 1)
    flow.read([inside])  # newer than any trade, but its minute was closed by the silence
    flow.read([before])
    flow.read([after])
    flow.finish()
    rows = flow.table()
    assert {at - START_MINUTE: (r.buy_count, r.revision) for (_, at), r in rows.items()} == {
        0: (2, 2),
        3: (1, 1),
        9: (1, 1),
    }


def test_a_short_silence_closes_nothing() -> None:
    flow = Flow()
    flow.read(records([day(0, "BTC")]))
    flow.idle(seconds=SETTINGS.taker_volume.idle_close_ms / 1000 - 0.001)
    assert flow.finals == []


def test_a_silence_that_goes_on_is_not_counted_twice() -> None:
    flow = Flow()
    flow.read(records([day(0, "BTC", 1), day(0, "ETH", 2)]))
    for seconds in range(30, 180):
        flow.idle(seconds)
    flow.read(records([day(3, "BTC", 3)]))
    flow.finish()
    assert flow.table()["binance:BTC-USDT", START_MINUTE + 3].revision == 1


def test_a_flow_that_went_on_after_its_input_ended_adds_to_the_last_minute() -> None:
    flow = run([day(0, "BTC", 1, second=10)])
    flow.restart()

    flow.read(records([day(0, "BTC", 2, second=20)]))
    flow.finish()

    row = flow.table()["binance:BTC-USDT", START_MINUTE]
    assert (row.buy_count, row.revision, row.late_trades) == (2, 1, 0)


@PROPERTY
@given(
    logs(),
    st.sets(st.integers(0, 39), max_size=4),
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=3),
)
def test_neither_silences_nor_kills_show_in_the_rows(
    log: list[Print], silences: set[int], kills: list[tuple[int, int]]
) -> None:
    """A kill at one place goes back to the state of an earlier one; the table stays."""
    flow, messages = Flow(), records(log)
    pending = dict(kills)
    snapshots: list[bytes] = []
    place = 0
    while place < len(messages):
        snapshots[place:] = [flow.snapshot()]
        flow.read([messages[place]])
        if place in silences:
            flow.idle(seconds=100 * place)
        back = pending.pop(place, None)
        place += 1
        if back is not None:
            place = min(back, place - 1)
            flow.go_back(snapshots[place])
    flow.finish()

    assert flow.content() == run(log).content()


def test_a_trade_in_a_minute_that_silence_closed_makes_it_a_row_of_all() -> None:
    log = [day(0, "BTC", 1), day(4, "BTC", 2, second=40), day(5, "ETH", 1)]
    flow = Flow()
    flow.read(records(log[:2]))
    flow.idle(seconds=400)
    flow.read(records(log)[2:])
    flow.finish()

    assert flow.content() == run(log).content()


def test_late_trades_after_the_log_was_read_again_are_in_the_row() -> None:
    """A silence closed the minute; read again, its late trades are in time."""
    flow = Flow()
    start = flow.snapshot()
    flow.read(records([day(0, "BTC", number, second=number) for number in range(1, 6)]))
    flow.idle(seconds=300)
    flow.read(records([day(0, "BTC", number, second=number) for number in range(6, 9)]))

    flow.go_back(start)
    log = [day(0, "BTC", number, second=number) for number in range(1, 9)]
    log += [day(2, "BTC", 20), day(0, "BTC", 9, 9), day(0, "BTC", 10, 10)]
    flow.read(records(log))
    flow.finish()

    row = flow.table()["binance:BTC-USDT", START_MINUTE]
    assert (row.buy_count, row.revision, row.late_trades) == (10, 3, 2)


def test_a_raised_horizon_does_not_reach_minutes_that_are_forgotten() -> None:
    short = with_horizon(2)
    flow = Flow(short)
    flow.read(records([day(0, "BTC", number) for number in range(10)]))
    flow.read(records([day(minute, "BTC", 100 + minute) for minute in range(1, 12)]))
    flow.restart(with_horizon(60))

    flow.read(records([day(0, "BTC", 50), day(11, "BTC", 51), day(10, "BTC", 52)]))
    flow.finish()

    assert flow.table()["binance:BTC-USDT", START_MINUTE].buy_count == 10
    (letter,) = flow.letters
    assert "expected none of a minute that is not known any more" in letter.error
    assert flow.table()["binance:BTC-USDT", START_MINUTE + 10].buy_count == 2


def test_a_lost_beginning_of_the_log_makes_older_trades_dead_letters() -> None:
    flow = Flow()
    flow.reader.lose()
    log = [day(5, "BTC", 1, 30), day(4, "BTC", 2), day(5, "BTC", 3), day(5, "ETH", 4, 40)]
    flow.read(records([*log, day(6, "BTC", 5), day(7, "BTC", 6), day(9, "BTC", 7)]))
    flow.finish()

    assert [letter.offset for letter in flow.letters] == [1]
    rows = {at - START_MINUTE: row for (key, at), row in flow.table().items() if "BTC" in key}
    assert {at: row.is_complete for at, row in rows.items()} == {
        5: False, 6: None, 7: None, 9: None,
    }  # fmt: skip
    assert rows[5].buy_count == 2


def test_records_lost_in_the_middle_break_minutes_and_revise_none() -> None:
    flow = Flow()
    flow.read(records([day(0, "BTC", 1), day(1, "BTC", 2, second=30)]))
    flow.restart(SETTINGS)
    flow.reader.lose()
    flow.read(records([day(minute, "BTC", minute) for minute in range(4, 8)]))
    flow.finish()

    rows = [(row.minute // 60 - START_MINUTE, row) for row in flow.finals if row.buy_count]
    assert [(at, row.is_complete, row.revision) for at, row in rows] == [
        (0, None, 1), (1, False, 1), (4, False, 1), (5, None, 1), (6, None, 1), (7, None, 1),
    ]  # fmt: skip


def test_a_symbol_that_moved_keeps_its_state_when_its_old_partition_retires_it() -> None:
    old, new = TradeReader(SETTINGS, "NE", TOPIC, 0), TradeReader(SETTINGS, "NE", TOPIC, 1)
    flow = Flow()
    flow.take(old.read(records([day(0, "BTC", 1), day(0, "ETH", 1)]), NOW_NS))
    for hour in range(24):
        flow.take(new.read(records([day(60 * hour + 1, "BTC", 10 + hour)]), NOW_NS))
    flow.take(new.read(records([day(1_450, "BTC", 90, second=1)]), NOW_NS))

    flow.take(old.read(records([day(1_442, "ETH", 2), day(1_450, "ETH", 3)]), NOW_NS))
    flow.take(new.read(records([day(1_450, "BTC", 91, second=2)]), NOW_NS))
    flow.take(new.finish())

    assert flow.table()["binance:BTC-USDT", START_MINUTE + 1_450].buy_count == 2


def test_exchanges_of_one_partition_have_each_its_own_time() -> None:
    ahead = Print("bitmex", "XBT", 1, START_MS + 30 * MINUTE_MS)
    flow = Flow()
    flow.read(records([day(0, "BTC"), ahead, day(1, "BTC")]))
    assert flow.finals == []
    flow.finish()
    assert {key for key, _ in flow.table()} == {"binance:BTC-USDT", "bitmex:BTC-USD-PERP"}


def test_what_was_read_is_counted() -> None:
    reader = TradeReader(SETTINGS, "NE", TOPIC, 0)
    messages = [
        *records([day(0, "BTC"), day(5, "BTC"), day(1, "BTC")]),
        RawRecord(3, b"binance", b'{"result":null,"id":1}'),
        RawRecord(4, b"binance", b"{"),
    ]
    reader.read(messages, NOW_NS)
    assert reader.counts == {"trades": 2, "late": 1, "skipped": 1, "dead_letters": 1}


def test_more_symbols_than_are_kept_are_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataflows.domain.trades.reader.MAX_SYMBOLS", 2)
    flow = Flow()
    flow.read(records([day(0, "BTC", 1), day(0, "ETH", 2)]))

    flow.read(records([day(0, "XRP", 3), day(0, "BTC", 4), *(day(0, "SOL", n) for n in range(9))]))
    flow.finish()

    assert {key for key, _ in flow.table()} == {"binance:BTC-USDT", "binance:ETH-USDT"}
    assert flow.table()["binance:BTC-USDT", START_MINUTE].buy_count == 2
    assert len(flow.letters) == 10
    assert flow.letters[0].error.startswith("symbol XRP-USDT: expected one of the 2 that are known")


def test_frames_of_several_trades_count_whole_in_a_first_batch() -> None:
    frames = lines("bybit-trade.jsonl")[:1] * 8
    messages = [RawRecord(at, b"bybit.inverse", frame) for at, frame in enumerate(frames)]
    reader = TradeReader(SETTINGS, "Asia", "t", 1)

    items = reader.read(messages, 1_680_673_824 * 10**9)

    assert [key for key, _ in items] == ["bybit:BTC-USD-PERP"]
    assert reader.counts["trades"] == 8 * 3
