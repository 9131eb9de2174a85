"""Which of several candidates is best: the likeliest, or the one most like the music that the model learned from."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Shaped

from ostinato.configs.errors import UserError
from ostinato.data.statistics import Statistics
from ostinato.music.codec import Codec
from ostinato.music.piece import Piece
from ostinato.sample.finished import new_notes
from ostinato.sample.generate import Generated
from ostinato.train.judge.excerpts import hear
from ostinato.train.judge.file import read_judge
from ostinato.train.judge.training import TrainedJudge
from ostinato.train.loaded_run import LoadedRun
from ostinato.train.music_heard import music_heard

COMPARED = ("pitch", "velocity", "note_lengths", "polyphony_ms", "program_notes")
"""Distributions of `Statistics` of which each weighs the same."""


def make_score(
    run: LoadedRun, by: Literal["likelihood", "statistics", "judge"], judge: Path | None = None
) -> Callable[[Generated], float]:
    """Returns the function by which candidates are compared: more is better.

    Args:
        run: the trained model.
        by: what is compared.
        judge: the file of the judge, if it is compared by that.

    Raises:
        UserError: there is no judge, or its file cannot be read; or the statistics of what the model was trained on are
            not known.
    """
    if by == "likelihood":
        return lambda candidate: candidate.log_likelihood
    if by == "judge":
        if judge is None:
            raise UserError("--best-by judge needs --judge, a judge.safetensors that 'ostinato evaluate' wrote")
        trained = read_judge(judge)
        return lambda candidate: _realness(trained, new_music(candidate, run.codec))
    corpus = music_heard(run.description)
    if corpus is None:
        raise UserError(
            "what the model was trained on is not known: its run is of an earlier version, or its dataset had no "
            "statistics, and the dataset is not where it was; use --best-by likelihood"
        )

    return lambda candidate: -distance(Statistics.from_piece(new_music(candidate, run.codec)), corpus)


def _realness(judge: TrainedJudge, piece: Piece) -> float:
    """Returns how far a judge takes a piece for real, by its mean score for a note; -inf where there is none."""
    return -float(judge.note_scores(hear(piece)).mean()) if piece.num_notes else -math.inf


def new_music(candidate: Generated, codec: Codec) -> Piece:
    """Returns what was written after the primer, or all where that is nothing."""
    piece = codec.decode(candidate.steps)
    new = new_notes(piece, candidate, codec)
    return new if new.num_notes else piece


def distance(one: Statistics, other: Statistics) -> float:
    """Returns the mean Jensen-Shannon divergence of the distributions in COMPARED, 0 to log 2 nats."""
    return float(np.mean([_divergence(getattr(one, name), getattr(other, name)) for name in COMPARED]))


def _divergence(one: Shaped[np.ndarray, " v"], other: Shaped[np.ndarray, " v"]) -> float:
    p, q = (counts / max(counts.sum(), 1) for counts in (one, other))
    middle = (p + q) / 2
    return sum(
        float((part * np.log(np.where(part > 0, part, 1) / np.where(part > 0, middle, 1))).sum()) / 2 for part in (p, q)
    )
