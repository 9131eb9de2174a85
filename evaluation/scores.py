"""What every predictor is measured by: the same sums over the same rows, by piece, and the figures made of them.

Letters: p pieces, f fields, c columns of sums, r resamples (or nothing, for the figures themselves).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ostinato.evaluation.bootstrap import interval, resampled_sums


class Material(NamedTuple):
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
    whole_p: Float[np.ndarray, " p"]
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


def score_as_json(score: PieceScores, material: Material, field_names: Sequence[str]) -> dict[str, Any]:
    """Returns all figures of a predictor on a split with their confidence intervals, whole and by style.

    An interval [low, high] stands beside each figure under its name and `_interval`; it is null where there are fewer
    than two pieces, which say nothing about others.
    """
    styles = sorted(set(material.styles))
    document = {"name": score.name, **_described(score, material, field_names)}
    if len(styles) > 1:
        document["styles"] = {
            style: _described(
                *_only(score, material, np.array([other == style for other in material.styles])), field_names
            )
            for style in styles
        }
    return document


def compare(ours: PieceScores, other: PieceScores, material: Material) -> dict[str, Any]:
    """Returns by how much the first predictor needs fewer nats than the other, on the same pieces, with intervals.

    `share_less` is 0.15 where it needs 15 % less. The bootstrap is paired: both are summed over the same resamples.
    """
    sums_pc = np.stack([ours.nats_p, other.nats_p, material.notes_p], 1)

    def figures(sums: np.ndarray) -> dict[str, Any]:
        a, b, notes = np.moveaxis(sums, -1, 0)
        return {"nats_per_note_less": (b - a) / notes, "share_less": 1 - a / b}

    resampled = figures(resampled_sums(sums_pc)) if len(sums_pc) > 1 else None
    return {"model": ours.name, "against": other.name, **_beside(figures(sums_pc.sum(0)), resampled)}


def _described(score: PieceScores, material: Material, field_names: Sequence[str]) -> dict[str, Any]:
    columns = [
        score.nats_p,
        score.whole_p,
        *material[1:],
        *score.nats_pf.T,
        *score.top1_pf.T,
        *score.top5_pf.T,
    ]
    sums_pc = np.stack(columns, 1).astype(float)
    num_fields = len(field_names)
    total = sums_pc.sum(0)

    def figures(sums: np.ndarray) -> dict[str, Any]:
        nats, whole, rows, notes, seconds, beats = np.moveaxis(sums[..., :6], -1, 0)
        return {
            "nats_per_note": nats / notes,
            "perplexity": _perplexity(nats / notes),
            "accuracy": whole / rows,
            "nats_per_row": nats / rows,
            "bits_per_second": nats / np.log(2) / seconds,
            "bits_per_beat": nats / np.log(2) / beats,
        }

    def figures_of_field(sums: np.ndarray, field: int) -> dict[str, Any]:
        nats, top1, top5 = (sums[..., 6 + number * num_fields + field] for number in range(3))
        rows, notes = sums[..., 2], sums[..., 3]
        return {
            "nats_per_note": nats / notes,
            "nats_per_row": nats / rows,
            "perplexity": _perplexity(nats / rows),
            "accuracy": top1 / rows,
            "top5_accuracy": top5 / rows,
        }

    resamples_rc = resampled_sums(sums_pc) if len(sums_pc) > 1 else None
    return {
        **_beside(figures(total), None if resamples_rc is None else figures(resamples_rc)),
        "pieces": len(sums_pc),
        "rows": int(total[2]),
        "notes": int(total[3]),
        "seconds": float(total[4]),
        "beats": float(total[5]),
        "fields": {
            name: _beside(
                figures_of_field(total, field), None if resamples_rc is None else figures_of_field(resamples_rc, field)
            )
            for field, name in enumerate(field_names)
        },
    }


def _beside(figures: Mapping[str, Any], resampled: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns each figure with its interval after it."""
    document: dict[str, Any] = {}
    for name, value in figures.items():
        document[name] = float(value)
        document[f"{name}_interval"] = None if resampled is None else list(interval(resampled[name]))
    return document


def _perplexity(nats: Any) -> Any:
    return np.exp(np.minimum(nats, 700.0))  # exp(710) is no longer a float64


def _only(score: PieceScores, material: Material, chosen: Bool[np.ndarray, " p"]) -> tuple[PieceScores, Material]:
    """Returns score and material of some of the pieces."""
    styles = [style for style, is_chosen in zip(material.styles, chosen, strict=True) if is_chosen]
    return (
        PieceScores(score.name, *(column[chosen] for column in score[1:])),
        Material(styles, *(column[chosen] for column in material[1:])),
    )
