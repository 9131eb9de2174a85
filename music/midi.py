"""Reading a MIDI file's bytes into a Piece. What cannot be read is one MidiError with a reason from a closed list.

symusic parses; this module decides. Its choices:

- **Time**: ticks are kept as they stand. Seconds are for `Piece.seconds`, which has float64 (symusic has float32).
- **Tempo and meter** hold for all tracks, whichever track they stand in. Of several at one tick the last in the file
  holds (symusic's order of these is chance). A tempo of 0 is ignored, and so is a tempo event whose length is not 3
  (symusic takes whatever follows for its value), a meter event whose length is not 4, and a meter whose numerator is 0
  or whose denominator is above 64. A file without tempo or meter gives a Piece without any.
- **Notes**: a note-on of velocity 0 is a note-off. Of overlapping notes of one pitch (in one track and channel) the
  first opened is the first closed. Notes that are never closed are dropped, and so are notes that last 0 ticks.
- **Instruments**: channel 10 is drums (program DRUMS); on other channels a note has the program that its channel had,
  in its own track, when it began, and 0 before any.
- **Files**: a RIFF wrapper (RMID) is taken off. Tracks behind the number that the header declares are not read; fewer
  are accepted. What a header has beyond six bytes is skipped, as the standard asks. Format 2 with several tracks is
  refused: they are pieces of their own. Stray data bytes above 127 become 127, and `read_reporting` says so. Escape
  events (0xF7) are skipped (symusic reads their data as events).
"""

import struct
from typing import Literal, NamedTuple, get_args

import numpy as np
from symusic.core import ScoreTick, TrackTick

from ostinato.configs.errors import UserError
from ostinato.music import midi_scan
from ostinato.music.midi_scan import PADDING, Scan, Track
from ostinato.music.midi_write import write as write
from ostinato.music.piece import DRUMS, Notes, Piece, make_piece

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
"""not_midi: no MIDI header. truncated: a chunk is longer than the rest of the file. damaged: the events of a track make
no sense. smpte_division: time is in film frames, not beats. zero_division: no ticks in a quarter note.
independent_tracks: format 2, several pieces in one file. too_many_tracks: above MAX_INSTRUMENTS. ticks_overflow: from
MAX_TICKS on. no_notes: nothing sounds."""

MIDI_SUFFIXES = (".mid", ".midi", ".smf", ".rmi", ".kar")
"""Endings, in any case, by which MIDI files are known in folders and archives."""

MAX_TICKS = 2**31
"""symusic counts ticks in 32 bits and wraps around without a word."""

MAX_INSTRUMENTS = 8192
"""Distinct (track, channel, program) in a file; symusic needs about 8 kB for each, the file as little as 7 bytes."""

_MAX_DENOMINATOR = 64


class MidiError(UserError):
    """Bytes that cannot be used as a piece of music."""

    def __init__(self, reason: MidiReason, detail: str):
        super().__init__(reason, detail)
        self.reason: MidiReason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class Reading(NamedTuple):
    """A piece, and how it was read."""

    piece: Piece
    repaired: bool
    """Whether data bytes above 127 had to be made 127."""
    tracks: list[Notes]
    """The notes of each track (and channel and program) that has any, sorted by onset."""


class _Header(NamedTuple):
    end: int
    """Where the header chunk ends, in bytes."""
    file_format: int
    num_tracks: int
    ticks_per_quarter: int


def read(data: bytes) -> Piece:
    """Returns the piece in the bytes of a MIDI file, by the choices named above.

    Raises:
        MidiError: the bytes cannot be used; nothing else is raised, whatever they hold.
    """
    return read_reporting(data).piece


def read_reporting(data: bytes) -> Reading:
    """Returns what `read` returns, the notes of each track, and whether the file was damaged and repaired.

    Raises:
        MidiError: the bytes cannot be used.
    """
    data = _without_riff(data)
    header = _read_header(data)
    tracks = _find_tracks(data, header)
    # symusic refuses longer headers, and some files with fewer tracks than declared
    plain_header = struct.pack(">4sIHHH", b"MThd", 6, header.file_format, len(tracks), header.ticks_per_quarter)
    data = plain_header + data[header.end :] + PADDING
    tracks = [
        Track(start - header.end + len(plain_header), end - header.end + len(plain_header)) for start, end in tracks
    ]
    _check_num_instruments(len(tracks))
    may_overflow = midi_scan.last_tick_bound(data) >= MAX_TICKS
    seen = None  # few files need to be looked at event by event, and those once
    if (
        (may_overflow and any(midi_scan.last_tick_bound(data[slice(*track)]) >= MAX_TICKS for track in tracks))
        or midi_scan.num_instruments_bound(data, len(tracks)) > MAX_INSTRUMENTS
        or midi_scan.may_have_escapes(data)
    ):
        seen = midi_scan.scan(data, tracks)
        data = midi_scan.without_escapes(data, seen.escapes)
        _check_num_instruments(seen.num_instruments)
    score, repaired = _parse(data)
    if may_overflow:
        _check_ticks(score, seen.last_tick if seen else 0)
    sounding = [notes for notes in map(_read_notes, score.tracks) if len(notes.onset)]
    if not sounding:
        raise MidiError("no_notes", f"none of {len(tracks)} tracks has a note that is opened, closed and lasts")
    tempos, meters = _read_time_maps(data, tracks, score, seen)
    notes = Notes(*map(np.concatenate, zip(*sounding, strict=True)))
    piece = make_piece(**notes._asdict(), tempos=tempos, meters=meters, ticks_per_quarter=header.ticks_per_quarter)
    return Reading(piece, repaired, sounding)


def _without_riff(data: bytes) -> bytes:
    """Returns the 'data' chunk of a RIFF-MIDI file; other bytes as they are."""
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        if name == b"data":
            return data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2  # chunks begin at even positions
    raise MidiError("not_midi", "a RIFF file of type RMID without a 'data' chunk")


def _read_header(data: bytes) -> _Header:
    if data[:4] != b"MThd":
        raise MidiError("not_midi", f"begins with {data[:4]!r}, not with {b'MThd'!r} (of {len(data)} bytes)")
    if len(data) < 14:
        raise MidiError("truncated", f"{len(data)} bytes, but the header alone has 14")
    size, file_format, num_tracks, division = struct.unpack_from(">IHHH", data, 4)
    if size < 6 or file_format > 2:
        raise MidiError("damaged", f"header of {size} bytes and format {file_format}; must be 6 and at most 2")
    if 8 + size > len(data):
        raise MidiError("truncated", f"{len(data)} bytes, but the header says that it has {size}")
    if division >= 0x8000:
        raise MidiError("smpte_division", f"division 0x{division:04x} counts film frames, not parts of a quarter note")
    if division == 0:
        raise MidiError("zero_division", "division 0: no ticks in a quarter note")
    if file_format == 2 and num_tracks > 1:
        raise MidiError(
            "independent_tracks", f"format 2 with {num_tracks} tracks: pieces of their own, not parts of one"
        )
    return _Header(8 + size, file_format, num_tracks, division)


def _find_tracks(data: bytes, header: _Header) -> list[Track]:
    """Returns where the declared tracks lie in the file. Chunks of other types are skipped."""
    tracks, position = [], header.end
    while len(tracks) < header.num_tracks and position + 8 <= len(data):
        name, size = struct.unpack_from(">4sI", data, position)
        end = position + 8 + size
        if end > len(data):
            raise MidiError(
                "truncated",
                f"chunk {name!r} at byte {position} claims {size} bytes, of which {len(data) - position - 8} are there",
            )
        if name == b"MTrk":
            tracks.append(Track(position + 8, end))
        position = end
    return tracks


def _check_num_instruments(found: int) -> None:
    """Refuses a file whose parse would take memory out of proportion to its size."""
    if found > MAX_INSTRUMENTS:
        detail = f"at least {found} combinations of track, channel and program; at most {MAX_INSTRUMENTS} are allowed"
        raise MidiError("too_many_tracks", detail)


def _check_ticks(score: ScoreTick, last_tick: int) -> None:
    """Refuses a file in which symusic's count of ticks has gone wrong."""
    timed = [score.tempos, score.time_signatures, *(track.notes for track in score.tracks)]
    # a damaged track can have another end for symusic than for us, so a count that has turned negative decides too
    if last_tick >= MAX_TICKS or any((events.numpy()["time"] < 0).any() for events in timed):
        raise MidiError("ticks_overflow", f"ticks do not stay below {MAX_TICKS} (a track ends at tick {last_tick})")


def _parse(data: bytes) -> tuple[ScoreTick, bool]:
    """Returns symusic's score and whether it took sanitizing to get it."""
    try:
        return ScoreTick.from_midi(data), False
    except RuntimeError:
        try:
            return ScoreTick.from_midi(data, sanitize_data=True), True
        except RuntimeError as error:
            raise MidiError("damaged", str(error)) from error


def _read_notes(track: TrackTick) -> Notes:
    """Returns the notes of one of symusic's tracks that last at least one tick."""
    columns = track.notes.numpy()
    program = np.full(len(columns["time"]), DRUMS if track.is_drum else track.program)
    notes = Notes(columns["time"], columns["duration"], columns["pitch"], columns["velocity"], program)
    lasting = notes.duration > 0
    return notes if lasting.all() else Notes(*(column[lasting] for column in notes))


def _read_time_maps(
    data: bytes, tracks: list[Track], score: ScoreTick, seen: Scan | None
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns tempos and meters for `make_piece`, from the bytes themselves where symusic cannot be relied on."""
    tempos, meters = score.tempos.numpy(), score.time_signatures.numpy()
    tempo_tick, us_per_quarter = tempos["time"], tempos["mspq"]
    meter_tick, numerator, denominator = meters["time"], meters["numerator"], meters["denominator"]
    if (
        _conflict(tempo_tick, us_per_quarter)
        or _conflict(meter_tick, numerator, denominator)
        or midi_scan.has_odd_time_events(data)
    ):
        seen = seen or midi_scan.scan_times(data, tracks)
        tempo_tick, us_per_quarter = np.array(seen.tempos, np.int64).reshape(-1, 2).T
        meter_tick, numerator, denominator = np.array(seen.meters, np.int64).reshape(-1, 3).T
    flows = us_per_quarter > 0
    counts = (numerator > 0) & (denominator > 0) & (denominator <= _MAX_DENOMINATOR)
    return (tempo_tick[flows], us_per_quarter[flows]), (meter_tick[counts], numerator[counts], denominator[counts])


def _conflict(tick: np.ndarray, *values: np.ndarray) -> bool:
    """Returns whether neighbours at one tick differ."""
    if len(tick) < 2:
        return False
    same_tick = tick[1:] == tick[:-1]
    return any(bool((same_tick & (value[1:] != value[:-1])).any()) for value in values)
