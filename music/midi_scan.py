"""What symusic does not say of a MIDI file: its chunks, meta events in file order, the true time, the instruments."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

PADDING = b"none\x00\x00\x00\x08" + bytes(8)
"""An unknown chunk, which readers skip. Behind it nothing that reads a few bytes too far leaves the buffer."""

_TEMPO, _METER, _END_OF_TRACK = 0xFF51, 0xFF58, 0xFF2F
_SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}


class Track(NamedTuple):
    """Where the events of one track chunk begin and end, in bytes."""

    start: int
    end: int


class TimeMaps(NamedTuple):
    """Tempo and meter events in file order: track by track, byte by byte."""

    tempos: list[tuple[int, int]]
    """(tick, microseconds per quarter); only events of the prescribed length, 3."""
    meters: list[tuple[int, int, int]]
    """(tick, numerator, denominator); only events of the prescribed length, 4."""


def walk(data: bytes, track: Track) -> Iterator[tuple[int, int, int, int]]:
    """Yields (tick, kind, position, size) of each event of a track, up to its end mark.

    The kind is the status byte, or for a meta event 0xFF00 plus its type. Position and size are those of its data
    bytes. Times and sizes have at most four bytes, as symusic reads them. `data` ends in PADDING.
    """
    tick, position, running = 0, track.start, 0
    while position < track.end:
        delta = data[position]  # one byte is by far the most frequent: a call less for most events
        position += 1
        if delta > 127:
            delta, position = _variable_length(data, position - 1)
        tick += delta
        kind = data[position]
        if kind < 0x80:
            kind = running
        else:
            position += 1
        if kind < 0xF0:
            running = kind
            size = 1 if 0xC0 <= kind < 0xE0 else 2
        elif kind == 0xFF:
            kind = 0xFF00 | data[position]
            size, position = _variable_length(data, position + 1)
        elif kind in (0xF0, 0xF7):
            size, position = _variable_length(data, position)
        else:
            size = _SYSTEM_DATA_BYTES.get(kind, 0)
        yield tick, kind, position, size
        if kind == _END_OF_TRACK:
            return
        position += size


def _variable_length(data: bytes, position: int) -> tuple[int, int]:
    """Returns the number at a position, at most four bytes long, and the position behind it."""
    value = 0
    for position in range(position, position + 4):  # noqa: B020  # the position moves on
        value = value << 7 | data[position] & 127
        if data[position] < 128:
            break
    return value, position + 1


def without_escapes(data: bytes, tracks: list[Track]) -> bytes:
    """Returns the file with its escape events (status 0xF7) turned into system exclusive ones (0xF0).

    Both have a length and are of no interest here; but symusic takes the length of an escape for the next event's time,
    and everything behind it is wrong.
    """
    if not _may_have_escapes(data):
        return data
    patched = bytearray(data)
    for track in tracks:
        for _, kind, position, size in walk(data, track):
            status = position - 1 - max(1, -(-size.bit_length() // 7))
            if kind == 0xF7 and data[status] == 0xF7:
                patched[status] = 0xF0
    return bytes(patched)


def _may_have_escapes(data: bytes) -> bool:
    """Returns whether some 0xF7 does not end a system exclusive event and is followed by what follows an escape event.

    That is a length, as many bytes, a time and a status byte. Most that are none (times, tempos) are told by this.
    """
    position = -1
    while (position := data.find(0xF7, position + 1)) >= 0:
        size, end = _variable_length(data, position + 1) if position < len(data) - 4 else (0, len(data))
        end += size
        if end >= len(data) - len(PADDING):
            continue
        _, status = _variable_length(data, end)
        if data[status] > 127 and not _ends_exclusive(data, position):
            return True
    return False


def _ends_exclusive(data: bytes, position: int) -> bool:
    """Returns whether a system exclusive event of less than 128 bytes ends with the byte at the position."""
    start = data.rfind(0xF0, max(0, position - 128), position)
    while start >= 0:
        if data[start + 1] == position - start - 1:
            return True
        start = data.rfind(0xF0, max(0, position - 128), start)
    return False


def scan_time_maps(data: bytes, tracks: list[Track]) -> TimeMaps:
    """Returns tempos and meters in file order, reading each track no further than its last such event."""
    maps = TimeMaps([], [])
    for track in tracks:
        last = max(data.rfind(b"\xff\x51", *track), data.rfind(b"\xff\x58", *track))
        for tick, kind, position, size in walk(data, Track(track.start, last + 1)):
            if kind == _TEMPO and size == 3:
                maps.tempos.append((tick, int.from_bytes(data[position : position + 3], "big")))
            elif kind == _METER and size == 4:
                maps.meters.append((tick, data[position], 1 << min(data[position + 1], 31)))
    return maps


def has_odd_time_events(data: bytes) -> bool:
    """Returns whether a tempo or meter event may have another length than the standard's, or an absurd denominator."""
    if data.count(b"\xff\x51") != data.count(b"\xff\x51\x03"):
        return True
    num_meters = data.count(b"\xff\x58")
    position = 0
    for _ in range(num_meters):
        position = data.index(b"\xff\x58", position) + 2
        if data[position] != 4 or data[position + 2] > 6:
            return True
    return False


def last_tick(data: bytes, tracks: list[Track]) -> int:
    """Returns the tick of the last event of the longest track."""
    end = 0
    for track in tracks:
        tick = 0
        for tick, _, _, _ in walk(data, track):  # noqa: B007  # the last one is wanted
            pass
        end = max(end, tick)
    return end


def last_tick_bound(data: bytes) -> int:
    """Returns a number that the last tick of a track does not exceed, at a small part of the cost of `last_tick`.

    A byte above 127 can count 2^7, 2^14 or 2^21 ticks times its lower bits, according to how many such bytes follow
    it; any byte can count its lower bits. All bytes are taken for times.

    Args:
        data: the bytes of a track, or more.
    """
    values = np.frombuffer(data, np.uint8)
    goes_on = values > 127
    bound = 127 * len(values)
    for num_followers in (1, 2, 3):
        bound += int((values[: len(goes_on)][goes_on] & 127).sum(dtype=np.int64)) << 7 * num_followers
        goes_on = goes_on[:-1] & (values[num_followers:] > 127)
    return bound


def num_instruments(data: bytes, tracks: list[Track]) -> int:
    """Returns how many (track, channel, program) the file uses; symusic makes a track of its own for each."""
    used = set()
    for number, track in enumerate(tracks):
        programs = [0] * 16
        for _, kind, position, _ in walk(data, track):
            if kind < 0xF0:
                channel = kind & 15
                if kind & 0xF0 == 0xC0:
                    programs[channel] = data[position]
                used.add((number, channel, programs[channel]))
    return len(used)


def num_instruments_bound(data: bytes, tracks: list[Track]) -> int:
    """Returns a number that `num_instruments` does not exceed: every channel of every track, and all 0xC0 to 0xCF."""
    values = np.frombuffer(data, np.uint8)
    return 16 * len(tracks) + int(np.count_nonzero(values & 0xF0 == 0xC0))
