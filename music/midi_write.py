"""Writing a Piece as the bytes of a Standard MIDI File of format 1.

The bytes are made here, since symusic and pretty_midi alike put the sixteenth pitched program on a channel that another
one has, and the program change of one is then heard in the other. Axes: m events, k bytes.
"""

import struct
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from numpy.typing import ArrayLike

from ostinato.configs.errors import UserError
from ostinato.music.piece import DRUMS, Notes, Piece, without_overlaps

_NOTE_OFF, _NOTE_ON, _PROGRAM_CHANGE = 0x80, 0x90, 0xC0
_TEXT, _TRACK_NAME, _PORT = 0x01, 0x03, 0x21
_END_OF_TRACK = b"\x00\xff\x2f\x00"
_DRUM_CHANNEL = 9
_PITCHED_CHANNELS = [channel for channel in range(16) if channel != _DRUM_CHANNEL]
_LONGEST_WAIT = 2**28 - 1
"""Ticks from one event to the next that four bytes can say. Empty texts divide longer waits."""


class _Part(NamedTuple):
    """The notes of one program, and where they are played."""

    program: int
    notes: Notes
    channel: int
    port: int


def write(piece: Piece, *, text: str = "") -> bytes:
    """Returns a Standard MIDI File of format 1: a track for text, tempos and meters, then one for each program.

    Overlapping notes are resolved first, so `read(write(piece)) == without_overlaps(piece)` for every piece with notes.
    A piece without tempo or meter gives a file without: 120 quarter notes a minute and 4/4, by the standard.

    Drums are on channel 10, pitched programs on the others, each on its own. From the sixteenth pitched program on, one
    takes over the channel of another that has ended, and its program change stands right before its first note. Where
    more than fifteen go on at once the next is on channel 1 of a second port (meta event 0x21, as sequencers write it).

    Args:
        piece: sorted, as `make_piece` returns it.
        text: becomes a text event at the beginning, in UTF-8.

    Raises:
        UserError: the piece holds a number that MIDI has no room for.
    """
    _check_ranges(piece)
    piece = without_overlaps(piece)
    parts = _assign_channels(piece.notes)
    has_ports = any(part.port for part in parts)
    tracks = [_conductor_track(piece, text), *(_part_track(part, has_ports) for part in parts)]
    header = struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), piece.ticks_per_quarter)
    return header + b"".join(struct.pack(">4sI", b"MTrk", len(track)) + track for track in tracks)


def instrument_name(program: int) -> str:
    """Returns the General MIDI name of a program, or 'Drums'."""
    # Imported here: pretty_midi is half of what a parser process of prepare would load.
    from pretty_midi.constants import INSTRUMENT_MAP

    return "Drums" if program == DRUMS else INSTRUMENT_MAP[program]


def _check_ranges(piece: Piece) -> None:
    notes, tempos, meters = piece.notes, piece.tempos, piece.meters
    for name, values, low, high in (
        ("ticks_per_quarter", piece.ticks_per_quarter, 1, 2**15 - 1),
        ("onset", notes.onset, 0, 2**31 - 1),
        ("duration", notes.duration, 1, 2**31 - 1),
        ("end of a note", notes.onset + notes.duration, 1, 2**31 - 1),
        ("pitch", notes.pitch, 0, 127),
        ("velocity", notes.velocity, 1, 127),
        ("program", notes.program, 0, DRUMS),
        ("tick of a tempo", tempos.tick, 0, 2**31 - 1),
        ("us_per_quarter", tempos.us_per_quarter, 1, 2**24 - 1),
        ("tick of a meter", meters.tick, 0, 2**31 - 1),
        ("numerator", meters.numerator, 1, 255),
        ("denominator", meters.denominator, 1, 64),
    ):
        values = np.ravel(values)
        wrong = values[(values < low) | (values > high)]
        if len(wrong):
            raise UserError(f"{name} {wrong[0]} cannot be written to MIDI; it must be from {low} to {high}")
    odd = meters.denominator[meters.denominator & (meters.denominator - 1) != 0]
    if len(odd):
        raise UserError(f"denominator {odd[0]} cannot be written to MIDI; it must be a power of two")


def _assign_channels(notes: Notes) -> list[_Part]:
    """Returns the parts in order of their first onset; pitched parts that share a channel and port never meet."""
    parts, ends = [], []
    by_program = [
        Notes(*(column[notes.program == program] for column in notes)) for program in np.unique(notes.program)
    ]
    for part in sorted(by_program, key=lambda part: part.onset[0]):
        program, start, end = int(part.program[0]), part.onset[0], (part.onset + part.duration).max()
        if program == DRUMS:
            parts.append(_Part(program, part, _DRUM_CHANNEL, 0))
            continue
        free = [lane for lane, lane_end in enumerate(ends) if lane_end < start]
        if len(ends) < len(_PITCHED_CHANNELS) or not free:
            lane = len(ends)
            ends.append(end)
        else:
            lane = min(free, key=lambda lane: ends[lane])
            ends[lane] = end
        port, channel = divmod(lane, len(_PITCHED_CHANNELS))
        parts.append(_Part(program, part, _PITCHED_CHANNELS[channel], port))
    return parts


def _conductor_track(piece: Piece, text: str) -> bytes:
    tempos = [
        (tick, bytes((0xFF, 0x51, 3)) + us_per_quarter.to_bytes(3, "big"))
        for tick, us_per_quarter in zip(*(column.tolist() for column in piece.tempos), strict=True)
    ]
    meters = [  # 24 MIDI clocks in a metronome click, 8 thirty-seconds in a quarter note: what everyone writes
        (tick, bytes((0xFF, 0x58, 4, numerator, denominator.bit_length() - 1, 24, 8)))
        for tick, numerator, denominator in zip(*(column.tolist() for column in piece.meters), strict=True)
    ]
    events = sorted(tempos + meters)
    head = _meta_event(_TEXT, text.encode()) if text else b""
    if not events:
        return head + _END_OF_TRACK
    message = np.array([list(message.ljust(7, b"\x00")) for _, message in events], np.uint8)
    return head + _pack([tick for tick, _ in events], message, [len(message) for _, message in events]) + _END_OF_TRACK


def _part_track(part: _Part, has_ports: bool) -> bytes:
    """Returns the events of one part. On one tick note-offs come before note-ons."""
    notes = part.notes
    name = instrument_name(part.program)
    kit_or_program = 0 if part.program == DRUMS else part.program
    head = _meta_event(_TRACK_NAME, name.encode())
    if has_ports:
        head += _meta_event(_PORT, bytes((part.port,)))
    tick = np.r_[notes.onset[0], notes.onset, notes.onset + notes.duration]
    status = np.repeat([_PROGRAM_CHANGE, _NOTE_ON, _NOTE_OFF], [1, len(notes.onset), len(notes.onset)]) | part.channel
    first = np.r_[kit_or_program, notes.pitch, notes.pitch]
    second = np.r_[0, notes.velocity, np.zeros_like(notes.velocity)]
    size = np.full(len(tick), 3)
    size[0] = 2
    rank = np.repeat([0, 2, 1], [1, len(notes.onset), len(notes.onset)])
    order = np.lexsort((first, rank, tick))
    message = np.stack([status, first, second], axis=1).astype(np.uint8)
    return head + _pack(tick[order], message[order], size[order]) + _END_OF_TRACK


def _meta_event(kind: int, content: bytes) -> bytes:
    """Returns a meta event at the beginning of a track."""
    event = bytes((0xFF, kind)) + _variable_length(len(content)) + content
    return b"\x00" + event


def _variable_length(value: int) -> bytes:
    digits = [value & 127]
    while value := value >> 7:
        digits.append(value & 127 | 128)
    return bytes(reversed(digits))


def _pack(tick: ArrayLike, message: UInt8[np.ndarray, "m k"], size: ArrayLike) -> bytes:
    """Returns events as the bytes of a track, each after the wait since the one before it.

    Args:
        tick: of each event, in order.
        message: each event's bytes.
        size: how many of the k bytes belong to the event.
    """
    tick, size = np.asarray(tick, np.int64), np.asarray(size, np.int64)
    wait: Int[np.ndarray, " m"] = np.diff(tick, prepend=0)
    if wait.max() > _LONGEST_WAIT:
        stops = np.arange(_LONGEST_WAIT, tick[-1], _LONGEST_WAIT)
        places = np.searchsorted(tick, stops)
        empty_text = np.zeros(message.shape[1], np.uint8)
        empty_text[:3] = 0xFF, _TEXT, 0
        message = np.insert(message, places, empty_text, axis=0)
        size = np.insert(size, places, 3)
        wait = np.diff(np.insert(tick, places, stops), prepend=0)
    digits = wait[:, None] >> [21, 14, 7, 0] & 127 | [128, 128, 128, 0]
    is_needed = wait[:, None] >= [2**21, 2**14, 2**7, 0]
    columns = np.concatenate([digits.astype(np.uint8), message], axis=1)
    is_used = np.concatenate([is_needed, np.arange(message.shape[1]) < size[:, None]], axis=1)
    return columns[is_used].tobytes()
