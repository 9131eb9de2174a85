"""Rows that go on for ever as MIDI events in order of time, with a bounded memory: for streams.

Letters: n rows, f fields.
"""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer

from ostinato.music.codec import Codec
from ostinato.music.midi_bytes import (
    DRUM_CHANNEL,
    NOTE_OFF,
    NOTE_ON,
    PITCHED_CHANNELS,
    PROGRAM_CHANGE,
    meter_event,
    tempo_event,
)
from ostinato.music.piece import DRUMS, Piece

_OFF, _META, _PROGRAM, _ON = range(4)
"""The order of events of one moment: notes end before others begin."""


class Event(NamedTuple):
    """A message, or a meta event of a MIDI file (its first byte is FF)."""

    tick: int
    rank: int
    number: int
    """Events of one moment and rank stay in the order in which they were made."""
    message: bytes


class MidiEvents:
    """Turns rows into events as they come.

    Programs share fifteen channels: a new one takes that of the program whose last note ended first. Where all still
    sound, that note goes on with the new program's sound.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.ticks_per_quarter = codec.grammar.grid
        self._now = 0
        self._last_end = 0
        self._waiting: list[Event] = []
        self._count = 0
        self._channels: dict[int, int] = {}
        self._busy_until = dict.fromkeys(PITCHED_CHANNELS, -1)
        self.num_notes = 0

    def add(self, rows: Integer[np.ndarray, "n f"], is_last: Bool[np.ndarray, " n"]) -> list[Event]:
        """Returns the events before the time of the last row, which nothing that follows can precede.

        Args:
            rows: of one or several pieces, one after the other.
            is_last: where a piece is over. The next begins on a quarter note, at least one after the last note's end.
        """
        ends = [*(np.flatnonzero(is_last) + 1).tolist(), len(rows)]
        first = 0
        for end in ends:
            if end > first:
                self._add_part(rows[first:end])
            if first < end and is_last[end - 1]:
                quarters = -(-max(self._last_end, self._now) // self.ticks_per_quarter) + 1
                self._now = quarters * self.ticks_per_quarter
            first = end
        return list(self._pop(before=self._now))

    def note_offs(self) -> list[Event]:
        """Returns the events that end what has begun, without removing them."""
        waiting = {event.number for event in self._waiting if event.rank == _ON}  # a note's end is made right after it
        return sorted(event for event in self._waiting if event.rank == _OFF and event.number - 1 not in waiting)

    def rest(self) -> list[Event]:
        """Returns all events that are left: the music is over."""
        return list(self._pop(before=self._last_end + 1))

    def _add_part(self, rows: Integer[np.ndarray, "n f"]) -> None:
        """Adds rows of one piece."""
        piece, start = self._codec.decode(rows), self._now
        for tick, us_per_quarter in zip(*piece.tempos, strict=True):
            self._push(start + tick, _META, tempo_event(int(us_per_quarter)))
        for tick, numerator, denominator in zip(*piece.meters, strict=True):
            self._push(start + tick, _META, meter_event(int(numerator), int(denominator)))
        self._add_notes(piece, start)
        self._now += _elapsed(self._codec, rows)

    def _add_notes(self, piece: Piece, start: int) -> None:
        for onset, duration, pitch, velocity, program in zip(*(column.tolist() for column in piece.notes), strict=True):
            begin, end = start + onset, start + onset + duration
            channel = self._channel(program, begin)
            self._push(begin, _ON, bytes((NOTE_ON | channel, pitch, velocity)))
            self._push(end, _OFF, bytes((NOTE_OFF | channel, pitch, 0)))
            if channel != DRUM_CHANNEL:
                self._busy_until[channel] = max(self._busy_until[channel], end)
            self._last_end = max(self._last_end, end)
            self.num_notes += 1

    def _channel(self, program: int, tick: int) -> int:
        if program == DRUMS:
            return DRUM_CHANNEL
        if program not in self._channels:
            channel = min(PITCHED_CHANNELS, key=lambda channel: (self._busy_until[channel], channel))
            self._channels = {other: used for other, used in self._channels.items() if used != channel}
            self._channels[program] = channel
            self._push(tick, _PROGRAM, bytes((PROGRAM_CHANGE | channel, program)))
        return self._channels[program]

    def _push(self, tick: int, rank: int, message: bytes) -> None:
        self._count += 1
        heapq.heappush(self._waiting, Event(int(tick), rank, self._count, message))

    def _pop(self, *, before: int) -> Iterator[Event]:
        while self._waiting and self._waiting[0].tick < before:
            yield heapq.heappop(self._waiting)


def _elapsed(codec: Codec, rows: Integer[np.ndarray, "n f"]) -> int:
    """Returns the time from the row before the first to the last, in steps."""
    elapsed = codec.grammar.elapsed(np, rows.astype(np.int64))
    return int((elapsed.time_shift + elapsed.rest).sum())
