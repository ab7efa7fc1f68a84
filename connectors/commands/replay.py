"""`marketflow replay`: the options, and what is seen while it runs."""

import contextlib
import gc
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from connectors.kafka.sink import CheckedProducer
from connectors.process.clock import now_ns
from connectors.process.environment import Environment, load_settings
from connectors.replay import player
from connectors.replay.archived import replay_archive
from connectors.replay.player import Router, Stop, check_feed, play, timelines
from connectors.replay.recording import Recording, shipped
from schemas.errors import SettingsError
from schemas.settings import RAW_KINDS, RawKind, Settings
from schemas.times import NS_PER_SECOND

_LINE_INTERVAL_SECONDS: Final = 5.0
_GC_ALLOCATIONS: Final = 200_000
_SLOWEST: Final = 0.001
_FASTEST: Final = 1_000_000.0


class _Speed(click.ParamType[float | None]):
    name = "1|N|max"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        if value == "max":
            return None
        try:
            speed = float(value)
        except ValueError:
            speed = 0.0
        if not _SLOWEST <= speed <= _FASTEST:
            self.fail(f"{value!r}: expected `max` or a number, 1 is recorded speed", param, ctx)
        return speed


@click.command()
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Lines of <unix seconds><tab><frame>, gzipped or not, instead of the shipped recording.",
)
@click.option("--feed", help="Whose frames --file has, for instance binance.linear.")
@click.option(
    "--speed", type=_Speed(), default="1", show_default=True, help="Or as fast as it goes."
)
@click.option("--shift-to-now", is_flag=True, help="Move all times, so that the first is now.")
@click.option("--loop", is_flag=True, help="Begin anew at the end, later in time, with other ids.")
@click.option("--exchange", "exchanges", multiple=True, help="Only this one; may be repeated.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(RAW_KINDS),
    help="Only this; may be repeated.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many frames.")
@click.option(
    "--from",
    "source",
    type=click.Choice(["recordings", "s3"]),
    default="recordings",
    show_default=True,
    help="s3: the archive; takes --topic and the three options after it.",
)
@click.option("--topic", help="Of the archive, for instance Region.NE_TakerVolumePreprocessing.")
@click.option("--to-topic", help="Another topic to put its records into.")
@click.option("--since", type=click.DateTime(["%Y-%m-%dT%H"]), help="The first hour, UTC.")
@click.option("--until", type=click.DateTime(["%Y-%m-%dT%H"]), help="The hour after the last.")
def replay(  # click passes options by name
    file: Path | None,
    feed: str | None,
    speed: float | None,
    exchanges: tuple[str, ...],
    kinds: tuple[RawKind, ...],
    limit: int | None,
    source: str,
    topic: str | None,
    to_topic: str | None,
    since: datetime | None,
    until: datetime | None,
    *,
    shift_to_now: bool,
    loop: bool,
) -> None:
    """Feed recorded frames into the raw topics, or archived records into theirs.

    Without --shift-to-now, frames are sent as they were recorded, in the order of their times;
    --loop then leaves out the single frames of other days that the shipped recording has too.
    """
    # The frames that are kept hold no cycles; searching them for some costs a third of the speed.
    gc.set_threshold(_GC_ALLOCATIONS)
    environment = Environment.read()
    settings = load_settings(environment)
    if source == "s3":
        if topic is None:
            raise SettingsError("--from s3: expected --topic, the one whose records to put back")
        replay_archive(environment, settings, topic, to_topic, since, until)
        return
    recordings = _chosen(settings, file, feed, exchanges)
    if loop and not shift_to_now:
        recordings = [recording for recording in recordings if not recording.samples]
    router = Router(settings, kinds or RAW_KINDS)
    lines = timelines(recordings, router, now_ns() if shift_to_now else None)
    producer = CheckedProducer(environment.require_kafka(), settings.kafka.delivery_timeout_ms)
    total = limit or (None if loop else _total(recordings))
    with _stop_on_signals() as stop, _Display(total) as display:
        done = play(
            lines,
            producer,
            speed=speed,
            again=loop,
            limit=limit,
            stop=stop,
            report=display.show,
        )
    _summarize(done, router)


def _chosen(
    settings: Settings, file: Path | None, feed: str | None, exchanges: tuple[str, ...]
) -> list[Recording]:
    for exchange in exchanges:
        if exchange not in settings.exchanges:
            known = ", ".join(settings.exchanges)
            raise SettingsError(f"--exchange {exchange}: expected one of {known}")
    if (file is None) != (feed is None):
        raise SettingsError("--file and --feed: expected both or neither, a file has one feed")
    if file is not None and feed is not None:
        recordings = [Recording(file=str(file.resolve()), feed=feed)]
    else:
        recordings = shipped()
    for recording in recordings:
        check_feed(settings, recording.feed)
    chosen = [each for each in recordings if not exchanges or each.exchange in exchanges]
    if not chosen:
        raise SettingsError(f"--exchange {', '.join(exchanges)}: no recording is of it")
    return chosen


def _total(recordings: list[Recording]) -> int | None:
    counts = [recording.frames for recording in recordings]
    return None if None in counts else sum(count or 0 for count in counts)


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[Stop]:
    """Return an event that the first SIGINT or SIGTERM sets; the second ends the process."""
    stop = Stop()
    before: dict[int, Any] = {}

    def ask(number: int, _frame: object) -> None:
        stop.asked = True
        signal.signal(number, before[number])

    # Handlers belong to the main thread, which is not where a test may run this.
    if threading.current_thread() is threading.main_thread():
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            before[number] = signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Display:
    """A bar on a terminal; elsewhere a line every few seconds."""

    def __init__(self, total: int | None) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.fields[text]}"), BarColumn(), console=self._console, transient=True
        )
        self._total = total
        self._task: TaskID | None = None
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._task = self._bar.add_task("", total=self._total, text="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: player.Progress) -> None:
        """Show the progress, unless that was done a moment ago."""
        now = time.monotonic()
        if self._task is not None:
            text = self._text(progress, now)
            self._bar.update(self._task, completed=progress.frames, text=text)
        elif now - self._shown >= _LINE_INTERVAL_SECONDS:
            self._shown = now
            self._console.print(self._text(progress, now), soft_wrap=True)

    def _text(self, progress: player.Progress, now: float) -> str:
        rate = progress.frames / max(now - self._started, 0.001)
        played = progress.played_ns / NS_PER_SECOND
        return f"{progress.frames:,} frames, {rate:,.0f} a second, {played:,.1f} s of recording"


def _summarize(done: player.Progress, router: Router) -> None:
    for topic, count in sorted(done.by_topic.items()):
        click.echo(f"{count:>10,}  {topic}")
    left_out = ", ".join(f"{count:,} {why}" for why, count in router.left_out.most_common())
    click.echo(
        f"{done.frames:>10,}  frames delivered" + (f"; left out: {left_out}" if left_out else "")
    )
