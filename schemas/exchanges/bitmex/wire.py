"""The frames of BitMEX, each shape with a real one.

https://www.bitmex.com/app/wsAPI, the table `trade`; `GET /api/v1/trade` answers the same rows.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec
from msgspec import Raw, field

REGULAR: Final = "Regular"


class Row(msgspec.Struct, gc=False):
    """A row of `trade`; `trdType` is missing before 2022.

    ::

        {"timestamp":"2021-07-22T22:34:40.283Z","symbol":"UNIUSDT","side":"Buy","size":219,
         "price":17.292,"tickDirection":"ZeroPlusTick",
         "trdMatchID":"0c52f8cc-b0ef-50f7-881d-6fe355ac0944","grossValue":3786948,
         "homeNotional":70.41800643086816,"foreignNotional":1217.6681672025722}
    """

    timestamp: str
    symbol: str
    side: Literal["Buy", "Sell"]
    price: Decimal
    trade_id: str = field(name="trdMatchID")
    base: Decimal = field(name="homeNotional")
    quote: Decimal = field(name="foreignNotional")
    trade_type: str = field(name="trdType", default=REGULAR)


class Table(msgspec.Struct, gc=False):
    """A frame of `trade`: `{"table":"trade","action":"insert","data":[…]}`."""

    table: Literal["trade"]
    action: Literal["partial", "insert"]
    data: list[Row]


class RawTable(msgspec.Struct, gc=False):
    """The same, its rows left for later."""

    table: Literal["trade"]
    action: Literal["partial", "insert"]
    data: list[Raw]


class RowHead(msgspec.Struct, gc=False):
    """The fields that tell an execution from another row."""

    symbol: str
    side: str = ""
    size: Raw = Raw()
    trade_type: str = field(name="trdType", default="")


class Head(msgspec.Struct, gc=False):
    """The fields that tell one object from another."""

    table: str = ""
    info: Raw = Raw()
    success: Raw = Raw()
    status: Raw = Raw()
    error: Raw = Raw()


table: Final = msgspec.json.Decoder(Table)
raw_table: Final = msgspec.json.Decoder(RawTable)
raw_rows: Final = msgspec.json.Decoder(list[Raw])
row: Final = msgspec.json.Decoder(Row)
row_head: Final = msgspec.json.Decoder(RowHead)
head: Final = msgspec.json.Decoder(Head)
