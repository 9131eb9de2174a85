"""How much of a piece comes back, near and far: what a network without long memory lacks. b beats (quarter notes).

Repetition alone is easily had: one note repeated for ever comes back all the time. So each figure stands beside the
same figure of the same beats (or notes) in random order; what is above that is due to their order, which is structure.
"""

import lzma

import numpy as np
from jaxtyping import Float, UInt8

from ostinato.evaluation.metrics.harmony import pitch_class_roll
from ostinato.music.piece import Piece, quantize_ticks

SCALES_BEATS = (4, 8, 16, 32)
"""A bar, two, four, eight. Powers of two: each is computed from the one before."""

MAX_BEATS = 512
"""Of a longer piece this much is looked at: time and memory grow with the square."""

_STEPS_PER_BEAT = 4
_NUM_SHUFFLES = 3
_MIN_NOTES = 16
_LZMA = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 0, "lp": 0, "pb": 0, "nice_len": 64, "mf": lzma.MF_BT4}]


def repetition(likeness_bb: Float[np.ndarray, "b b"]) -> dict[int, float]:
    """Returns for each scale how alike a stretch of so many beats and its best match elsewhere in the piece are.

    Args:
        likeness_bb: scalar product of the beats' rolls. The cosine of two stretches follows from its diagonals.

    The mean over all stretches that sound, from 0 to 1; a match does not overlap its stretch. NaN for a scale of which
    the piece holds fewer than two.
    """
    scores, sums, length = {}, likeness_bb, 1
    while length < SCALES_BEATS[-1] and len(sums) > length:
        sums = sums[:-length, :-length] + sums[length:, length:]
        length *= 2
        if length in SCALES_BEATS:
            scores[length] = _best_elsewhere(sums, length)
    return {length: scores.get(length, np.nan) for length in SCALES_BEATS}


def structure(piece: Piece) -> tuple[dict[int, float], dict[int, float]]:
    """Returns the repetition at each scale, and how far it is above that of the beats in random order."""
    roll = pitch_class_roll(piece, _STEPS_PER_BEAT)[: MAX_BEATS * _STEPS_PER_BEAT]
    num_beats = -(-len(roll) // _STEPS_PER_BEAT)
    beats = np.zeros((num_beats, _STEPS_PER_BEAT * 12), np.float32)
    beats.reshape(-1)[: roll.size] = roll.reshape(-1)
    likeness = beats @ beats.T
    found = repetition(likeness)
    rng = np.random.default_rng(0)
    by_chance = []
    for _ in range(_NUM_SHUFFLES):
        order = rng.permutation(num_beats)
        by_chance.append(repetition(likeness[np.ix_(order, order)]))
    above = {length: found[length] - float(np.mean([s[length] for s in by_chance])) for length in SCALES_BEATS}
    return found, above


def compressibility(piece: Piece) -> float:
    """Returns how much smaller LZMA makes the notes than the same notes in random order: 1 - size / that size.

    Each note is three bytes: 24ths of a quarter since the note before, interval, duration. NaN below 16 notes.
    """
    if piece.num_notes < _MIN_NOTES:
        return np.nan
    rows = _note_bytes(piece)
    rng = np.random.default_rng(0)
    shuffled = [_size(rows[rng.permutation(len(rows))]) for _ in range(_NUM_SHUFFLES)]
    return 1 - _size(rows) / float(np.mean(shuffled))


def _best_elsewhere(sums: Float[np.ndarray, "w w"], length: int) -> float:
    """Returns the mean over stretches of the largest cosine with a stretch that does not overlap it."""
    norm = np.sqrt(np.maximum(np.diagonal(sums), 0))
    sounds = norm > 0
    if len(sums) <= length or not sounds.any():
        return np.nan
    inverse = np.where(sounds, 1 / np.where(sounds, norm, 1), 0)
    cosine = sums * inverse[:, None] * inverse
    place = np.arange(len(sums))
    cosine[np.abs(place[:, None] - place) < length] = 0
    # In a short piece the stretches in the middle have no room for another: they say nothing.
    has_room = (place >= length) | (place + length < len(sums))
    counted = sounds & has_room
    return float(np.minimum(cosine.max(1)[counted], 1).mean()) if counted.any() else np.nan


def _note_bytes(piece: Piece) -> UInt8[np.ndarray, "n 3"]:
    onset, duration = (
        quantize_ticks(ticks, piece.ticks_per_quarter, 24) for ticks in (piece.notes.onset, piece.notes.duration)
    )
    columns = [
        np.diff(onset, prepend=onset[0]),
        np.diff(piece.notes.pitch, prepend=piece.notes.pitch[0]) + 128,
        duration,
    ]
    return np.stack([np.clip(column, 0, 255).astype(np.uint8) for column in columns], 1)


def _size(rows: UInt8[np.ndarray, "n 3"]) -> int:
    return len(lzma.compress(np.ascontiguousarray(rows).tobytes(), format=lzma.FORMAT_RAW, filters=_LZMA))
