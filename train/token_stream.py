"""The pieces of one epoch in their random order, end to end, in 8 bytes a piece. p pieces, s blocks of them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int8, Int32, Int64, Integer

from ostinato.configs.schema import DataConfig
from ostinato.train.augmentation import draw_changes

_BLOCK = 64
"""Only of each so manieth piece it is kept where it begins; from there on lengths are added up."""


class Part(NamedTuple):
    """Some rows of a piece."""

    slot: int
    """The place of the piece in the stream."""
    begin: int
    length: int


class TokenStream(NamedTuple):
    """A circle of `num_steps` steps."""

    pieces: Int32[np.ndarray, " p"]
    """Their numbers, in the order of the stream."""
    changes: Int8[np.ndarray, "p 4"]
    """The fields of a Change, in the same order."""
    block_begins: Int64[np.ndarray, " s"]
    """The step at which each block of pieces begins."""
    lengths: Integer[np.ndarray, " p"]
    """Steps in each piece, by its number; shared by all epochs."""
    num_steps: int
    offset: int
    """Where reading begins."""

    def parts(self, position: int, length: int) -> Iterator[Part]:
        """Yields the parts of pieces that make `length` steps from a position on."""
        position %= self.num_steps
        block = int(np.searchsorted(self.block_begins, position, side="right")) - 1
        while length > 0:
            first = block * _BLOCK
            pieces = self.pieces[first : first + _BLOCK]
            ends = int(self.block_begins[block]) + np.cumsum(self.lengths[pieces], dtype=np.int64)
            for place in range(int(np.searchsorted(ends, position, side="right")), len(pieces)):
                end, whole = int(ends[place]), int(self.lengths[pieces[place]])
                count = min(length, end - position)
                if not count:  # an empty piece
                    continue
                yield Part(first + place, position - end + whole, count)
                length, position = length - count, position + count
                if not length:
                    return
            block = (block + 1) % len(self.block_begins)
            position %= self.num_steps


def make_stream(
    lengths: Integer[np.ndarray, " p"], config: DataConfig, *, seed: tuple[int, int], tell_keys: bool
) -> TokenStream:
    """Returns the stream of an epoch.

    Args:
        lengths: steps in each piece, by its number.
        config: by how much pieces are changed.
        seed: of the run, and the number of the epoch.
        tell_keys: half of the pieces tell their key.
    """
    rng = np.random.default_rng(seed)
    order = np.arange(len(lengths), dtype=np.int32)
    rng.shuffle(order)
    blocks = np.add.reduceat(lengths[order], np.arange(0, len(order), _BLOCK), dtype=np.int64)
    ends = np.cumsum(blocks)
    num_steps = int(ends[-1])
    return TokenStream(
        pieces=order,
        block_begins=ends - blocks,
        lengths=lengths,
        num_steps=num_steps,
        offset=int(rng.integers(num_steps)),
        changes=draw_changes(rng, config, len(order), tell_keys=tell_keys),
    )
