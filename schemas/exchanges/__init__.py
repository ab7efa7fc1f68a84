"""The exchanges, one package each: facts, wire shapes, decoding and history.

A package states its facts as `EXCHANGE` and is found by being here; nothing else has to be told.
Only its `__init__` is imported from outside. ``CONTRIBUTING.md`` walks through adding one.
"""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from schemas.exchanges.facts import Exchange, ExchangeDecoder
from schemas.subscriptions import Subscriptions

__all__ = [
    "EXCHANGES",
    "Exchange",
    "ExchangeDecoder",
    "decoder_of",
    "discover",
    "subscriptions_of",
]


def discover(folders: Iterable[str]) -> dict[str, Exchange]:
    """Return the exchanges whose packages are in these folders, by code, in the order of ids.

    The folders have to be on the path of this package.

    Raises:
        ValueError: A package is not named like its exchange, or two have one id.
    """
    found: dict[int, Exchange] = {}
    for package in iter_modules(folders):
        if not package.ispkg:
            continue
        exchange: Exchange = import_module(f"{__name__}.{package.name}").EXCHANGE
        if exchange.code != package.name:
            raise ValueError(f"{package.name}: expected its code, got {exchange.code!r}")
        if exchange.id in found:
            other = found[exchange.id].code
            raise ValueError(f"{exchange.code}: expected an id of its own, {other} has it")
        found[exchange.id] = exchange
    return {found[number].code: found[number] for number in sorted(found)}


EXCHANGES: Final = discover(__path__)
"""All exchanges by code."""


def decoder_of(exchange: str) -> ExchangeDecoder:
    """Return the decoder of an exchange.

    Raises:
        KeyError: There is no such exchange.
    """
    return EXCHANGES[exchange].decoder


def subscriptions_of(exchange: str) -> Subscriptions:
    """Return how the streams of an exchange are subscribed to.

    Raises:
        KeyError: There is no such exchange, or it cannot be collected.
    """
    found = EXCHANGES[exchange].subscriptions
    if found is None:
        raise KeyError(exchange)
    return found
