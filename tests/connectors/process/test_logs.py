"""Logs that a program reads: one JSON object a line, whatever the message holds."""

import logging
import sys

import msgspec

from connectors.process.environment import Shard
from connectors.process.logs import JsonFormatter

FORMATTER = JsonFormatter("ticker", Shard(1, 3))


def line(message: str, *arguments: object, exc_info: object = None) -> dict[str, str]:
    record = logging.LogRecord("marketflow.x", 30, "f.py", 1, message, arguments, exc_info)  # type: ignore[arg-type]
    text = FORMATTER.format(record)
    assert "\n" not in text
    decoded: dict[str, str] = msgspec.json.decode(text)
    return decoded


def test_a_line_says_when_where_and_what() -> None:
    said = line("%s is gone", "broker")
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "warning",
        "logger": "marketflow.x",
        "message": "broker is gone",
        "flow": "ticker",
        "shard": "1/3",
    }


def test_an_exception_is_part_of_its_line() -> None:
    try:
        int("two\nlines")
    except ValueError:
        said = line("it failed", exc_info=sys.exc_info())
    assert "ValueError: invalid literal" in said["exception"]
