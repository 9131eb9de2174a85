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

import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import tyro

from ostinato.beam_pipelines.isolation import ITEMS_PER_BATCH
from ostinato.benchmarks import collection, scale
from ostinato.benchmarks.processes import KEEP_ALL, find_python, prepare, run
from ostinato.launch.commands.show import print_table, say
from ostinato.music import midi

OURS = "ostinato prepare"
ALTERNATIVES = {
    "MidiTok REMI": "miditok",
    "pretty_midi + loop": "pretty_midi",
    "note_seq performance": "note_seq",
}
"""The module that each needs, by which `alternatives` knows it too."""

START_FILES = ITEMS_PER_BATCH * (os.cpu_count() or 1) + 1
"""The smallest so many files show what starting takes: there is a batch for each of our parsers."""


class _Result(NamedTuple):
    """One conversion."""

    cpu_s: float
    failed: set[str]
    """File names."""


def _compare(blobs: list[bytes], work: Path, num_rounds: int) -> dict[str, float]:
    """Measures us and the alternatives on the same files."""
    smallest = sorted(filter(_count_notes, blobs), key=len)[:START_FILES]
    whole, small = (collection.write(some, work / name) for some, name in ((blobs, "files"), (smallest, "small")))
    num_notes = {
        folder: {path.name: _count_notes(path.read_bytes()) for path in folder.iterdir()} for folder in (whole, small)
    }
    variants = _find_variants(work / "output")
    results: dict[tuple[str, Path], list[_Result]] = {}
    for _ in range(num_rounds):
        for label, convert in variants.items():
            for folder in (small, whole):
                results.setdefault((label, folder), []).append(convert(folder))

    rate, rest, rows = {}, {}, []
    for label in variants:
        cpu_s, notes = {}, {}
        for folder in (whole, small):
            found = results[label, folder]
            cpu_s[folder] = median(one.cpu_s for one in found)
            notes[folder] = sum(count for name, count in num_notes[folder].items() if name not in found[0].failed)
        rate[label] = notes[whole] / cpu_s[whole]
        # Where starting is nearly all there is, as with --smoke, nothing can be said of the rest.
        more_s = cpu_s[whole] - cpu_s[small]
        rest[label] = (notes[whole] - notes[small]) / more_s if more_s > 0.2 * cpu_s[whole] else math.nan
        start = f"{cpu_s[small]:.1f} s"
        more = [f"{rest[label]:,.0f}", f"{rest[OURS] / rest[label]:.3g} x", f"{len(results[label, whole][0].failed):,}"]
        rows.append([label, f"{rate[label]:,.0f}", f"{rate[OURS] / rate[label]:.3g} x", start, *more])
    total = sum(num_notes[whole].values())
    print_table(
        f"{len(blobs):,} MIDI files ({total:,} notes) on disk to tokens on disk, CPU time of all processes",
        ("", "notes/s", "ours is", "start-up", "after it: notes/s", "ours is", "failed"),
        rows,
    )
    return {label: rate[OURS] / one for label, one in rate.items() if label != OURS}


def _count_notes(data: bytes) -> int:
    try:
        return midi.read(data).num_notes
    except midi.MidiError:
        return 0


def _find_variants(output: Path) -> dict[str, Callable[[Path], _Result]]:
    """Returns what converts a folder, by label, and says why others are left out."""

    def convert(folder: Path) -> _Result:
        prepared = prepare([folder], output, *KEEP_ALL)
        return _Result(prepared.cost.cpu_s, {Path(path).name for path in prepared.rejected})

    def convert_with(python: str, name: str, folder: Path) -> _Result:
        script = str(Path(__file__).with_name("alternatives.py"))
        cost = run([python, "-P", script, name, str(folder), str(output)])
        shutil.rmtree(output)
        return _Result(cost.cpu_s, set(json.loads(cost.output.splitlines()[-1])["failed"]))

    variants: dict[str, Callable[[Path], _Result]] = {OURS: convert}
    for label, module in ALTERNATIVES.items():
        python, reason = find_python(module)
        if python:
            variants[label] = lambda folder, python=python, module=module: convert_with(python, module, folder)
        else:
            say(f"{label} is left out: {reason}")
    return variants


def _measure_all(archives: list[Path], work: Path, num_rounds: int) -> None:
    """Measures one command on all archives, with its own defaults."""
    names = [name for archive in archives for name in zipfile.ZipFile(archive).namelist()]
    num_members = sum(name.lower().endswith(midi.MIDI_SUFFIXES) for name in names)
    runs = [prepare(archives, work / "output") for _ in range(num_rounds)]
    manifest = runs[0].manifest
    counts = manifest["counts"]
    rows = {
        "CPU time, all processes": f"{median(one.cost.cpu_s for one in runs):.1f} s",
        "time": f"{median(one.cost.wall_s for one in runs):.1f} s",
        "peak memory of the largest process": f"{max(one.cost.peak_mb for one in runs):.0f} MB",
        "MIDI files in the archives": f"{num_members:,}",
        **{name: f"{count:,}" for name, count in counts.items()},
        "lost": f"{num_members - counts['accepted'] - counts['rejected'] - counts['duplicates']:,}",
        "notes in the dataset": f"{sum(split['notes'] for split in manifest['splits'].values()):,}",
    }
    title = f"{len(archives)} archives in one command, medians of {num_rounds}"
    print_table(title, ("", "measured"), list(rows.items()))


@dataclass(frozen=True, kw_only=True)
class Options:
    data: Path
    """Folder of zip archives of MIDI files."""
    scale: bool = False
    """Cost over a bare pool, growth, memory."""
    all: bool = False
    """All archives in one command."""
    files: int = 1200
    """For the alternatives, an even sample of so many files."""
    sizes: tuple[int, ...] = (5_000, 10_000, 20_000)
    """For --scale, files, growing."""
    rounds: int = 3
    """Each variant runs so often."""
    smoke: bool = False
    """A few files once, to see that it runs."""


def main(options: Options) -> None:
    """Runs what was asked for and prints tables and one line of JSON."""
    archives = sorted(options.data.glob("*.zip"))
    num_rounds, sizes = (1, (200, 400, 800)) if options.smoke else (options.rounds, options.sizes)
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ostinato-benchmark-") as folder:
        work = Path(folder)
        if options.all:
            _measure_all(archives, work, num_rounds)
        if options.scale:
            ratios |= scale.measure(collection.load(archives), work, num_rounds, sizes)
        if not options.all and not options.scale:
            ratios |= _compare(collection.load(archives, 20 if options.smoke else options.files), work, num_rounds)
    print(json.dumps({"ratios": {label: round(ratio, 3) for label, ratio in ratios.items()}}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
