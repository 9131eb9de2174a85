"""Fingerprints by which two files are known to hold the same music.

All are made of the intervals from note to note in the order (onset, pitch): they do not see transposition, tempo,
note lengths, rhythm, loudness, instrument, or how the notes are spread over tracks.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ostinato.music.piece import DRUMS, Notes, Piece

PREFIX_NOTES = 400
"""Pieces that begin with the same so many notes share a split: the same song with another ending."""

MIN_TRACK_NOTES = 16
"""Shorter tracks say nothing: many pieces share a bass of eight notes."""


class Fingerprints(NamedTuple):
    """What connects a piece to others."""

    whole: bytes
    """Equal for two pieces with the same notes; one of them is a duplicate."""
    parts: tuple[bytes, ...]
    """Of the beginning and of each track; pieces with one in common belong to one split (a tune, and its melody)."""


def fingerprint(piece: Piece, tracks: Sequence[Notes]) -> Fingerprints:
    """Returns the fingerprints of a piece.

    Args:
        piece: all notes. Drums are looked at only where there is nothing else: many songs share a drum pattern.
        tracks: the notes of each track, in ticks, each in any order.
    """
    pitched = piece.notes.program != DRUMS
    if not pitched.any():
        pitched[:] = True
    intervals = _intervals(piece.notes.onset[pitched], piece.notes.pitch[pitched])
    parts = {_hash(intervals[:PREFIX_NOTES])}
    for track in tracks:
        if len(track.onset) >= MIN_TRACK_NOTES and track.program[0] != DRUMS:
            parts.add(_hash(_intervals(track.onset, track.pitch)[:PREFIX_NOTES]))
    return Fingerprints(_hash(intervals), tuple(sorted(parts)))


def _intervals(onset: Int[np.ndarray, " n"], pitch: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    return np.diff(pitch[np.lexsort((pitch, onset))])


def _hash(intervals: Int[np.ndarray, " m"]) -> bytes:
    """Returns 12 bytes: among 10 million pieces two collide by chance once in 10^14 collections."""
    return hashlib.blake2b(intervals.astype(np.int16).tobytes(), digest_size=12).digest()
