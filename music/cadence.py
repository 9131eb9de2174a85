"""Whether a piece closes as music does: on a chord that rests."""

from types import ModuleType
from typing import Any

import numpy as np

from ostinato.music.piece import DRUMS, Piece

_IS_IN_TRIAD = np.array(
    [[(c - root) % 12 in triad for c in range(12)] for triad in ((0, 4, 7), (0, 3, 7)) for root in range(12)]
)
"""[24, 12] bool: major, then minor."""


def consonant_with(xp: ModuleType, is_heard: Any) -> Any:
    """Returns the pitches [b, 128] bool that lie in one major or minor triad with all that is heard.

    Where what is heard lies in no triad by itself all of them are returned.

    Args:
        xp: numpy or jax.numpy.
        is_heard: [b, 128] bool, pitches.
    """
    triads = xp.asarray(_IS_IN_TRIAD)
    sounds = xp.any(xp.pad(is_heard, ((0, 0), (0, 4))).reshape(-1, 11, 12), axis=1)
    holds_all = xp.all(triads[None, :, :] | ~sounds[:, None, :], axis=2)
    fits = xp.any(triads[None, :, :] & holds_all[:, :, None], axis=1) | ~xp.any(holds_all, axis=1, keepdims=True)
    return fits[:, xp.arange(128) % 12]


def ends_on_chord(piece: Piece) -> bool:
    """Tells whether what sounds last is consonant and long; drums are not heard.

    Consonant: all of it belongs to one major or minor triad. Long: after the last onset at least twice as long as from
    one onset to the next, of whose distances in the piece the median is taken.
    """
    onset, duration, pitch, _, program = piece.notes
    is_pitched = program != DRUMS
    onset, end, pitch = onset[is_pitched], (onset + duration)[is_pitched], pitch[is_pitched]
    onsets = np.unique(onset)
    if len(onsets) < 2:
        return False
    sounds = np.isin(np.arange(12), pitch[end > onsets[-1]] % 12)
    is_consonant = bool((_IS_IN_TRIAD | ~sounds).all(1).any())
    return is_consonant and bool(end.max() - onsets[-1] >= 2 * np.median(np.diff(onsets)))
