"""The Beam job over a bare process pool, and how both grow; a part of `benchmarks.prepare`."""

import json
import math
import shutil
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median

from ostinato.benchmarks import collection
from ostinato.benchmarks.processes import KEEP_ALL, Cost, prepare, run
from ostinato.launch.commands.show import print_table

OURS, POOL, LEAST = "ostinato prepare", "bare pool", "bare pool, read and encode only"


def measure(blobs: list[bytes], work: Path, num_rounds: int, sizes: tuple[int, ...]) -> dict[str, float]:
    """Prints a table and returns ratios.

    Args:
        blobs: MIDI files; the collections are made of altered copies of them.
        work: an existing folder for everything.
        num_rounds: each variant runs so often.
        sizes: at least two numbers of files, growing.
    """
    files_per_folder = math.gcd(*sizes)
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


def _show(costs: dict[tuple[str, int], list[Cost]], notes: dict[int, int], sizes: tuple[int, ...]) -> dict[str, float]:
    cpu_s = {key: median(cost.cpu_s for cost in found) for key, found in costs.items()}
    wall_s = {key: median(cost.wall_s for cost in found) for key, found in costs.items()}
    rows = []
    for size in sizes:
        ours, pool = (OURS, size), (POOL, size)
        seconds = (cpu_s[ours], cpu_s[pool], wall_s[ours], wall_s[pool])
        peak_mb = max(cost.peak_mb for cost in costs[ours])
        rows.append(
            [f"{size:,}", f"{notes[size]:,}", f"{cpu_s[ours] / cpu_s[pool]:.2f}"]
            + [f"{one:.1f} s" for one in seconds]
            + [f"{peak_mb:.0f} MB"]
        )
    print_table(
        "The Beam job (ours) over a bare multiprocessing.Pool that applies the same functions",
        ("files", "notes", "CPU ratio", "ours: CPU", "pool: CPU", "ours: time", "pool: time", "ours: largest process"),
        rows,
    )
    first, last = sizes[0], sizes[-1]
    # Starting is the same for all sizes and would hide growth that is faster than linear.
    each_ms = [1000 * (cpu_s[OURS, b] - cpu_s[OURS, a]) / (b - a) for a, b in pairwise(sizes)]
    print("CPU time of each file more, from size to size:", ", ".join(f"{one:.2f} ms" for one in each_ms))
    ratios = {f"over {label}": cpu_s[OURS, last] / cpu_s[label, last] for label in (POOL, LEAST)}
    for name, seconds in (("CPU time", cpu_s), ("time", wall_s)):
        ratios[f"growth over linear, {name}"] = seconds[OURS, last] / seconds[OURS, first] / (last / first)
    return ratios
