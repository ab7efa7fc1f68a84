"""`make bench`: every dataflow beside a hand-written loop on the same topic, as tables."""

import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from connectors.local.stack import Stack, state_folder
from connectors.process.environment import checkout
from tests.bench import api, collect, dashboard, in_process, peers
from tests.bench.own_services import Ground, measure, prepare

# Records of a run, so many that its start does not count, and of how many symbols.
BENCHMARKS = {
    "taker_volume": (2_000_000, (200, 1_000)),
    "orderbook_upbit": (200_000, (50,)),
    "orderbook_okx": (500_000, (20,)),
    "orderbook_kraken": (500_000, (20,)),
    "ticker": (500_000, (200,)),
}
ROUNDS = 3
IN_PROCESS = "in_process"


@click.command()
@click.argument("names", nargs=-1)
@click.option("--count", type=int, help="Records a run, instead of each benchmark's own.")
@click.option("--rounds", type=int, help="Runs of each; medians are shown.")
@click.option("--json", "path", type=Path, help="Where the figures of `in_process` are written.")
def main(names: tuple[str, ...], count: int | None, rounds: int | None, path: Path | None) -> None:
    """Measures the named benchmarks, or all; `in_process` needs no services."""
    console = Console()
    if not names or IN_PROCESS in names:
        in_process.show(console, path, rounds or in_process.ROUNDS)
    flows = [name for name in names or BENCHMARKS if name != IN_PROCESS]
    if flows:
        _measure_flows(console, flows, count, rounds or ROUNDS)
    if not names:
        peers.show(console)
        collect.show(console)
        dashboard.show(console)
        api.show(console)


def _measure_flows(console: Console, names: Sequence[str], count: int | None, rounds: int) -> None:
    stack = Stack(state_folder(checkout()) / "bench", environment={})
    table = Table("benchmark", "symbols", "dataflow /s", "loop /s", "ratio", "memory MB")
    try:
        services = stack.start(["kafka", "postgres"]).variables()
        for name in names:
            own_count, sizes = BENCHMARKS[name]
            for symbols in sizes:
                _measure(console, table, services, name, count or own_count, symbols, rounds)
    finally:
        stack.stop()
    console.print(table)


def _measure(
    console: Console,
    table: Table,
    services: dict[str, str],
    name: str,
    count: int,
    symbols: int,
    rounds: int,
) -> None:
    benchmark = import_module(f"tests.bench.{name}")
    flow_rates, loop_rates, memories = [], [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            variables = prepare(Path(folder), services)
            ground = Ground(variables)
            ground.fill(benchmark.raw_topic(ground), benchmark.records(count, symbols))
            loop_seconds, _ = measure([name, "loop", str(count)], variables)
            flow_seconds, memory_mb = measure([name, "flow", str(count)], variables)
            benchmark.check(ground, count)
        flow_rates.append(count / flow_seconds)
        loop_rates.append(count / loop_seconds)
        memories.append(memory_mb)
        console.print(
            f"{name}, {symbols} symbols, round {number + 1}: dataflow {flow_rates[-1]:,.0f} "
            f"{benchmark.UNIT}/s, loop {loop_rates[-1]:,.0f}/s"
        )
    ratio = median(ours / theirs for ours, theirs in zip(flow_rates, loop_rates, strict=True))
    table.add_row(
        name,
        f"{symbols:,}",
        f"{median(flow_rates):,.0f}",
        f"{median(loop_rates):,.0f}",
        f"{ratio:.2f}",
        f"{median(memories):,.0f}",
    )


if __name__ == "__main__":
    main()
