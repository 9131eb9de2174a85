"""Filled bars and harmonies of held-out pieces beside those that nobody compared, and beside another piece's.

    python -m ostinato.benchmarks.infill --run RUN --dataset DATASET [--pieces 8] [--particles 32]

Two bars in the middle of a piece are written anew, and all but its highest instrument. Each result is held against what
the composer wrote there: the share of pitch classes, in each eighth note, that both have (F1). Nats are the model's own
for each row of the four bars after those by which attempts were ranked; for harmonies of the whole piece. Seconds to
minutes a piece on one core.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Bool, Int

from ostinato.configs.schema import SampleConfig
from ostinato.data.records import Dataset
from ostinato.launch.commands.show import print_table, say
from ostinato.model.field_head import nll
from ostinato.model.network import initial_carry
from ostinato.music.bars import bar_lines, ticks_of_bars
from ostinato.music.codec import Codec
from ostinato.music.midi_write import instrument_name
from ostinato.music.piece import Notes, Piece
from ostinato.music.score_rows import DURATIONS, GRID, REST
from ostinato.sample.infill import fill, harmony_attempts
from ostinato.train.checkpoint import LoadedRun, load_params

HOLE_BARS, LOOK_AHEAD_BARS, JUDGED_BARS = 2, 2, 4
_EIGHTH = GRID // 2
_PADDED = 256
"""Rows are filled up to a multiple of so many, so that the network compiles for few lengths."""


class Judged(NamedTuple):
    agreement: float
    """F1 of pitch classes with the composer's, in each eighth note."""
    nats: float
    """Per row."""


@dataclass(frozen=True, kw_only=True)
class Options:
    run: Path
    dataset: Path
    pieces: int = 8
    particles: int = 32


def main(options: Options) -> None:
    """Prints a table."""
    run, dataset = load_params(options.run), Dataset.open(options.dataset)
    codec = run.codec
    source = dataset.source("test")
    pieces = [codec.decode(source[i].steps) for i in range(len(source))]
    least = 2 * (1 + HOLE_BARS + LOOK_AHEAD_BARS + JUDGED_BARS)
    pieces = [piece for piece in pieces if len(bar_lines(piece)) > least][: options.pieces + 1]
    found: dict[str, list[Judged]] = {}
    for number, piece in enumerate(pieces[:-1]):
        for kind, judge in (("bars", _fillings), ("voices", _harmonies)):
            for name, judged in judge(run, codec, piece, pieces[number + 1], options.particles).items():
                found.setdefault(f"{kind}: {name}", []).append(judged)
        say(f"{number + 1} of {len(pieces) - 1} pieces")
    means = {name: np.mean(judged, axis=0) for name, judged in found.items()}
    print_table(
        f"{len(pieces) - 1} held-out pieces, {options.particles} particles",
        ["", "F1", "nats"],
        [(name, f"{agreement:.3f}", f"{nats:.3f}") for name, (agreement, nats) in means.items()],
    )


def _fillings(run: LoadedRun, codec: Codec, piece: Piece, other: Piece, particles: int) -> dict[str, Judged]:
    first = len(bar_lines(piece)) // 2 - HOLE_BARS
    config = SampleConfig(
        num_pieces=particles, particles=particles, fill_bars=(first, HOLE_BARS), look_ahead_bars=LOOK_AHEAD_BARS
    )
    start, end = ticks_of_bars(piece, first, HOLE_BARS)
    after = ticks_of_bars(piece, first + HOLE_BARS + LOOK_AHEAD_BARS, JUDGED_BARS)

    def judge(candidate: Piece) -> Judged:
        steps = codec.encode(candidate)
        return Judged(_agreement(candidate, piece, start, end), _mean_nats(run, steps, *after))

    attempts = [
        judge(codec.decode(one.steps)) for one in fill(run.model, run.params, codec, config, piece)
    ]  # best first
    return {
        "ranked by what follows": attempts[0],
        "any attempt": Judged(*np.mean(attempts, axis=0).tolist()),
        "ranked last": attempts[-1],
        "another piece's bars": judge(_with_bars_of(piece, other, start, end)),
        "nothing": judge(_chosen(piece, (piece.notes.onset < start) | (piece.notes.onset >= end))),
        "the composer's": judge(piece),
    }


def _harmonies(run: LoadedRun, codec: Codec, piece: Piece, other: Piece, particles: int) -> dict[str, Judged]:
    programs = np.unique(piece.notes.program)
    mean_pitch = [piece.notes.pitch[piece.notes.program == program].mean() for program in programs]
    melody = int(programs[np.argmax(mean_pitch)])
    voices = tuple(instrument_name(int(program)) for program in programs if program != melody)
    config = SampleConfig(particles=particles, melody=(instrument_name(melody),), instruments=voices)

    def judge(candidate: Piece) -> Judged:
        steps = codec.encode(candidate)
        new, theirs = (_chosen(one, one.notes.program != melody) for one in (candidate, piece))
        return Judged(_agreement(new, theirs, 0, piece.end_tick), _mean_nats(run, steps, 0, piece.end_tick))

    def judged(*, is_compared: bool) -> list[Judged]:
        attempts = harmony_attempts(
            run.model, run.params, codec, config, piece, seed=config.seed, is_compared=is_compared
        )
        attempts.sort(key=lambda one: -one.log_likelihood)
        return [judge(codec.decode(one.steps)) for one in attempts]

    compared, alone = judged(is_compared=True), judged(is_compared=False)
    replaced = _merged(
        _chosen(piece, piece.notes.program == melody),
        _chosen(other, (other.notes.program != melody) & (other.notes.onset + other.notes.duration <= piece.end_tick)),
    )
    return {
        "compared on the way, the likeliest": compared[0],
        "compared on the way, any": Judged(*np.mean(compared, axis=0).tolist()),
        "each alone, the likeliest": alone[0],
        "each alone, any": Judged(*np.mean(alone, axis=0).tolist()),
        "another piece's voices": judge(replaced),
        "the composer's": judge(piece),
    }


def _agreement(one: Piece, other: Piece, start: int, end: int) -> float:
    """Returns F1 of the pitch classes that sound in each eighth note from `start` to `end`."""
    a, b = (_pitch_classes(piece, start, end) for piece in (one, other))
    return 2 * int((a & b).sum()) / max(int(a.sum() + b.sum()), 1)


def _pitch_classes(piece: Piece, start: int, end: int) -> Bool[np.ndarray, "t 12"]:
    sounds = np.zeros((-(-(end - start) // _EIGHTH), 12), bool)
    notes = piece.notes
    for onset, duration, pitch in zip(notes.onset.tolist(), notes.duration.tolist(), notes.pitch.tolist(), strict=True):
        first, last = max(onset, start), min(onset + duration, end)
        if first < last:
            sounds[(first - start) // _EIGHTH : -(-(last - start) // _EIGHTH), pitch % 12] = True
    return sounds


def _mean_nats(run: LoadedRun, steps: Int[np.ndarray, "n f"], start: int, end: int) -> float:
    """Returns the mean nats of the rows that stand from one time to another, all before them being known."""
    rows = steps.astype(np.int32)
    padded = np.zeros((1, -(-len(rows) // _PADDED) * _PADDED + 1, rows.shape[1]), np.int32)
    padded[0, : len(rows)] = rows
    inputs, targets = jnp.asarray(padded[:, :-1]), jnp.asarray(padded[:, 1:])
    is_start = jnp.zeros(inputs.shape[:2], bool)
    logits, _ = run.model.apply({"params": run.params}, inputs, targets, is_start, initial_carry(run.config.model, 1))
    nats = np.asarray(nll(logits, targets).sum(-1))[0, : len(rows) - 1]
    time = np.cumsum(rows[:, 0] + np.where(rows[:, 1] == REST, DURATIONS[rows[:, 3]], 0))[1:]
    return float(nats[(time >= start) & (time < end)].mean())


def _with_bars_of(piece: Piece, other: Piece, start: int, end: int) -> Piece:
    """Returns the piece with what another one has at the same time."""
    outside = (piece.notes.onset < start) | (piece.notes.onset >= end)
    last = other.notes.onset + other.notes.duration
    return _merged(_chosen(piece, outside), _chosen(other, (other.notes.onset >= start) & (last <= end)))


def _merged(one: Piece, other: Piece) -> Piece:
    """Returns the notes of both, without those that would begin while the same note sounds."""
    notes = Notes(*(np.concatenate(pair) for pair in zip(one.notes, other.notes, strict=True)))
    order = np.lexsort((notes.pitch, notes.program, notes.onset))
    return Piece(Notes(*(column[order] for column in notes)), one.tempos, one.meters, one.ticks_per_quarter)


def _chosen(piece: Piece, which: Bool[np.ndarray, " n"]) -> Piece:
    notes = Notes(*(column[which] for column in piece.notes))
    return Piece(notes, piece.tempos, piece.meters, piece.ticks_per_quarter)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
