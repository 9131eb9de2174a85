"""Are the same pieces in both splits? A look-up table of what followed eight rows in training knows.

Where overlapping windows of one piece are on both sides of a split, as in the paper, it predicts 98 to 99 % of the rows
and has learned nothing.
"""

from typing import Any

import numpy as np
from jaxtyping import Int

from ostinato.data.ngrams import ORDERS
from ostinato.data.records import TFRecordSource
from ostinato.evaluation.likelihood import Predictor, measure_material, score_predictors

SUSPECT = 0.85
"""Share of rows of a piece that it takes. Measured on jsfakes, Nottingham and the chorales of music21, 100 pieces of
each split: of held-out pieces at most 0.80 of the rows from the ninth on were predicted, of training pieces at least
0.87."""

_FIRST_ROW = ORDERS[-1] + 1
_EXAMPLES = 10


def find_leak(look_up: Predictor, source: TFRecordSource, pieces: Int[np.ndarray, " p"]) -> dict[str, Any]:
    """Returns how much of a held-out split stands in the training split.

    Only rows with eight rows before them count: a window that was cut out of a piece begins with a START that the piece
    does not have there.

    Returns:
        accuracy: the share of those rows that the table predicts; null where no piece is long enough.
        pieces, suspect_pieces: how many are long enough, and of how many it predicts at least SUSPECT.
        examples: the ids of some of them.
        warning: a sentence for people; null where nothing is suspect.
    """
    (score,) = score_predictors([look_up], source, pieces, first_row=_FIRST_ROW)
    rows_p = measure_material(source, pieces).rows_p - (_FIRST_ROW - 1)
    is_long = rows_p > 0
    accuracy_p = score.whole_p[is_long] / rows_p[is_long]
    suspect = pieces[is_long][accuracy_p >= SUSPECT]
    accuracy = float(score.whole_p[is_long].sum() / rows_p[is_long].sum()) if is_long.any() else None
    found = {
        "accuracy": accuracy,
        "pieces": int(is_long.sum()),
        "suspect_pieces": len(suspect),
        "examples": [source[number].id for number in suspect[:_EXAMPLES].tolist()],
    }
    return {
        **found,
        "warning": _warning(
            source.split, found, float(accuracy_p[accuracy_p >= SUSPECT].mean()) if len(suspect) else 0.0
        ),
    }


def _warning(split: str, found: dict[str, Any], accuracy_of_suspects: float) -> str | None:
    if not found["suspect_pieces"]:
        return None
    if found["accuracy"] >= SUSPECT:
        what = f"{found['accuracy']:.0%} of the held-out rows ({split} split)"
    else:
        what = (
            f"{accuracy_of_suspects:.0%} of the rows of {found['suspect_pieces']} of {found['pieces']} held-out pieces "
            f"({split} split)"
        )
    return f"the look-up table predicts {what}: are the same pieces in both splits?"
