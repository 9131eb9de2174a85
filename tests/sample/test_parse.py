import numpy as np
import pytest

from ostinato.music.piece import DRUMS
from ostinato.sample.parse import MODES, parse_instruments, parse_key, parse_meter, parse_pitch

CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


def _names(text):
    return [name for name, is_in in zip(CLASSES, parse_key(text).pitch_classes, strict=True) if is_in]


def test_keys_are_tonics_with_modes_or_lists_of_notes():
    assert _names("C major") == ["C", "D", "E", "F", "G", "A", "B"]
    assert set(_names("a minor")) == {"A", "B", "C", "D", "E", "F", "G", "Ab"}
    assert _names("Bb natural-minor") == _names("Bb natural minor") == ["C", "C#", "Eb", "F", "F#", "Ab", "Bb"]
    assert _names("C,E,G") == ["C", "E", "G"]
    assert _names("C, Cb") == ["C", "B"]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("Dm", "D minor"),
        ("A♭ major", "Ab major"),
        ("Bb", "Bb major"),
        ("bb minor", "Bb minor"),
        ("F#m", "F# minor"),
        ("f♯min", "F# minor"),
        ("CM", "C major"),
        ("b", "B major"),
        ("E flat minor", "Eb minor"),
    ],
)
def test_keys_are_understood_as_musicians_write_them(short, long):
    assert _names(short) == _names(long)


def test_pitches_are_numbers_or_names():
    assert [parse_pitch(text) for text in ("0", "60", "C4", "a4", "B♭-1", "G9")] == [0, 60, 60, 69, 10, 127]
    for wrong in ("C", "128", "-1", "Ab9", "H4"):
        with pytest.raises(ValueError, match="is neither a MIDI note number"):
            parse_pitch(wrong)


def test_instruments_are_numbers_or_names():
    assert parse_instruments(["0", "Flute", "acoustic grand piano", "Drums", "127"]) == [0, 73, 0, DRUMS, 127]
    with pytest.raises(ValueError, match="instrument '128'"):
        parse_instruments(["128"])


def test_meters_are_fractions():
    assert parse_meter(" 12 / 8") == (12, 8)
    with pytest.raises(ValueError, match="not of the form 3/4"):
        parse_meter("3:4")


def test_every_mode_contains_its_tonic():
    for mode in MODES:
        classes = parse_key(f"G {mode}").pitch_classes
        assert classes[7]
        assert np.count_nonzero(classes) == len(MODES[mode])
