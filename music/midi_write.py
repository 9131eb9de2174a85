"""Writing a Piece as the bytes of a Standard MIDI File of format 1.

The bytes are made here, since symusic and pretty_midi alike put the sixteenth pitched program on a channel that another
one has, and the program change of one is then heard in the other.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ostinato.configs.errors import UserError
from ostinato.music import midi_bytes
from ostinato.music.keys import Key
from ostinato.music.midi_bytes import DRUM_CHANNEL, PITCHED_CHANNELS, message_bytes, meta_event, track_bytes
from ostinato.music.piece import DRUMS, Meters, Notes, Piece, Tempos, without_overlaps


class _Part(NamedTuple):
    """The notes of one program, and where they are played."""

    program: int
    notes: Notes
    channel: int
    port: int


def write(piece: Piece, *, text: str = "", key: Key | None = None, title: str = "", end_tick: int = 0) -> bytes:
    """Returns a Standard MIDI File of format 1: a track for text, tempos and meters, then one for each program.

    Overlapping notes are resolved first, so `read(write(piece)) == without_overlaps(piece)` for every piece with notes.
    A piece without tempo or meter gives a file without: 120 quarter notes a minute and 4/4, by the standard.

    Drums are on channel 10, pitched programs on the others, each on its own. From the sixteenth pitched program on, one
    takes over the channel of another that has ended, and its program change stands right before its first note. Where
    more than fifteen go on at once the next is on channel 1 of a second port (meta event 0x21, as sequencers write it).

    Args:
        piece: sorted, as `make_piece` returns it.
        text: becomes a text event at the beginning, in UTF-8.
        key: becomes a key signature there.
        title: becomes the name of the piece there.
        end_tick: where the tracks end, if not at their last events.

    Raises:
        UserError: the piece holds a number that MIDI has no room for.
    """
    _check_ranges(piece)
    piece = without_overlaps(piece)
    parts = _assign_channels(piece.notes)
    has_ports = any(part.port for part in parts)
    conductor = _conductor_track(piece, text, key, title, end_tick)
    tracks = [conductor, *(_part_track(part, has_ports, end_tick) for part in parts)]
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
            parts.append(_Part(program, part, DRUM_CHANNEL, 0))
            continue
        free = [lane for lane, lane_end in enumerate(ends) if lane_end < start]
        if len(ends) < len(PITCHED_CHANNELS) or not free:
            lane = len(ends)
            ends.append(end)
        else:
            lane = min(free, key=lambda lane: ends[lane])
            ends[lane] = end
        port, channel = divmod(lane, len(PITCHED_CHANNELS))
        parts.append(_Part(program, part, PITCHED_CHANNELS[channel], port))
    return parts


def _conductor_track(piece: Piece, text: str, key: Key | None, title: str, end_tick: int) -> bytes:
    head = [(0, meta_event(midi_bytes.TEXT, text.encode()))] if text else []
    head += [(0, meta_event(midi_bytes.TRACK_NAME, title.encode()))] if title else []
    head += [(0, midi_bytes.key_event(key))] if key else []
    tempos = [(tick, midi_bytes.tempo_event(us_per_quarter)) for tick, us_per_quarter in _rows(piece.tempos)]
    meters = [(tick, midi_bytes.meter_event(*meter)) for tick, *meter in _rows(piece.meters)]
    changes = sorted(tempos + meters)
    last_tick = changes[-1][0] if changes else 0
    return track_bytes(head + changes) + _end(last_tick, end_tick)


def _end(last_tick: int, end_tick: int) -> bytes:
    """Returns the event that ends a track, after its last tick."""
    return track_bytes([(max(last_tick, end_tick), midi_bytes.END_MARK)], tick=last_tick)


def _part_track(part: _Part, has_ports: bool, end_tick: int) -> bytes:
    """Returns the events of one part. On one tick note-offs come before note-ons."""
    head = [(0, meta_event(midi_bytes.TRACK_NAME, instrument_name(part.program).encode()))]
    if has_ports:
        head.append((0, meta_event(midi_bytes.PORT, bytes((part.port,)))))
    kit_or_program = 0 if part.program == DRUMS else part.program
    onset, duration, pitch, velocity, _ = part.notes
    first_tick = int(onset[0])
    head.append((first_tick, bytes((midi_bytes.PROGRAM_CHANGE | part.channel, kit_or_program))))
    tick, is_on = np.r_[onset + duration, onset], np.arange(2 * len(onset)) >= len(onset)
    status = np.where(is_on, midi_bytes.NOTE_ON, midi_bytes.NOTE_OFF) | part.channel
    message = np.stack([status, np.r_[pitch, pitch], np.r_[np.zeros_like(velocity), velocity]], axis=1)
    order = np.argsort(tick << 8 | is_on << 7 | message[:, 1])
    notes = message_bytes(tick[order], message[order], tick=first_tick)
    return track_bytes(head) + notes + _end(int(tick.max()), end_tick)


def _rows(columns: Tempos | Meters) -> Iterator[tuple[int, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)
