"""Tracks whose events make no sense at first sight, read event by event: some can be brought into order."""

from typing import NamedTuple

from ostinato.music.midi_bytes import END_MARK, NOTE_ON, read_number
from ostinato.music.midi_chunks import Repair, Track


class Mended(NamedTuple):
    """What could be made of a track."""

    events: bytes | None
    """The track with the mistake taken out; None where it has to be given up."""
    repair: Repair
    num_notes: int
    """Notes that begin before the place where it has to be given up."""


def mend(data: bytes, track: Track) -> Mended:
    """Returns a damaged track as it was probably meant.

    Data bytes above 127 become 127 if the track then ends in its end mark. What stands behind an end mark and makes no
    sense is left out, and so is a last event that its track or the end of the file cuts.
    """
    events, status = bytearray(), 0
    position, end = track.start, track.end
    num_notes, num_stray, ended_at = 0, 0, 0
    while position < end:
        begin = position
        _, position = read_number(data, position) if position + 4 < end else _read_last_number(data, position, end)
        if position < end and data[position] > 127:
            status, position = data[position], position + 1
        size = _size(data, position, end, status)
        if size is None or position + size > end:
            if size is not None and track.is_cut and not num_stray and not ended_at:
                return Mended(bytes(events), "cut_track", num_notes)
            is_cut = size is not None and status < 0xF0 and not track.is_cut
            return _given_up(events, ended_at, num_notes, is_cut=is_cut)
        content = data[position : position + size]
        if status < 0xF0:
            num_stray += sum(value > 127 for value in content)
            num_notes += status & 0xF0 == NOTE_ON and content[1] > 0
            events += data[begin:position] + bytes(min(value, 127) for value in content)
        else:
            events += data[begin : position + size]
        position += size
        if status == 0xFF and content[:1] == END_MARK[1:2]:
            ended_at = len(events)
            if data[end - 3 : end] != END_MARK:
                break
    if track.is_cut and not num_stray and not ended_at:  # between two events
        return Mended(bytes(events), "cut_track", num_notes)
    if not ended_at or (num_stray and position != end):
        return _given_up(events, 0, num_notes, is_cut=False)
    return Mended(bytes(events), "stray_data_bytes", num_notes)


def _size(data: bytes, position: int, end: int, status: int) -> int | None:
    """Returns how many bytes follow a status byte; None where it makes no sense."""
    if status >= 0xF8 or status == 0xF6:
        if status != 0xFF:
            return 0 if status not in (0xF9, 0xFD) else None
        size, behind = _read_last_number(data, position + 1, end)
        return behind - position + size
    if status in (0xF0, 0xF7):
        size, behind = _read_last_number(data, position, end)
        return behind - position + size
    if status < 0x80 or status in (0xF4, 0xF5):
        return None
    return 1 if 0xC0 <= status < 0xE0 or status in (0xF1, 0xF3) else 2


def _read_last_number(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Returns a number that may reach beyond the end, and the position behind it."""
    value, size = read_number(data[position : min(position + 4, end)].ljust(4, b"\0"), 0)
    return value, position + size


def _given_up(events: bytearray, ended_at: int, num_notes: int, *, is_cut: bool) -> Mended:
    if ended_at:
        return Mended(bytes(events[:ended_at]), "end_mark", num_notes)
    if is_cut and num_notes:
        return Mended(bytes(events), "track_size", num_notes)
    return Mended(None, "broken_track", num_notes)
