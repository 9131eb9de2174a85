"""How much of a piece occurs, frame for frame, in others: what a model could know by heart.

Axes: t frame, k key.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ostinato.benchmarks.rolls.read import Roll

_Window = tuple[tuple[int, ...], ...]


def shared_windows(pieces: Sequence[Roll], others: Sequence[Roll], num_frames: int, *, any_key: bool) -> list[float]:
    """Returns for each piece which share of its windows of `num_frames` frames occurs in one of the others.

    Args:
        pieces: those that are looked for; a piece shorter than a window shares 0.
        others: where they are looked for.
        num_frames: length of a window.
        any_key: whether a transposed window is the same one.
    """
    seen = {window for piece in others for window in _windows(piece, num_frames, any_key=any_key)}
    shares = []
    for piece in pieces:
        found = [window in seen for window in _windows(piece, num_frames, any_key=any_key)]
        shares.append(sum(found) / len(found) if found else 0.0)
    return shares


def _windows(piece: Roll, num_frames: int, *, any_key: bool) -> Iterator[_Window]:
    frames = [np.flatnonzero(frame).tolist() for frame in piece]
    for start in range(len(frames) - num_frames + 1):
        window = frames[start : start + num_frames]
        # The lowest key of the first frame that is not silent moves with the music.
        origin = next((keys[0] for keys in window if keys), 0) if any_key else 0
        yield tuple(tuple(key - origin for key in keys) for keys in window)
