"""What Upbit's and Bithumb's subscriptions have in common."""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import uuid4

import msgspec

from schemas.instruments import Instrument, Row, decimal_of, instruments_of
from schemas.records import Product
from schemas.subscriptions import Reply, Stream, Target, message_of
from schemas.symbols import spot

DATA: Final = re.compile(rb'"(?:code|cd)":"([^"]+)"')


def subscribe(target: Target, streams: Sequence[Stream]) -> list[bytes]:
    """Return the one request; a later one replaces it."""
    request = [
        {"ticket": uuid4().hex},
        {"type": target.kind, "codes": [stream.native_symbol for stream in streams]},
        {"format": "DEFAULT"},
    ]
    return [msgspec.json.encode(request)]


def renew(target: Target, all_streams: Sequence[Stream], again: Sequence[Stream]) -> list[bytes]:
    """Return the whole request once more."""
    del again
    return subscribe(target, all_streams)


def read(frame: bytes) -> Reply:
    """Return what a frame says: nothing is ever confirmed."""
    message = message_of(frame)
    if message.get("status") == "UP":
        return Reply("alive")
    if "error" in message:
        return Reply("refused", None, str(message["error"])[:300])
    return Reply("other")


def instruments(
    product: Product, rows: list[Row], turnover: Mapping[str, object]
) -> list[Instrument]:
    """Return the instruments of a list of markets, with the turnover of those that have one."""

    def make(row: Row) -> Instrument:
        quote, _, base = str(row["market"]).partition("-")
        return Instrument(
            product=product,
            native_symbol=row["market"],
            symbol=spot(base, quote),
            turnover=decimal_of(turnover.get(row["market"])),
        )

    return instruments_of(rows, make)
