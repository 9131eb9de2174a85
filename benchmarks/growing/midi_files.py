"""Thousands of small MIDI files written at once: `midi.write` takes longer for one than `prepare` takes to parse it."""

import struct
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt8

_TEMPO = b"\0\xff\x51\x03"
_END = b"\0\xff\x2f\0"
_MAX_BYTES = 7
"""Of an event: four of the time since the last one, three of the message."""


class ManyNotes(NamedTuple):
    """The notes of many files in any order."""

    file: Int64[np.ndarray, " n"]
    """From 0."""
    track: Int64[np.ndarray, " n"]
    """0 or 1."""
    onset: Int64[np.ndarray, " n"]
    duration: Int64[np.ndarray, " n"]
    """Ticks, at least 1."""
    pitch: Int64[np.ndarray, " n"]
    velocity: Int64[np.ndarray, " n"]


class Headers(NamedTuple):
    """What else stands in each of the files."""

    ticks_per_quarter: Int64[np.ndarray, " f"]
    us_per_quarter: Int64[np.ndarray, " f"]
    program: Int64[np.ndarray, "f 2"]


def write_many(notes: ManyNotes, headers: Headers) -> list[bytes]:
    """Returns the bytes of each file, of format 1: a track for the tempo and one for each of its tracks with notes."""
    track = notes.file * 2 + notes.track
    num_tracks = 2 * len(headers.us_per_quarter)
    tick = np.concatenate([notes.onset + notes.duration, notes.onset])
    is_on = np.arange(2 * len(track)) >= len(track)
    pitch = np.concatenate([notes.pitch, notes.pitch])
    key = np.concatenate([track, track]) << 40 | tick << 8 | is_on << 7 | pitch  # note-offs first, by pitch
    order = np.argsort(key)
    key = key[order]
    track, tick = key >> 40, key >> 8 & 0xFFFFFFFF
    velocity = np.concatenate([np.zeros_like(notes.velocity), notes.velocity])[order]
    status = np.where(key & 128, 0x90, 0x80) | track & 1
    first = np.concatenate([[True], track[1:] != track[:-1]])
    delta = np.where(first, tick, np.concatenate([[0], np.diff(tick)]))
    events, used = _encode(delta, status, key & 127, velocity)
    data = events[used].tobytes()
    ends = np.cumsum(np.bincount(track, used.sum(axis=1), minlength=num_tracks).astype(np.int64)).tolist()
    return [_file(number, data, [0, *ends], headers) for number in range(num_tracks // 2)]


def _encode(
    delta: np.ndarray, status: np.ndarray, pitch: np.ndarray, velocity: np.ndarray
) -> tuple[UInt8[np.ndarray, "e 7"], Bool[np.ndarray, "e 7"]]:
    events = np.empty((len(delta), _MAX_BYTES), np.uint8)
    used = np.ones((len(delta), _MAX_BYTES), np.bool_)
    for place, shift in enumerate((21, 14, 7)):
        events[:, place] = delta >> shift & 127 | 128
        used[:, place] = delta >> shift > 0
    events[:, 3] = delta & 127
    for place, column in enumerate((status, pitch, velocity), 4):
        events[:, place] = column
    return events, used


def _file(number: int, data: bytes, ends: list[int], headers: Headers) -> bytes:
    tracks = [_TEMPO + int(headers.us_per_quarter[number]).to_bytes(3, "big") + _END]
    for channel in (0, 1):
        body = data[ends[2 * number + channel] : ends[2 * number + channel + 1]]
        if body:
            tracks.append(bytes((0, 0xC0 | channel, int(headers.program[number, channel]))) + body + _END)
    head = struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), int(headers.ticks_per_quarter[number]))
    return head + b"".join(struct.pack(">4sI", b"MTrk", len(track)) + track for track in tracks)
