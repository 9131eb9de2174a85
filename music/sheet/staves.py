"""The staves of a score: its instruments from the highest to the lowest, their clefs, and what is on which staff."""

from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ostinato.music.midi_write import instrument_name
from ostinato.music.piece import DRUMS, Piece
from ostinato.music.sheet.voices import Chord, Tone, as_voice, four_voices, voices_of


class Clef(NamedTuple):
    sign: str
    line: int
    octave: int
    """In which it sounds, against what is written; -1 for an 8 below."""
    low: int
    """The lowest and highest pitch without more than one ledger line."""
    high: int


TREBLE, BASS, ALTO = Clef("G", 2, 0, 60, 81), Clef("F", 4, 0, 40, 60), Clef("C", 3, 0, 50, 71)
HIGH, TENOR, LOW = Clef("G", 2, 1, 72, 93), Clef("G", 2, -1, 48, 69), Clef("F", 4, -1, 28, 48)
PERCUSSION = Clef("percussion", 2, 0, 0, 127)

_KEYBOARDS = frozenset((*range(8), *range(16, 24), 46))
"""Pianos, organs and accordions, the harp."""

_CLEFS: dict[tuple[int, ...], list[Clef]] = {
    (9, 14, 72): [TREBLE, HIGH],  # glockenspiel, tubular bells, piccolo
    tuple(range(24, 32)): [TENOR],  # guitars
    (*range(32, 40), 43, 58): [BASS, LOW],  # basses, tuba
    (41,): [ALTO, TREBLE],  # viola
    (52, 53, 54): [TREBLE, TENOR, BASS],  # choirs
}
"""Of the instruments that have others than treble and bass clefs."""

_FAR = 2.0
"""Semitones beyond one ledger line, on average, at which an instrument needs two staves."""

_SPAN = 14
"""Semitones that a hand reaches."""

FEET = frozenset((35, 36, 44))
"""Drums that feet play: bass drums, and the pedal of the hi-hat."""


class Staff(NamedTuple):
    clef: Clef
    voices: list[list[Chord]]


class Part(NamedTuple):
    """An instrument."""

    program: int
    name: str
    staves: list[Staff]


def parts_of(piece: Piece, rounded: frozenset[int], bars: list[int]) -> list[Part]:
    """Returns the instruments of a piece from the highest to the lowest, drums last.

    Args:
        piece: with GRID ticks to a quarter.
        rounded: programs whose lengths are not exact: notes are cut where that saves voices.
        bars: the ticks of its bar lines.
    """
    tones: dict[int, list[Tone]] = defaultdict(list)
    for onset, duration, pitch, velocity, program in zip(*(column.tolist() for column in piece.notes), strict=True):
        tones[program].append(Tone(onset, onset + duration, pitch, velocity))

    def height(program: int) -> tuple[bool, float]:
        return program != DRUMS, float(np.mean([tone.pitch for tone in tones[program]]))

    return [
        Part(program, _name(program), _staves(program, tones[program], program in rounded, bars))
        for program in sorted(tones, key=height, reverse=True)
    ]


def _name(program: int) -> str:
    """Returns what stands before a staff: the General MIDI name without the kind in parentheses."""
    return "Piano" if program == 0 else instrument_name(program).partition(" (")[0]


def _staves(program: int, tones: list[Tone], is_rounded: bool, bars: list[int]) -> list[Staff]:
    voices = _simple_voices if is_rounded else voices_of
    if program == DRUMS:
        hands = voices([tone for tone in tones if tone.pitch not in FEET])
        feet = voices([tone for tone in tones if tone.pitch in FEET])
        return [Staff(PERCUSSION, [*hands, *feet])]
    if not is_rounded and (four := four_voices(tones)):
        soprano, alto, tenor, bass = map(as_voice, four)
        return [Staff(TREBLE, [soprano, alto]), Staff(BASS, [tenor, bass])]
    pitches = np.array([tone.pitch for tone in tones])
    clefs = next((clefs for programs, clefs in _CLEFS.items() if program in programs), [TREBLE, BASS])
    best = min(clefs, key=lambda clef: _distance(pitches, clef))
    is_wide = _distance(pitches, best) > _FAR and pitches.min() < 60 <= pitches.max()
    if is_wide or (program in _KEYBOARDS and pitches.min() < 57 and pitches.max() > 64):
        upper, lower = _hands(tones, bars)
        if upper and lower:
            return [Staff(TREBLE, voices(upper)), Staff(BASS, voices(lower))]
    return [Staff(best, voices(tones))]


def _distance(pitches: np.ndarray, clef: Clef) -> float:
    """Returns how far notes are from the staff and its first ledger lines, in semitones on average."""
    return float((np.maximum(clef.low - pitches, 0) + np.maximum(pitches - clef.high, 0)).mean())


def _hands(tones: list[Tone], bars: list[int]) -> tuple[list[Tone], list[Tone]]:
    """Returns the notes of the right and of the left hand: in each bar those above and below one pitch.

    It is near middle C, where it leaves the hands in reach of their chords and few ledger lines.
    """
    by_bar: dict[int, list[Tone]] = defaultdict(list)
    for tone, bar in zip(tones, np.searchsorted(bars, [tone.onset for tone in tones], side="right"), strict=True):
        by_bar[int(bar)].append(tone)
    upper, lower = [], []
    for inside in by_bar.values():
        split = min(range(53, 68), key=lambda split: _strain(inside, split))
        for tone in inside:
            (upper if tone.pitch >= split else lower).append(tone)
    return upper, lower


def _strain(tones: list[Tone], split: int) -> float:
    """Returns how awkward it is that the right hand plays all notes from a pitch on."""
    chords: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for tone in tones:
        chords[tone.onset, tone.pitch >= split].append(tone.pitch)
    reach = sum(max(0, max(pitches) - min(pitches) - _SPAN) for pitches in chords.values())
    ledgers = sum(
        max(0, 57 - pitch) if is_right else max(0, pitch - 64)
        for (_, is_right), pitches in chords.items() for pitch in pitches
    )  # fmt: skip
    return 2 * reach + ledgers + 0.1 * abs(split - 60) * len(tones) ** 0.5


def _simple_voices(tones: list[Tone]) -> list[list[Chord]]:
    """Returns at most two voices: what begins together is a chord until the next begins; what is held is below.

    Held is what lasts a quarter or more beyond the next onset, and longer than until there.
    """
    onsets = sorted({tone.onset for tone in tones})
    following = dict(zip(onsets, [*onsets[1:], max(tone.end for tone in tones)], strict=True)) if tones else {}
    held, moving = [], []
    for tone in tones:
        beyond = tone.end - following[tone.onset]
        (held if beyond >= 24 and beyond > following[tone.onset] - tone.onset else moving).append(tone)
    again = _next_of_pitch(tones)
    return voices_of([*_without_overlaps(moving, again), *_without_overlaps(held, again)])


def _next_of_pitch(tones: list[Tone]) -> dict[Tone, int]:
    """Returns when the pitch of a note is played once more, of those that are."""
    by_pitch: dict[int, list[Tone]] = defaultdict(list)
    for tone in sorted(tones):
        by_pitch[tone.pitch].append(tone)
    return {tone: later.onset for same in by_pitch.values() for tone, later in pairwise(same)}


def _without_overlaps(tones: list[Tone], again: dict[Tone, int]) -> list[Tone]:
    """Returns notes that are as long as those that begin with them: until the next begins, or one of the pitches again.

    A pitch that two voices held at once could not be told from one that is tied.
    """
    ends: dict[int, int] = {}
    for tone in tones:
        ends[tone.onset] = max(ends.get(tone.onset, 0), tone.end)
    onsets = sorted(ends)
    for onset, following in pairwise(onsets):
        ends[onset] = min(ends[onset], following)
    for tone in tones:
        ends[tone.onset] = min(ends[tone.onset], again.get(tone, ends[tone.onset]))
    return [tone._replace(end=ends[tone.onset]) for tone in tones]
