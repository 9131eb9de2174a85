"""What it costs to read files in child processes under limits, beside reading them in this process.

    python -m ostinato.benchmarks.isolation --data FOLDER [--smoke]

FOLDER holds MIDI files or archives of them. Each is run through `parse`, as `prepare` does: bytes go to a child, a
packed piece and its fingerprints come back. CPU time is that of this process and of the children together; the variants
take turns at each group of files, and the median over the rounds is reported. Files per second are of real time: they
say something only on a machine that does nothing else. Half a minute.
"""

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from ostinato.beam_pipelines.isolation import IsolatedPool
from ostinato.beam_pipelines.parse import Parsed, parse
from ostinato.benchmarks import collection
from ostinato.configs.schema import PrepareConfig

ROUNDS = 7
GROUP_FILES = 200
PARSE = functools.partial(parse, config=PrepareConfig())

Run = Callable[[Callable[[bytes], Any], Iterable[bytes]], Iterable[Any]]


class Clocks(NamedTuple):
    """Seconds."""

    cpu_s: float
    """Of this process and its children."""
    own_cpu_s: float
    wall_s: float

    @classmethod
    def now(cls) -> "Clocks":
        own_cpu_s = time.process_time()
        threads = Path("/proc/self/task").glob("*/children")
        children = [int(pid) for file in threads for pid in file.read_text().split()]
        return cls(own_cpu_s + sum(map(_cpu_s, children)), own_cpu_s, time.perf_counter())

    def since(self, other: "Clocks") -> "Clocks":
        return Clocks(*(after - before for after, before in zip(self, other, strict=True)))


def _cpu_s(pid: int) -> float:
    cpu_clock = ~pid << 3 | 2  # what clock_getcpuclockid(3) returns on Linux
    return time.clock_gettime(cpu_clock)


def main() -> None:
    """Runs the comparison and prints a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, nargs="+", help="folders or archives of MIDI files")
    parser.add_argument("--files", type=int, default=1200, help="an even sample of so many files")
    parser.add_argument("--smoke", action="store_true", help="a few files, to see that it runs")
    options = parser.parse_args()
    blobs = collection.sample(collection.load(options.data), 20 if options.smoke else options.files)
    blobs = [data for data in blobs if isinstance(PARSE(data), Parsed)]
    groups = [blobs[begin : begin + GROUP_FILES] for begin in range(0, len(blobs), GROUP_FILES)]

    one, two = IsolatedPool(1), IsolatedPool(2)
    variants: dict[str, Run] = {"in this process": map, "one child": one.imap, "two children": two.imap}
    for run in variants.values():
        list(run(PARSE, groups[0]))  # children are started and modules imported before anything is timed
    rounds = [_measure(groups, variants) for _ in range(1 if options.smoke else ROUNDS)]
    one.close()
    two.close()

    costs = {
        name: Clocks(*map(statistics.median, zip(*(costs[name] for costs in rounds), strict=True))) for name in variants
    }
    base = costs["in this process"]
    table = Table(title=f"{len(blobs):,} files", title_justify="left")
    for heading in ("", "CPU ms a file", "", "of that here", "files/s", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for name, cost in costs.items():
        table.add_row(
            name,
            f"{1000 * cost.cpu_s / len(blobs):.3f}",
            f"{cost.cpu_s / base.cpu_s:.2f} x",
            f"{1000 * cost.own_cpu_s / len(blobs):.3f}",
            f"{len(blobs) / cost.wall_s:,.0f}",
            f"{base.wall_s / cost.wall_s:.2f} x",
        )
    Console().print(table)
    ratios = {
        "cpu_time_of_one_child": round(costs["one child"].cpu_s / base.cpu_s, 3),
        "throughput_of_two_children": round(base.wall_s / costs["two children"].wall_s, 3),
    }
    print(json.dumps({"ratios": ratios, "files": len(blobs)}))


def _measure(groups: list[list[bytes]], variants: dict[str, Run]) -> dict[str, Clocks]:
    costs = dict.fromkeys(variants, Clocks(0, 0, 0))
    for group in groups:
        for name, run in variants.items():
            start = Clocks.now()
            results = list(run(PARSE, group))
            cost = Clocks.now().since(start)
            costs[name] = Clocks(*map(sum, zip(costs[name], cost, strict=True)))
            assert all(isinstance(result, Parsed) for result in results)
    return costs


if __name__ == "__main__":
    main()
