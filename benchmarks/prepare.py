"""`ostinato prepare` beside what people would use instead, beside the least it could cost, and on whole collections.

    python -m ostinato.benchmarks.prepare --data FOLDER [--scale] [--all] [--smoke]

FOLDER holds zip archives of MIDI files. Without flags: notes per second of CPU time, from MIDI files on disk to token
files on disk. `--scale`: the Beam job over a bare process pool, and how it grows with the number of files. `--all`: all
of FOLDER in one command. Each variant is a command of its own, the variants take turns, medians are reported; CPU time
is that of all processes from start to end. About five minutes, fifteen and one on two cores; Linux only.

An alternative that is not installed here may have an environment of its own; if it has none, it is left out:

    python3.11 -m venv ~/.cache/ostinato/alternatives/note_seq
    ~/.cache/ostinato/alternatives/note_seq/bin/pip install note-seq
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ostinato.beam_pipelines.isolation import ITEMS_PER_BATCH
from ostinato.benchmarks import collection, scale
from ostinato.benchmarks.prepared import KEEP_ALL, console, make_table, prepare
from ostinato.benchmarks.processes import run
from ostinato.music import midi

OURS = "ostinato prepare"
ALTERNATIVES = {
    "MidiTok REMI, JSON": ("miditok", "miditok"),
    "MidiTok REMI, .npy": ("miditok-npy", "miditok"),
    "pretty_midi + loop": ("pretty_midi", "pretty_midi"),
    "note_seq performance": ("note_seq", "note_seq"),
}
"""What `alternatives` calls each, and the module it needs."""
ENVIRONMENTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato" / "alternatives"
"""May hold an environment for each module."""

START_FILES = ITEMS_PER_BATCH * (os.cpu_count() or 1) + 1
"""The smallest so many files show what starting takes: there is a batch for each of our parsers."""

SMOKE_SIZES = (200, 400, 800)
MAX_ALL_CPU_S = 60
MAX_ALL_PEAK_MB = 600


class _Files(NamedTuple):
    """Files on disk that all variants convert."""

    folder: Path
    num_notes: dict[str, int]
    """By file name."""


class _Result(NamedTuple):
    """One conversion."""

    cpu_s: float
    failed: set[str]
    """File names."""


def _compare(blobs: list[bytes], work: Path, num_rounds: int) -> dict[str, Any]:
    """Measures us and the alternatives on the same files."""
    whole = _write(blobs, work / "files")
    small = _write(_smallest(blobs), work / "small")
    variants, skipped = _find_variants(work / "output")
    results: dict[tuple[str, Path], list[_Result]] = {}
    for _ in range(num_rounds):
        for label, convert in variants.items():
            for files in (small, whole):
                results.setdefault((label, files.folder), []).append(convert(files.folder))

    def cpu_s(label: str, files: _Files) -> float:
        return median(result.cpu_s for result in results[label, files.folder])

    def notes(label: str, files: _Files) -> int:
        failed = results[label, files.folder][0].failed
        return sum(count for name, count in files.num_notes.items() if name not in failed)

    rate, rest, start_s, failed = {}, {}, {}, {}
    for label in variants:
        rate[label] = notes(label, whole) / cpu_s(label, whole)
        # Where starting is nearly all there is, as with --smoke, nothing can be said of the rest.
        more_s, more_notes = cpu_s(label, whole) - cpu_s(label, small), notes(label, whole) - notes(label, small)
        rest[label] = more_notes / more_s if more_s > 0.2 * cpu_s(label, whole) else math.nan
        start_s[label] = cpu_s(label, small)
        failed[label] = len(results[label, whole.folder][0].failed)

    total = sum(whole.num_notes.values())
    table = make_table(
        f"{len(blobs):,} MIDI files ({total:,} notes) on disk to tokens on disk, CPU time of all processes",
        ("", "notes/s", "ours is", "start-up", "after it: notes/s", "ours is", "failed"),
    )
    for label in variants:
        table.add_row(
            label, f"{rate[label]:,.0f}", f"{rate[OURS] / rate[label]:.3g} x", f"{start_s[label]:.1f} s",
            f"{rest[label]:,.0f}", f"{rest[OURS] / rest[label]:.3g} x", f"{failed[label]:,}",
        )  # fmt: skip
    console.print(table)
    for label, reason in skipped.items():
        console.print(f"{label} is left out: {reason}")
    others = [label for label in variants if label != OURS]
    return {
        "ratios": {label: round(rate[OURS] / rate[label], 2) for label in others},
        "ratios_after_start": {
            label: round(rest[OURS] / rest[label], 2) for label in others if rest[OURS] + rest[label] > 0
        },
        "notes_per_cpu_s": {label: round(rate[label]) for label in variants},
        "start_cpu_s": {label: round(start_s[label], 2) for label in variants},
        "failed": failed,
        "skipped": skipped,
        "files": len(blobs),
        "notes": total,
    }


def _write(blobs: list[bytes], folder: Path) -> _Files:
    paths = collection.write(blobs, folder)
    return _Files(folder, {path.name: _count_notes(data) for path, data in zip(paths, blobs, strict=True)})


def _smallest(blobs: list[bytes]) -> list[bytes]:
    return sorted((data for data in blobs if _count_notes(data)), key=len)[:START_FILES]


def _count_notes(data: bytes) -> int:
    try:
        return midi.read(data).num_notes
    except midi.MidiError:
        return 0


def _find_variants(output: Path) -> tuple[dict[str, Callable[[Path], _Result]], dict[str, str]]:
    """Returns what converts a folder, by label, and why the others are left out."""

    def convert(folder: Path) -> _Result:
        prepared = prepare([folder], output, *KEEP_ALL)
        return _Result(prepared.cost.cpu_s, {Path(path).name for path in prepared.rejected})

    def convert_with(python: str, name: str, folder: Path) -> _Result:
        script = str(Path(__file__).with_name("alternatives.py"))
        cost = run([python, "-P", script, name, str(folder), str(output)])
        shutil.rmtree(output)
        return _Result(cost.cpu_s, set(json.loads(cost.output.splitlines()[-1])["failed"]))

    variants: dict[str, Callable[[Path], _Result]] = {OURS: convert}
    skipped: dict[str, str] = {}
    for label, (name, module) in ALTERNATIVES.items():
        python, reason = find_python(module)
        if python:
            variants[label] = lambda folder, python=python, name=name: convert_with(python, name, folder)
        else:
            skipped[label] = reason
    return variants, skipped


def find_python(module: str) -> tuple[str, str]:
    """Returns an interpreter that can import the module, or nothing and why not."""
    reason = ""
    for python in (ENVIRONMENTS / module / "bin" / "python", Path(sys.executable)):
        if python.exists():
            done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True, check=False)
            if not done.returncode:
                return str(python), ""
            reason = done.stderr.strip().splitlines()[-1]
    return "", reason


def _measure_all(archives: list[Path], work: Path, num_rounds: int) -> dict[str, Any]:
    """Measures one command on all archives, with its own defaults."""
    num_members = sum(
        member.filename.lower().endswith(midi.MIDI_SUFFIXES)
        for archive in archives
        for member in zipfile.ZipFile(archive).infolist()
    )
    runs = [prepare(archives, work / "output") for _ in range(num_rounds)]
    manifest = runs[0].manifest
    counts = manifest["counts"]
    cpu_s, wall_s = median(one.cost.cpu_s for one in runs), median(one.cost.wall_s for one in runs)
    main_mb, child_mb = (max(one.cost.main_peak_mb for one in runs), max(one.cost.child_peak_mb for one in runs))
    peak_mb = max(main_mb, child_mb)
    num_lost = num_members - counts["accepted"] - counts["rejected"] - counts["duplicates"]
    num_notes = sum(split["notes"] for split in manifest["splits"].values())
    table = make_table(
        f"{len(archives)} archives in one command, medians of {num_rounds}", ("", "measured", "must hold")
    )
    table.add_row("CPU time, all processes", f"{cpu_s:.1f} s", f"at most {MAX_ALL_CPU_S} s")
    table.add_row("time", f"{wall_s:.1f} s")
    table.add_row("peak memory, main process", f"{main_mb:.0f} MB", f"below {MAX_ALL_PEAK_MB} MB")
    table.add_row("peak memory, largest other", f"{child_mb:.0f} MB", f"below {MAX_ALL_PEAK_MB} MB")
    table.add_row("MIDI files in the archives", f"{num_members:,}")
    for name, count in counts.items():
        table.add_row(name, f"{count:,}")
    table.add_row("lost", f"{num_lost:,}", "0")
    table.add_row("notes in the dataset", f"{num_notes:,}")
    console.print(table)
    return {
        "ratios": {
            "CPU time over what is allowed": round(cpu_s / MAX_ALL_CPU_S, 3),
            "memory over what is allowed": round(peak_mb / MAX_ALL_PEAK_MB, 3),
        },
        "cpu_s": round(cpu_s, 1),
        "wall_s": round(wall_s, 1),
        "main_peak_mb": round(main_mb),
        "child_peak_mb": round(child_mb),
        "counts": counts,
        "rejected_by_reason": manifest["rejected_by_reason"],
        "duplicates_by_kind": manifest["duplicates_by_kind"],
        "lost": num_lost,
        "notes": num_notes,
    }


def main() -> None:
    """Runs what was asked for and prints tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder of zip archives of MIDI files")
    parser.add_argument("--scale", action="store_true", help="cost over a bare pool, growth, memory")
    parser.add_argument("--all", action="store_true", help="all archives in one command")
    parser.add_argument("--files", type=int, default=1200, help="for the alternatives, an even sample of so many files")
    parser.add_argument("--sizes", type=int, nargs="+", default=scale.SIZES, help="for --scale, files, growing")
    parser.add_argument("--rounds", type=int, default=3, help="each variant runs so often")
    parser.add_argument("--smoke", action="store_true", help="a few files once, to see that it runs")
    options = parser.parse_args()

    if len(options.sizes) < 2 or list(options.sizes) != sorted(set(options.sizes)):
        parser.error(f"--sizes {options.sizes}: must be two or more, growing")
    archives = sorted(options.data.glob("*.zip"))
    num_rounds = 1 if options.smoke else options.rounds
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="ostinato-benchmark-") as folder:
        work = Path(folder)
        if options.all:
            results["all"] = _measure_all(archives, work, num_rounds)
        if options.scale:
            sizes = SMOKE_SIZES if options.smoke else tuple(options.sizes)
            results["scale"] = scale.measure(collection.load(archives), work, num_rounds, sizes)
        if not results:
            files = collection.sample(collection.load(archives), 20 if options.smoke else options.files)
            results["alternatives"] = _compare(files, work, num_rounds)
    ratios = {name: ratio for result in results.values() for name, ratio in result.pop("ratios").items()}
    print(json.dumps({"ratios": ratios, **results}))


if __name__ == "__main__":
    main()
