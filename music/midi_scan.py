"""What symusic does not say of a MIDI file: its meta events in file order, the true time, the instruments, the escapes.

`scan` walks all events in Python, a hundred times slower than symusic parses. So the other functions tell from the bare
bytes, in NumPy, whether a file can hold anything that symusic cannot be relied on for; hardly any does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ostinato.music.midi_bytes import END_OF_TRACK, METER, TEMPO, read_number

PADDING = b"none\x00\x00\x00\x08" + bytes(8)
"""An unknown chunk, which readers skip. Behind it nothing that reads a few bytes too far leaves the buffer."""

_SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}


class Track(NamedTuple):
    """Where the events of one track chunk begin and end, in bytes."""

    start: int
    end: int


class Scan(NamedTuple):
    """What was seen, in file order: track by track, byte by byte."""

    tempos: list[tuple[int, int]]
    """(tick, microseconds per quarter); only events of the prescribed length, 3."""
    meters: list[tuple[int, int, int]]
    """(tick, numerator, denominator); only events of the prescribed length, 4."""
    last_tick: int
    """Of the longest track."""
    num_instruments: int
    """Distinct (track, channel, program); symusic makes a track of its own for each."""
    escapes: list[int]
    """Where the status bytes of escape events (0xF7) are."""


def scan(data: bytes, tracks: Sequence[Track]) -> Scan:
    """Returns what is in the tracks, up to their end marks. `data` ends in PADDING.

    Times and sizes have at most four bytes, as symusic reads them.
    """
    tempos, meters, escapes = [], [], []
    last_tick, num_instruments = 0, 0
    for position, end in tracks:
        tick, running = 0, 0
        seen, programs = set(), set()  # status bytes, and (channel, program)
        while position < end:
            delta = data[position]  # one byte is by far the most frequent: a call less for most events
            position += 1
            if delta > 127:
                delta, position = read_number(data, position - 1)
            tick += delta
            status = data[position]
            if status < 0x80:
                status = running
            else:
                position += 1
            if status < 0xF0:
                running = status
                channel = status & 15
                if status & 0xF0 == 0xC0:
                    programs.add((channel, data[position]))
                elif status not in seen and not any(of == channel for of, _ in programs):
                    programs.add((channel, 0))
                seen.add(status)
                position += 1 if 0xC0 <= status < 0xE0 else 2
            elif status == 0xFF:
                kind = data[position]
                size, position = read_number(data, position + 1)
                if kind == TEMPO and size == 3:
                    tempos.append((tick, int.from_bytes(data[position : position + 3], "big")))
                elif kind == METER and size == 4:
                    meters.append((tick, data[position], 1 << min(data[position + 1], 31)))
                elif kind == END_OF_TRACK:
                    break
                position += size
            elif status in (0xF0, 0xF7):
                if status == 0xF7:
                    escapes.append(position - 1)
                size, position = read_number(data, position)
                position += size
            else:
                position += _SYSTEM_DATA_BYTES.get(status, 0)
        last_tick, num_instruments = max(last_tick, tick), num_instruments + len(programs)
    return Scan(tempos, meters, last_tick, num_instruments, escapes)


def scan_times(data: bytes, tracks: Sequence[Track]) -> Scan:
    """Returns the same tempos and meters as `scan`, reading each track no further than its last such event."""
    last = [max(data.rfind(b"\xff\x51", *track), data.rfind(b"\xff\x58", *track)) for track in tracks]
    return scan(data, [Track(track.start, end + 1) for track, end in zip(tracks, last, strict=True)])


def without_escapes(data: bytes, escapes: Sequence[int]) -> bytes:
    """Returns the file with its escape events (status 0xF7) turned into system exclusive ones (0xF0).

    Both have a length and are of no interest here; but symusic takes the length of an escape for the next event's time,
    and everything behind it is wrong.
    """
    patched = bytearray(data)
    for position in escapes:
        patched[position] = 0xF0
    return bytes(patched)


def may_have_escapes(data: bytes) -> bool:
    """Returns whether some 0xF7 does not end a system exclusive event and is followed by what follows an escape event.

    That is a length, as many bytes, a time and a status byte. Most that are none (times, tempos) are told by this.
    """
    position = -1
    while (position := data.find(0xF7, position + 1)) >= 0:
        size, end = read_number(data, position + 1) if position < len(data) - 4 else (0, len(data))
        end += size
        if end >= len(data) - len(PADDING):
            continue
        _, status = read_number(data, end)
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


def last_tick_bound(data: bytes) -> int:
    """Returns a number that the last tick of a track does not exceed.

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


def num_instruments_bound(data: bytes, num_tracks: int) -> int:
    """Returns a number that `num_instruments` does not exceed: every channel of every track, and all 0xC0 to 0xCF."""
    values = np.frombuffer(data, np.uint8)
    return 16 * num_tracks + int(np.count_nonzero(values & 0xF0 == 0xC0))
