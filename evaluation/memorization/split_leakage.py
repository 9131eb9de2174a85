"""Are the same pieces in both splits? The longest-match baseline knows what followed eight rows in training.

Where overlapping windows of one piece are on both sides of a split, as in the paper, it predicts 98 to 99 % of the rows
and has learned nothing.
"""

from typing import Any

import numpy as np
from jaxtyping import Int

from ostinato.data.ngrams import ORDERS
from ostinato.data.records import TFRecordSource
from ostinato.evaluation.likelihood import Predictor, score_predictors
from ostinato.evaluation.scores import SplitStats

SUSPECT = 0.85
"""Share of rows of a piece that it takes. Measured on jsfakes, Nottingham and the chorales of music21, 100 pieces of
each split: of held-out pieces at most 0.80 of the rows from the ninth on were predicted, of training pieces at least
0.87."""

_FIRST_ROW = ORDERS[-1] + 1
_EXAMPLES = 10


def find_leakage(
    longest_match: Predictor, source: TFRecordSource, pieces: Int[np.ndarray, " p"], stats: SplitStats
) -> dict[str, Any]:
    """Returns how much of some pieces of a held-out split, with these statistics, stands in the training split.

    Only rows with eight rows before them count: a window that was cut out of a piece begins with a START that the piece
    does not have there.

    Returns:
        accuracy: the share of those rows that the baseline predicts; null where no piece is long enough.
        pieces, suspect_pieces: how many are long enough, and of how many it predicts at least SUSPECT.
        examples: the ids of some of them.
        warning: a sentence for people; null where nothing is suspect.
    """
    (score,) = score_predictors([longest_match], source, pieces, first_row=_FIRST_ROW)
    rows_p = stats.rows_p - (_FIRST_ROW - 1)
    is_long = rows_p > 0
    hits_p, rows_p = score.exact_match_p[is_long], rows_p[is_long]
    is_suspect = hits_p / rows_p >= SUSPECT
    accuracy, num_suspects = float(hits_p.sum() / rows_p.sum()) if len(rows_p) else None, int(is_suspect.sum())
    warning = None
    if accuracy is not None and num_suspects:
        what = f"{accuracy:.0%} of the held-out rows"
        if accuracy < SUSPECT:
            of_suspects = float((hits_p / rows_p)[is_suspect].mean())
            what = f"{of_suspects:.0%} of the rows of {num_suspects} of {len(rows_p)} held-out pieces"
        warning = (
            f"the longest-match baseline predicts {what} ({source.split} split): are the same pieces in both splits?"
        )
    return {
        "accuracy": accuracy,
        "pieces": len(rows_p),
        "suspect_pieces": num_suspects,
        "examples": [source[number].id for number in pieces[is_long][is_suspect][:_EXAMPLES].tolist()],
        "warning": warning,
    }
