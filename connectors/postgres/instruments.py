"""The table `instrument`: written by the collector, read for contract sizes."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec
import psycopg
from typing_extensions import override

from connectors.postgres.connection import connect, describe
from schemas.errors import UnavailableError
from schemas.instruments import Instrument
from schemas.records import Product
from schemas.settings import Settings

log: Final = logging.getLogger("marketflow.instruments")

# Between two looks at the table for a contract that it did not have.
RETRY_SECONDS: Final = 10.0
# Names come from frames: a broken feed must not fill the memory.
MAX_MISSED: Final = 10_000

_SIZES: Final = """
    SELECT native_symbol, contract_size FROM instrument JOIN dim_exch USING (exchange_id)
    WHERE code = %s AND contract_size IS NOT NULL
"""
_LISTED: Final = """
    SELECT native_symbol, symbol, status, tick_size, contract_size, turnover
    FROM instrument JOIN dim_exch USING (exchange_id) WHERE code = %s AND product = %s
"""
# A size that is known stays: one that changes is told of, never followed.
_UPSERT: Final = """
    INSERT INTO instrument (exchange_id, product, native_symbol, symbol, status, tick_size,
        contract_size, turnover, listed_at, delisted_at)
    SELECT (SELECT exchange_id FROM dim_exch WHERE code = %(exchange)s), %(product)s, *
    FROM unnest(%(native)s::text[], %(symbol)s::text[], %(status)s::text[], %(tick)s::numeric[],
        %(size)s::numeric[], %(turnover)s::numeric[], %(listed)s::timestamptz[],
        %(delisted)s::timestamptz[])
    ON CONFLICT (exchange_id, product, native_symbol) DO UPDATE SET
        symbol = excluded.symbol, status = excluded.status, tick_size = excluded.tick_size,
        contract_size = coalesce(instrument.contract_size, excluded.contract_size),
        turnover = coalesce(excluded.turnover, instrument.turnover),
        listed_at = excluded.listed_at, delisted_at = excluded.delisted_at, updated_at = now()
"""
_GONE: Final = """
    UPDATE instrument SET status = 'delisted', updated_at = now(),
        delisted_at = coalesce(delisted_at, now())
    WHERE exchange_id = (SELECT exchange_id FROM dim_exch WHERE code = %s) AND product = %s
        AND status <> 'delisted' AND native_symbol <> ALL(%s)
"""


def store(dsn: str, exchange: str, product: Product, instruments: Sequence[Instrument]) -> None:
    """Write a product's whole list; markets that are not in it any more are delisted.

    Raises:
        UnavailableError: The server does not take it.
    """
    names = [i.native_symbol for i in instruments]
    values = {
        "exchange": exchange,
        "product": product,
        "native": names,
        "symbol": [i.symbol for i in instruments],
        "status": [i.status for i in instruments],
        "tick": [i.tick_size for i in instruments],
        "size": [i.contract_size for i in instruments],
        "turnover": [i.turnover for i in instruments],
        "listed": [_time(i.listed_at_ms) for i in instruments],
        "delisted": [_time(i.delisted_at_ms) for i in instruments],
    }
    try:
        with connect(dsn) as connection:
            connection.execute(_UPSERT, values)
            connection.execute(_GONE, (exchange, product, names))
    except psycopg.Error as error:
        raise UnavailableError(f"PostgreSQL: {describe(error)}") from error


def stored(dsn: str, exchange: str, product: Product) -> list[Instrument]:
    """Return a product's list as it was written last.

    Raises:
        UnavailableError: The server does not answer.
    """
    try:
        with connect(dsn) as connection:
            rows = connection.execute(_LISTED, (exchange, product)).fetchall()
    except psycopg.Error as error:
        raise UnavailableError(f"PostgreSQL: {describe(error)}") from error
    return [
        Instrument(
            product=product,
            native_symbol=native,
            symbol=symbol,
            status=status,
            tick_size=tick_size,
            contract_size=size,
            turnover=turnover,
        )
        for native, symbol, status, tick_size, size, turnover in rows
    ]


def _time(time_ms: int | None) -> datetime | None:
    return None if time_ms is None else datetime.fromtimestamp(time_ms / 1_000, UTC)


class ListedSizes(Mapping[str, Decimal]):
    """Units a contract by native symbol: those of ``pipeline.yaml``, then those of the table.

    The table is read when a contract is asked for that is not known yet, so that what is listed
    later is decoded, too. A size that was read once stays as long as the process runs.

    Args:
        dsn: The server.
        exchange: Whose contracts.
        configured: Sizes that go before those of the table.
    """

    def __init__(self, dsn: str, exchange: str, configured: Mapping[str, Decimal]) -> None:
        self._dsn = dsn
        self._exchange = exchange
        self._sizes = dict(configured)
        self._lock = threading.Lock()
        self._missed: dict[str, float] = {}
        """Contracts that the table did not have, and when to look again."""

    @override
    def __getitem__(self, native_symbol: str) -> Decimal:
        found = self._sizes.get(native_symbol)
        if found is None:
            if time.monotonic() < self._missed.get(native_symbol, 0.0):
                raise KeyError(native_symbol)
            self._read()
            found = self._sizes.get(native_symbol)
        if found is None:
            if len(self._missed) > MAX_MISSED:
                self._missed.clear()
            self._missed[native_symbol] = time.monotonic() + RETRY_SECONDS
            raise KeyError(native_symbol)
        return found

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes)

    @override
    def __len__(self) -> int:
        return len(self._sizes)

    def _read(self) -> None:
        with self._lock:
            try:
                with connect(self._dsn) as connection:
                    rows = connection.execute(_SIZES, (self._exchange,)).fetchall()
            except psycopg.Error as error:
                log.warning("contract sizes of %s: %s", self._exchange, describe(error))
                rows = []
            for native, size in rows:
                known = self._sizes.setdefault(native, size)
                if known != size:
                    log.error(
                        "%s %s: a contract of %s by the exchange's list, but %s is used here",
                        self._exchange, native, size, known,
                    )  # fmt: skip


def with_listed_sizes(settings: Settings, dsn: str) -> Settings:
    """Return the settings with the contract sizes of the table behind those of the file."""
    exchanges = {
        name: msgspec.structs.replace(
            exchange, contract_sizes=ListedSizes(dsn, name, exchange.contract_sizes)
        )
        for name, exchange in settings.exchanges.items()
    }
    return msgspec.structs.replace(settings, exchanges=exchanges)
