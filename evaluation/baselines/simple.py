"""What every model is put beside: predictors that know nothing, or only count."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ostinato.data.ngram_files import NgramCounts
from ostinato.data.ngrams import UNIGRAM, Tape
from ostinato.evaluation.baselines.markov import NgramModel
from ostinato.evaluation.likelihood import Predictor
from ostinato.music.codec import Codec

LONGEST_MATCH = "look-up"
"""The longest-match baseline, by the name that it has in report.json."""
STRONGEST = "markov:4"
MARKOV = ("markov:1", "markov:2", "markov:3", "markov:4")

_ORDERS = {
    "unigram": (0, UNIGRAM),
    "markov:1": (1, 0, UNIGRAM),
    "markov:2": (2, 1, 0, UNIGRAM),
    "markov:3": (3, 2, 1, 0, UNIGRAM),
    "markov:4": (4, 3, 2, 1, 0, UNIGRAM),
    LONGEST_MATCH: (8, 4, 2, 1, 0, UNIGRAM),
}


class Uniform:
    """Knows nothing but the number of values of each field."""

    name = "uniform"

    def __init__(self, codec: Codec) -> None:
        self._sizes = [field.size for field in codec.fields]

    def probabilities(self, tape: Tape, field: int) -> Float[np.ndarray, "n v"]:
        """Returns the same for every value of every row."""
        return np.full((len(tape.rows), self._sizes[field]), 1.0 / self._sizes[field])


def make_baseline(name: str, counts: NgramCounts, codec: Codec) -> NgramModel:
    """Returns unigram, markov:1 to markov:4 or the longest-match baseline.

    Chains are smoothed by modified Kneser-Ney (Chen & Goodman 1998), which on validation music here needed 0.1 to 11 %
    fewer nats than Witten-Bell. The longest-match baseline has contexts up to eight rows and mixes as Witten-Bell does,
    which trusts what it has seen: it is there to notice what it should not have seen.
    """
    smoothing = "witten-bell" if name == LONGEST_MATCH else "kneser-ney"
    return NgramModel(name, counts, codec, _ORDERS[name], smoothing)


def make_baselines(counts: NgramCounts, codec: Codec) -> Sequence[Predictor]:
    """Returns all of them, the simplest first."""
    return [Uniform(codec), *(make_baseline(name, counts, codec) for name in _ORDERS)]
