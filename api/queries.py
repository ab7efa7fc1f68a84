"""The SQL of the API, and the records that its rows become."""

from datetime import datetime
from typing import Annotated, Any, Final, LiteralString

import msgspec
from msgspec import Meta

from api.parameters import MinutesRequest


class TakerVolumeMinute(msgspec.Struct, frozen=True, gc=False):
    """The taker volume of one minute of one market."""

    exchange_name: Annotated[str, Meta(examples=["Binance"])]
    symbol: Annotated[str, Meta(examples=["BTC-USDT-PERP"])]
    timestamp: Annotated[
        int, Meta(description="Start of the minute, unix seconds", examples=[1729678800])
    ]
    taker_buy_volume: Annotated[
        str, Meta(description="Base units, the exact decimal", examples=["12.3450"])
    ]
    taker_sell_volume: Annotated[
        str, Meta(description="Base units, the exact decimal", examples=["9.8700"])
    ]
    created_at: Annotated[
        datetime, Meta(description="When the minute was first written, UTC", tz=True)
    ]


class AppliedMigration(msgspec.Struct, frozen=True):
    """One step of the schema that the database has."""

    version: int
    name: str


# A short walk down the primary key for each exchange, newest first; the walks are then merged.
# Numbers leave as text: PostgreSQL writes them exactly and never with an exponent.
TAKER_VOLUME: Final[LiteralString] = """
SELECT exchange.name, minutes.symbol, extract(epoch FROM minutes.minute)::bigint,
       minutes.taker_buy_volume::text, minutes.taker_sell_volume::text, minutes.created_at
FROM unnest(%(codes)s::text[], %(symbols)s::text[]) AS wanted (code, symbol)
JOIN dim_exch AS exchange USING (code)
CROSS JOIN LATERAL (
    SELECT symbol, minute, taker_buy_volume, taker_sell_volume, created_at
    FROM taker_volume
    WHERE exchange_id = exchange.exchange_id AND symbol = wanted.symbol
      AND minute BETWEEN to_timestamp(%(from_seconds)s) AND to_timestamp(%(to_seconds)s)
    ORDER BY minute DESC
    LIMIT %(limit)s
) AS minutes
ORDER BY minutes.minute DESC, exchange.name COLLATE "C"
LIMIT %(limit)s
"""

APPLIED_MIGRATIONS: Final[LiteralString] = (
    "SELECT version, name FROM schema_migrations ORDER BY version"
)


def taker_volume_parameters(request: MinutesRequest) -> dict[str, Any]:
    """Return what `TAKER_VOLUME` asks for."""
    return {
        "codes": list(request.symbols),
        "symbols": list(request.symbols.values()),
        "from_seconds": request.from_seconds,
        "to_seconds": request.to_seconds,
        "limit": request.limit,
    }
