"""`marketflow verify`: minutes of any past range held against the exchange's own klines."""

import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any, Final

import click
import psycopg
from psycopg.rows import dict_row

from connectors.postgres.connection import connect, describe
from connectors.postgres.tables import AUDIT_MINUTE
from connectors.postgres.writer import TableWriter
from connectors.process import clock
from connectors.process.environment import Environment, load_settings
from connectors.rest.klines import KlineHistory
from dataflows.domain.audit.judge import judge
from schemas.errors import DecodeError, SettingsError, UnavailableError
from schemas.exchanges import EXCHANGES
from schemas.klines import Kline
from schemas.records import AuditMinute, TakerVolume
from schemas.settings import Settings
from schemas.times import NS_PER_SECOND, utc_text

SECONDS: Final = 60
MAX_SHOWN: Final = 50
# Exchanges still settle a minute that has just ended.
SETTLED_S: Final = 10

_ROWS: Final = """
    SELECT code AS exchange, symbol, extract(epoch FROM minute)::bigint AS minute,
           taker_buy_volume, taker_sell_volume, taker_buy_notional, taker_sell_notional,
           buy_count, sell_count, open, high, low, close, vwap, is_final, revision,
           late_trades, duplicate_trades, is_complete
    FROM taker_volume JOIN dim_exch USING (exchange_id)
    WHERE code = %s AND minute >= %s AND minute < %s AND is_final
    ORDER BY symbol, minute
"""


class Moment(click.ParamType[datetime]):
    """A time: unix seconds, or ISO 8601, UTC unless it says otherwise."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time, in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            if value.isascii() and value.isdigit():
                return datetime.fromtimestamp(int(value), UTC)
            moment = datetime.fromisoformat(value)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r}: expected 2026-11-20T03:00, or unix seconds", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@click.command()
@click.option("--exchange", required=True, help="For instance binance.")
@click.option("--symbol", "symbols", multiple=True, help="Only this one; may be repeated.")
@click.option("--from", "since", type=Moment(), required=True, help="The first minute, UTC.")
@click.option("--to", "until", type=Moment(), required=True, help="The minute after the last.")
def verify(exchange: str, symbols: tuple[str, ...], since: datetime, until: datetime) -> None:
    """Hold minutes against the exchange's own klines, and say which differ.

    Writes the verdicts into audit_minute. Exits with 1 where a minute differs.
    """
    environment = Environment.read()
    settings = load_settings(environment)
    start_s, end_s = _range(settings, exchange, since, until)
    rows = _rows(environment, exchange, start_s, end_s)
    markets = symbols or tuple(rows)
    if not markets:
        raise SettingsError(
            f"{exchange}: the table has no minute from {since.isoformat()} to {until.isoformat()}"
        )
    history = KlineHistory(environment, settings, exchange)
    writer = TableWriter(environment.require_postgres(), settings.postgres, AUDIT_MINUTE)
    counts: Counter[str] = Counter()
    try:
        for symbol in markets:
            try:
                klines = history.read(EXCHANGES[exchange].market(symbol), start_s, end_s)
            except (SettingsError, DecodeError) as error:
                click.echo(f"{symbol}: not compared: {error}", err=True)
                counts["unknown"] += len(rows[symbol])
                continue
            verdicts = _judge(exchange, symbol, rows[symbol], klines)
            writer.put(verdicts)
            _show(verdicts, counts)
        writer.flush(settings.postgres.flush_timeout_ms / 1_000)
    finally:
        history.close()
        writer.close()
    _summarize(counts)
    if counts["different"]:
        sys.exit(1)


def _range(settings: Settings, exchange: str, since: datetime, until: datetime) -> tuple[int, int]:
    if exchange not in settings.exchanges:
        known = ", ".join(settings.exchanges)
        raise SettingsError(f"--exchange {exchange}: expected one of {known}")
    start_s = int(since.timestamp()) // SECONDS * SECONDS
    end_s = int(until.timestamp()) // SECONDS * SECONDS
    if start_s >= end_s:
        raise SettingsError(f"--to {until.isoformat()}: expected a minute after --from")
    now_s = clock.now_ns() // NS_PER_SECOND - SETTLED_S
    return start_s, min(end_s, now_s // SECONDS * SECONDS)


def _rows(
    environment: Environment, exchange: str, start_s: int, end_s: int
) -> dict[str, dict[int, TakerVolume]]:
    """Return our final minutes by symbol and start."""
    found: defaultdict[str, dict[int, TakerVolume]] = defaultdict(dict)
    span = [datetime.fromtimestamp(moment_s, UTC) for moment_s in (start_s, end_s)]
    try:
        with connect(environment.require_postgres()) as connection:
            cursor = connection.cursor(row_factory=dict_row)
            for row in cursor.execute(_ROWS, (exchange, *span)):
                found[row["symbol"]][row["minute"]] = TakerVolume(**row)
    except psycopg.Error as error:
        raise UnavailableError(f"PostgreSQL: {describe(error)}") from error
    return found


def _judge(
    exchange: str, symbol: str, rows: dict[int, TakerVolume], klines: list[Kline]
) -> list[AuditMinute]:
    conventions = EXCHANGES[exchange].kline_conventions(symbol)
    theirs = {kline.minute_s: kline for kline in klines}
    return [
        judge(exchange, symbol, rows.get(minute_s), theirs.get(minute_s), conventions)
        for minute_s in sorted(rows.keys() | theirs.keys())
    ]


def _show(verdicts: list[AuditMinute], counts: Counter[str]) -> None:
    for verdict in verdicts:
        counts[verdict.verdict] += 1
        if verdict.verdict == "different" and counts["different"] <= MAX_SHOWN:
            when = utc_text(verdict.minute * NS_PER_SECOND)
            click.echo(f"{verdict.exchange} {verdict.symbol} {when}: {verdict.reason}")


def _summarize(counts: Counter[str]) -> None:
    if counts["different"] > MAX_SHOWN:
        click.echo(f"and {counts['different'] - MAX_SHOWN:,} more minutes that differ")
    lines = {
        "equal": "minutes equal the exchange's own",
        "explained": "differ for a reason that is known: incomplete, or rounded otherwise",
        "unknown": "minutes have no kline to hold them against",
        "different": "minutes differ",
    }
    for name, text in lines.items():
        click.echo(f"{counts[name]:>10,}  {text}")
