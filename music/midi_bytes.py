"""Bytes of MIDI that reading, writing and streaming share: variable-length numbers, events, channels."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from ostinato.music.keys import Key

NOTE_OFF, NOTE_ON, CONTROL, PROGRAM_CHANGE, PRESSURE, BEND = 0x80, 0x90, 0xB0, 0xC0, 0xD0, 0xE0
TEXT, TRACK_NAME, PORT, END_OF_TRACK, TEMPO, METER, KEY = 0x01, 0x03, 0x21, 0x2F, 0x51, 0x58, 0x59
"""Kinds of meta events."""

END_MARK = b"\xff\x2f\x00"
"""The event that ends a track."""

DRUM_CHANNEL = 9
PITCHED_CHANNELS = [channel for channel in range(16) if channel != DRUM_CHANNEL]

LONGEST_WAIT = 2**28 - 1
"""The largest number that four bytes can say."""


def read_number(data: bytes, position: int) -> tuple[int, int]:
    """Returns the variable-length number at a position, at most four bytes long, and the position behind it."""
    value = 0
    for position in range(position, position + 4):  # noqa: B020  # the position moves on
        value = value << 7 | data[position] & 127
        if data[position] < 128:
            break
    return value, position + 1


def number_bytes(value: int, *, least: int = 1) -> bytes:
    """Returns a number in seven bits a byte, the first of them in front, in at least so many bytes."""
    digits = [value & 127]
    while (value := value >> 7) or len(digits) < least:
        digits.append(value & 127 | 128)
    return bytes(reversed(digits))


def meta_event(kind: int, content: bytes = b"") -> bytes:
    """Returns a meta event."""
    return bytes((0xFF, kind)) + number_bytes(len(content)) + content


def tempo_event(us_per_quarter: int) -> bytes:
    """Returns a change of tempo."""
    return meta_event(TEMPO, us_per_quarter.to_bytes(3, "big"))


def meter_event(numerator: int, denominator: int) -> bytes:
    """Returns a time signature: 24 MIDI clocks in a metronome click, 8 thirty-seconds in a quarter, as is usual."""
    return meta_event(METER, bytes((numerator, denominator.bit_length() - 1, 24, 8)))


def key_event(key: Key) -> bytes:
    """Returns a key signature."""
    return meta_event(KEY, bytes((key.num_sharps % 256, key.is_minor)))


def track_bytes(events: Iterable[tuple[int, bytes]], *, tick: int = 0) -> bytes:
    """Returns events (tick, message) in order as the bytes of a track, each after its wait; the first since `tick`.

    Empty texts divide waits that no number can say.
    """
    data = bytearray()
    for event_tick, message in events:
        wait = event_tick - tick
        while wait > LONGEST_WAIT:
            data += number_bytes(LONGEST_WAIT) + meta_event(TEXT)
            wait -= LONGEST_WAIT
        data += (bytes((wait,)) if wait < 128 else number_bytes(wait)) + message
        tick = event_tick
    return bytes(data)


def message_bytes(ticks: Int[np.ndarray, " m"], message: Int[np.ndarray, "m k"], *, tick: int) -> bytes:
    """Returns many events in order, of equally many bytes each, as `track_bytes` does, but faster."""
    wait = np.diff(ticks, prepend=tick)[:, None]
    if wait.max() > LONGEST_WAIT:
        return track_bytes(zip(ticks.tolist(), map(bytes, message.tolist()), strict=True), tick=tick)
    digits = wait >> [21, 14, 7, 0] & 127 | [128, 128, 128, 0]
    is_used = np.concatenate([wait >= [2**21, 2**14, 2**7, 0], np.ones(message.shape, bool)], axis=1)
    return np.concatenate([digits, message], axis=1).astype(np.uint8)[is_used].tobytes()
