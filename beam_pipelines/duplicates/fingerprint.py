"""Fingerprints by which two files are known to hold the same music.

All are made of the intervals from note to note in the order (onset, pitch): they do not see transposition, tempo,
rhythm, loudness, instrument, or how the notes are spread over tracks. Three kinds, from strict to lenient: all notes,
the notes of a part (equal or not), and a sketch of each voice that tells how alike two voices are.

The sketch is MinHash (Broder 1997) over n-grams of the intervals between the highest notes, in one pass: each n-gram
has one hash, which chooses a bin and competes for the least value in it (Li, Owen and Zhang 2012; an empty bin has the
value of the next full one, Shrivastava and Li 2014). Two values together are a band; the number of bands that two
voices have in common says how many n-grams they share (see `grouping.MIN_COMMON_BANDS`).

On 6,331 real pieces it takes 0.17 ms for each, 0.07 ms of that for the sketches; reading the file takes 0.35 ms.
datasketch 2.0 takes 0.4 ms for 32 MinHashes of n-grams that it is given as integers, 0.8 ms if it hashes them itself.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8, UInt32, UInt64

from ostinato.music.piece import DRUMS, Notes, Piece

PREFIX_NOTES = 400
"""Intervals of a part that count: the same song with another ending has the same beginning."""

MIN_TRACK_NOTES = 16
"""Shorter tracks say nothing: many pieces share a bass of eight notes."""

MIN_FIGURES = 8
"""A part with fewer different runs of three intervals is a pattern that anybody could have written."""

TELLING = 1
"""The lowest bit of a part's hash: set if the part is no such pattern."""

NUM_BANDS = 16

_NUM_BINS = 2 * NUM_BANDS

_NGRAM = 6
"""Intervals in an n-gram. With 5 ten times as many voices of unrelated pieces share a tenth of them; with 8 each
note that differs costs a quarter more of them."""

_MIN_FULL_BINS = 18
"""A voice that fills fewer bins (about 26 distinct n-grams) says nothing."""

_MIN_HALVED = 128
"""With this many n-grams, the halves of a piece are voices too: it may have another beginning or ending."""

_TOGETHER = 8
"""Of notes that begin within 1/8 of a quarter note the highest counts: a chord played by hand, a grace note."""

_MAX_TOGETHER = 4

# Where a note's voice and onset stand in one integer that sorts by voice, onset and pitch.
_VOICE_BIT, _ONSET_BIT, _PITCH = 39, 7, 127

_MIX = tuple(np.uint64(factor) for factor in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""Odd numbers without pattern (Steele, Lea and Flood 2014: SplitMix)."""

_EMPTY = np.iinfo(np.int64).max


class Fingerprints(NamedTuple):
    """What connects a piece to others."""

    whole: int
    """64 bits; equal for two pieces with the same notes: one of them is a duplicate."""
    parts: UInt64[np.ndarray, " p"]
    """First that of the beginning of the whole, then those of the beginnings of the tracks, ascending; see TELLING."""
    bands: UInt32[np.ndarray, "v 16"]
    """Of the whole's highest notes, of either half of them, and of each track's, where there is enough to tell."""


def fingerprint(piece: Piece, tracks: Sequence[Notes]) -> Fingerprints:
    """Returns the fingerprints of a piece; they do not depend on the order of its tracks.

    Args:
        piece: all notes. Drums are looked at only where there is nothing else: many songs share a drum pattern.
        tracks: the notes of each track, in ticks, each in any order.
    """
    key, lengths = _sort_notes(piece, tracks)
    pitch = (key & _PITCH).astype(np.uint8)
    intervals = pitch[1:] - pitch[:-1]
    figures, data = _name_figures(intervals).tobytes(), intervals.tobytes()
    parts, begin = [], 0
    for length in lengths:
        end = begin + min(length - 1, PREFIX_NOTES)
        telling = len(set(figures[begin : max(begin, end - 2)])) >= MIN_FIGURES
        parts.append(_hash(data[begin:end]) & ~TELLING | telling)
        begin += length
    return Fingerprints(
        whole=_hash(data[: lengths[0] - 1]),
        parts=np.array([parts[0], *sorted(set(parts[1:]) - {parts[0]})], np.uint64),
        bands=_sketch(*_highest_notes(key, piece.ticks_per_quarter), num_voices=len(lengths)),
    )


def _sort_notes(piece: Piece, tracks: Sequence[Notes]) -> tuple[Int64[np.ndarray, " n"], list[int]]:
    """Returns voice, onset and pitch of each note in one sorted column, and the number of notes in each voice.

    Voice 0 is the whole piece, the others are its pitched tracks. Where all notes are in one track, it is the whole.
    """
    notes = piece.notes
    pitched = notes.program != DRUMS
    if not pitched.any():
        pitched[:] = True
    voices = [(notes.onset[pitched], notes.pitch[pitched])]
    chosen = [track for track in tracks if len(track.onset) >= MIN_TRACK_NOTES and track.program[0] != DRUMS]
    if len(chosen) > 1 or (chosen and len(chosen[0].onset) < len(voices[0][0])):
        voices += [(track.onset, track.pitch) for track in chosen]
    lengths = [len(onset) for onset, _ in voices]
    onset, pitch = (np.concatenate(column).astype(np.int64) for column in zip(*voices, strict=True))
    key = np.repeat(np.arange(len(lengths)), lengths) << _VOICE_BIT | onset << _ONSET_BIT | pitch
    key.sort(kind="stable")  # for columns that are nearly in order the fastest kind by far
    return key, lengths


def _name_figures(intervals: UInt8[np.ndarray, " m"]) -> UInt8[np.ndarray, " k"]:
    """Returns one of 256 names for each run of three intervals; different runs seldom have the same one."""
    return (intervals[:-2] * np.uint8(29) + intervals[1:-1]) * np.uint8(37) + intervals[2:]


def _hash(data: bytes) -> int:
    """Returns 64 bits: among a million pieces two collide by chance once in 40 million collections."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _highest_notes(key: Int64[np.ndarray, " n"], ticks_per_quarter: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns voice and pitch of the notes above which no other one of their voice begins at about the same time."""
    onset = key >> _ONSET_BIT  # voices are further apart than any two notes within one
    highest = np.ones(len(key), np.bool_)
    np.not_equal(onset[1:], onset[:-1], out=highest[:-1])
    key = key[highest]
    onset, pitch = key >> _ONSET_BIT, key & _PITCH
    hidden = np.zeros(len(key), np.bool_)
    for distance in range(1, _MAX_TOGETHER + 1):
        together = onset[distance:] - onset[:-distance] < -(-ticks_per_quarter // _TOGETHER)
        if not together.any():
            break
        rising = pitch[distance:] > pitch[:-distance]
        hidden[:-distance] |= together & rising
        hidden[distance:] |= together & ~rising
    key = key[~hidden]
    return key >> _VOICE_BIT, key & _PITCH


def _sketch(voice: np.ndarray, pitch: np.ndarray, *, num_voices: int) -> UInt32[np.ndarray, "v 16"]:
    """Returns the bands of each voice with enough distinct n-grams, as a sorted set of rows."""
    voice, ngrams = _find_ngrams(voice, pitch)
    mixed = ngrams * _MIX[0]
    mixed ^= mixed >> np.uint64(29)
    mixed = (mixed * _MIX[1] >> np.uint64(1)).view(np.int64)
    in_whole = int(np.searchsorted(voice, 1))
    if in_whole >= _MIN_HALVED:
        half = np.arange(in_whole) * 2 // in_whole
        voice, mixed = np.concatenate([voice, half + num_voices]), np.concatenate([mixed, mixed[:in_whole]])
        num_voices += 2

    least = np.full(num_voices * _NUM_BINS, _EMPTY)
    np.minimum.at(least, voice * _NUM_BINS + (mixed >> 58), mixed)
    full = np.flatnonzero(least != _EMPTY)
    # For each bin the next full one of its voice; behind the last one comes the first.
    source = np.searchsorted(full, np.arange(len(least))).reshape(num_voices, _NUM_BINS)
    begin = source[:, 0]
    end = np.append(begin[1:], len(full))
    telling = end - begin >= _MIN_FULL_BINS
    source = np.where(source < end[:, None], source, begin[:, None])[telling]
    values = least[full[source]].view(np.uint64)
    # The two bins of a band lie far apart, so that they seldom borrow from the same one.
    bands = values[:, :NUM_BANDS] * _MIX[0] ^ values[:, NUM_BANDS:]
    bands = (bands ^ bands >> np.uint64(31)) * _MIX[2] >> np.uint64(32)
    rows = sorted({row.tobytes() for row in bands.astype(np.uint32)})
    return np.frombuffer(b"".join(rows), np.uint32).reshape(-1, NUM_BANDS)


def _find_ngrams(voice: np.ndarray, pitch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns voice and n-gram, one byte for each interval, wherever three neighbouring intervals are all different.

    The others (scales, repeated notes, broken octaves) are in everything: with them fourteen of Freedoom's pieces are
    one group.
    """
    pitch = pitch.astype(np.uint8)
    interval = pitch[1:] - pitch[:-1]
    changes = interval[1:] != interval[:-1]
    lively = changes[1:] & changes[:-1] & (interval[2:] != interval[:-2])
    chosen = lively[:-3] | lively[1:-2] | lively[2:-1] | lively[3:]
    chosen &= voice[:-_NGRAM] == voice[_NGRAM:]
    pairs = interval.astype(np.uint64)
    pairs = pairs[:-1] << np.uint64(8) | pairs[1:]
    ngrams = pairs[:-4] << np.uint64(32) | pairs[2:-2] << np.uint64(16) | pairs[4:]
    return voice[:-_NGRAM][chosen], ngrams[chosen]
