"""The same rows by FastAPI: the same SQL and pool, a response model of pydantic."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from fastapi import FastAPI
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import create_model

from api.v1.markets import DOLLARS
from api.v1.rows import TakerVolumeRow, kind_of
from api.v1.statements import taker_volume_statement
from api.v1.times import EPOCH, INTERVALS

_TYPES: dict[str, Any] = {"integer": int, "boolean": bool | None}
_FIELDS: dict[str, Any] = {
    name: (_TYPES.get(kind_of(kind), str | None), ...)
    for name, kind in TakerVolumeRow.__annotations__.items()
}
Row: Any = create_model("Row", **_FIELDS)
pool = AsyncConnectionPool(
    os.environ["POSTGRES_DSN"], open=False, max_size=6, kwargs={"autocommit": True}
)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await pool.open()
    async with pool.connection() as connection:
        await connection.execute("SELECT 1")
    yield
    await pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/rows", response_model=list[Row])
async def rows(exchange: str, symbol: str, start: int, end: int, interval: str) -> Any:
    step = INTERVALS[interval]
    lo, hi = EPOCH + timedelta(seconds=start), EPOCH + timedelta(seconds=end)
    codes = exchange.split(",")
    statement = taker_volume_statement(
        is_minute=interval == "1m",
        is_hours=interval == "1h",
        is_sum=False,
        descending=True,
        has_rates=False,
        has_before=False,
        as_of=False,
    )
    empty: dict[str, Any] = {"method_quotes": [], "method_symbols": [], "method_inverse": []}
    parameters: dict[str, Any] = {
        **empty,
        "codes": codes,
        "symbols": [symbol] * len(codes),
        "los": [lo] * len(codes),
        "his": [hi] * len(codes),
        "step": step,
        "minutes": step.total_seconds() // 60,
        "origin": EPOCH,
        "anchor": lo,
        "now": datetime.now(tz=EPOCH.tzinfo),
        "dollars": list(DOLLARS),
        "limit": 10_001,
    }
    async with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, parameters)
        return await cursor.fetchall()
