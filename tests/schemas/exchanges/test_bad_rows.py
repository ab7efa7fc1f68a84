"""A bad row is named and does not cost its neighbours; a row of size zero is no record."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from schemas.exchanges import decoder_of
from schemas.feeds import Feed
from schemas.records import Salvaged, Trade
from tests.schemas.exchanges.frames import case_frames, lines


class Form(NamedTuple):
    """How one exchange sends several trades in a frame."""

    feed: Feed
    frame: bytes
    rows: Callable[[Any], list[Any]]
    """Return the list of rows in the parsed frame."""
    size: str | int
    """The key of a row's size."""
    identifier: str | int
    """The key of what tells trades apart."""


def upbit_rows(message: Any) -> list[Any]:
    assert isinstance(message, list)
    return message


FORMS = {
    "upbit": Form(Feed("upbit"), b"[" + lines("upbit-trade.jsonl")[0] + b"]", upbit_rows,
                  "tv", "sid"),
    "upbit-rest": Form(Feed("upbit"), lines("rest/upbit-trades.json")[0], upbit_rows,
                       "trade_volume", "sequential_id"),
    "bithumb": Form(Feed("bithumb"), b"[" + lines("bithumb-trade.jsonl")[1] + b"]", upbit_rows,
                    "trade_volume", "sequential_id"),
    "bithumb-v1": Form(Feed("bithumb"), lines("bithumb-v1-trade.jsonl")[0],
                       lambda m: m["content"]["list"], "contQty", "contQty"),
    "korbit": Form(Feed("korbit"), lines("korbit-trade.jsonl")[1], lambda m: m["data"],
                   "qty", "tradeId"),
    "korbit-rest": Form(Feed("korbit", native_symbol="btc_krw"),
                        lines("rest/korbit-trades.json")[0], lambda m: m["data"], "qty", "price"),
    "coinone-rest": Form(
        Feed("coinone"),
        b'{"result":"success","quote_currency":"KRW","target_currency":"BTC","transactions":['
        + lines("rest/coinone-trade-row.json")[0] + b"]}",
        lambda m: m["transactions"], "qty", "id"),
    "kraken": Form(Feed("kraken"), lines("kraken-trade.jsonl")[1], lambda m: m["data"],
                   "qty", "trade_id"),
    "kraken-v1": Form(Feed("kraken"), lines("kraken-v1-trade.jsonl")[0], lambda m: m[1], 1, 1),
    "kraken-rest": Form(Feed("kraken"), lines("rest/kraken-trades.json")[0],
                        lambda m: m["result"]["XBTUSDT"], 1, 6),
    "bitmex": Form(Feed("bitmex"), lines("bitmex-trade.jsonl")[0], lambda m: m["data"],
                   "size", "trdMatchID"),
}  # fmt: skip


def decoded(form: Form, change: Callable[[list[Any]], None]) -> list[Trade]:
    message = json.loads(form.frame)
    rows = form.rows(message)
    first = rows[0]
    rows[:] = [
        first.copy() if at == 1 else with_cell(first, form.identifier, at) for at in (0, 1, 2)
    ]
    change(rows)
    return decoder_of(form.feed.exchange).decode_trades(json.dumps(message).encode(), form.feed)


def with_cell(row: Any, key: str | int, at: int) -> Any:
    changed = row.copy()
    text = str(row[key])
    new: Any = text[:-1] + str((int(text[-1], 16) + at + 1) % 10)
    changed[key] = type(row[key])(new) if isinstance(row[key], int) else new
    return changed


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_bad_row_is_named_and_its_neighbours_count(form: Form) -> None:
    whole = decoded(form, lambda rows: None)  # noqa: ARG005  # nothing is changed
    assert len({trade.trade_id for trade in whole}) == 3
    assert not isinstance(whole, Salvaged)

    def spoil(rows: list[Any]) -> None:
        rows[1] = {"broken": True}

    trades = decoded(form, spoil)

    assert list(trades) == [whole[0], whole[2]]
    assert isinstance(trades, Salvaged)
    (problem,) = trades.problems
    assert "[1]" in problem
    assert (trades.skipped, trades.rows) == (0, 3)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_row_of_size_zero_is_skipped_and_counted(form: Form) -> None:
    whole = decoded(form, lambda rows: None)  # noqa: ARG005  # nothing is changed

    def empty(rows: list[Any]) -> None:
        old = rows[1][form.size]
        rows[1][form.size] = "0.00000000" if isinstance(old, str) else 0
        if "homeNotional" in rows[1]:
            rows[1] |= {"homeNotional": 0, "foreignNotional": 0}

    trades = decoded(form, empty)

    assert list(trades) == [whole[0], whole[2]]
    assert isinstance(trades, Salvaged)
    assert (trades.problems, trades.skipped, trades.rows) == ([], 1, 3)


@pytest.mark.parametrize(
    ("at", "exchange", "right"),
    [
        (0, "kraken", [(True, "0.1"), (True, "0.2")]),
        (1, "kraken", [(False, "0.1")]),
        (2, "kraken", [(True, "0.1")]),
        (3, "okx", [(True, "1")]),
    ],
)
def test_one_empty_row_does_not_refuse_its_frame(
    at: int, exchange: str, right: list[tuple[bool, str]]
) -> None:
    frame = case_frames("one-empty-row-refuses-its-frame")[at]
    trades = decoder_of(exchange).decode_trades(frame, Feed(exchange))
    assert [(t.taker_buys, t.size) for t in trades] == [(buys, Decimal(s)) for buys, s in right]


def test_one_bad_book_does_not_cost_those_of_other_symbols() -> None:
    message = json.loads(lines("bithumb-v1-orderbook.jsonl")[0])
    rows = message["content"]["list"]
    other = {**rows[1], "symbol": "ADA_KRW"}
    rows[0]["price"] = "x"
    message["content"]["list"] = [*rows, other]
    books = decoder_of("bithumb").decode_books(json.dumps(message).encode(), Feed("bithumb"))
    assert [book.symbol for book in books] == ["ADA-KRW"]
    assert isinstance(books, Salvaged)
    assert "`$.content.list[0].price`" in books.problems[0]


def test_one_bad_ticker_does_not_cost_those_of_other_symbols() -> None:
    good = json.loads(lines("upbit-ticker.jsonl")[0])
    frame = json.dumps([{**good, "code": "KRWETH"}, good, {**good, "high_price": []}]).encode()
    tickers = decoder_of("upbit").decode_tickers(frame, Feed("upbit"))
    assert [ticker.symbol for ticker in tickers] == ["ETH-KRW"]
    assert isinstance(tickers, Salvaged)
    assert [problem.rpartition(" - at ")[2] for problem in tickers.problems] == [
        "`$[0]`",
        "`$[2].high_price`",
    ]
