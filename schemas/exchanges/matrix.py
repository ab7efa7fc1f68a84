"""The facts of all exchanges as the tables of ``schemas/README.md``.

``python -m schemas.exchanges.matrix`` prints them; a test keeps the document current.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.exchanges import EXCHANGES
from schemas.exchanges.facts import Channel, Exchange

BEGIN: Final = "<!-- printed by python -m schemas.exchanges.matrix -->"
END: Final = "<!-- end -->"

_PROOFS: Final = {
    "growing": "ids that grow",
    "linked": "the previous id in each update",
    "consecutive": "ids without a hole",
    "plus_one": "ids that count up by one",
}


def matrix() -> str:
    """Return the tables, between their markers."""
    exchanges = list(EXCHANGES.values())
    return "\n\n".join(
        [
            BEGIN,
            _table(("id", "exchange", "products", "trade ids", "past trades", "klines"),
                   map(_trades, exchanges)),
            _table(("exchange", "trades", "tickers", "order books"), map(_channels, exchanges)),
            _table(("exchange", "channel", "frames", "levels a side", "proof that none is missing",
                    "first book"), [row for each in exchanges for row in _books(each)]),
            _table(("exchange", "requests", "connects", "streams a connection",
                    "heartbeat, silence"), map(_limits, exchanges)),
            END,
        ]
    )  # fmt: skip


def _trades(exchange: Exchange) -> Sequence[str]:
    numbering = {
        name: [product for product, found in exchange.numbering.items() if found == name]
        for name in dict.fromkeys(exchange.numbering.values())
    }
    ids = "; ".join(
        name if len(numbering) == 1 else f"{name}: {', '.join(products)}"
        for name, products in numbering.items()
    )
    return (
        str(exchange.id),
        f"{exchange.name} (`{exchange.code}`)",
        ", ".join(exchange.products),
        ids,
        exchange.history.reach,
        "yes" if exchange.klines else "no",
    )


def _channels(exchange: Exchange) -> Sequence[str]:
    return (
        exchange.name,
        *(
            ", ".join(f"`{c.name}`" for c in exchange.channels if c.kind == kind)
            for kind in ("trade", "ticker", "orderbook")
        ),
    )


def _books(exchange: Exchange) -> Iterable[Sequence[str]]:
    for channel in exchange.channels:
        if channel.kind == "orderbook":
            yield (
                exchange.name,
                f"`{channel.name}`",
                channel.holds,
                ", ".join(map(str, channel.depths)),
                _proof(exchange, channel),
                channel.snapshot or "each frame",
            )


def _proof(exchange: Exchange, channel: Channel) -> str:
    proofs = [_PROOFS[channel.sequence]] if channel.sequence in _PROOFS else []
    if channel.has_checksum and exchange.checksum is not None:
        proofs.append(f"CRC32 of the best {exchange.checksum.levels} levels")
    return ", ".join(proofs)


def _limits(exchange: Exchange) -> Sequence[str]:
    found = exchange.subscriptions
    if found is None:
        return (exchange.name, "", "", "", "")
    connects = f"{found.connects.most} in {found.connects.seconds:g} s"
    if found.max_open is not None:
        connects += f", {found.max_open} open"
    return (
        exchange.name,
        f"{found.rest.most} in {found.rest.seconds:g} s",
        connects,
        str(found.max_streams),
        f"{found.ping_seconds:g} s, {found.silence_seconds:g} s",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(matrix())  # noqa: T201  # its output is the document
