"""Where drums stand on a percussion staff, after Weinberg (1998, Standardized Drumset Notation)."""

from typing import NamedTuple


class Place(NamedTuple):
    """Line or space, as in the treble clef, and the head of the note."""

    step: str
    octave: int
    head: str


_ROUND, _CROSS, _OPEN_CROSS, _DIAMOND, _TRIANGLE = "normal", "x", "circle-x", "diamond", "triangle"

_PLACES = {
    35: Place("E", 4, _ROUND), 36: Place("F", 4, _ROUND),  # bass drums
    37: Place("C", 5, _CROSS), 38: Place("C", 5, _ROUND), 40: Place("C", 5, _DIAMOND), 39: Place("D", 5, _CROSS),
    41: Place("G", 4, _ROUND), 43: Place("A", 4, _ROUND), 45: Place("B", 4, _ROUND),  # toms
    47: Place("D", 5, _ROUND), 48: Place("E", 5, _ROUND), 50: Place("F", 5, _ROUND),
    42: Place("G", 5, _CROSS), 44: Place("D", 4, _CROSS), 46: Place("G", 5, _OPEN_CROSS),  # hi-hat
    49: Place("A", 5, _CROSS), 57: Place("B", 5, _CROSS),  # crash cymbals
    52: Place("C", 6, _CROSS), 55: Place("C", 6, _DIAMOND),  # Chinese and splash
    51: Place("F", 5, _CROSS), 53: Place("F", 5, _DIAMOND), 59: Place("E", 5, _CROSS),  # ride
    54: Place("E", 5, _TRIANGLE), 56: Place("E", 5, _DIAMOND),  # tambourine, cowbell
}  # fmt: skip

_ELSE = Place("B", 4, _TRIANGLE)


def place_of(pitch: int) -> Place:
    """Returns where a drum of General MIDI stands; those that no kit has share a place."""
    return _PLACES.get(pitch, _ELSE)


def drum_name(pitch: int) -> str:
    """Returns the General MIDI name of a drum."""
    from pretty_midi import note_number_to_drum_name

    return note_number_to_drum_name(pitch) or f"Drum {pitch}"
