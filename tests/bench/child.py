"""One run of one subject in a process of its own: `python -m tests.bench.child NAME WHO COUNT`."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from importlib import import_module
from pathlib import Path

from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from dataflows import runtime
from tests.bench.own_services import Ground, peak_memory_mb


def main() -> None:
    """Prints the seconds that the work took, and the peak memory in MB."""
    name, who, count = sys.argv[1:]
    benchmark = import_module(f"tests.bench.{name}")
    ground = Ground()
    if who == "loop":
        started = time.perf_counter()
        benchmark.loop(ground, int(count))
    else:
        started = _run_flow(benchmark.FLOW)
    print(f"{time.perf_counter() - started:.3f} {peak_memory_mb():.0f}")


def _run_flow(name: str) -> float:
    """What `python -m bytewax.run dataflows.<name> -r … -s 10 -b 0` does."""
    store = Path(os.environ["BENCH_STORE"])
    store.mkdir()
    subprocess.run([sys.executable, "-m", "bytewax.recovery", str(store), "1"], check=True)
    flow = runtime.launch(import_module(f"dataflows.{name}").build)
    started = time.perf_counter()
    cli_main(  # type: ignore[no-untyped-call]
        flow,
        epoch_interval=timedelta(seconds=10),
        recovery_config=RecoveryConfig(  # type: ignore[no-untyped-call]
            str(store), backup_interval=timedelta(0)
        ),
    )
    return started


if __name__ == "__main__":
    main()
