"""Keys of music: their numbers, and which one a piece is in."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

from ostinato.music.piece import DRUMS, Piece

_MAJOR = np.array([0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081])
_MINOR = np.array([0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052])
"""How often each pitch class sounds, from the tonic up, in 490 pieces of common-practice music (Albrecht and Shanahan
2013, The Use of Large Corpora to Train a New Type of Key-Finding Algorithm)."""

_PROFILES = np.stack([np.roll(mode, tonic) for mode in (_MAJOR, _MINOR) for tonic in range(12)])


class Key(NamedTuple):
    """A tonic and a mode."""

    tonic: int
    """Its pitch class, C is 0."""
    is_minor: bool

    @property
    def number(self) -> int:
        """0 to 11 for C major to B major, 12 to 23 for C minor to B minor."""
        return self.tonic + 12 * self.is_minor

    @property
    def num_sharps(self) -> int:
        """Sharps of its key signature; flats are below 0. Of six sharps and six flats, flats in major as in minor."""
        major = (self.tonic + 3 * self.is_minor) % 12
        return (7 * major + 6) % 12 - 6


NUM_KEY_VALUES = 25
"""What a network can be told: `key_value` of the 24 keys, or 0, nothing."""


def key_value(key: Key | None) -> int:
    """Returns 1 + the number of a key, or 0."""
    return 0 if key is None else 1 + key.number


def key_of_value(value: int) -> Key | None:
    """Returns the key of which `key_value` is this."""
    return key_of_number(value - 1) if value else None


def key_of_number(number: int) -> Key:
    """Returns the key of which `Key.number` is this."""
    return Key(number % 12, number >= 12)


def log_profile(key: Key) -> Float[np.ndarray, " 12"]:
    """Returns how frequent each pitch class is in a key, from C up, in nats below the most frequent."""
    shares = np.log(_PROFILES[key.number])
    return shares - shares.max()


def find_keys(sounding: Real[np.ndarray, "*n 12"]) -> Int[np.ndarray, "*n"]:
    """Returns the `key_value` of the key whose profile is nearest to what sounds; 0 where nothing does.

    The distance is Euclidean, between shares of the whole, as Albrecht and Shanahan do it.

    Args:
        sounding: how long each pitch class sounds, from C up, in any unit.
    """
    return np.where(sounding.sum(-1) > 0, 1 + _distances(sounding).argmin(-1), 0)


def _distances(sounding: Real[np.ndarray, "*n 12"]) -> Float[np.ndarray, "*n 24"]:
    shares = sounding / np.maximum(sounding.sum(-1, keepdims=True), 1)
    return ((_PROFILES - shares[..., None, :]) ** 2).sum(-1)


def heard_key(piece: Piece) -> Key | None:
    """Returns the key that a piece sounds in as a whole; None where nothing but drums does."""
    return key_of_value(int(find_keys(_sounding(piece))))


def key_margin(piece: Piece, key: Key) -> float:
    """Returns by how much a key's profile is nearer to what sounds than that of any other key; see `find_keys`.

    Below 0 another key is nearer. Infinite where nothing but drums sounds.
    """
    sounding = _sounding(piece)
    if not sounding.any():
        return math.inf
    distance = _distances(sounding)
    return float(np.delete(distance, key.number).min() - distance[key.number])


def _sounding(piece: Piece) -> Float[np.ndarray, " 12"]:
    notes = piece.notes
    pitched = notes.program != DRUMS
    return np.bincount(notes.pitch[pitched] % 12, weights=notes.duration[pitched], minlength=12)


def key_name(key: Key) -> str:
    """Returns the name of a key: B flat major."""
    # The tonic of a major key is as far up the line of fifths as the key has sharps; of a minor key, three further.
    place = key.num_sharps + 3 * key.is_minor
    accidental = (" flat", "", " sharp", " double sharp")[(place + 1) // 7 + 1]
    return f"{'FCGDAEB'[(place + 1) % 7]}{accidental} {'minor' if key.is_minor else 'major'}"
