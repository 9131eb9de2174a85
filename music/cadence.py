"""Whether a piece closes as music does: on a chord that rests, or, where only drums play, on the one of a bar."""

from types import ModuleType
from typing import Any

import numpy as np

from ostinato.music.bars import bar_lines
from ostinato.music.piece import DRUMS, Piece

_IS_IN_TRIAD = np.array(
    [[(c - root) % 12 in triad for c in range(12)] for triad in ((0, 4, 7), (0, 3, 7)) for root in range(12)]
)
"""[24, 12] bool: major, then minor."""

FINAL_DRUMS = np.isin(np.arange(128), (35, 36, 49, 52, 55, 57))
"""[128] bool: bass drums and the crash, Chinese and splash cymbals of General MIDI, on which grooves close."""


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


def closes(piece: Piece) -> bool:
    """Tells whether a piece ends on a long consonant chord; one of drums alone, on a final hit."""
    return ends_on_hit(piece) if (piece.notes.program == DRUMS).all() else ends_on_chord(piece)


def ends_on_hit(piece: Piece) -> bool:
    """Tells whether the last notes are drums and stand on a bar line, a bass drum or a crash cymbal among them.

    What drummers play together is a sixth of a quarter note apart at most, from the first to the last.
    """
    onset, _, pitch, _, program = piece.notes
    if not len(onset):
        return False
    together = piece.ticks_per_quarter // 6
    is_last = onset >= onset[-1] - together
    is_on_line = bool(np.min(np.abs(bar_lines(piece) - onset[-1])) <= together)
    return is_on_line and bool((program[is_last] == DRUMS).all()) and bool(FINAL_DRUMS[pitch[is_last]].any())


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
