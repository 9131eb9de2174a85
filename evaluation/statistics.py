"""Musical statistics of generated against real pieces, each beside real against real. n pieces, d scalars.

What 0.87 means depends on the music and on how many pieces there are: two halves of the same corpus do not overlap
wholly either. So real pieces are split in two at random, many times over. One half is the reference; the other half
and as many generated pieces are measured against it, by the same function, at the same sizes.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from ostinato.configs.errors import UserError
from ostinato.evaluation.diversity import compare_diversity
from ostinato.evaluation.excerpts import cut_alike, median_notes
from ostinato.evaluation.metrics.distances import Distance, between_classes, between_values, frechet
from ostinato.evaluation.metrics.features import describe
from ostinato.evaluation.metrics.form import NAMES as OF_FORM
from ostinato.music.piece import Piece

NUM_SPLITS = 20
MIN_PIECES = 4
"""Half of them have a distance from one another."""

MAX_DEVIATIONS = 3


class _Split(NamedTuple):
    """Rows of the table of all pieces, generated ones first."""

    generated: Int[np.ndarray, " k"]
    control: Int[np.ndarray, " k"]
    reference: Int[np.ndarray, " h"]


def compare_statistics(
    generated: Sequence[Piece], real: Sequence[Piece], *, num_splits: int = NUM_SPLITS, seed: int = 0
) -> dict[str, Any]:
    """Returns every musical figure of generated and real pieces, and how far apart they are, ready for JSON.

    `features` has for each figure the mean and the deviation of both sets (of a distribution over classes, its
    shares), of a scalar also the `mean_range` in which the means of as many real pieces lie (5 % to 95 % of the
    splits), and four comparisons: `overlap` and `divergence_nats` of the values themselves, `pair_overlap` and
    `pair_divergence_nats` of the distances between generated and real pieces from those among real pieces (Yang and
    Lerch 2020). `frechet` is that of all scalars together, in deviations of the real pieces, cut at three. `diversity`
    is how unlike each other the pieces of each set are.

    Each comparison holds `generated` and `control` (mean over the splits), the `_range` of each (5 % to 95 %), and
    `farther`: the share of splits in which the generated pieces are farther from the reference than the real ones;
    about a half says that nothing was found between them.

    Pieces are cut so that none is longer than the longest of the other set.

    Raises:
        UserError: fewer than four pieces in a set.
    """
    for name, pieces in (("generated", generated), ("real", real)):
        if len(pieces) < MIN_PIECES:
            raise UserError(f"{len(pieces)} {name} pieces cannot be compared; give at least {MIN_PIECES}")
    uncut = {"generated": median_notes(generated), "real": median_notes(real)}
    generated, real = cut_alike(generated, real)
    features = [describe(piece) for piece in [*generated, *real]]
    scalars = {name: np.array([one.scalars[name] for one in features]) for name in features[0].scalars}
    classes = {name: np.stack([one.distributions[name] for one in features]) for name in features[0].distributions}
    splits = list(_splits(len(generated), len(real), num_splits, seed))
    figures = {
        **{name: _compare(column[:, None], len(generated), splits, is_scalar=True) for name, column in scalars.items()},
        **{name: _compare(shares, len(generated), splits, is_scalar=False) for name, shares in classes.items()},
    }
    names, table = _standardized(scalars, len(generated))
    return {
        "pieces": {"generated": len(generated), "real": len(real)},
        "median_notes": uncut,
        "compared_median_notes": {"generated": median_notes(generated), "real": median_notes(real)},
        "splits": num_splits,
        "features": figures,
        "frechet": _compare_all(table, list(scalars), names, splits),
        "diversity": compare_diversity(table, [*generated, *real], len(generated)),
    }


def _splits(num_generated: int, num_real: int, num_splits: int, seed: int) -> Iterator[_Split]:
    rng = np.random.default_rng(seed)
    half = num_real // 2
    size = min(half, num_generated)
    for _ in range(num_splits):
        order = num_generated + rng.permutation(num_real)
        yield _Split(rng.permutation(num_generated)[:size], order[:size], order[half:])


def _compare(
    values_nk: Float[np.ndarray, "n k"], num_generated: int, splits: list[_Split], *, is_scalar: bool
) -> dict[str, Any]:
    """Returns one figure of generated and real pieces, with the four comparisons where enough pieces have a value."""
    known = ~np.isnan(values_nk[:, 0]) if is_scalar else values_nk.sum(1) > 0
    figure: dict[str, Any] = {"kind": "scalar" if is_scalar else "distribution"}
    for name, half in (("generated", slice(num_generated)), ("real", slice(num_generated, None))):
        of_set = values_nk[half][known[half]]
        figure[name] = {"pieces": len(of_set)}
        if is_scalar:
            figure[name] |= {
                "mean": float(of_set.mean()) if len(of_set) else None,
                "deviation": float(of_set.std()) if len(of_set) else None,
            }
        else:
            figure[name]["shares"] = of_set.mean(0).tolist() if len(of_set) else None
    if min(figure["generated"]["pieces"], figure["real"]["pieces"]) < MIN_PIECES:
        return figure
    pairs_nn = cdist(values_nk, values_nk)

    def of_values(rows: np.ndarray, reference: np.ndarray) -> Distance:
        if is_scalar:
            return between_values(values_nk[rows, 0], values_nk[reference, 0])
        return between_classes(values_nk[rows].mean(0), values_nk[reference].mean(0))

    def of_pairs(rows: np.ndarray, reference: np.ndarray) -> Distance:
        within = pairs_nn[np.ix_(reference, reference)][np.triu_indices(len(reference), 1)]
        return between_values(pairs_nn[np.ix_(rows, reference)].reshape(-1), within)

    # Without the pieces that have no value; splits in which too few are left are dropped.
    splits = [_Split(*(rows[known[rows]] for rows in split)) for split in splits]
    splits = [split for split in splits if min(map(len, split)) >= 2]
    if is_scalar and splits:
        means = [values_nk[split.control, 0].mean() for split in splits]
        figure["real"]["mean_range"] = np.quantile(means, [0.05, 0.95]).tolist()
    for prefix, measure in (("", of_values), ("pair_", of_pairs)):
        overlap, divergence = _beside_control(measure, splits, larger_is_farther=(False, True))
        figure |= {f"{prefix}overlap": overlap, f"{prefix}divergence_nats": divergence}
    return figure


def _standardized(scalars: dict[str, np.ndarray], num_generated: int) -> tuple[list[str], Float[np.ndarray, "n d"]]:
    """Returns all scalars, but those of form, that every piece has and that are not all equal: names and a table.

    In deviations of the real pieces, none beyond MAX_DEVIATIONS: a single tune without chords among folk tunes that
    have them lies twenty deviations off, and covariances would speak of nothing else.
    """
    chosen = {
        name: values
        for name, values in scalars.items()
        if name not in OF_FORM and not np.isnan(values).any() and values[num_generated:].std() > 0
    }
    num_pieces = len(next(iter(scalars.values())))
    table = np.stack(list(chosen.values()), 1) if chosen else np.zeros((num_pieces, 0))
    table = (table - table[num_generated:].mean(0)) / table[num_generated:].std(0)
    return list(chosen), np.clip(table, -MAX_DEVIATIONS, MAX_DEVIATIONS)


def _compare_all(
    table: Float[np.ndarray, "n d"], scalars: Sequence[str], chosen: Sequence[str], splits: list[_Split]
) -> dict[str, Any]:
    """Returns the Fréchet distance in a table of the chosen ones of all scalars."""
    result: dict[str, Any] = {"features": list(chosen), "left_out": [name for name in scalars if name not in chosen]}
    if not chosen:
        return result
    (distance,) = _beside_control(
        lambda rows, reference: (frechet(table[rows], table[reference]),), splits, larger_is_farther=(True,)
    )
    return result | (distance or {})


def _beside_control(
    measure: Callable[[np.ndarray, np.ndarray], tuple[float, ...]],
    splits: list[_Split],
    *,
    larger_is_farther: tuple[bool, ...],
) -> list[dict[str, Any] | None]:
    """Returns each figure of `measure` for generated pieces and for real ones; None where no split is left."""
    if not splits:
        return [None] * len(larger_is_farther)
    generated, control = (
        np.array([tuple(measure(rows, split.reference)) for split, rows in zip(splits, chosen, strict=True)]).T
        for chosen in ([split.generated for split in splits], [split.control for split in splits])
    )
    return [
        {
            "generated": float(found.mean()),
            "generated_range": np.quantile(found, [0.05, 0.95]).tolist(),
            "control": float(expected.mean()),
            "control_range": np.quantile(expected, [0.05, 0.95]).tolist(),
            "farther": float((found > expected).mean() if larger else (found < expected).mean()),
        }
        for found, expected, larger in zip(generated, control, larger_is_farther, strict=True)
    ]
