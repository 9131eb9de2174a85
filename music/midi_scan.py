"""All events of a MIDI file as columns, in one scan: Python steps over what is rare, NumPy decodes what is frequent.

Of the events of a track nearly all have two data bytes (notes, controllers, bends). Between them stand meta events,
program changes and the like. A run of events with two data bytes needs no stepping: bytes below 128 come in threes, the
last byte of the time and the two data bytes; above 127 are only the other bytes of the time, before the first of the
three, and the status, before the second.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ostinato.music.midi_bytes import (
    BEND,
    END_MARK,
    END_OF_TRACK,
    METER,
    PORT,
    PRESSURE,
    PROGRAM_CHANGE,
    TEMPO,
    read_number,
)  # fmt: skip
from ostinato.music.midi_chunks import Track

_SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1, 0xF6: 0} | dict.fromkeys((0xF8, 0xFA, 0xFB, 0xFC, 0xFE), 0)
"""Messages of a cable that some files hold; the others above 0xEF are undefined."""

_NOT_CHANNEL = 0xF0


class Damage(Exception):  # noqa: N818  # it is not an error yet
    """The events of a track make no sense from some point on."""


class Channels(NamedTuple):
    """Events with two data bytes, in file order; n of them."""

    tick: Int[np.ndarray, " n"]
    track: Int[np.ndarray, " n"]
    """Number of the track."""
    status: Int[np.ndarray, " n"]
    first: Int[np.ndarray, " n"]
    second: Int[np.ndarray, " n"]


class Changes(NamedTuple):
    """Program changes in file order; p of them."""

    tick: Int[np.ndarray, " p"]
    track: Int[np.ndarray, " p"]
    channel: Int[np.ndarray, " p"]
    program: Int[np.ndarray, " p"]
    before: Int[np.ndarray, " p"]
    """How many of Channels stand before it in the file."""


class Scan(NamedTuple):
    """What the tracks hold."""

    channels: Channels
    programs: Changes
    tempos: tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]
    """Ticks and microseconds per quarter, in file order; only events of the prescribed length, 3."""
    meters: tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " m"]]
    """Ticks, numerators and denominators, in file order; only events of the prescribed length, 4."""
    ports: list[int]
    """Of each track; 0 where it names none."""
    end_ticks: Int[np.ndarray, " t"]
    """Where each track ends."""
    damaged: list[int]
    """Tracks whose events make no sense; of these nothing is in the columns but rubbish."""
    has_early_end: bool
    """An end mark stands in the middle of a track, or the end of the file cuts one."""


def scan(data: bytes, tracks: Sequence[Track]) -> Scan:
    """Returns all events of the tracks, up to the last end mark of each. Times have at most four bytes."""
    walk = _Walk(data)
    damaged = []
    for number, track in enumerate(tracks):
        try:
            ticks = walk.track(track, number)
        except Damage:
            damaged.append(number)
            ticks = 0
        walk.end_track(number, ticks)
    return _decode(walk, damaged)


class _Walk:
    """Steps over the tracks and notes where the runs of events with two data bytes lie, and what stands between.

    What stands between is five numbers for each: the runs before it, the ticks of its like before it in the track, the
    track, and two values.
    """

    def __init__(self, data: bytes) -> None:
        values = np.frombuffer(data, np.uint8)
        is_low = values < 128
        # A status byte follows the last byte of a time, which is below 128.
        is_special = (values >= PROGRAM_CHANGE) & (values & 0xF0 != BEND)
        is_special[1:] &= is_low[:-1]
        special = is_special.nonzero()[0]
        self.values = values
        self.low = is_low.nonzero()[0]
        """Where the bytes below 128 are."""
        self._data = data
        self._low = memoryview(self.low)  # pyright: ignore[reportArgumentType]
        self._special = special.tolist()
        self._low_before_special = self.low.searchsorted(special).tolist()
        """How many bytes below 128 stand before each."""
        self.runs: list[int] = []
        """Five numbers for each run: track, ticks of what stands between before it in the track, its first byte, which
        of `low` is its first, number of events."""
        self.num_runs = [0]
        """Before each track, and of all."""
        self.programs: list[int] = []
        self.tempos: list[int] = []
        self.meters: list[int] = []
        self.ends: list[int] = []
        self.ports: list[int] = []
        """Of each track; 0 where it names none."""
        self.has_early_end = False

    def end_track(self, number: int, ticks: int) -> None:
        """Says where a track ends."""
        num_runs = len(self.runs) // 5
        self.num_runs.append(num_runs)
        self.ends += num_runs, ticks, number, 0, 0

    def track(self, track: Track, number: int) -> int:
        """Notes what a track holds and returns the ticks of what stands between its runs, or raises Damage."""
        data, special, low, low_before_special = self._data, self._special, self._low, self._low_before_special
        runs = self.runs
        position, end, is_cut = track
        i, ticks, running = bisect_left(special, position), 0, 0
        last = bisect_left(special, end, i)
        seen, counted = position, bisect_left(low, position)  # a position, and how many bytes below 128 are before it
        self.ports.append(0)
        while position < end:
            if running:
                delta, data_at = _number_within(data, position, end)
                if data_at < end and data[data_at] < 128:
                    ticks, position = ticks + delta, data_at + 1
                    if running < PRESSURE:
                        self.programs += len(runs) // 5, ticks, number, running & 15, data[data_at]
                    continue
            counted = bisect_left(low, position, counted, min(counted + position - seen, len(low)))
            seen = position
            # Where the first byte of a three has come, this byte is a status, and none with two data bytes.
            while i < last and (special[i] < position or (low_before_special[i] - counted) % 3 != 1):
                i += 1
            if i == last:
                num_events, rest = divmod(bisect_left(low, end, counted) - counted, 3)
                if rest or data[end - 1] > 127 or is_cut:
                    raise Damage
                runs += number, ticks, position, counted, num_events
                return ticks
            status_at = special[i]
            wait_at = status_at - 1
            while wait_at > position and data[wait_at - 1] > 127:
                wait_at -= 1
            if wait_at > position:
                runs += number, ticks, position, counted, (low_before_special[i] - counted) // 3
                running = 0
            ticks += data[wait_at] if data[wait_at] < 128 else read_number(data, wait_at)[0]
            status, position = data[status_at], status_at + 1
            if status == 0xFF:
                if position == end or (position == end - 1 and data[position] == END_OF_TRACK):
                    self.has_early_end = True
                    return ticks
                kind, content = data[position], position + 2
                if content <= end and data[position + 1] < 128:  # a call less for nearly all
                    size = data[position + 1]
                else:
                    size, content = _number_within(data, position + 1, end)
                position = content + size
                if position > end:
                    raise Damage
                if kind == TEMPO and size == 3:
                    us_per_quarter = int.from_bytes(data[content:position], "big")
                    self.tempos += len(runs) // 5, ticks, number, us_per_quarter, 0
                elif kind == METER and size == 4:
                    self.meters += len(runs) // 5, ticks, number, data[content], 1 << min(data[content + 1], 31)
                elif kind == PORT and size == 1:
                    self.ports[number] = data[content]
                elif kind == END_OF_TRACK:
                    if position == end or data[end - 3 : end] != END_MARK:
                        return ticks
                    self.has_early_end = True
            elif status < _NOT_CHANNEL:
                if position >= end or data[position] > 127:
                    raise Damage
                running = status
                if status < PRESSURE:
                    self.programs += len(runs) // 5, ticks, number, status & 15, data[position]
                position += 1
            elif status in (0xF0, 0xF7):
                size, position = _number_within(data, position, end)
                position += size
                if position > end:
                    raise Damage
            elif status in _SYSTEM_DATA_BYTES:
                position += _SYSTEM_DATA_BYTES[status]
            else:
                raise Damage
        if is_cut:
            raise Damage
        return ticks


def _number_within(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Returns a variable-length number and the position behind it, or raises Damage where the track cuts it."""
    if position >= end:
        raise Damage
    if data[position] < 128:
        return data[position], position + 1
    value, size = read_number(data[position : min(position + 4, end)] + bytes(4), 0)
    if position + size > end:
        raise Damage
    return value, position + size


def _decode(walk: _Walk, damaged: list[int]) -> Scan:
    """Returns the events of the runs as columns, and the others with their ticks."""
    run_track, run_ticks, run_begin, _, run_events = np.array(walk.runs, np.int64).reshape(-1, 5).T
    bounds = np.zeros(len(run_track) + 1, np.int64)  # events before each run
    run_events.cumsum(out=bounds[1:])
    parts = [walk.low[begin : begin + 3 * num] for begin, num in zip(walk.runs[3::5], walk.runs[4::5], strict=True)]
    low = parts[0] if len(parts) == 1 else np.concatenate([walk.low[:0], *parts])
    data_bytes = walk.values[low]
    wait_at, first_at, second_at = low[0::3], low[1::3], low[2::3]
    wait_size = np.empty(len(wait_at), np.int64)  # bytes of the time
    wait_size[1:] = wait_at[1:] - second_at[:-1]
    wait_size[bounds[:-1]] = wait_at[bounds[:-1]] - run_begin + 1
    status_size = first_at - wait_at
    track = run_track.repeat(run_events)
    track_begins = bounds[walk.num_runs[:-1]]
    wrong = (wait_size > 4) | (status_size > 2) | (second_at - first_at > 1)
    named = (status_size > 1).nonzero()[0]
    status = walk.values[first_at[named] - 1]
    if len(named) < len(track):
        # Running status: an event without one has the last that its track named.
        begins = track_begins[track_begins < len(track)]
        wrong[begins] |= status_size[begins] == 1
        following = np.full(len(named), len(track))
        following[:-1] = named[1:]
        status = status.repeat(following - named)
    if wrong.any():
        damaged = sorted({*damaged, *track[wrong].tolist()})

    elapsed = np.zeros(len(track) + 1, np.int64)
    wait = elapsed[1:]
    wait[:] = data_bytes[0::3]
    longer = (wait_size > 1).nonzero()[0]
    for place in (1, 2, 3):
        if len(longer):
            wait[longer] += (walk.values[wait_at[longer] - place] & np.int64(127)) << 7 * place
            longer = longer[wait_size[longer] > place + 1]
    wait.cumsum(out=wait)
    start = elapsed[track_begins]  # what has elapsed before each track
    tick = wait + (run_ticks - start[run_track]).repeat(run_events)

    others = [*walk.programs, *walk.tempos, *walk.meters, *walk.ends]
    num_runs, ticks, number, value, other = np.array(others, np.int64).reshape(-1, 5).T
    before = bounds[num_runs]
    ticks = ticks + elapsed[before] - start[number]
    tempo, meter, end = accumulate(len(group) // 5 for group in (walk.programs, walk.tempos, walk.meters))
    return Scan(
        Channels(tick, track, status, data_bytes[1::3], data_bytes[2::3]),
        Changes(ticks[:tempo], number[:tempo], value[:tempo], other[:tempo], before[:tempo]),
        (ticks[tempo:meter], value[tempo:meter]),
        (ticks[meter:end], value[meter:end], other[meter:end]),
        walk.ports,
        ticks[end:],
        damaged,
        walk.has_early_end,
    )
