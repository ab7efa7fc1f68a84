"""The Python client of the API: one call a question, exact decimals, pages hidden.

It needs httpx alone, and is installed on its own name::

    from marketflow_client import Client

    client = Client()                                   # or MARKETFLOW_URL, MARKETFLOW_KEY
    hour = client.taker_volume("BTC-KRW", last="1h")    # every exchange that has it
    hour.to_polars(), hour.to_pandas(), hour.to_arrow(), list(hour)
    hour.coverage                                       # how much of it is known to be whole
    day = client.taker_volume(
        "BTC-USDT", exchange=["okx", "binance"], start="2026-10-01T00:00Z",
        end="2026-10-02T00:00Z", interval="5m", as_of="2026-10-03T12:00Z",
    )
    for minute in client.stream("BTC-KRW", after=hour):  # goes on where the history ended
        print(minute.exchange, minute.taker_buy_volume - minute.taker_sell_volume)
"""

import asyncio
import json
import os
import re
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Self, TypeAlias

import httpx

Moment: TypeAlias = str | int | datetime
"""RFC 3339, unix seconds or milliseconds, `-1h`, `now`, or a datetime with its zone."""
Names: TypeAlias = str | Sequence[str] | None

PAGE_ROWS: Final = 10_000
MAX_ATTEMPTS: Final = 6
"""How often a question is asked of a server that is busy or away."""
MAX_WAIT_S: Final = 30.0

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_TIMES: Final = frozenset(
    {
        *("time", "from", "until", "filled_at", "listed_at", "delisted_at"),
        *("first_minute", "last_minute"),
    }
)
_TEXTS: Final = frozenset(
    {
        *("exchange", "exchanges", "symbol", "symbols", "base", "quote", "product", "kind"),
        *("event", "reason", "native_symbol", "status", "name", "region", "primary_symbol"),
        *("usd_rate_source", "rate_source", "korea_exchanges", "world_exchanges"),
    }
)
_AGAIN: Final = frozenset({429, 502, 503, 504})


class ApiError(Exception):
    """The server refused a question: `status`, `detail` and all wrong parameters."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(problem.get("detail") or problem.get("title") or f"HTTP {status}")


class Row(dict[str, Any]):
    """One row; its fields are attributes as well."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Answer(Sequence[Row]):
    """The rows of a question, whatever number of pages they came in."""

    def __init__(
        self,
        rows: list[Row],
        query: dict[str, Any],
        position: str | None,
        coverage: Callable[[], Any] | None = None,
    ) -> None:
        self.rows = rows
        self.query = query
        """The parameters as the server understood them."""
        self.position = position
        """Where a stream goes on after these rows."""
        self._coverage = coverage

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __repr__(self) -> str:
        return f"<Answer: {len(self)} rows>"

    @property
    def coverage(self) -> Any:
        """How much of the range is there and known to be whole; to be awaited if asynchronous."""
        if self._coverage is None:
            raise AttributeError("coverage")
        return self._coverage()

    def to_pandas(self, *, floats: bool = False) -> Any:
        """Return a pandas `DataFrame`, of exact decimals unless floats are asked for."""
        import pandas as pd  # noqa: PLC0415 - only who calls this needs it

        return pd.DataFrame.from_records(self._records(floats=floats))

    def to_polars(self, *, floats: bool = False) -> Any:
        """Return a polars `DataFrame`, of exact decimals unless floats are asked for."""
        import polars as pl  # noqa: PLC0415 - only who calls this needs it

        return pl.from_dicts(self._records(floats=floats), infer_schema_length=None)

    def to_arrow(self, *, floats: bool = False) -> Any:
        """Return a pyarrow `Table`, of exact decimals unless floats are asked for."""
        import pyarrow as pa  # noqa: PLC0415 - only who calls this needs it

        return pa.Table.from_pylist(self._records(floats=floats))

    def _records(self, *, floats: bool) -> list[dict[str, Any]]:
        if not floats:
            return [dict(row) for row in self.rows]
        return [
            {
                name: float(value) if isinstance(value, Decimal) else value
                for name, value in row.items()
            }
            for row in self.rows
        ]


_Course: TypeAlias = Generator[httpx.Request | float, httpx.Response | None, Answer]
"""Gives requests to send and seconds to wait, and ends with the answer."""


class _Core:
    """What both clients share: which requests a question takes, what its answers mean."""

    def __init__(self, url: str | None, key: str | None) -> None:
        self.url = (url or os.environ.get("MARKETFLOW_URL") or "http://127.0.0.1:8000").rstrip("/")
        key = key or os.environ.get("MARKETFLOW_KEY")
        self.headers = {"accept": "application/json"}
        if key:
            self.headers["authorization"] = f"Bearer {key}"

    def course(self, path: str, parameters: Mapping[str, Any]) -> _Course:
        """Ask a question, page by page."""
        query = {name: _text(value) for name, value in parameters.items() if value is not None}
        url: str | None = str(httpx.URL(f"{self.url}{path}", params=query))
        rows: list[Row] = []
        understood: dict[str, Any] = {}
        position = None
        while url is not None:
            response = yield from self._asked(url)
            page = json.loads(response.content)
            understood = understood or page["query"]
            # The first page was read first: a stream from there on misses nothing.
            position = position or response.headers.get("stream-position")
            rows += [row_of(row) for row in page["rows"]]
            url = None if page["next"] is None else f"{self.url}{page['next']}"
        return Answer(rows, understood, position)

    def _asked(self, url: str) -> Generator[httpx.Request | float, Any, httpx.Response]:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            response = yield httpx.Request("GET", url, headers=self.headers)
            if response is None:
                # The connection failed.
                yield min(MAX_WAIT_S, 0.2 * 2**attempt)
            elif response.status_code in _AGAIN and attempt < MAX_ATTEMPTS:
                yield min(MAX_WAIT_S, float(response.headers.get("retry-after", 1)))
            else:
                return _checked(response)
        raise httpx.ConnectError(f"{self.url} cannot be reached")


def row_of(fields: Mapping[str, Any]) -> Row:
    """Return a row with exact numbers and times."""
    return Row({name: _value(name, value) for name, value in fields.items()})


def _value(name: str, value: Any) -> Any:
    if not isinstance(value, str) or name in _TEXTS:
        return value
    if name in _TIMES:
        return datetime.fromisoformat(value)
    return Decimal(value) if _NUMBER.fullmatch(value) else value


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return ",".join(map(str, value)) if isinstance(value, Iterable) else str(value)


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        problem = json.loads(response.content)
    except ValueError:
        problem = {}
    raise ApiError(response.status_code, problem)


def _interval_parameters(
    symbol: Names, last: str | None, start: Moment | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return parameters in the API's words from those of the client's methods."""
    if last is not None and start is not None:
        raise ValueError("last and start: expected one of the two")
    parameters = {"symbol": symbol, "from": start if last is None else f"-{last}"}
    parameters |= {"limit": PAGE_ROWS, "sort": "asc"}
    renamed = {"end": "to"}
    return parameters | {renamed.get(name, name): value for name, value in options.items()}


def _coverage_parameters(query: Mapping[str, Any]) -> dict[str, Any]:
    names = ("exchange", "symbol", "base", "from", "to", "as_of")
    return {"limit": PAGE_ROWS, **{name: query.get(name) for name in names}}


class Client:
    """Asks the API and waits for its answers.

    Args:
        url: Of the API; `MARKETFLOW_URL` or this machine without it.
        key: Where the API asks for one; `MARKETFLOW_KEY` without it.
        timeout_s: How long one request may take.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *, timeout_s: float = 30
    ) -> None:
        self._core = _Core(url, key)
        self._http = httpx.Client(timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def taker_volume(
        self,
        symbol: Names = None,
        *,
        last: str | None = None,
        start: Moment | None = None,
        **options: Any,
    ) -> Answer:
        """Return what takers bought and sold, oldest first.

        Args:
            symbol: Canonical; without it, `base=` or each exchange's primary market.
            last: How far back: `1h`, `7d`.
            start: The first interval, instead of `last`.
            options: `end`, `exchange`, `base`, `interval`, `aggregate`, `as_of`, `anchor`,
                `utc_offset`, `sort`, as the API names them.
        """
        return self._rows("/v1/taker-volume", _interval_parameters(symbol, last, start, options))

    def orderbook(
        self,
        symbol: Names = None,
        *,
        last: str | None = None,
        start: Moment | None = None,
        **options: Any,
    ) -> Answer:
        """Return what order books were like, oldest first; as for :meth:`taker_volume`."""
        return self._rows("/v1/orderbook", _interval_parameters(symbol, last, start, options))

    def premium(
        self,
        base: Names = "BTC",
        *,
        last: str | None = None,
        start: Moment | None = None,
        **options: Any,
    ) -> Answer:
        """Return how much dearer coins were in Korea, oldest first."""
        parameters = _interval_parameters(None, last, start, options)
        return self._rows("/v1/premium", {**parameters, "base": base})

    def ask(self, path: str, **parameters: Any) -> Answer:
        """Return the rows of any route: `ask("/v1/symbols", exchange="okx")`."""
        return self._run(self._core.course(path, parameters))

    def stream(
        self, symbol: Names = None, *, after: "Answer | str | None" = None, **options: Any
    ) -> Iterator[Row]:
        """Yield minutes as they change, for ever; connects again by itself, without a hole.

        Args:
            symbol: Canonical symbols.
            after: An answer, the id of an event or a time to go on from.
            options: `exchange`, `base`.
        """
        events = _Events(self._core, symbol, after, options)
        while True:
            try:
                with self._http.stream(
                    "GET", events.url, headers=events.headers, timeout=_STREAM_TIMEOUT
                ) as response:
                    if not response.is_success:
                        response.read()
                    _checked(response)
                    for line in response.iter_lines():
                        row = events.take(line)
                        if row is not None:
                            yield row
            except (httpx.TransportError, ApiError) as error:
                events.check(error)
            time.sleep(events.retry_s)

    def _rows(self, path: str, parameters: Mapping[str, Any]) -> Answer:
        answer = self._run(self._core.course(path, parameters))
        asked = _coverage_parameters(answer.query)
        answer._coverage = lambda: self._run(self._core.course("/v1/coverage", asked))  # noqa: SLF001 - made here
        return answer

    def _run(self, course: _Course) -> Answer:
        response: httpx.Response | None = None
        try:
            while True:
                step = course.send(response)
                response = None
                if isinstance(step, float | int):
                    time.sleep(step)
                    continue
                try:
                    response = self._http.send(step)
                except httpx.TransportError:
                    response = None
        except StopIteration as end:
            answer: Answer = end.value
            return answer


class AsyncClient:
    """The same as :class:`Client`, with methods to be awaited."""

    def __init__(
        self, url: str | None = None, key: str | None = None, *, timeout_s: float = 30
    ) -> None:
        self._core = _Core(url, key)
        self._http = httpx.AsyncClient(timeout=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def taker_volume(
        self,
        symbol: Names = None,
        *,
        last: str | None = None,
        start: Moment | None = None,
        **options: Any,
    ) -> Answer:
        """Return what takers bought and sold; as :meth:`Client.taker_volume`."""
        parameters = _interval_parameters(symbol, last, start, options)
        return await self._rows("/v1/taker-volume", parameters)

    async def orderbook(
        self,
        symbol: Names = None,
        *,
        last: str | None = None,
        start: Moment | None = None,
        **options: Any,
    ) -> Answer:
        """Return what order books were like; as :meth:`Client.orderbook`."""
        parameters = _interval_parameters(symbol, last, start, options)
        return await self._rows("/v1/orderbook", parameters)

    async def premium(
        self,
        base: Names = "BTC",
        *,
        last: str | None = None,
        start: Moment | None = None,
        **options: Any,
    ) -> Answer:
        """Return how much dearer coins were in Korea; as :meth:`Client.premium`."""
        parameters = _interval_parameters(None, last, start, options)
        return await self._rows("/v1/premium", {**parameters, "base": base})

    async def ask(self, path: str, **parameters: Any) -> Answer:
        """Return the rows of any route."""
        return await self._run(self._core.course(path, parameters))

    async def stream(
        self, symbol: Names = None, *, after: "Answer | str | None" = None, **options: Any
    ) -> AsyncIterator[Row]:
        """Yield minutes as they change; as :meth:`Client.stream`."""
        events = _Events(self._core, symbol, after, options)
        while True:
            try:
                async with self._http.stream(
                    "GET", events.url, headers=events.headers, timeout=_STREAM_TIMEOUT
                ) as response:
                    if not response.is_success:
                        await response.aread()
                    _checked(response)
                    async for line in response.aiter_lines():
                        row = events.take(line)
                        if row is not None:
                            yield row
            except (httpx.TransportError, ApiError) as error:
                events.check(error)
            await asyncio.sleep(events.retry_s)

    async def _rows(self, path: str, parameters: Mapping[str, Any]) -> Answer:
        answer = await self._run(self._core.course(path, parameters))
        asked = _coverage_parameters(answer.query)
        answer._coverage = lambda: self._run(self._core.course("/v1/coverage", asked))  # noqa: SLF001 - made here
        return answer

    async def _run(self, course: _Course) -> Answer:
        response: httpx.Response | None = None
        try:
            while True:
                step = course.send(response)
                response = None
                if isinstance(step, float | int):
                    await asyncio.sleep(step)
                    continue
                try:
                    response = await self._http.send(step)
                except httpx.TransportError:
                    response = None
        except StopIteration as end:
            answer: Answer = end.value
            return answer


# The server says that it lives every 15 s: twice that in silence is a dead connection.
_STREAM_TIMEOUT: Final = httpx.Timeout(10, read=40)


class _Events:
    """The events of a stream, over as many connections as it takes."""

    def __init__(
        self, core: _Core, symbol: Names, after: Answer | str | None, options: Mapping[str, Any]
    ) -> None:
        place = after.position if isinstance(after, Answer) else after
        query = {"symbol": symbol, "after": place, **options}
        texts = {name: _text(value) for name, value in query.items() if value is not None}
        self.url = str(httpx.URL(f"{core.url}/v1/stream", params=texts))
        self.headers = {**core.headers, "accept": "text/event-stream"}
        self.retry_s = 2.0
        self._event: dict[str, str] = {}

    def take(self, line: str) -> Row | None:
        """Take a line; return the row that is whole with it."""
        if line:
            name, _, value = line.partition(": ")
            self._event[name] = value
            return None
        event, self._event = self._event, {}
        if "retry" in event:
            self.retry_s = int(event["retry"]) / 1_000
        if "id" in event:
            self.headers["last-event-id"] = event["id"]
        if event.get("event") == "taker_volume":
            return row_of(json.loads(event["data"]))
        return None

    def check(self, error: Exception) -> None:
        """Raise an error that another try does not mend."""
        self._event = {}
        if isinstance(error, ApiError) and error.status not in _AGAIN:
            raise error
