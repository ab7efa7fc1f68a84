r"""Recordings on disk: frames as an exchange sent them, each with the time that it came at.

A recording is a text file, gzipped or not, with a line `<unix seconds>\t<frame>` for each frame.
The shipped ones lie in ``recordings`` beside this file; their ``manifest.yaml`` says where each is
from.
"""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec

from schemas.errors import SettingsError

SHIPPED: Final = Path(__file__).with_name("recordings")

_SECONDS: Final = re.compile(rb"([0-9]{1,10})(?:\.([0-9]{1,9}))?")
_NS_DIGITS: Final = 9
# A frame larger than what Kafka takes is no frame.
_LONGEST_LINE_BYTES: Final = 16_777_216


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of frames of one feed."""

    file: str
    feed: str
    """The key of its records: `<exchange>[.<product>[.<native symbol>]]`."""
    origin: str = ""
    sha256: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$")] = ""
    frames: int | None = None
    samples: bool = False
    """Single frames of different days, in the order of their own times, which stand where a
    receive time was not recorded."""
    session: str | None = None
    """Recordings of one session were taken together, and stay together when they are moved."""

    @property
    def exchange(self) -> str:
        """The exchange id that the feed begins with."""
        return self.feed.partition(".")[0]

    @property
    def path(self) -> Path:
        """Where it is; a bare name is that of a shipped one."""
        return SHIPPED / self.file


class Frame(NamedTuple):
    """One frame as it came."""

    time_ns: int
    content: bytes


def shipped() -> list[Recording]:
    """Return all recordings of the manifest."""
    manifest = SHIPPED / "manifest.yaml"
    try:
        return msgspec.yaml.decode(manifest.read_bytes(), type=list[Recording])
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{manifest}: {error}") from error


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a file, one after the other.

    Raises:
        SettingsError: The file cannot be read, or a line of it is no frame.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            while line := lines.readline(_LONGEST_LINE_BYTES):
                number += 1
                time, tab, content = line.rstrip(b"\r\n").partition(b"\t")
                match = _SECONDS.fullmatch(time)
                if match is None or not tab:
                    raise SettingsError(
                        f"{path}:{number}: {line[:60]!r}: expected <unix seconds><tab><frame>"
                    )
                whole, fraction = match.groups(b"")
                yield Frame(int(whole + fraction.ljust(_NS_DIGITS, b"0")), content)
    except (OSError, EOFError) as error:
        raise SettingsError(f"{path}: after line {number}: {error}") from error
