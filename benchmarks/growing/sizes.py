"""`ostinato prepare` on collections of growing size: time, memory, and whether what comes out is what was put in.

    python -m ostinato.benchmarks.growing.sizes --work FOLDER --output sizes.json

Takes 2 GB of disk for 100,000 files, and a quarter of an hour on two cores for 500,000. Linux only. Options of Beam
send the jobs to a cluster; each dataset is then made on this machine alone too, and compared byte by byte. On a Flink
cluster on this machine:

    python -m tests.cluster.flink python -m ostinato.benchmarks.growing.sizes --work FOLDER --output sizes.json
"""

import filecmp
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
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
    repeats: int = 1
    """All sizes are prepared so often, in turns; what is shown of a size is the median of each stage."""
    data: Path = Path(os.environ.get("OSTINATO_DATA") or "../shared/data")
    """Folder whose `midi/` holds zip archives of MIDI files."""
    processes: int = os.cpu_count() or 1
    """Which generate at once."""
    also: tuple[int, ...] = ()
    """Numbers of the processes of a cluster on this machine, which are measured with all that they start."""


def run_size(options: Options, num_files: int, beam_options: Sequence[str] = ()) -> dict[str, Any]:
    """Returns what a collection of one size took, and what came out.

    Args:
        options: those of the command.
        num_files: in the collection.
        beam_options: where the job runs; on this machine by default.
    """
    collection, dataset = options.work / f"files-{num_files}", options.work / f"dataset-{num_files}"
    if not (collection / TRUTH).exists():
        archives = sorted((options.data / "midi").glob("*.zip"))
        generate(archives, collection, num_files=num_files, processes=options.processes)
    truth = json.loads((collection / TRUTH).read_text())
    command = [str(Path(sys.executable).with_name("ostinato")), "prepare", "--midi", f"{collection}/*.tar", "--output"]
    usage = measure.run([*command, str(dataset), *beam_options], dataset, options.also)
    result = {"files": num_files, "notes": truth["notes"], **usage._asdict(), **measure.judge(dataset, truth)}
    if beam_options:
        alone = options.work / "alone" / dataset.name  # whose shards have the same names
        result["alone"] = measure.run([*command, str(alone)], alone)._asdict()
        result["same_bytes"] = _files(alone) == _files(dataset) and all(
            filecmp.cmp(alone / name, dataset / name, shallow=False) for name in _files(alone)
        )
        shutil.rmtree(alone)
    shutil.rmtree(dataset)
    return result


def _files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what runs of one size took: the median of the times of each stage, and the largest of each peak."""
    summary = runs[-1] | {"runs": [{"cpu_s": run["cpu_s"], "wall_s": run["wall_s"]} for run in runs]}
    for kind, combine in (("cpu_s", median), ("wall_s", median), ("peak_mb", max), ("driver_mb", max)):
        summary[kind] = {key: combine([run[kind][key] for run in runs if key in run[kind]]) for key in runs[-1][kind]}
    return summary


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
    if "same_bytes" in first:
        rows.append(row("on this machine alone: CPU s for a million notes", _alone_per_million))
        rows.append(row("the same bytes", lambda one: "yes" if one["same_bytes"] else "NO"))
    return row("files", lambda one: f"{one['files']:,}"), rows


def show(results: list[dict[str, Any]]) -> None:
    """Prints the table."""
    heading, rows = table_of(results)
    print_table("ostinato prepare", heading, rows)


def _least_recall(result: dict[str, Any]) -> float:
    return min(value for kind, value in result["recall"].items() if kind != "performance")


def _per_million(result: dict[str, Any], stages: tuple[str, ...]) -> str:
    return f"{sum(result['cpu_s'].get(stage, 0) for stage in stages) / result['notes'] * 1e6:.2f}"


def _alone_per_million(result: dict[str, Any]) -> str:
    return _per_million({**result["alone"], "notes": result["notes"]}, measure.STAGES)


def _bytes_a_file(one: dict[str, Any], other: dict[str, Any]) -> str:
    more_mb = other["peak_mb"]["driver"] - one["peak_mb"]["driver"]
    return f"{more_mb * _MB / (other['files'] - one['files']):.0f}"


def main(options: Options, beam_options: Sequence[str] = ()) -> None:
    """Measures all sizes, one after the other, and shows and writes what was found."""
    options.work.mkdir(parents=True, exist_ok=True)
    runs: dict[int, list[dict[str, Any]]] = {}
    for num_files in options.sizes * options.repeats:
        runs.setdefault(num_files, []).append(run_size(options, num_files, beam_options))
        write_atomically(options.output, (json.dumps([*map(summarize, runs.values())], indent=1) + "\n").encode())
    show([*map(summarize, runs.values())])


if __name__ == "__main__":
    main(*tyro.cli(Options, description=__doc__, return_unknown_args=True))
