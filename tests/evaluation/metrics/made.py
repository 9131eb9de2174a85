"""Small pieces for the musical tests, 12 ticks to a quarter note."""

import numpy as np

from ostinato.music.piece import DRUMS, Piece, make_piece


def rows(*notes: tuple[int, ...], meters=((), (), ())) -> Piece:
    """Rows of (onset, duration, pitch) and, if not 0, program."""
    table = np.array([(*note, 0)[:4] for note in notes], np.int64).reshape(-1, 4)
    return make_piece(
        onset=table[:, 0], duration=table[:, 1], pitch=table[:, 2], velocity=np.full(len(table), 80),
        program=table[:, 3], meters=meters, ticks_per_quarter=12,
    )  # fmt: skip


def quarters(*pitches: int) -> Piece:
    """One note after the other, a quarter each."""
    return rows(*((12 * place, 12, pitch) for place, pitch in enumerate(pitches)))


SCALE = quarters(60, 62, 64, 65, 67, 69, 71, 72)
CHORDS = rows(
    *((24 * i, 24, pitch) for i in range(4) for pitch in (48, 52, 55)), *((12 * i, 12, 72 + i) for i in range(8))
)
HOLES = rows(
    (0, 6, 60), (0, 18, 60), (12, 12, 67), (48, 3, 61), (60, 12, 66), (0, 12, 36, DRUMS), (96, 6, 38, DRUMS),
    (120, 12, 70),
)  # fmt: skip
NOTE_REST_NOTE = rows((0, 12, 60), (24, 12, 62))
TWO_EQUAL_BARS = quarters(*[60] * 8)
