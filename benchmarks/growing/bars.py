"""Bars of real pieces, of which new pieces are put together."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from ostinato.benchmarks import collection
from ostinato.music import midi
from ostinato.music.piece import DRUMS, Notes

TICKS_PER_QUARTER = 480
TICKS_PER_BAR = 4 * TICKS_PER_QUARTER

MAX_NOTES = 10
"""Of a bar."""
_MIN_NOTES = 4
_MIN_PITCHES = 3
_TOGETHER_TICKS = 30
_MIDDLE = 64


class Bars(NamedTuple):
    """Distinct bars, one after the other; no two are the same in another key."""

    begin: Int64[np.ndarray, " b+1"]
    """Where the notes of each begin."""
    is_line: Bool[np.ndarray, " b"]
    """Whether no two of its notes begin together."""
    onset: Int64[np.ndarray, " n"]
    """Ticks from the beginning of the bar."""
    duration: Int64[np.ndarray, " n"]
    """Ticks; no note goes on behind the bar."""
    interval: Int64[np.ndarray, " n"]
    """Semitones above or below the middle of the bar."""


def load_bars(archives: Sequence[Path], *, num_files: int) -> Bars:
    """Returns the bars of about so many files of some archives, evenly spread."""
    found: dict[bytes, tuple[bool, np.ndarray]] = {}
    for data in collection.load(archives, num_files):
        try:
            reading = midi.read_reporting(data)
        except midi.MidiError:
            continue
        for track in reading.tracks:
            if track.program[0] != DRUMS:
                for bar in _cut(track, reading.piece.ticks_per_quarter):
                    onset, _, pitch = bar
                    shape = np.concatenate([onset, pitch - pitch[0]]).astype(np.int16).tobytes()
                    found.setdefault(shape, (bool((np.diff(onset) >= _TOGETHER_TICKS).all()), bar))
    is_line, bars = zip(*found.values(), strict=True)
    onset, duration, pitch = np.concatenate(bars, axis=1)
    lengths = [bar.shape[1] for bar in bars]
    begin = np.concatenate([[0], np.cumsum(lengths)])
    middle = np.add.reduceat(pitch, begin[:-1]) // lengths
    return Bars(begin, np.array(is_line), onset, duration, pitch - np.repeat(middle, lengths))


def _cut(track: Notes, ticks_per_quarter: int) -> Iterator[Int64[np.ndarray, "3 k"]]:
    """Yields onset, duration and pitch of the bars (four quarters, whatever the metre) with neither few nor many notes.

    Notes stand in the order of onset and pitch.
    """
    onset = np.asarray(track.onset, np.int64) * TICKS_PER_QUARTER // ticks_per_quarter
    order = np.lexsort((track.pitch, onset))
    onset, pitch = onset[order], np.asarray(track.pitch, np.int64)[order]
    duration = np.maximum(np.asarray(track.duration, np.int64)[order] * TICKS_PER_QUARTER // ticks_per_quarter, 1)
    number, within = np.divmod(onset, TICKS_PER_BAR)
    duration = np.minimum(duration, TICKS_PER_BAR - within)
    for begin, end in _runs(number):
        pitches = pitch[begin:end]
        if _MIN_NOTES <= end - begin <= MAX_NOTES and len(set(pitches.tolist())) >= _MIN_PITCHES:
            yield np.stack([within[begin:end], duration[begin:end], pitches])


def _runs(values: Int64[np.ndarray, " n"]) -> Iterator[tuple[int, int]]:
    cuts = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    yield from pairwise(cuts)
