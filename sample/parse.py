"""Reads what a user writes for a key, a meter, instruments and pitches.

Pitches are MIDI note numbers or names with an octave: middle C is C4, or 60.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from ostinato.configs.errors import UserError
from ostinato.music.keys import Key
from ostinato.music.meters import Meter
from ostinato.music.midi_write import instrument_name
from ostinato.music.piece import DRUMS

_LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_ACCIDENTALS = {"": 0, "#": 1, "b": -1}
_NOTE = "[a-g][#b]?"

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10, 11),  # natural, and the raised seventh that cadences need
    "natural-minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic-minor": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "pentatonic": (0, 2, 4, 7, 9),
    "minor-pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "whole-tone": (0, 2, 4, 6, 8, 10),
}
"""Semitones above the tonic."""

_MODE_NAMES = {"": "major", "maj": "major", "m": "minor", "min": "minor", "ionian": "major", "aeolian": "natural-minor"}
"""Other names; a tonic alone is major."""

_WITH_KEY = ("major", "minor", "natural-minor", "harmonic-minor")
"""The modes that are a key by which music is found; others are scales."""


class AskedKey(NamedTuple):
    """What a user means by a key."""

    pitch_classes: Bool[np.ndarray, " 12"]
    """Which belong to it, from C up."""
    key: Key | None
    """None where it is neither major nor minor."""


def parse_key(text: str) -> AskedKey:
    """Returns what is meant by a key such as 'D minor', 'Dm' or 'A♭', or by a list as 'C,E,G'.

    Raises:
        UserError: it is neither.
    """
    classes = np.zeros(12, bool)
    key = re.fullmatch(rf"({_NOTE})\s*([a-z -]*)", re.sub(r"M\b", "maj", _ascii(text)).lower())
    mode = re.sub(r"\s+", "-", key[2]) if key else ""
    mode = _MODE_NAMES.get(mode, mode)
    if key and mode in MODES:
        tonic = _pitch_class(key[1])
        classes[(tonic + np.array(MODES[mode])) % 12] = True
        return AskedKey(classes, Key(tonic, mode != "major") if mode in _WITH_KEY else None)
    names = [name.strip() for name in _ascii(text).lower().split(",")]
    if not all(re.fullmatch(_NOTE, name) for name in names):
        raise UserError(
            f"key {text!r} is neither a tonic and a mode ('D minor', 'Bb', 'F#m'; modes: {', '.join(MODES)}) "
            "nor a list of notes ('C,E,G')"
        )
    classes[[_pitch_class(name) for name in names]] = True
    return AskedKey(classes, None)


def parse_meter(text: str) -> Meter:
    """Returns the meter that is written as '3/4'.

    Raises:
        UserError: it is written otherwise.
    """
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if not match:
        raise UserError(f"meter {text!r} is not of the form 3/4")
    return Meter(int(match[1]), int(match[2]))


def parse_pitch(text: str) -> int:
    """Returns the MIDI note number of '60' or 'C4'.

    Raises:
        UserError: it is no pitch from 0 (C-1) to 127 (G9).
    """
    match = re.fullmatch(rf"({_NOTE})(-?\d+)", _ascii(text).lower())
    number = -1
    if match:
        number = _semitones(match[1]) + 12 * (int(match[2]) + 1)
    elif text.strip().isdecimal():
        number = int(text)
    if not 0 <= number <= 127:
        raise UserError(f"pitch {text!r} is neither a MIDI note number from 0 to 127 nor a name from C-1 to G9")
    return number


def parse_instruments(names: Sequence[str]) -> list[int]:
    """Returns the programs that numbers from 0 to 127, General MIDI names ('Flute') or 'drums' stand for.

    Raises:
        UserError: a name is not known.
    """
    return [_parse_instrument(name) for name in names]


def _parse_instrument(text: str) -> int:
    programs = {_plain(instrument_name(program)): program for program in range(DRUMS + 1)}
    if text.strip().isdecimal() and int(text) < DRUMS:
        return int(text)
    if _plain(text) in programs:
        return programs[_plain(text)]
    near = [instrument_name(program) for name, program in programs.items() if _plain(text) and _plain(text) in name]
    hint = f"; did you mean {' or '.join(near[:5])}?" if near else ""
    raise UserError(f"instrument {text!r} is neither a program from 0 to 127, a General MIDI name, nor drums{hint}")


def _ascii(text: str) -> str:
    """Returns a text with the accidentals of a keyboard: F#, Bb."""
    text = text.strip().replace("♭", "b").replace("♯", "#")
    return re.sub(r"(?i)(?<=^[a-g])[ -]?(flat|sharp)\b", lambda word: "b" if word[1].lower() == "flat" else "#", text)


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _pitch_class(name: str) -> int:
    return _semitones(name) % 12


def _semitones(name: str) -> int:
    return _LETTERS[name[0]] + _ACCIDENTALS[name[1:]]
