"""`ostinato prepare` on collections of growing size: time, memory, and whether what comes out is what was put in.

    python -m ostinato.benchmarks.growing.sizes --work FOLDER --output sizes.json

Takes 2 GB of disk for 100,000 files, and a quarter of an hour on two cores for 500,000. Linux only.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from ostinato.benchmarks.growing import measure
from ostinato.benchmarks.growing.archives import TRUTH, generate
from ostinato.data.atomic import write_atomically
from ostinato.launch.commands.show import print_table

_MB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Options:
    work: Path
    """Folder for collections and datasets; a collection that is there is used again, datasets are removed."""
    output: Path
    """The results as JSON."""
    sizes: tuple[int, ...] = (10_000, 50_000, 500_000)
    """Files, growing."""
    data: Path = Path(os.environ.get("OSTINATO_DATA") or "../shared/data")
    """Folder whose `midi/` holds zip archives of MIDI files."""
    processes: int = os.cpu_count() or 1
    """Which generate at once."""


def run_size(options: Options, num_files: int) -> dict[str, Any]:
    """Returns what a collection of one size took, and what came out."""
    collection, dataset = options.work / f"files-{num_files}", options.work / f"dataset-{num_files}"
    if not (collection / TRUTH).exists():
        archives = sorted((options.data / "midi").glob("*.zip"))
        generate(archives, collection, num_files=num_files, processes=options.processes)
    truth = json.loads((collection / TRUTH).read_text())
    ostinato = str(Path(sys.executable).with_name("ostinato"))
    usage = measure.run([ostinato, "prepare", "--midi", f"{collection}/*.tar", "--output", str(dataset)], dataset)
    result = {"files": num_files, "notes": truth["notes"], **usage._asdict(), **measure.judge(dataset, truth)}
    shutil.rmtree(dataset)
    return result


def table_of(results: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Returns what each size took and what came out: a heading, and rows. CPU times are for a million notes."""
    first = results[0]

    def row(name: str, cell: Callable[[dict[str, Any]], str]) -> list[str]:
        return [name, *(cell(one) for one in results)]

    rows = [row("notes", lambda one: f"{one['notes']:,}")]
    stages = {f"{stage}: CPU s for a million notes": (stage,) for stage in measure.STAGES}
    for name, parts in (stages | {"all": measure.STAGES, "scan, assign and write": measure.STAGES[1:4]}).items():
        rows.append(row(name, lambda one, parts=parts: _per_million(one, parts)))
    rows.append(row("time, s", lambda one: f"{sum(one['wall_s'].values()):,.0f}"))
    for name, kind in (("driver (with the local runner in it)", "driver"), ("a parser", "parser")):
        rows.append(row(f"{name}: peak MB", lambda one, kind=kind: f"{one['peak_mb'][kind]:.0f}"))
    rows.append(["driver: bytes for each file more", "", *(_bytes_a_file(first, one) for one in results[1:])])
    rows.append(row("recall of groups, performances", lambda one: f"{one['recall']['performance']:.4f}"))
    rows.append(row("recall, least of the others", lambda one: f"{_least_recall(one):.4f}"))
    rows.append(row("precision of groups", lambda one: f"{one['precision']:.6f}"))
    rows.append(row("files, notes and rejects as put in", lambda one: "yes" if all(one["agrees"].values()) else "NO"))
    return row("files", lambda one: f"{one['files']:,}"), rows


def show(results: list[dict[str, Any]]) -> None:
    """Prints the table."""
    heading, rows = table_of(results)
    print_table("ostinato prepare", heading, rows)


def _least_recall(result: dict[str, Any]) -> float:
    return min(value for kind, value in result["recall"].items() if kind != "performance")


def _per_million(result: dict[str, Any], stages: tuple[str, ...]) -> str:
    return f"{sum(result['cpu_s'].get(stage, 0) for stage in stages) / result['notes'] * 1e6:.2f}"


def _bytes_a_file(one: dict[str, Any], other: dict[str, Any]) -> str:
    more_mb = other["peak_mb"]["driver"] - one["peak_mb"]["driver"]
    return f"{more_mb * _MB / (other['files'] - one['files']):.0f}"


def main(options: Options) -> None:
    """Measures all sizes, one after the other, and shows and writes what was found."""
    options.work.mkdir(parents=True, exist_ok=True)
    results = []
    for num_files in options.sizes:
        results.append(run_size(options, num_files))
        write_atomically(options.output, (json.dumps(results, indent=1) + "\n").encode())
    show(results)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
