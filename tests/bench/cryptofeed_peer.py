"""What cryptofeed takes for recorded frames; runs with the Python of an environment of its own.

`python cryptofeed_peer.py EXCHANGE FRAMES ROUNDS`, FRAMES a file of one frame a line: prints the
frames a second. Its symbols are given, so that it asks no exchange for them.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from cryptofeed import exchanges
from cryptofeed.defines import L2_BOOK, TICKER, TRADES
from cryptofeed.symbols import Symbols


def named(message: Any) -> str | None:
    """The native symbol of a frame."""
    if isinstance(message, list):
        return str(message[-1])
    arg = message.get("arg")
    symbol = arg.get("instId") if isinstance(arg, dict) else message.get("cd")
    return symbol if isinstance(symbol, str) else None


async def nothing(data: object, receipt: float) -> None:
    """A callback that costs nothing."""


def main() -> None:
    """Runs the frames through the handler that the library calls for each message."""
    exchange, path, rounds = sys.argv[1:]
    frames = Path(path).read_text().splitlines()
    natives = sorted({s for s in map(named, map(json.loads, frames)) if s})
    feed_class = getattr(exchanges, exchange)
    symbols = {f"S{number}-X": native for number, native in enumerate(natives)}
    Symbols.set(feed_class.id, symbols, {"instrument_type": dict.fromkeys(symbols, "spot")})
    channels = [L2_BOOK, TRADES] if exchange != "OKX" else [L2_BOOK, TRADES, TICKER]
    feed = feed_class(
        symbols=list(symbols),
        channels=channels,
        callbacks=dict.fromkeys(channels, nothing),
        checksum_validation=True,
        max_depth=1_000 if exchange == "Kraken" else 0,
    )

    async def play() -> float:
        started = time.perf_counter()
        for _ in range(int(rounds)):
            for frame in frames:
                await feed.message_handler(frame, None, 0.0)
        return time.perf_counter() - started

    seconds = asyncio.run(play())
    print(f"{len(frames) * int(rounds) / seconds:.0f}")


if __name__ == "__main__":
    main()
