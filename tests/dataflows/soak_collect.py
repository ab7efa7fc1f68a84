"""An hour of the collector against simulated exchanges that break, killed at random moments.

Part of ``make soak``. At the end each trade of a stream that is said to be whole is in Kafka, and
most of the time was whole.
"""

import argparse
import itertools
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from schemas.feed_status import REGIONS
from tests.dataflows.exchanges import Exchanges, check_trades, simulated, statuses
from tests.dataflows.harness import Pipeline
from tests.dataflows.own_services import Ground

FAULT_SECONDS = 20.0
KILL_EVERY = 9
"""Of so many faults one is a kill of the collector."""
FAULTS = (
    "drop", "abort", "half_open", "notice", "stall", "garbage", "repeat", "reorder", "refuse",
)  # fmt: skip


def break_something(exchanges: Exchanges, chance: random.Random) -> str:
    """Make one fault of one exchange; its name."""
    exchange = chance.choice(sorted(exchanges.settings["exchanges"]))
    fault = chance.choice(FAULTS)
    fields: dict[str, object] = {"exchange": exchange}
    if fault in ("stall", "refuse"):
        fields["ms"] = chance.randint(1_000, 40_000)
    if fault == "stall":
        fields["kind"] = chance.choice(("trade", "orderbook", "ticker"))
    if fault == "refuse":
        fields |= {"kind": "websocket", "status": 429}
    if fault in ("repeat", "reorder"):
        fields["count"] = 20
    exchanges.make(fault, **fields)
    return f"{fault} of {exchange}"


def run(minutes: float, rate: float, seed: int) -> None:
    """Break things for a while, then compare with the truth."""
    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name,
        simulated(Path(name), 3, rate) as exchanges,
    ):
        folder = Path(name)
        ground = Ground(folder)
        try:
            changes = {"exchanges": exchanges.of(*exchanges.settings["exchanges"])}
            pipeline = Pipeline(
                ground.services, ground.create_database("collect"), folder, REGIONS, changes
            )
            _break_for(minutes, pipeline, exchanges, chance)
            counts = Counter(status.event for status in statuses(pipeline))
            whole, broken = check_trades(pipeline, exchanges.trades())
            print(f"{whole:,} trades of whole streams, all there; {broken:,} of broken ones")
            print(", ".join(f"{count} {event}" for event, count in sorted(counts.items())))
            assert whole > broken
        finally:
            ground.stop()


def _break_for(
    minutes: float, pipeline: Pipeline, exchanges: Exchanges, chance: random.Random
) -> None:
    deadline = time.monotonic() + minutes * 60
    log_path = pipeline.folder / "collect.log"
    with log_path.open("w") as log:
        store = pipeline.recovery_store()
        process = pipeline.start_into(log.fileno(), "collect", *store)
        pause_seconds = min(FAULT_SECONDS, minutes * 60 / 20)
        for number in itertools.count(1):
            time.sleep(pause_seconds * chance.uniform(0.5, 1.5))
            if time.monotonic() > deadline:
                break
            if number % KILL_EVERY == 0:
                process.kill()
                process.wait()
                process = pipeline.start_into(log.fileno(), "collect", *store)
                fault = "killed the collector"
            else:
                fault = break_something(exchanges, chance)
            print(f"{time.time_ns() // 1_000_000}: {fault}", flush=True)
            assert process.poll() is None, log_path.read_text()[-3_000:]
        time.sleep(60)  # for what is still being fetched
        process.terminate()
        assert process.wait(60) == 0, log_path.read_text()[-3_000:]


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=500, help="trades a second")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    run(arguments.minutes, arguments.rate, arguments.seed)


if __name__ == "__main__":
    main()
