"""Batches whose rows come from several datasets, each in an order of its own."""

import dataclasses
from collections.abc import Sequence
from itertools import accumulate

import jax
import numpy as np

from ostinato.configs.schema import DataConfig
from ostinato.data.mixture import Mixture
from ostinato.data.records import TFRecordSource
from ostinato.train.batch import Batch
from ostinato.train.data import TrainingBatches, training_batches


def mixed_batches(
    mixture: Mixture,
    sources: Sequence[TFRecordSource],
    config: DataConfig,
    *,
    seed: int,
    rows: slice,
    copy: bool = False,
    tell_keys: bool = False,
) -> TrainingBatches:
    """Returns the training batches of a mixture, or of one dataset; see `data.training_batches`.

    The rows of each part are together, in the order of the parts, so that each row goes on in its own music.
    """
    told = {"copy": copy, "tell_keys": tell_keys}
    if len(mixture.parts) == 1:
        return training_batches(sources[0], config, seed=seed, rows=rows, **told)
    wanted, counts = range(config.batch_size)[rows], mixture.rows(config.batch_size)
    parts = []
    for source, count, begin in zip(sources, counts, accumulate(counts, initial=0), strict=False):
        ours = slice(*(min(max(row - begin, 0), count) for row in (wanted.start, wanted.stop)))
        alone = dataclasses.replace(config, batch_size=count, old_share=0.0)
        parts.append(training_batches(source, alone, seed=seed, rows=ours, **told))
    return MixedBatches(parts, [len(source) for source in sources])


class MixedBatches:
    """Batches of several datasets, row upon row."""

    def __init__(self, parts: Sequence[TrainingBatches], num_pieces: Sequence[int]) -> None:
        """Takes the batches of each, and how many pieces it has: their numbers follow those of the dataset before."""
        self._parts = parts
        self._first_pieces = list(accumulate(num_pieces, initial=0))
        self.steps_per_epoch = parts[0].steps_per_epoch

    def __getitem__(self, k: int) -> Batch:
        return jax.tree.map(lambda *rows: np.concatenate(rows), *(part[k] for part in self._parts))

    def pieces(self, k: int) -> list[int]:
        """Returns the numbers of the pieces in batch k, dataset after dataset."""
        firsts = zip(self._parts, self._first_pieces, strict=False)
        return [first + number for part, first in firsts for number in part.pieces(k)]


def piece_id(sources: Sequence[TFRecordSource], number: int) -> str:
    """Returns the id of a piece by the number that `MixedBatches.pieces` gives it."""
    for source in sources:
        if number < len(source):
            return source[number].id
        number -= len(source)
    raise IndexError(f"piece {number} after the last one")
