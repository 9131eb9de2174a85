"""Pieces cut into beats, as what composes by rules puts together; and the key they are in."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ostinato.music.bars import bar_length
from ostinato.music.piece import DRUMS, Piece

_MAX_BEATS = 4096
"""A piece of more beats is cut there: it would be mostly silence."""

_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""Profiles of Krumhansl & Kessler 1982."""

Chord = tuple[tuple[int, int, bool], ...]
"""Program, pitch, and whether it is held over from the beat before; sorted."""


class Sound(NamedTuple):
    """A note, or the part of it that lies within one beat."""

    onset: int
    """Ticks since the beat began."""
    duration: int
    pitch: int
    velocity: int
    program: int
    is_held: bool
    """It began in an earlier beat."""


class Beat(NamedTuple):
    """One quarter note of a piece."""

    piece: int
    number: int
    """Its place in the piece."""
    place: tuple[int, int]
    """Ticks since the bar began, and ticks in the bar."""
    sounds: tuple[Sound, ...]
    begins: Chord
    """What sounds at its first moment."""
    ends: Chord
    """What sounds at its last moment; nothing in it counts as held."""
    goes_to: Chord | None
    """What sounds at the first moment of the beat after it; None at the end of the piece."""


def cut_beats(piece: Piece, number: int, shift: int) -> list[Beat]:
    """Returns the beats of a piece, moved by some semitones; notes that go over a beat's end are cut there.

    Bars are counted from the beginning of the piece by its first meter.
    """
    notes, beat_ticks = piece.notes, piece.ticks_per_quarter
    if not piece.num_notes:
        return []
    num_beats = min(-(-piece.end_tick // beat_ticks), _MAX_BEATS)
    sounds: list[list[Sound]] = [[] for _ in range(num_beats)]
    columns = (notes.onset, notes.duration, moved(notes.pitch, notes.program, shift), notes.velocity, notes.program)
    for onset, duration, pitch, velocity, program in zip(*(column.tolist() for column in columns), strict=True):
        end = onset + duration
        for beat in range(onset // beat_ticks, min(-(-end // beat_ticks), num_beats)):
            begin = beat * beat_ticks
            first, last = max(onset, begin), min(end, begin + beat_ticks)
            sounds[beat].append(Sound(first - begin, last - first, pitch, velocity, program, onset < begin))
    bar_ticks = _bar_ticks(piece)
    begins = [_chord(heard, lambda sound: sound.onset == 0, keep_held=True) for heard in sounds]
    return [
        Beat(
            piece=number,
            number=beat,
            place=(beat * beat_ticks % bar_ticks, bar_ticks),
            sounds=tuple(sorted(heard)),
            begins=begins[beat],
            ends=_chord(heard, lambda sound: sound.onset + sound.duration == beat_ticks, keep_held=False),
            goes_to=begins[beat + 1] if beat + 1 < num_beats else None,
        )
        for beat, heard in enumerate(sounds)
    ]


def shift_to_c(piece: Piece) -> int:
    """Returns by how many semitones, -6 to 5, the piece is moved to C major or A minor.

    The key is the one whose profile correlates best with how long each pitch class sounds (Krumhansl 1990). 0 where
    there are no pitches, or one would leave the range of MIDI.
    """
    notes = piece.notes
    pitched = notes.program != DRUMS
    weight = np.bincount(notes.pitch[pitched] % 12, notes.duration[pitched], 12)
    if not weight.any() or weight.std() == 0:
        return 0
    correlations = [
        np.corrcoef(np.roll(weight, -tonic), profile)[0, 1] for profile in (_MAJOR, _MINOR) for tonic in range(12)
    ]
    is_minor, tonic = divmod(int(np.argmax(correlations)), 12)
    shift = ((9 if is_minor else 0) - tonic + 6) % 12 - 6
    pitch = notes.pitch[pitched] + shift
    return shift if pitch.min() >= 0 and pitch.max() <= 127 else 0


def _chord(sounds: Iterable[Sound], belongs: Callable[[Sound], bool], *, keep_held: bool) -> Chord:
    return tuple(sorted((s.program, s.pitch, s.is_held and keep_held) for s in sounds if belongs(s)))


def _bar_ticks(piece: Piece) -> int:
    """Returns the length of a bar of the first meter, 4/4 where there is none."""
    if not len(piece.meters.tick):
        return 4 * piece.ticks_per_quarter
    numerator, denominator = int(piece.meters.numerator[0]), int(piece.meters.denominator[0])
    return int(bar_length(piece.ticks_per_quarter, numerator, denominator))


def moved(pitch: Int[np.ndarray, " n"], program: Int[np.ndarray, " n"], shift: int) -> Int[np.ndarray, " n"]:
    """Returns pitches some semitones higher, drums where they are; what would leave MIDI's range by octaves back in."""
    new = np.where(program == DRUMS, pitch, pitch + shift)
    return np.where(new < 0, new + 12, np.where(new > 127, new - 12, new))
