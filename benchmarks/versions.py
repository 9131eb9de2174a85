"""Reading and encoding MIDI files with this version and with another one, in turns, on one core.

    python -m ostinato.benchmarks.versions --before OTHER/.venv/bin/python --data ARCHIVE.zip [ARCHIVE.zip ...]

OTHER is a checkout with an environment of its own. Rates are notes per second of CPU time, of the notes that each
version reads; the ratio is the median over the rounds. Some minutes on one core.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import tyro

from ostinato.launch.commands.show import print_table

_WORKER = """
import json, sys, time, zipfile
from ostinato.music import midi
from ostinato.music.score_codec import ScoreCodec

codec, most, loaded = ScoreCodec(), int(sys.argv[1]), {}
for line in sys.stdin:
    if line not in loaded:
        archive = zipfile.ZipFile(line.strip())
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".mid", ".midi")))
        loaded[line] = [archive.read(name) for name in names[:: max(1, -(-len(names) // most))]]
    num_notes, start = 0, time.process_time()
    for data in loaded[line]:
        try:
            piece = midi.read(data)
        except midi.MidiError:
            continue
        codec.encode(piece)
        num_notes += piece.num_notes
    print(json.dumps([num_notes, time.process_time() - start, len(loaded[line])]), flush=True)
"""
"""Answers each name of an archive with notes, CPU seconds and files. Uses only what other versions have too."""


class Used(NamedTuple):
    """What reading and encoding the files of an archive took."""

    notes: int
    cpu_s: float
    files: int

    @property
    def rate(self) -> float:
        """Notes per second of CPU time."""
        return self.notes / self.cpu_s


@dataclass(frozen=True, kw_only=True)
class Options:
    data: tuple[str, ...]
    """Zip archives of MIDI files."""
    before: str
    """The Python of the other version's environment."""
    files: int = 300
    """An even sample of at most so many files of each archive."""
    rounds: int = 5


def _start(python: str, files: int) -> "subprocess.Popen[str]":
    command = [python, "-c", _WORKER, str(files)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")


def _ask(worker: "subprocess.Popen[str]", archive: str) -> Used:
    assert worker.stdin
    assert worker.stdout
    print(Path(archive).absolute(), file=worker.stdin, flush=True)
    return Used(*json.loads(worker.stdout.readline()))


def main(options: Options) -> None:
    """Prints a table and one line of JSON."""
    workers = [_start(python, options.files) for python in (options.before, sys.executable)]
    rounds: list[list[list[Used]]] = []  # of each round and archive: before, now
    for number in range(options.rounds + 1):
        turns = workers if number % 2 else workers[::-1]
        found = [{id(worker): _ask(worker, archive) for worker in turns} for archive in options.data]
        if number:  # the first round warms up
            rounds.append([[one[id(worker)] for worker in workers] for one in found])
    for worker in workers:
        worker.communicate()
    rows, ratios = [], {}
    names = [Path(archive).stem for archive in options.data]
    together = [[Used(*map(sum, zip(*version, strict=True))) for version in zip(*one, strict=True)] for one in rounds]
    for name, pairs in zip([*names, "together"], [*zip(*rounds, strict=True), together], strict=True):
        before, now = (median(pair[version].rate for pair in pairs) for version in (0, 1))
        ratios[name] = round(median(now.rate / before.rate for before, now in pairs), 3)
        rows.append((name, f"{pairs[0][1].files:,}", f"{before:,.0f}", f"{now:,.0f}", f"{ratios[name]:.3f}"))
    print_table("Notes per second of CPU time", ("", "files", "before", "now", "ratio"), rows)
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
