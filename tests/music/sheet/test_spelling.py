"""Pitches have the names that their key gives them."""

import numpy as np
import pytest

from ostinato.music.sheet.spelling import name_of, spell


def _names(pitches: list[int], num_sharps: int) -> str:
    marks = {-2: "bb", -1: "b", 0: "", 1: "#", 2: "##"}
    places = spell(np.array(pitches), num_sharps)
    names = [name_of(place, pitch) for place, pitch in zip(places.tolist(), pitches, strict=True)]
    return " ".join(f"{step}{marks[alter]}{octave}" for step, alter, octave in names)


@pytest.mark.parametrize(
    ("pitches", "num_sharps", "names"),
    [
        ([60, 62, 64, 65, 67, 69, 71, 72], 0, "C4 D4 E4 F4 G4 A4 B4 C5"),
        ([62, 64, 65, 67, 69, 70, 73, 74], -1, "D4 E4 F4 G4 A4 Bb4 C#5 D5"),  # D minor and its leading note
        ([61, 63, 65, 66, 68, 70, 72, 73], -5, "Db4 Eb4 F4 Gb4 Ab4 Bb4 C5 Db5"),
        ([66, 68, 70, 71, 73, 75, 77, 78], 6, "F#4 G#4 A#4 B4 C#5 D#5 E#5 F#5"),
        ([63, 66, 70, 71, 58, 59, 63], -6, "Eb4 Gb4 Bb4 Cb5 Bb3 Cb4 Eb4"),
    ],
)
def test_scales_are_spelt_by_their_key(pitches, num_sharps, names):
    assert _names(pitches, num_sharps) == names
