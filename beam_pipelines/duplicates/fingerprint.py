"""Fingerprints by which two files are known to hold the same music.

What is the same: of pitched music the intervals from note to note in the order (onset, pitch) and their rhythm; of
drums which drum and when, from the beginning of the bar or of the file. Times are compared with the whole or with the
time before, so that tempo is not seen; nor are transposition, loudness, instrument, or how the notes are spread over
tracks.
Three kinds, from strict to lenient: all notes, the notes of a part (equal or not), and a sketch of
each voice that tells how alike two voices are.

Drums beside pitched notes are seen by the first only: many songs share a drum pattern.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int16, Int32, Int64, UInt8, UInt32, UInt64

from ostinato.beam_pipelines.duplicates.aligned import MAX_LINE, line_of
from ostinato.beam_pipelines.duplicates.performances import NUM_BINS, sketch_performance
from ostinato.beam_pipelines.duplicates.voices import (
    ONSET_BIT,
    PITCH,
    TOGETHER,
    VOICE_BIT,
    WIDTH,
    begin_chords,
    highest_notes,
    sketch_voices,
    strike_drums,
)
from ostinato.music.bars import bar_length
from ostinato.music.piece import DRUMS, Notes, Piece

PREFIX_NOTES = 400
"""Intervals of a part that count: the same song with another ending has the same beginning."""

MIN_TRACK_NOTES = 16
"""Shorter tracks say nothing: many pieces share a bass of eight notes."""

MIN_FIGURES = 8
"""A part with fewer different runs of three intervals is a pattern that anybody could have written."""

TELLING = 1
"""The lowest bit of a part's shape: set if the part is no such pattern."""

NUM_TIMES = 64
TIMES_SPAN = 2**14
"""See `Fingerprints.times`."""

_PLACES = (np.arange(NUM_TIMES) + np.random.default_rng(0).random(NUM_TIMES)) / NUM_TIMES
"""One in each 64th of a piece, at no regular distance: else all could fall on beats."""

_STEPS_PER_OCTAVE = 8
"""Two times are told apart by the ratio to the one before, in eighths of a doubling."""

_NO_RATIO = 255

_ACROSS_VOICES = 31
"""Onsets of one voice are less than 2^31 apart, those of different voices more."""


class Fingerprints(NamedTuple):
    """What connects a piece to others."""

    whole: int
    """64 bits; equal for two pieces with the same notes in the same order: if `times` agree, one is a duplicate."""
    times: Int16[np.ndarray, " 64"]
    """When some of the notes begin, in 1/TIMES_SPAN of the time from the first to the last."""
    span: float
    """That time in quarter notes."""
    leads: Float64[np.ndarray, " 2"]
    """Of drums the quarter notes from the beginning of the file to the first hit, and from the bar line next to that.
    If either is alike in two pieces, in proportion to their spans, they begin at the same place; of pitched notes 0."""
    parts: UInt64[np.ndarray, "p 2"]
    """Of the beginning of the whole, then of the beginnings of the tracks, ascending: the shape, which does not see
    rhythm (see TELLING), and what sees it too."""
    performance: UInt32[np.ndarray, " 256"]
    """See `performances`."""
    line: UInt8[np.ndarray, " k"]
    """The highest notes in order and then, with 128 added, the lowest ones; of most pieces none. See `aligned`."""
    voices: UInt32[np.ndarray, "v 24"]
    """Of the whole, of either half of it, and of each track, where there is enough to tell; see `voices`."""


class Stacked(NamedTuple):
    """The fingerprints of n pieces as columns, in their order."""

    whole: UInt64[np.ndarray, " n"]
    times: Int16[np.ndarray, "n 64"]
    span: Float64[np.ndarray, " n"]
    leads: Float64[np.ndarray, "n 2"]
    performance: UInt32[np.ndarray, "n 256"]
    line: UInt8[np.ndarray, "n 512"]
    """Filled up with zeros."""
    num_in_line: Int32[np.ndarray, " n"]
    """May be 0."""
    parts: UInt64[np.ndarray, "p 2"]
    num_parts: Int32[np.ndarray, " n"]
    """At least 1."""
    voices: UInt32[np.ndarray, "v 24"]
    num_voices: Int32[np.ndarray, " n"]
    """May be 0."""


def stack(prints: Sequence[Fingerprints]) -> Stacked:
    """Returns the fingerprints of some pieces as columns."""
    return Stacked(
        whole=np.array([one.whole for one in prints], np.uint64),
        times=np.array([one.times for one in prints], np.int16).reshape(-1, NUM_TIMES),
        span=np.array([one.span for one in prints]),
        leads=np.array([one.leads for one in prints]).reshape(-1, 2),
        performance=np.array([one.performance for one in prints], np.uint32).reshape(-1, NUM_BINS),
        line=np.frombuffer(b"".join(one.line.tobytes().ljust(MAX_LINE, b"\0") for one in prints), np.uint8).reshape(
            -1, MAX_LINE
        ),
        num_in_line=np.array([len(one.line) for one in prints], np.int32),
        parts=np.concatenate([np.zeros((0, 2), np.uint64), *(one.parts for one in prints)]),
        num_parts=np.array([len(one.parts) for one in prints], np.int32),
        voices=np.concatenate([np.zeros((0, WIDTH), np.uint32), *(one.voices for one in prints)]),
        num_voices=np.array([len(one.voices) for one in prints], np.int32),
    )


def fingerprint(piece: Piece, tracks: Sequence[Notes]) -> Fingerprints:
    """Returns the fingerprints of a piece; they do not depend on the order of its tracks.

    Args:
        piece: all notes.
        tracks: the notes of each track, in ticks, each in any order.
    """
    is_hit = piece.notes.program == DRUMS
    num_hits = np.count_nonzero(is_hit)
    only_drums = num_hits == piece.num_notes
    key, lengths = _sort_notes(piece, is_hit, tracks)
    onset, pitch = key >> ONSET_BIT, (key & PITCH).astype(np.uint8)
    times, span = _sample_times(piece)
    leads = _find_leads(piece) if only_drums else np.zeros(2)

    together = -(-piece.ticks_per_quarter // TOGETHER)
    if only_drums:
        moves, first = pitch[1:], pitch[:1].tobytes()
        line, outer = strike_drums(pitch, onset, together), pitch[:0]
    else:
        moves, first = pitch[1:] - pitch[:-1], b""
        line = highest_notes(key, onset, together)
        highest, length = line.pitch[: line.voice.searchsorted(1)], lengths[0]
        outer = np.concatenate([highest, _lowest_notes(pitch[:length], onset[:length], together) | 128])

    shape, timed = moves.tobytes(), _interleave(moves, _name_times(onset))
    figures = _name_figures(moves).tobytes()
    parts, begin = [], 0
    for length in lengths:
        end = begin + min(length - 1, PREFIX_NOTES)
        telling = len(set(figures[begin : max(begin, end - 2)])) >= MIN_FIGURES
        parts.append((_hash(shape[begin:end]) & ~TELLING | telling, _hash(first + timed[2 * begin : 2 * end])))
        begin += length
    in_order = shape[: lengths[0] - 1] + first
    if num_hits and not only_drums:
        in_order += piece.notes.pitch[is_hit].astype(np.uint8).tobytes()
    return Fingerprints(
        whole=_hash(in_order),
        times=times,
        span=span,
        leads=leads,
        parts=np.array([parts[0], *sorted(set(parts[1:]) - {parts[0]})], np.uint64),
        performance=sketch_performance(outer),
        line=line_of(outer),
        voices=sketch_voices(line, num_voices=len(lengths), drums=only_drums),
    )


def _sort_notes(
    piece: Piece, is_hit: Bool[np.ndarray, " n"], tracks: Sequence[Notes]
) -> tuple[Int64[np.ndarray, " m"], list[int]]:
    """Returns voice, onset and pitch of each note in one sorted column, and the number of notes in each voice.

    Voice 0 is the whole piece, the others are its pitched tracks. Where all notes are in one track, it is the whole.
    Drums are looked at only where there is nothing else.
    """
    notes = piece.notes
    if is_hit.any() and not is_hit.all():
        notes = Notes._make([column.compress(~is_hit) for column in notes])
    voices = [(notes.onset, notes.pitch)]
    chosen = [track for track in tracks if len(track.onset) >= MIN_TRACK_NOTES and track.program[0] != DRUMS]
    if len(chosen) > 1 or (chosen and len(chosen[0].onset) < len(voices[0][0])):
        voices += [(track.onset, track.pitch) for track in chosen]
    lengths = [len(onset) for onset, _ in voices]
    onset, pitch = (np.concatenate(column).astype(np.int64) for column in zip(*voices, strict=True))
    key = np.repeat(np.arange(len(lengths)), lengths) << VOICE_BIT | onset << ONSET_BIT | pitch
    key.sort(kind="stable")  # for columns that are nearly in order the fastest kind by far
    return key, lengths


def _lowest_notes(
    pitch: UInt8[np.ndarray, " n"], onset: Int64[np.ndarray, " n"], together: int
) -> UInt8[np.ndarray, " c"]:
    """Returns the lowest pitch of each chord but the last; a note alone is none."""
    begins = begin_chords(onset, together)
    alone = begins[1:] - begins[:-1] == 1
    return np.minimum.reduceat(pitch, begins)[:-1][~alone]


def _name_times(onset: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, " n-1"]:
    """Returns how each note but the first comes after the one before.

    0 is together with it; the others compare the time between their onsets with the last one that was not 0. Onsets go
    to another voice where they are far apart.
    """
    later = (onset[1:] != onset[:-1]).nonzero()[0]
    times = np.zeros(len(onset) - 1, np.uint8)
    times[later[:1]] = _NO_RATIO
    step = np.log2((onset[later + 1] - onset[later]).astype(np.float32))
    ratio = np.rint(_STEPS_PER_OCTAVE * (step[1:] - step[:-1])) + _NO_RATIO // 2
    far = step >= _ACROSS_VOICES
    ratio[far[1:] | far[:-1]] = _NO_RATIO
    times[later[1:]] = np.minimum(np.maximum(ratio, 1), _NO_RATIO)
    return times


def _interleave(one: UInt8[np.ndarray, " k"], other: UInt8[np.ndarray, " k"]) -> bytes:
    both = np.empty((len(one), 2), np.uint8)
    both[:, 0], both[:, 1] = one, other
    return both.tobytes()


def _sample_times(piece: Piece) -> tuple[Int16[np.ndarray, " 64"], float]:
    """Returns `Fingerprints.times` and `Fingerprints.span`."""
    onset = piece.notes.onset
    count, span = len(onset), max(int(onset[-1] - onset[0]), 1)
    chosen = onset if count <= NUM_TIMES else onset[(_PLACES * count).astype(np.int64)]
    sampled = np.zeros(NUM_TIMES, np.int16)
    sampled[: len(chosen)] = (chosen - onset[0]) * (TIMES_SPAN / span)
    return sampled, span / piece.ticks_per_quarter


def _find_leads(piece: Piece) -> Float64[np.ndarray, " 2"]:
    """Returns `Fingerprints.leads` of drums. In the first bar it is its own line that counts."""
    begin = int(piece.notes.onset[0])
    numerator, denominator = (int(column[0]) if len(column) else 4 for column in piece.meters[1:])
    bar = int(bar_length(piece.ticks_per_quarter, numerator, denominator))
    line = (begin + bar // 2) // bar * bar if begin >= bar else 0
    return np.array([begin, begin - line]) / piece.ticks_per_quarter


def _name_figures(intervals: UInt8[np.ndarray, " m"]) -> UInt8[np.ndarray, " k"]:
    """Returns one of 256 names for each run of three intervals; different runs seldom have the same one."""
    return (intervals[:-2] * np.uint8(29) + intervals[1:-1]) * np.uint8(37) + intervals[2:]


def _hash(data: bytes) -> int:
    """Returns 64 bits: among a million pieces two collide by chance once in 40 million collections."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
