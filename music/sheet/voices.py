"""The voices of a staff: what sounds together and of one length is a chord, what overlaps is in another voice."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, combinations
from statistics import fmean
from typing import NamedTuple


class Tone(NamedTuple):
    """A note as a page has it; times in ticks."""

    onset: int
    end: int
    pitch: int
    velocity: int


class Chord(NamedTuple):
    """Notes that begin and end together."""

    onset: int
    end: int
    pitches: tuple[int, ...]
    """Ascending."""


def as_voice(tones: Iterable[Tone]) -> list[Chord]:
    """Returns one voice of notes that do not overlap."""
    return [Chord(tone.onset, tone.end, (tone.pitch,)) for tone in tones]


def voices_of(tones: Iterable[Tone]) -> list[list[Chord]]:
    """Returns the voices of a staff, the highest first; no two chords of one overlap.

    Where nothing goes on across a moment voices begin anew, so that what needs no second one has none. As few as can be
    are used; a chord goes on in the voice whose last one was nearest in pitch.
    """
    voices: list[list[Chord]] = []
    for span in _spans(_chords(tones)):
        lanes: list[list[Chord]] = []
        for chord in span:
            free = [lane for lane in lanes if lane[-1].end <= chord.onset]
            if free:
                min(free, key=lambda lane: abs(fmean(lane[-1].pitches) - fmean(chord.pitches))).append(chord)
            else:
                lanes.append([chord])
        lanes.sort(key=lambda lane: fmean(chain.from_iterable(chord.pitches for chord in lane)), reverse=True)
        voices += [[] for _ in lanes[len(voices) :]]
        for voice, lane in zip(voices, lanes, strict=False):
            voice += lane
    return voices


_CENTRES = (70, 64, 57, 48)
"""Where soprano, alto, tenor and bass begin if nothing was sung before."""

_FOUR_PARTS = 3.0
"""Notes that sound together on average, at least, in music of four voices."""


def four_voices(tones: Sequence[Tone]) -> list[list[Tone]] | None:
    """Returns soprano, alto, tenor and bass; None where more or clearly less than four notes sound together.

    What begins together is given to the free voices in the order of pitch, to those that come from the nearest notes.
    """
    voices: list[list[Tone]] = [[], [], [], []]
    by_onset: dict[int, list[Tone]] = defaultdict(list)
    for tone in tones:
        by_onset[tone.onset].append(tone)
    sounding = sum(tone.end - tone.onset for tone in tones)
    silent, end = 0, 0
    for onset, together in sorted(by_onset.items()):
        silent += max(0, onset - end)
        end = max(end, *(tone.end for tone in together))
        free = [number for number, voice in enumerate(voices) if not voice or voice[-1].end <= onset]
        if len(free) < len(together):
            return None
        together.sort(key=lambda tone: -tone.pitch)

        def leap(numbers: Sequence[int], together: Sequence[Tone] = together) -> int:
            return sum(
                abs((voices[number][-1].pitch if voices[number] else _CENTRES[number]) - tone.pitch)
                for number, tone in zip(numbers, together, strict=True)
            )

        for number, tone in zip(min(combinations(free, len(together)), key=leap), together, strict=True):
            voices[number].append(tone)
    return voices if sounding >= _FOUR_PARTS * (end - silent) and all(voices) else None


def _chords(tones: Iterable[Tone]) -> list[Chord]:
    """Returns the chords by onset, of several the highest first."""
    pitches: dict[tuple[int, int], set[int]] = defaultdict(set)
    for tone in tones:
        pitches[tone.onset, tone.end].add(tone.pitch)
    chords = [Chord(onset, end, tuple(sorted(together))) for (onset, end), together in pitches.items()]
    return sorted(chords, key=lambda chord: (chord.onset, [-pitch for pitch in reversed(chord.pitches)]))


def _spans(chords: list[Chord]) -> list[list[Chord]]:
    spans: list[list[Chord]] = []
    end = 0
    for chord in chords:
        if not spans or chord.onset >= end:
            spans.append([])
        spans[-1].append(chord)
        end = max(end, chord.end)
    return spans
