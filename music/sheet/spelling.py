"""Names of pitches: which of F sharp and G flat is meant."""

import numpy as np
from jaxtyping import Int

_BEFORE, _AFTER = 10, 42
"""Notes around each one that tell the key there (Meredith 2006, The ps13 Pitch Spelling Algorithm)."""

_FIFTHS = np.array([0, -5, 2, -3, 4, -1, 6, 1, -4, 3, -2, 5])
"""How far the twelve notes of a harmonic chromatic scale are from its tonic on the line of fifths, by semitones."""

_STEPS = "FCGDAEB"


def spell(pitch: Int[np.ndarray, " n"], num_sharps: int) -> Int[np.ndarray, " n"]:
    """Returns the place of each note on the line of fifths: F is -1, C 0, G 1, F sharp 6, G flat -6.

    Each note is spelt as in the harmonic chromatic scales of the notes around it, each of which votes as a tonic; this
    is ps13 with tonics that are named as the key signature has them. What needs a double accidental has half a vote.

    Args:
        pitch: MIDI note numbers by onset, of all parts.
        num_sharps: of the key signature; flats are below 0.
    """
    pitch_class = pitch % 12
    # The twelve tonics: from four fifths below the tonic of the major key to seven above.
    tonics = np.arange(num_sharps - 4, num_sharps + 8)
    tonic_class = 7 * tonics % 12
    is_tonic = np.concatenate([np.zeros((1, 12), int), np.cumsum(pitch_class[:, None] == tonic_class, axis=0)])
    index = np.arange(len(pitch))
    votes = is_tonic[np.minimum(index + _AFTER, len(pitch))] - is_tonic[np.maximum(index - _BEFORE, 0)]
    place = tonics + _FIFTHS[(pitch_class[:, None] - tonic_class) % 12]
    # Of the places that a note can have (twelve fifths apart) that with most votes, and of equals that near the key.
    candidates = np.arange(-15, 20)
    total = ((place[:, :, None] == candidates) * votes[:, :, None]).sum(1)
    is_double = (candidates < -8) | (candidates > 12)
    return candidates[np.argmax(np.where(is_double, 32, 64) * total - np.abs(candidates - num_sharps - 2), axis=1)]


def name_of(place: int, pitch: int) -> tuple[str, int, int]:
    """Returns step, alteration in semitones and octave of a note."""
    alter, step = (place + 1) // 7, _STEPS[(place + 1) % 7]
    return step, alter, (pitch - alter) // 12 - 1
