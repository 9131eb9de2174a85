"""Classifier two-sample test: can a judge that has learned from both tell new pieces from real ones?

Real pieces that are in the training split, and as many new ones, teach a small network (`train/judge/`); pieces that it
has not heard, held-out ones and fresh ones, say how often it is right. A half is chance: it has found no difference.
`train/judge/excerpts.py` says what it cannot hear. Beside that its pieces are balanced: as many real as written ones,
in the same meters, of the lengths of held-out pieces, one of each group of related real ones.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import binom, binomtest

from ostinato.evaluation.bootstrap import LEVEL
from ostinato.music.piece import Piece
from ostinato.train.judge.excerpts import Heard, choose_num_notes, excerpt, hear, starts
from ostinato.train.judge.training import TrainedJudge, train_judge

EXCERPT_NOTES = (64, 32, 16)
"""The longest of these that three quarters of the real pieces have is what the judge hears at a time."""

MAX_LEARNED = 128
"""So many pieces of each side teach the judge."""

NUM_WRITTEN = 160
"""So many are written to learn from: a few may be too short, or in a meter of which there are no more real pieces."""

MIN_LEARNED, MIN_TESTED = 16, 4
EXCERPTS = 4
"""Of a piece that is judged at most so many are heard, evenly spread; the mean of their scores decides."""


class Sides(NamedTuple):
    """Real and written pieces."""

    real: Sequence[Piece]
    written: Sequence[Piece]


class Found(NamedTuple):
    """What a test found, and the judge that it taught."""

    figures: dict[str, Any]
    """Ready for JSON."""
    judge: TrainedJudge


def two_sample_test(learned: Sides, tested: Sides, num_notes: int, *, seed: int) -> Found | None:
    """Returns how often a judge that learned from some pieces is right about others; None where they are too few.

    The statistic is the accuracy t = 1/n sum_i [f(z_i) > 1/2 is l_i] on n held-out pieces z with labels l; without a
    difference n t is binomial with p = 1/2, and about normal with mean 1/2 and variance 1/(4 n) (Lopez-Paz and Oquab
    2017, Revisiting Classifier Two-Sample Tests, section 3). `p_value` is one-sided and exact; `accuracy_interval` is
    Wilson's (1927), by piece.

    Args:
        learned: that it learns from.
        tested: that it has not heard.
        num_notes: of an excerpt.
        seed: of the choice of pieces and of the judge.
    """
    rng = np.random.default_rng(seed)
    real, written = _balanced(learned, num_notes, rng, at_most=MAX_LEARNED)
    others = _balanced(tested, num_notes, rng)
    if len(real) < MIN_LEARNED or len(others[0]) < MIN_TESTED:
        return None
    judge = train_judge(real, written, num_notes, seed=seed)
    real_right, written_right = (
        int(sum((judge_piece(judge, heard) > 0) == is_written for heard in side))
        for side, is_written in zip(others, (False, True), strict=True)
    )
    each, hits = len(others[0]), real_right + written_right
    bounds = binomtest(hits, 2 * each).proportion_ci(LEVEL, method="wilson")
    figures = {
        "accuracy": hits / (2 * each),
        "accuracy_interval": [float(bounds.low), float(bounds.high)],
        "p_value": float(binom.sf(hits - 1, 2 * each, 0.5)),
        "real_right": real_right / each,
        "written_right": written_right / each,
        "learned": len(real),
        "tested": each,
    }
    return Found(figures, judge)


def halves(pieces: Sequence[Piece], seed: int) -> Sides:
    """Returns two halves of pieces, of which no two are related: the control, in which there is nothing to find."""
    order = np.random.default_rng(seed).permutation(len(pieces)).tolist()
    middle = len(order) // 2
    return Sides([pieces[number] for number in order[:middle]], [pieces[number] for number in order[middle:]])


def excerpt_notes(real: Sequence[Piece]) -> int:
    """Returns how many notes the judge hears at a time; 0 where real pieces are too short for any."""
    return choose_num_notes([hear(piece) for piece in real], EXCERPT_NOTES)


def judge_piece(judge: TrainedJudge, heard: Heard) -> float:
    """Returns what the judge says of a piece that has an excerpt; above 0: it was written by a machine."""
    begins = starts(heard, judge.num_notes)
    chosen = begins[np.unique(np.linspace(0, len(begins) - 1, EXCERPTS).round().astype(int))]
    return float(judge.scores(np.stack([excerpt(heard, begin, judge.num_notes) for begin in chosen.tolist()])).mean())


def bar_scores(judge: TrainedJudge, piece: Piece) -> Float[np.ndarray, " m"]:
    """Returns the mean score of the notes that begin in each bar, 0 where none does; nothing for pieces too short.

    The bars above 0 are what gave the piece away: what the judge says of an excerpt is the mean over its notes.
    """
    heard = hear(piece)
    if heard.num_notes < judge.num_notes:
        return np.zeros(0)
    return np.bincount(heard.bar, weights=judge.note_scores(heard)) / np.maximum(np.bincount(heard.bar), 1)


def _balanced(
    sides: Sides, num_notes: int, rng: np.random.Generator, *, at_most: int | None = None
) -> tuple[list[Heard], list[Heard]]:
    """Returns as many pieces of one side as of the other in each meter, of those that have an excerpt."""
    real, written = ([heard for piece in pieces if len(starts(heard := hear(piece), num_notes))] for pieces in sides)
    wanted = Counter(heard.meter for heard in real) & Counter(heard.meter for heard in written)
    pairs = []
    for meter, count in wanted.items():
        chosen = [
            [alike[number] for number in rng.permutation(len(alike))[:count].tolist()]
            for alike in ([heard for heard in side if heard.meter == meter] for side in (real, written))
        ]
        pairs += zip(*chosen, strict=True)
    pairs = [pairs[number] for number in rng.permutation(len(pairs))[:at_most].tolist()]
    return [one for one, _ in pairs], [other for _, other in pairs]
