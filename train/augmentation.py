"""How a training piece is changed each time it is read: in pitch, tempo and loudness. n pieces or rows, f fields."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int8, Integer

from ostinato.configs.schema import DataConfig
from ostinato.music.codec import Codec


class Change(NamedTuple):
    """What is done to a piece."""

    semitones: int = 0
    """How much higher; drums stay."""
    tempo_percent: int = 0
    """Per cent faster."""
    velocity: int = 0
    """Steps of MIDI velocity louder."""
    tells_key: int = 0
    """1 where the network is told the key, and the first row does not say the transposition."""


NO_CHANGE = Change()

_BLOCK = 1 << 16
"""So many numbers are drawn at a time; each takes eight times the memory that is kept of it."""


def draw_changes(
    rng: np.random.Generator, config: DataConfig, count: int, *, tell_keys: bool = False
) -> Int8[np.ndarray, "n 4"]:
    """Returns the fields of a Change for each of `count` pieces, all within the configuration's limits equally likely.

    What was added to the configuration later is drawn later: where it is 0, earlier runs resume with the same batches.
    With `tell_keys` half of the pieces tell their key, so that the network can do with and without.
    """
    limits = config.max_transpose, config.max_tempo_change, config.max_velocity_change
    ranges = [*((-limit, limit + 1) for limit in limits), (0, 2 if tell_keys else 1)]
    changes = np.empty((count, len(ranges)), np.int8)
    for column, (lowest, end) in zip(changes.T, ranges, strict=True):
        for begin in range(0, count, _BLOCK):
            part = column[begin : begin + _BLOCK]
            part[:] = rng.integers(lowest, end, len(part))
    return changes


def largest_change(config: DataConfig) -> Change:
    """Returns the limits of the configuration."""
    return Change(config.max_transpose, config.max_tempo_change, config.max_velocity_change)


def changed(
    codec: Codec, steps: Integer[np.ndarray, "n f"], change: Change, *, mark_transposed: bool = False
) -> Integer[np.ndarray, "n f"]:
    """Returns the steps of a piece after a change; there are as many as before, so the order of the data stays.

    Args:
        codec: says the steps.
        steps: a whole piece.
        change: what is done to it.
        mark_transposed: the first row says by how much the piece was transposed, unless its key is told.

    Raises:
        UserError: the codec cannot say such a change.
    """
    transposed = codec.transform("transpose", steps, change.semitones)
    if mark_transposed and not change.tells_key and transposed is not steps:  # it stays at the ends of the range
        transposed = codec.mark_transposed(transposed, change.semitones)
    steps = codec.transform("tempo", transposed, change.tempo_percent)
    return codec.transform("velocity", steps, change.velocity)


def mishear(
    rng: np.random.Generator, codec: Codec, steps: Integer[np.ndarray, "n f"], rate: float
) -> tuple[Integer[np.ndarray, "n f"], Bool[np.ndarray, " n"]]:
    """Returns the steps with a share of the notes one to five semitones away, and which rows these are."""
    pitch = [field.name for field in codec.fields].index("pitch")
    misheard = (codec.count_notes(steps) > 0) & (rng.random(len(steps)) < rate)
    interval = rng.integers(1, 6, len(steps)) * rng.choice([-1, 1], len(steps))
    heard = np.array(steps)
    heard[misheard, pitch] = np.clip(steps[misheard, pitch].astype(np.int64) + interval[misheard], 0, 127)
    return heard, misheard


def with_key(
    heard: Integer[np.ndarray, "n f"], key_values: Int[np.ndarray, " n"] | int
) -> Integer[np.ndarray, "n f+1"]:
    """Returns rows as a network hears them that is told the key: in one more column, 0 where there is none."""
    return np.insert(heard, heard.shape[1], key_values, axis=1)
