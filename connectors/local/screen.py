"""What `marketflow run` shows: one calm table on a terminal, plain sentences anywhere else."""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from connectors.local.processes import tail
from connectors.local.supervisor import Part

METRICS_TIMEOUT_SECONDS: Final = 1.0
# A backlog that is read in less than a second is no news.
MIN_SHOWN_LAG: Final = 1_000
# How long an exchange may take to answer before that is a problem.
CONNECT_SECONDS: Final = 15.0
LOG_LINES: Final = 400
# Dead letters are shown as a problem for this long after the last one.
PROBLEM_SECONDS: Final = 60.0

_DOES: Final = {
    "simulator": "plays ten exchanges",
    "replay": "plays recorded frames",
    "collector": "exchanges → Kafka",
    "taker_volume": "trades → minutes",
    "orderbook": "books → best prices",
    "ticker": "tickers → one form",
    "audit": "minutes ↔ klines",
    "archive": "Kafka → MinIO",
    "api": "queries and the page",
}


class Figures(msgspec.Struct, frozen=True):
    """What a process has counted.

    Attributes:
        records: Read, or sent by the collector.
        records_per_s: Since it was last asked.
        lag: Records that wait in Kafka.
        stored: Rows, objects or records written.
        dead_letters: Records that could not be used.
        age_s: Age of the newest data.
    """

    records: float
    records_per_s: float
    lag: float
    stored: float
    dead_letters: float
    age_s: float | None


class Watch:
    """Asks the processes what they have counted.

    Attributes:
        first_row_s: When the first row was written, by the monotonic clock.

    Args:
        exchanges: Those that are collected.
    """

    def __init__(self, exchanges: Collection[str] = ()) -> None:
        self.first_row_s: float | None = None
        self._exchanges = exchanges
        self._connections: dict[str, float] = {}
        self._since_s = time.monotonic()
        self._seen: dict[str, tuple[float, float]] = {}
        self._dead_letters: dict[str, tuple[float, float]] = {}

    def look(self, parts: Iterable[Part]) -> dict[str, Figures]:
        """Return the figures of each process that answers."""
        found = {part.name: self._figures(part) for part in parts if part.metrics_url}
        return {name: figures for name, figures in found.items() if figures is not None}

    def problems(self, parts: Iterable[Part], figures: dict[str, Figures]) -> list[str]:
        """Return what is wrong now, in words."""
        now = time.monotonic()
        found = [
            f"{part.name} has ended and is started again; {part.log} says why"
            for part in parts
            if not part.is_running
        ]
        found += [
            f"{exchange} is not connected: {last_words(parts, exchange)}"
            for exchange in self._exchanges
            if not self._connections.get(exchange) and now - self._since_s > CONNECT_SECONDS
        ]
        for name, counted in figures.items():
            if counted.lag > MIN_SHOWN_LAG:
                found.append(f"{name} is behind by {counted.lag:,.0f} records")
            at, before = self._dead_letters.get(name, (now - PROBLEM_SECONDS, 0.0))
            if counted.dead_letters > before:
                at = now
            self._dead_letters[name] = at, counted.dead_letters
            if now - at < PROBLEM_SECONDS:
                found.append(
                    f"{name} could not use {counted.dead_letters:,.0f} records so far: "
                    "`marketflow dlq show` has them"
                )
        return found

    def _figures(self, part: Part) -> Figures | None:
        try:
            with urllib.request.urlopen(  # noqa: S310  # an address of our own
                part.metrics_url or "", timeout=METRICS_TIMEOUT_SECONDS
            ) as answer:
                text = answer.read().decode()
            families = list(text_string_to_metric_families(text))
        except (OSError, ValueError, http.client.HTTPException):
            return None  # it starts, or has just ended
        sums: defaultdict[str, float] = defaultdict(float)
        ages_s: list[float] = []
        connections: defaultdict[str, float] = defaultdict(float)
        for family in families:
            for sample in family.samples:
                what = sample.labels.get("what")
                sums[f"{sample.name}.{what}" if what else sample.name] += sample.value
                if sample.name == "marketflow_event_delay_seconds":
                    ages_s.append(sample.value)
                elif sample.name == "marketflow_connected":
                    connections[sample.labels["exchange"]] += sample.value
        if part.name == "collector":
            self._connections = connections
        now = time.monotonic()
        records = sums["marketflow_messages_total"] or sums["marketflow_frames_total"]
        before_at, before = self._seen.get(part.name, (now, records))
        self._seen[part.name] = now, records
        rows = sums["marketflow_rows_total"]
        if rows and self.first_row_s is None:
            self.first_row_s = now
        return Figures(
            records=records,
            records_per_s=max(0.0, records - before) / (now - before_at) if now > before_at else 0,
            lag=sums["marketflow_lag"],
            stored=rows + sums["marketflow_objects_total"],
            dead_letters=sums["marketflow_reader_total.dead_letters"],
            age_s=max(0.0, min(ages_s)) if ages_s else None,
        )


def last_words(parts: Iterable[Part], exchange: str) -> str:
    """Return the last thing that the collector's log says of an exchange."""
    for part in parts:
        if part.name == "collector":
            for line in reversed(tail(part.log, lines=LOG_LINES).splitlines()):
                try:
                    message: str = msgspec.json.decode(line)["message"]
                except (msgspec.DecodeError, LookupError, TypeError):
                    continue
                if message.startswith(f"{exchange} "):
                    return message.removeprefix(f"{exchange} ")
    return "it has not answered yet"


def picture(
    heading: Sequence[str],
    parts: Sequence[Part],
    figures: dict[str, Figures],
    problems: Sequence[str],
) -> Group:
    """Return the screen: addresses first, then what runs, then what is wrong."""
    table = Table("process", "does", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("records/s", "waiting", "stored", "newest data"):
        table.add_column(column, justify="right")
    table.add_column("state")
    for part in parts:
        state = Text("● running", "green") if part.is_running else Text("○ starting again", "red")
        if part.restarts:
            state.append(f" ({part.restarts} restarts)", "yellow")
        table.add_row(
            part.name, Text(_DOES.get(part.name, ""), "dim"), *_cells(figures.get(part.name)), state
        )
    wrong = [Text(f"✗ {problem}", "yellow") for problem in problems]
    return Group(
        *(Text(line, "bold" if not place else "") for place, line in enumerate(heading)),
        table,
        *(wrong or [Text("✓ no problems", "green")]),
        Text("Ctrl-C stops all of it.", "dim"),
    )


def sentence(figures: dict[str, Figures], problems: Sequence[str]) -> str:
    """Return one line of plain words for where there is no terminal."""
    parts = []
    for name, counted in figures.items():
        words = f"{name} {counted.records_per_s:,.0f} records/s"
        if counted.lag:
            words += f", {counted.lag:,.0f} waiting"
        if counted.stored:
            words += f", {counted.stored:,.0f} stored"
        parts.append(words)
    return " · ".join([*(parts or ["starting"]), *(problems or ["no problems"])])


def _cells(counted: Figures | None) -> list[str]:
    if counted is None:
        return [""] * 4
    return [
        f"{counted.records_per_s:,.0f}",
        f"{counted.lag:,.0f}",
        f"{counted.stored:,.0f}" if counted.stored else "",
        "" if counted.age_s is None else f"{counted.age_s:,.1f} s old",
    ]
