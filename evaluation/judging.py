"""The classifier two-sample test of each writer of an evaluation, beside real music against itself."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ostinato.configs.schema import MAX_SEED
from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset
from ostinato.evaluation.excerpts import first_notes
from ostinato.evaluation.held_out import choose_pieces, one_of_each_group
from ostinato.evaluation.samples import LONGEST_NOTES, Music, choose_lengths, write_all
from ostinato.evaluation.two_sample import (
    MIN_LEARNED,
    MIN_TESTED,
    NUM_WRITTEN,
    Sides,
    bar_scores,
    excerpt_notes,
    halves,
    two_sample_test,
)
from ostinato.music.piece import Piece
from ostinato.train.checkpoint import LoadedRun
from ostinato.train.judge.training import TrainedJudge

logger = logging.getLogger(__name__)

BARS_SHOWN = 3
"""Pieces of each writer of which each bar is judged for the report."""

_MAX_READ = 512
"""Training pieces that are read, evenly spread, to choose from."""


class Judged(NamedTuple):
    """What the judges found."""

    figures: dict[str, Any] | None
    """Ready for JSON."""
    judge: TrainedJudge | None
    """The first writer's."""


def judge_writers(
    dataset: Dataset,
    music: Music,
    runs: Sequence[tuple[str, LoadedRun]],
    *,
    counts: Callable[[], NgramCounts],
) -> Judged:
    """Returns what a judge makes of each writer's pieces and of real music; None without new pieces.

    The pieces of `music` are what it is tested on; others, with the next seed, are written to teach it.

    `control` is real music against itself: unrelated training pieces in two halves to learn from, held-out ones
    likewise. `bars` are the scores of the first pieces of a writer by bar (of `held_out` by the judge of the first
    writer): above 0 the bar gave the piece away.
    """
    request = music.request
    if request is None or not music.written:
        return Judged(None, None)
    source, ids = dataset.source("train"), music.held_out.ids
    records = [source[number] for number in choose_pieces(len(source), _MAX_READ).tolist()]
    chosen = one_of_each_group(dataset, [record.id for record in records])
    real = _cut([dataset.codec.decode(records[number].steps) for number in chosen])
    held_out = _cut([music.held_out.pieces[number] for number in one_of_each_group(dataset, ids)])
    length, seed = excerpt_notes(held_out), request.seed
    found: dict[str, Any] = {"excerpt_notes": length, "control": None, "writers": [], "held_out": {}, "notices": []}
    few = f"fewer than {MIN_LEARNED} pieces to learn from or {MIN_TESTED} to be judged"
    if not length or len(real) < MIN_LEARNED or len(held_out) < MIN_TESTED:
        found["notices"].append(f"no classifier two-sample test: real pieces are too short, or {few}")
        return Judged(found, None)
    num_notes = choose_lengths([piece.num_notes for piece in held_out], NUM_WRITTEN, seed)
    logger.info("%d pieces more by each model, for the judge to learn from", NUM_WRITTEN)
    others = request._replace(num_notes=num_notes, seed=(seed + 1) % (MAX_SEED + 1))
    learned = dict(write_all(runs, dataset, others, counts=counts))
    logger.info("the judge listens: real music against itself, then %d models", len(music.written))
    if control := two_sample_test(halves(real, seed), halves(held_out, seed), length, seed=seed):
        found["control"] = control.figures
    first = None
    for name, pieces in music.written:
        test = two_sample_test(Sides(real, learned[name]), Sides(held_out, pieces), length, seed=seed)
        if test is None:
            found["notices"].append(f"no classifier two-sample test of {name}: in the meters of real pieces, {few}")
            continue
        bars = [_rounded(bar_scores(test.judge, piece)) for piece in pieces[:BARS_SHOWN]]
        found["writers"].append({"name": name, **test.figures, "bars": bars})
        if first is None:
            first = test.judge
            scores = (_rounded(bar_scores(test.judge, piece)) for piece in music.held_out.pieces)
            found["held_out"] = dict(zip(ids, scores, strict=True))
    return Judged(found, first)


def _cut(pieces: Sequence[Piece]) -> list[Piece]:
    return [first_notes(piece, LONGEST_NOTES) for piece in pieces]


def _rounded(scores: np.ndarray) -> list[float]:
    return np.round(scores.astype(float), 3).tolist()
