"""What the dataflows cost stays in proportion to plain work on the same frames.

The bounds are four times what is measured and more: they find what was made quadratic, or a fast
path that is no longer taken, not a busy machine. `make bench` has the figures.
"""

import time
from collections.abc import Sequence

import msgspec

from tests.bench import in_process
from tests.bench.in_process import Case, Recorded

TRADES = 2_000
ROUNDS = 2
# The dearest exchange takes six times as much in its envelopes.
MAX_OF_LOOP = 25
# A second key cost half as much again when it ended the fast path.
MAX_OF_ONE_KEY = 3
# Kraken's frames of one level take 37 times as much, with their book of 1,000 and its checksum.
MAX_OF_JSON = 150


def least_us(case: Case) -> float:
    """Return the CPU time of one trade, update or ticker in the quietest of a few rounds."""
    return min(seconds / done for seconds, done in [case.run() for _ in range(ROUNDS)]) * 1e6


def json_us(frames: Sequence[Recorded]) -> float:
    """Return the CPU time of the bare JSON of a frame."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for frame in frames:
            msgspec.json.decode(frame.content)
        rounds.append((time.process_time() - started) / len(frames) * 1e6)
    return min(rounds)


def test_trades_cost_little_more_than_a_loop_by_hand() -> None:
    by_hand, *cases = [least_us(case) for case in in_process.trade_cases(trades=TRADES)]
    for at in range(0, len(cases), len(in_process.KEYS)):
        one_key, two_keys, key_a_symbol, envelopes = cases[at : at + len(in_process.KEYS)]
        assert max(one_key, envelopes) < MAX_OF_LOOP * by_hand
        assert max(two_keys, key_a_symbol) < MAX_OF_ONE_KEY * one_key


def test_recorded_books_cost_little_more_than_their_json() -> None:
    sources = [each for each in in_process.BOOKS if each[2] in ("upbit", "okx", "kraken-v1-book")]
    for case, (name, feed, file) in zip(in_process.book_cases(sources), sources, strict=True):
        bare_us = json_us(in_process.recorded(feed, file, "orderbook"))
        assert least_us(case) < MAX_OF_JSON * bare_us, name


def test_tickers_cost_little_more_than_their_json() -> None:
    for case, (name, feed, file) in zip(in_process.ticker_cases(), in_process.TICKERS, strict=True):
        bare_us = json_us(in_process.recorded(feed, file, "ticker"))
        assert least_us(case) < MAX_OF_JSON * bare_us, name
