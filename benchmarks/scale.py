"""The Beam job over a bare process pool, and how both grow; a part of `benchmarks.prepare`."""

import json
import math
import shutil
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from ostinato.benchmarks import collection
from ostinato.benchmarks.prepared import KEEP_ALL, console, make_table, prepare
from ostinato.benchmarks.processes import Cost, run

SIZES = (5_000, 10_000, 20_000)
MAX_OVER_POOL = 1.3

OURS = "ostinato prepare"
POOL = "bare pool"
LEAST = "bare pool, read and encode only"


def measure(blobs: list[bytes], work: Path, num_rounds: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Prints a table and returns what goes into the line of JSON.

    Args:
        blobs: MIDI files; the collections are made of altered copies of them.
        work: an existing folder for everything.
        num_rounds: each variant runs so often.
        sizes: at least two numbers of files, growing.
    """
    files_per_folder = math.gcd(*sizes)
    with console.status(f"writing {sizes[-1]:,} files"):
        folders = collection.write_altered(blobs, work / "altered", sizes[-1], files_per_folder=files_per_folder)
    costs: dict[tuple[str, int], list[Cost]] = defaultdict(list)
    notes: dict[int, int] = {}
    for _ in range(num_rounds):
        for size in sizes:
            inputs = folders[: size // files_per_folder]
            ours = prepare(inputs, work / "output", *KEEP_ALL)
            pool, counts = _run_pool("same", inputs, work / "shards")
            ours_counts = ours.manifest["counts"]
            if (ours_counts["inputs"], ours_counts["accepted"]) != (size, counts["pieces"]):
                raise RuntimeError(f"of {size} files the pool wrote {counts['pieces']}, but prepare: {ours_counts}")
            notes[size] = counts["notes"]
            costs[OURS, size].append(ours.cost)
            costs[POOL, size].append(pool)
        costs[LEAST, sizes[-1]].append(_run_pool("least", folders, work / "shards")[0])
    return _show(costs, notes, sizes)


def _run_pool(what: str, inputs: list[Path], output: Path) -> tuple[Cost, dict[str, int]]:
    cost = run([sys.executable, "-m", "ostinato.benchmarks.bare_pool", what, str(output), *map(str, inputs)])
    shutil.rmtree(output)
    return cost, json.loads(cost.output.splitlines()[-1])


def _show(costs: dict[tuple[str, int], list[Cost]], notes: dict[int, int], sizes: tuple[int, ...]) -> dict[str, Any]:
    cpu_s = {key: median(cost.cpu_s for cost in found) for key, found in costs.items()}
    wall_s = {key: median(cost.wall_s for cost in found) for key, found in costs.items()}
    main_mb = {key: max(cost.main_peak_mb for cost in found) for key, found in costs.items()}
    child_mb = {key: max(cost.child_peak_mb for cost in found) for key, found in costs.items()}
    table = make_table(
        "The Beam job (ours) over a bare multiprocessing.Pool that applies the same functions",
        ("files", "notes", "ours: CPU", "pool: CPU", "ratio", "ours: time", "pool: time", "main peak", "child peak"),
    )
    for size in sizes:
        ours, pool = (OURS, size), (POOL, size)
        table.add_row(
            f"{size:,}", f"{notes[size]:,}", f"{cpu_s[ours]:.1f} s", f"{cpu_s[pool]:.1f} s",
            f"{cpu_s[ours] / cpu_s[pool]:.2f}", f"{wall_s[ours]:.1f} s", f"{wall_s[pool]:.1f} s",
            f"{main_mb[ours]:.0f} MB", f"{child_mb[ours]:.0f} MB",
        )  # fmt: skip
    console.print(table)
    first, last = sizes[0], sizes[-1]
    over_pool, over_least = (cpu_s[OURS, last] / cpu_s[label, last] for label in (POOL, LEAST))
    growth_cpu, growth_wall = (
        seconds[OURS, last] / seconds[OURS, first] / (last / first) for seconds in (cpu_s, wall_s)
    )
    # Starting is the same for all sizes and would hide growth that is faster than linear.
    each_s = [(cpu_s[OURS, b] - cpu_s[OURS, a]) / (b - a) for a, b in pairwise(sizes)]
    console.print(
        f"Over the pool with {last:,} files: {over_pool:.2f} (at most {MAX_OVER_POOL}); over one that only reads and"
        f" encodes: {over_least:.2f}. Growth from {first:,} to {last:,} files, where 1 is linear: {growth_cpu:.2f} in"
        f" CPU time, {growth_wall:.2f} in time (at most 1); CPU time of each file more, from size to size:"
        f" {', '.join(f'{1000 * seconds:.2f} ms' for seconds in each_s)}."
    )
    return {
        "ratios": {
            f"over {POOL}": round(over_pool, 3),
            f"over {LEAST}": round(over_least, 3),
            "growth over linear, CPU time": round(growth_cpu, 3),
            "growth over linear, time": round(growth_wall, 3),
        },
        "cpu_ms_per_further_file": [round(1000 * seconds, 3) for seconds in each_s],
        "cpu_s": {f"{label}, {size}": round(cpu_s[label, size], 1) for label, size in costs},
        "wall_s": {f"{label}, {size}": round(wall_s[label, size], 1) for label, size in costs},
        "main_peak_mb": {f"{label}, {size}": round(main_mb[label, size]) for label, size in costs},
        "child_peak_mb": {f"{label}, {size}": round(child_mb[label, size]) for label, size in costs},
    }
