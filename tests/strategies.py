"""Pieces for property tests."""

import numpy as np
from hypothesis import strategies as st

from ostinato.music.piece import DRUMS, Piece, make_piece

_notes = st.tuples(
    st.integers(0, 20_000),  # onset
    st.one_of(st.integers(1, 500), st.integers(1, 60_000)),  # duration
    st.integers(0, 127),  # pitch
    st.integers(1, 127),  # velocity
    st.sampled_from([0, 1, 40, 127, DRUMS]),
)
# Few different values, so that onsets, pitches and programs meet.
_crowded = st.tuples(
    st.integers(0, 40),
    st.integers(1, 60),
    st.integers(60, 62),
    st.sampled_from([1, 64, 127]),
    st.sampled_from([0, 1]),
)


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    """Any piece: sparse or crowded, with and without tempo and meter changes, at odd resolutions."""
    rows = draw(st.lists(draw(st.sampled_from([_notes, _crowded])), min_size=1, max_size=40))
    tempos = draw(st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 16_777_215)), max_size=6))
    meters = draw(
        st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255), st.sampled_from([1, 2, 4, 8, 64])), max_size=6)
    )
    onset, duration, pitch, velocity, program = np.array(rows).T
    return make_piece(
        onset=onset,
        duration=duration,
        pitch=pitch,
        velocity=velocity,
        program=program,
        tempos=tuple(np.array(tempos, np.int64).reshape(-1, 2).T),  # pyright: ignore[reportArgumentType]
        meters=tuple(np.array(meters, np.int64).reshape(-1, 3).T),  # pyright: ignore[reportArgumentType]
        ticks_per_quarter=draw(st.sampled_from([1, 24, 96, 480, 999])),
    )
