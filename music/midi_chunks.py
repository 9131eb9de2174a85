"""The chunks of a MIDI file: its header and where its tracks lie, also where the header or the sizes are wrong."""

import struct
from typing import Literal, NamedTuple, get_args

from ostinato.configs.errors import UserError
from ostinato.music.midi_bytes import END_MARK

MidiReason = Literal[
    "not_midi",
    "truncated",
    "damaged",
    "smpte_division",
    "zero_division",
    "independent_tracks",
    "too_many_tracks",
    "ticks_overflow",
    "no_notes",
]
MIDI_REASONS: tuple[MidiReason, ...] = get_args(MidiReason)
"""not_midi: no MIDI header. truncated: the file ends before its header does, or within a track before any note.
damaged: the header or the events of every track make no sense. smpte_division: time is in film frames, not beats.
zero_division: no ticks in a quarter note. independent_tracks: format 2, several pieces in one file. too_many_tracks:
above MAX_INSTRUMENTS. ticks_overflow: from MAX_TICKS on. no_notes: nothing sounds."""

Repair = Literal[
    "riff_wrapper",
    "macbinary_head",
    "format_word",
    "track_count",
    "track_size",
    "end_mark",
    "cut_track",
    "stray_data_bytes",
    "broken_track",
    "second_file",
    "one_beat_bars",
]
"""riff_wrapper: taken out of a RIFF file. macbinary_head: the head of a file of the old Macintosh stands in front.
format_word: the format is none of 0, 1 and 2. track_count: another number of tracks than declared. track_size: a track
does not end where its size says, and was read up to its end mark or the next track; or the next one does not begin
there. end_mark: an end mark in the middle of a track, none at its end, or one that the end of the file cuts. cut_track:
the file ends within a track, which was read up to there. stray_data_bytes: data bytes above 127 became 127.
broken_track: a track was given up. second_file: another MIDI file stands behind the first one, and was left out.
one_beat_bars: bars of one beat were put together (see music.downbeats)."""

_MACBINARY_BYTES = 128

_HEADER = b"MThd\0\0\0\6"
"""How nearly all files begin."""


class MidiError(UserError):
    """Bytes that cannot be used as a piece of music."""

    def __init__(self, reason: MidiReason, detail: str):
        super().__init__(reason, detail)
        self.reason: MidiReason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class Track(NamedTuple):
    """Where the events of one track chunk begin and end, in bytes."""

    start: int
    end: int
    is_cut: bool
    """The file ends before the size that the chunk claims: it is whole only if it has its end mark."""


class Chunks(NamedTuple):
    """What the chunks of a file say."""

    ticks_per_quarter: int
    tracks: list[Track]
    num_missing: int
    """Tracks that the header declares and the file does not have."""
    repairs: set[Repair]


def unwrap(data: bytes) -> tuple[bytes, set[Repair]]:
    """Returns the MIDI file in a RIFF file or behind a MacBinary head, and which; other bytes as they are.

    Raises:
        MidiError: a RIFF-MIDI file has no 'data' chunk.
    """
    if data[:1] == b"\0" and data[_MACBINARY_BYTES : _MACBINARY_BYTES + 4] == b"MThd":
        return data[_MACBINARY_BYTES:], {"macbinary_head"}
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data, set()
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        if name == b"data":
            return data[position + 8 : position + 8 + size], {"riff_wrapper"}
        position += 8 + size + size % 2  # chunks begin at even positions
    raise MidiError("not_midi", "a RIFF file of type RMID without a 'data' chunk")


def find_chunks(data: bytes) -> Chunks:
    """Returns the resolution and the tracks of a file without RIFF wrapper.

    Raises:
        MidiError: the header is missing or cannot be used, or the tracks are pieces of their own.
    """
    if data[:4] != b"MThd":
        raise MidiError("not_midi", f"begins with {data[:4]!r}, not with {b'MThd'!r} (of {len(data)} bytes)")
    if len(data) < 14:
        raise MidiError("truncated", f"{len(data)} bytes, but the header alone has 14")
    size, file_format, num_declared, division = struct.unpack_from(">IHHH", data, 4)
    if size < 6:
        raise MidiError("damaged", f"header of {size} bytes; must be at least 6")
    if 8 + size > len(data):
        raise MidiError("truncated", f"{len(data)} bytes, but the header says that it has {size}")
    if division >= 0x8000:
        raise MidiError("smpte_division", f"division 0x{division:04x} counts film frames, not parts of a quarter note")
    if division == 0:
        raise MidiError("zero_division", "division 0: no ticks in a quarter note")
    repairs: set[Repair] = set()
    tracks = _find_tracks(data, 8 + size, repairs)
    if file_format == 2 and len(tracks) > 1:
        detail = f"format 2 with {len(tracks)} tracks: pieces of their own, not parts of one"
        raise MidiError("independent_tracks", detail)
    if file_format > 2:
        repairs.add("format_word")
    if len(tracks) != num_declared:
        repairs.add("track_count")
    return Chunks(division, tracks, max(0, num_declared - len(tracks)), repairs)


def _find_tracks(data: bytes, position: int, repairs: set[Repair]) -> list[Track]:
    """Returns all tracks up to the end or to the header of another file; unknown chunks are skipped."""
    tracks = []
    while position + 8 <= len(data):
        name, size = struct.unpack_from(">4sI", data, position)
        start, end = position + 8, position + 8 + size
        if name == b"MTrk":
            track = _bounded(data, start, end)
            if track.end != end:
                repairs.add("track_size")
            tracks.append(track)
            position = track.end
        elif name == b"MThd" and tracks:
            repairs.add("second_file")
            break
        elif end <= len(data) and name.isalnum():
            position = end
        else:  # neither a track nor a chunk: the next track is somewhere behind
            position = _find_next(data, position + 1)
            if position < 0:
                break
            repairs.add("track_size")
    if any(not track.is_cut and data[track.end - 3 : track.end] != END_MARK for track in tracks):
        repairs.add("end_mark")
    return tracks


def _bounded(data: bytes, start: int, end: int) -> Track:
    """Returns a track that ends where its size says, or at the next track where that cannot be true."""
    if end == len(data) or data[end : end + 4] == b"MTrk" or (end < len(data) and data[end - 3 : end] == END_MARK):
        return Track(start, end, is_cut=False)
    following = _find_next(data, start)
    if following >= 0:
        return Track(start, following, is_cut=False)
    if end < len(data) and data[end : end + 4].isalnum():
        return Track(start, end, is_cut=False)
    return Track(start, len(data), is_cut=True)


def _find_next(data: bytes, start: int) -> int:
    """Returns where the next track or the next file begins, or -1."""
    track = data.find(b"MTrk", start)
    header = data.find(_HEADER, start, track if track >= 0 else len(data))
    return header if header >= 0 else track
