"""`marketflow backfill`: closes gaps in per-minute volumes from the exchanges' own histories.

::

    REST pages ─→ trades of ten minutes ─→ clock ─→ fold ─→ compare ─┬─→ PostgreSQL
                                                                     └─→ Region.*_TakerVolume…

Whole minutes are counted again from nothing but the exchange's history, with the dataflow's own
clock and fold, and replace those that say something else: a trade that the dataflow had already
counted cannot count twice, and a minute of any age can be mended.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import click
import psycopg

from connectors.kafka.sink import CheckedProducer
from connectors.postgres.connection import Connection, connect, describe
from connectors.postgres.tables import TAKER_VOLUME
from connectors.postgres.writer import TableWriter
from connectors.process import clock
from connectors.process.environment import Environment, load_settings
from connectors.rest.history import Past, TradeHistory
from dataflows.domain.event_time import QUIET_MINUTES
from dataflows.domain.trades.recount import Key, Recount, Stored, compare, next_recount
from dataflows.taker_volume import encoder
from schemas.errors import SettingsError, UnavailableError
from schemas.exchanges import EXCHANGES
from schemas.histories import Market
from schemas.records import TakerVolume, Trade
from schemas.settings import Settings
from schemas.times import NS_PER_MS, NS_PER_SECOND, utc_text

MINUTE_FORMAT: Final = "%Y-%m-%dT%H:%M"
LINE_INTERVAL_SECONDS: Final = 5.0
MAX_PROBLEMS_SHOWN: Final = 20

_SYMBOLS: Final = """
    SELECT DISTINCT symbol FROM taker_volume JOIN dim_exch USING (exchange_id)
    WHERE code = %s AND minute >= %s - interval '1 day' AND minute < %s + interval '1 day'
    ORDER BY symbol
"""
_STORED: Final = """
    SELECT symbol, extract(epoch FROM minute)::bigint, revision, taker_buy_volume,
           taker_sell_volume, taker_buy_notional, taker_sell_notional, buy_count, sell_count,
           open, high, low, close, is_final, is_complete
    FROM taker_volume JOIN dim_exch USING (exchange_id)
    WHERE code = %s AND minute >= %s AND minute < %s
"""
_LAST_MINUTES: Final = """
    SELECT symbol, extract(epoch FROM max(minute))::bigint / 60
    FROM taker_volume JOIN dim_exch USING (exchange_id)
    WHERE code = %s AND minute >= %s - %s * interval '1 minute' AND minute < %s
      AND buy_count + sell_count > 0
    GROUP BY symbol
"""


@click.command()
@click.option("--exchange", required=True, help="For instance binance.")
@click.option(
    "--symbol",
    "symbols",
    multiple=True,
    help="BTC-USDT, BTC-USDT-PERP; may be repeated. Unless given: what the table has around then.",
)
@click.option(
    "--from", "since", type=click.DateTime([MINUTE_FORMAT]), required=True, help="UTC, a minute."
)
@click.option(
    "--to", "until", type=click.DateTime([MINUTE_FORMAT]), required=True, help="The minute after."
)
def backfill(exchange: str, symbols: tuple[str, ...], since: datetime, until: datetime) -> None:
    """Count minutes again from the exchange's own history, and mend those that differ.

    A minute of which the exchange has fewer trades than the table is left as it is.
    """
    environment = Environment.read()
    settings = load_settings(environment)
    start, end = since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)
    _check(settings, exchange, start, end)
    history = TradeHistory(environment, settings, exchange)
    table = _Table(environment, exchange, start, end)
    markets = [EXCHANGES[exchange].market(symbol) for symbol in symbols or table.symbols]
    if not markets:
        raise SettingsError(f"--symbol: expected one, the table has none of {exchange} around then")
    for market in markets:
        history.check(market)
    run = _Backfill(environment, settings, exchange, history, table)
    try:
        run.count(markets, _ns(start), _ns(end))
    finally:
        run.close()
    run.summarize()
    if run.incomplete or history.problems:
        sys.exit(1)


def _check(settings: Settings, exchange: str, start: datetime, end: datetime) -> None:
    if exchange not in settings.exchanges:
        known = ", ".join(settings.exchanges)
        raise SettingsError(f"--exchange {exchange}: expected one of {known}")
    if start >= end:
        raise SettingsError(f"--to {end:{MINUTE_FORMAT}}: expected a minute after --from")
    closed_ns = clock.now_ns() - settings.taker_volume.lateness_ms * NS_PER_MS
    if _ns(end) > closed_ns:
        raise SettingsError(
            f"--to {end:{MINUTE_FORMAT}}: expected a minute that is over, with its lateness, at "
            f"{utc_text(clock.now_ns())}"
        )


class _Table:
    """What the table has of the minutes that are counted again, and of those before."""

    def __init__(
        self, environment: Environment, exchange: str, start: datetime, end: datetime
    ) -> None:
        try:
            with connect(environment.require_postgres()) as connection:
                self._read(connection, exchange, start, end)
        except psycopg.Error as error:
            raise UnavailableError(f"PostgreSQL: {describe(error)}") from error

    def _read(self, connection: Connection, exchange: str, start: datetime, end: datetime) -> None:
        symbols = connection.execute(_SYMBOLS, (exchange, start, end))
        self.symbols: list[str] = [symbol for (symbol,) in symbols]
        self.stored: dict[Key, Stored] = {}
        for symbol, minute, revision, *values, is_complete in connection.execute(
            _STORED, (exchange, start, end)
        ):
            trades = values[4] + values[5]
            self.stored[symbol, minute] = Stored(tuple(values), trades, revision, is_complete)
        self.active = {minute // 60 for (_, minute), row in self.stored.items() if row.trades}
        before = (exchange, start, QUIET_MINUTES, start)
        self.last_minutes: dict[str, int] = dict(
            connection.execute(_LAST_MINUTES, before).fetchall()
        )


class _Backfill:
    """One run."""

    def __init__(
        self,
        environment: Environment,
        settings: Settings,
        exchange: str,
        history: TradeHistory,
        table: _Table,
    ) -> None:
        self._exchange = exchange
        self._history = history
        self._table = table
        self._revision = next_recount(table.stored.values())
        self._encode = encoder(settings)
        self._flush_seconds = settings.postgres.flush_timeout_ms / 1_000
        self._producer = CheckedProducer(
            environment.require_kafka(), settings.kafka.delivery_timeout_ms
        )
        self._writer = TableWriter(environment.require_postgres(), settings.postgres, TAKER_VOLUME)
        self._counts: Counter[str] = Counter()
        self._shown = time.monotonic()
        self.incomplete: dict[str, int] = {}
        """Symbols whose history begins later than what was asked for, and when."""

    def count(self, markets: Sequence[Market], start_ns: int, end_ns: int) -> None:
        """Count the minutes of all markets again, and write those that differ."""
        symbols = {market.symbol for market in markets}
        last_minutes = {s: at for s, at in self._table.last_minutes.items() if s in symbols}
        recount = Recount(self._exchange, start_ns, last_minutes, self._table.active)
        for span_start_ns, span_end_ns in self._history.spans(start_ns, end_ns):
            trades: list[Trade] = []
            for market in markets:
                past = self._history.read(market, span_start_ns, span_end_ns)
                trades += self._whole(past, span_start_ns)
                self._show(span_start_ns)
            self._write(recount.fold(trades, span_end_ns, clock.now_ns()))
        # What is in the table is not sent again by the next run: so it is written last.
        self._producer.flush()
        self._writer.flush(self._flush_seconds)

    def close(self) -> None:
        """Close the connections."""
        self._history.close()
        self._writer.close()

    def summarize(self) -> None:
        """Print what was done."""
        lines = {
            "same": "minutes were right already",
            "changed": f"minutes written, as revisions from {self._revision:,} on",
            "fewer": "minutes left as they are: the table has more trades than the exchange gives",
        }
        click.echo(f"{self._history.trades:>10,}  trades in {self._history.pages:,} pages")
        for name, text in lines.items():
            click.echo(f"{self._counts[name]:>10,}  {text}")
        for problem in self._history.problems[:MAX_PROBLEMS_SHOWN]:
            click.echo(f"row left out: {problem}", err=True)
        if len(self._history.problems) > MAX_PROBLEMS_SHOWN:
            more = len(self._history.problems) - MAX_PROBLEMS_SHOWN
            click.echo(f"and {more:,} more rows left out", err=True)
        for symbol, from_ns in self.incomplete.items():
            click.echo(
                f"{symbol}: the exchange gives whole minutes from {utc_text(from_ns)} on; "
                "those before are left as they are",
                err=True,
            )

    def _whole(self, past: Past, span_start_ns: int) -> list[Trade]:
        if past.complete_from_ns <= span_start_ns:
            return past.trades
        symbol = past.market.symbol
        self.incomplete[symbol] = max(past.complete_from_ns, self.incomplete.get(symbol, 0))
        return [trade for trade in past.trades if trade.time_ns >= past.complete_from_ns]

    def _write(self, rows: list[TakerVolume]) -> None:
        whole = [
            row for row in rows if row.minute * NS_PER_SECOND >= self.incomplete.get(row.symbol, 0)
        ]
        verdict = compare(whole, self._table.stored, self._revision)
        self._counts["same"] += verdict.same
        self._counts["changed"] += len(verdict.changed)
        self._counts["fewer"] += len(verdict.fewer)
        by_symbol: dict[str, list[TakerVolume]] = {}
        for row in verdict.changed:
            by_symbol.setdefault(row.symbol, []).append(row)
        for changed in by_symbol.values():
            self._producer.send(self._encode(changed))
            self._writer.put(changed)

    def _show(self, at_ns: int) -> None:
        now = time.monotonic()
        if now - self._shown >= LINE_INTERVAL_SECONDS:
            self._shown = now
            click.echo(
                f"at {utc_text(at_ns)}: {self._history.trades:,} trades in "
                f"{self._history.pages:,} pages",
                err=True,
            )


def _ns(time_utc: datetime) -> int:
    return int(time_utc.timestamp()) * NS_PER_SECOND
