"""Whether a piece closes as music does: on a chord that rests."""

import numpy as np

from ostinato.music.piece import DRUMS, Piece

_IS_IN_TRIAD = np.array(
    [[(c - root) % 12 in triad for c in range(12)] for triad in ((0, 4, 7), (0, 3, 7)) for root in range(12)]
)
"""[24, 12] bool: major, then minor."""


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
