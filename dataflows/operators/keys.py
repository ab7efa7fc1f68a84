"""Keyed streams: the parts of a key, and the values of one type."""

from collections.abc import Callable
from typing import Any, TypeVar

V = TypeVar("V")


def split_key(key: str) -> tuple[str, str]:
    """Return exchange and symbol of a key, `<exchange>:<symbol>`."""
    exchange, _, symbol = key.partition(":")
    return exchange, symbol


def keep_type(kind: type[V]) -> Callable[[list[tuple[str, Any]]], list[tuple[str, V]]]:
    """Return a mapper for ``op.flat_map_batch`` that lets keyed values of one type through."""

    def select(items: list[tuple[str, Any]]) -> list[tuple[str, V]]:
        return [item for item in items if isinstance(item[1], kind)]

    return select
