"""What every predictor is measured by: the same sums over the same rows, by piece, and the figures made of them.

Letters: p pieces, f fields, c columns of sums, r resamples (or nothing, for the figures themselves).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ostinato.evaluation.bootstrap import interval, resampled_sums


class SplitStats(NamedTuple):
    """What the pieces of a split hold; START rows are given and not counted, END rows are."""

    styles: Sequence[str]
    """The style of each piece."""
    rows_p: Float[np.ndarray, " p"]
    notes_p: Float[np.ndarray, " p"]
    seconds_p: Float[np.ndarray, " p"]
    """By the piece's own tempos, from its beginning to the end of its last note."""
    beats_p: Float[np.ndarray, " p"]
    """Quarter notes, likewise, whatever the meter is."""


class PieceScores(NamedTuple):
    """How well a predictor knew each piece, each field given the true fields before it in the row."""

    name: str
    nats_pf: Float[np.ndarray, "p f"]
    """Sum of -log p."""
    top1_pf: Float[np.ndarray, "p f"]
    """Rows in which the likeliest value of the field was right; among n equally likely ones, one n-th of it."""
    top5_pf: Float[np.ndarray, "p f"]
    """Rows in which it was among the five likeliest."""
    exact_match_p: Float[np.ndarray, " p"]
    """Rows in which the likeliest value of every field was right."""

    @property
    def nats_p(self) -> Float[np.ndarray, " p"]:
        return self.nats_pf.sum(1)


def expected_hits(num_larger: Any, num_equal: Any, best: int) -> Any:
    """Returns how probable it is that a value is among the `best` likeliest, where equally likely ones are shuffled.

    Args:
        num_larger: how many values are likelier; an array of NumPy or jax.numpy.
        num_equal: how many are as likely, the value itself included.
        best: how many guesses are allowed.
    """
    return ((best - num_larger) / num_equal).clip(0.0, 1.0)


def score_as_json(score: PieceScores, stats: SplitStats, field_names: Sequence[str]) -> dict[str, Any]:
    """Returns all figures of a predictor on a split with their confidence intervals, whole and by style.

    An interval [low, high] stands beside each figure under its name and `_interval`; it is null where there are fewer
    than two pieces, which say nothing about others.
    """
    document = {"name": score.name, **_figures_of(score, stats, field_names)}
    styles = np.array(stats.styles)
    if len(names := sorted(set(stats.styles))) > 1:
        document["styles"] = {
            name: _figures_of(*_only(score, stats, np.flatnonzero(styles == name)), field_names) for name in names
        }
    return document


def compare(ours: PieceScores, other: PieceScores, stats: SplitStats) -> dict[str, Any]:
    """Returns by how much the first predictor needs fewer nats than the other, on the same pieces, with intervals.

    `share_less` is 0.15 where it needs 15 % less. The bootstrap is paired: both are summed over the same resamples.
    """

    def figures(sums: np.ndarray) -> dict[str, Any]:
        a, b, notes = np.moveaxis(sums, -1, 0)
        return {"nats_per_note_less": (b - a) / notes, "share_less": 1 - a / b}

    columns = (ours.nats_p, other.nats_p, stats.notes_p)
    return {"model": ours.name, "against": other.name, **_with_intervals(figures, columns)}


def _figures_of(score: PieceScores, stats: SplitStats, field_names: Sequence[str]) -> dict[str, Any]:
    def figures(sums: np.ndarray) -> dict[str, Any]:
        nats, exact, rows, notes, seconds, beats = np.moveaxis(sums[..., :6], -1, 0)
        of_fields = np.moveaxis(sums[..., 6:].reshape(*sums.shape[:-1], 3, -1), -1, 0)
        return {
            "nats_per_note": nats / notes,
            "perplexity": _perplexity(nats / notes),
            "accuracy": exact / rows,
            "nats_per_row": nats / rows,
            "bits_per_second": nats / np.log(2) / seconds,
            "bits_per_beat": nats / np.log(2) / beats,
            "fields": {
                name: {
                    "nats_per_note": field[..., 0] / notes,
                    "nats_per_row": field[..., 0] / rows,
                    "perplexity": _perplexity(field[..., 0] / rows),
                    "accuracy": field[..., 1] / rows,
                    "top5_accuracy": field[..., 2] / rows,
                }
                for name, field in zip(field_names, of_fields, strict=True)
            },
        }

    columns = (score.nats_p, score.exact_match_p, *stats[1:], *score.nats_pf.T, *score.top1_pf.T, *score.top5_pf.T)
    rows, notes, seconds, beats = np.stack(stats[1:], 1).sum(0).tolist()
    counts = {"pieces": len(stats.styles), "rows": int(rows), "notes": int(notes), "seconds": seconds, "beats": beats}
    return _with_intervals(figures, columns) | counts


def _with_intervals(
    figures: Callable[[np.ndarray], dict[str, Any]], columns_p: Sequence[Float[np.ndarray, " p"]]
) -> dict[str, Any]:
    """Returns the figures that the sums of the columns make, each with its interval over resampled pieces after it."""
    sums_pc = np.stack(columns_p, 1).astype(float)
    resampled = figures(resampled_sums(sums_pc)) if len(sums_pc) > 1 else None
    return _beside(figures(sums_pc.sum(0)), resampled)


def _beside(figures: Mapping[str, Any], resampled: Mapping[str, Any] | None) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in figures.items():
        of_resamples = None if resampled is None else resampled[name]
        if isinstance(value, dict):
            document[name] = _beside(value, of_resamples)
            continue
        document[name] = float(value)
        document[f"{name}_interval"] = None if of_resamples is None else list(interval(of_resamples))
    return document


def _perplexity(nats: Any) -> Any:
    return np.exp(np.minimum(nats, 700.0))  # exp(710) is no longer a float64


def _only(score: PieceScores, stats: SplitStats, chosen: Int[np.ndarray, " c"]) -> tuple[PieceScores, SplitStats]:
    """Returns score and stats of some of the pieces."""
    return (
        PieceScores(score.name, *(column[chosen] for column in score[1:])),
        SplitStats(np.array(stats.styles)[chosen].tolist(), *(column[chosen] for column in stats[1:])),
    )
