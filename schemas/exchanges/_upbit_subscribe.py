"""What Upbit's and Bithumb's subscriptions have in common."""

import re
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import msgspec

from schemas.subscriptions import Reply, Stream, Target, message_of

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
