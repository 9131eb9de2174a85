"""Whether performances of one work are found: real scores are played twice, as hands do, and looked for among all.

    python -m ostinato.benchmarks.performances --data ARCHIVE.zip [ARCHIVE.zip ...]

Each of two performances of a score has a rubato of its own (up to 20 % around the tempo, slowly), uneven chords
(20 ms), held pedal or not, ornaments on 3 % of the notes, 2 % of the notes left out, and wrong notes, up to two
semitones away.
Recall is the share of scores whose performances are linked, at the threshold that `prepare` uses. False links are pairs
of files of different corpora that share a group, among all such pairs of the real files. Drums alone are left out: of
them, which drum is struck is all there is. Some minutes on one core.
"""

import json
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import tyro

from ostinato.beam_pipelines.duplicates.fingerprint import Fingerprints, fingerprint, stack
from ostinato.beam_pipelines.duplicates.prints import Prints
from ostinato.beam_pipelines.duplicates.relations import relate
from ostinato.benchmarks import collection
from ostinato.configs.errors import UserError
from ostinato.launch.commands.show import print_table
from ostinato.music import midi
from ostinato.music.piece import DRUMS, Notes, Piece

RUBATO = 0.2
UNEVEN_QUARTERS = 0.04
"""20 ms at 120 beats a minute."""
ORNAMENTS = 0.03
MISSING = 0.02


@dataclass(frozen=True, kw_only=True)
class Options:
    data: tuple[str, ...]
    """Zip archives or folders of MIDI files, each of which is a corpus."""
    files: int = 100
    """An even sample of about so many scores of each corpus."""
    wrong: tuple[float, ...] = (0.0, 0.05, 0.1)
    """Shares of wrong notes."""
    results: str = ""
    """A JSON file for the numbers."""


def perform(piece: Piece, rng: np.random.Generator, *, wrong: float) -> Piece:
    """Returns the piece as a hand might play it."""
    kept = rng.random(piece.num_notes) >= MISSING
    kept[0] = True
    notes = Notes._make([column[kept] for column in piece.notes])
    quarters = notes.onset / piece.ticks_per_quarter
    periods, phases = rng.uniform(6, 40, 3), rng.uniform(0, 2 * np.pi, 3)
    times = np.linspace(0, quarters[-1] + 1, 1 + 8 * int(quarters[-1] + 1))
    pace = 1 + RUBATO / 3 * np.sin(2 * np.pi * times[:, None] / periods + phases).sum(axis=1)
    played = np.interp(quarters, times, np.append(0, np.cumsum(pace[:-1] * np.diff(times))))
    played = np.maximum(played + rng.normal(0, UNEVEN_QUARTERS / 2, len(played)).clip(-0.1, 0.1), 0)
    hold = rng.uniform(0.7, 1.0, len(played)) if rng.random() < 0.5 else rng.uniform(1.0, 2.5, len(played))
    onset = np.rint(played * piece.ticks_per_quarter).astype(np.int64)
    duration = np.maximum(notes.duration * hold, 1).astype(np.int64)
    slip = rng.choice([-2, -1, 1, 2], len(onset)) * (rng.random(len(onset)) < wrong)
    pitch = (notes.pitch + slip).clip(0, 127)
    grace = np.flatnonzero(rng.random(len(onset)) < ORNAMENTS)
    before = np.maximum(onset[grace] - piece.ticks_per_quarter // 6, 0)
    columns = {name: np.append(column, column[grace]) for name, column in notes._asdict().items()}
    columns |= {
        "onset": np.append(onset, before),
        "duration": np.append(duration, np.full(len(grace), max(1, piece.ticks_per_quarter // 8))),
        "pitch": np.append(pitch, (pitch[grace] + 1).clip(0, 127)),
    }
    order = np.lexsort((columns["pitch"], columns["onset"]))
    dtypes = {name: column.dtype for name, column in piece.notes._asdict().items()}
    return replace(piece, notes=Notes(**{name: columns[name][order].astype(dtypes[name]) for name in Notes._fields}))


def _print(data: bytes) -> tuple[Fingerprints, int]:
    reading = midi.read_reporting(data)
    return fingerprint(reading.piece, reading.tracks), reading.piece.num_notes


def _group(prints: list[tuple[Fingerprints, int]]) -> np.ndarray:
    """Returns the group of each piece."""
    count = len(prints)
    num_notes = np.array([notes for _, notes in prints], np.int32)
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder, closing(Prints(Path(folder))) as table:
        table.add(stack([one for one, _ in prints]))
        numbers, nothing = np.arange(count, dtype=np.int32), np.full(count, -1, np.int32)
        return relate(table, rank=numbers, num_notes=num_notes, fixed=nothing).group


def _count_false(group: np.ndarray, corpus: np.ndarray) -> tuple[int, int]:
    """Returns the pairs of files of different corpora in one group, and all such pairs."""

    def pairs(labels: np.ndarray) -> int:
        counts = np.unique(labels, return_counts=True)[1].astype(object)
        return int((counts * (counts - 1) // 2).sum())

    within = pairs(group * (corpus.max() + 1) + corpus)
    return pairs(group) - within, pairs(np.zeros(len(group), np.int64)) - pairs(corpus)


def main(options: Options) -> None:
    """Prints a table and one line of JSON."""
    names = [Path(source).stem for source in options.data]
    scores: list[list[Piece]] = []
    real: list[tuple[Fingerprints, int]] = []
    sizes = [0]
    for source in options.data:
        pieces = []
        for data in collection.load([source]):
            try:
                piece = midi.read(data)
            except midi.MidiError:
                continue
            real.append(_print(data))
            if not (piece.notes.program == DRUMS).all():
                pieces.append(piece)
        sizes.append(len(real))
        if not pieces:
            raise UserError(f"{source}: has no pitched piece that can be read, and needs at least one")
        scores.append(pieces[:: max(1, len(pieces) // options.files)][: options.files])
    corpus = np.repeat(np.arange(len(names)), [end - begin for begin, end in pairwise(sizes)])
    false, num_pairs = _count_false(_group(real), corpus)

    recall: dict[str, dict[str, float]] = {name: {} for name in names}
    for wrong in options.wrong:
        for number, (name, pieces) in enumerate(zip(names, scores, strict=True)):
            played: list[tuple[Fingerprints, int]] = []
            for take in range(2):
                rngs = (np.random.default_rng([number, i, take, round(1000 * wrong)]) for i in range(len(pieces)))
                takes = (perform(piece, rng, wrong=wrong) for piece, rng in zip(pieces, rngs, strict=True))
                played += [_print(midi.write(one)) for one in takes]
            group = _group(played)
            recall[name][str(wrong)] = round(float(np.mean(group[: len(pieces)] == group[len(pieces) :])), 3)
    rows = [
        [name, str(len(pieces)), *(f"{100 * share:.0f} %" for share in recall[name].values())]
        for name, pieces in zip(names, scores, strict=True)
    ]
    heads = ["corpus", "scores", *(f"{100 * wrong:g} % wrong" for wrong in options.wrong)]
    print_table("Performances of one score in one group", heads, rows)
    found = json.dumps({"recall": recall, "false_links": false, "pairs": num_pairs})
    print(found)
    if options.results:
        Path(options.results).write_text(found + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
