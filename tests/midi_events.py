"""MIDI files written event by event, also such as no program writes."""

import struct

LONGEST_DELTA = 2**28 - 1


def variable_length(value: int) -> bytes:
    digits = [value & 127]
    while value := value >> 7:
        digits.append(value & 127 | 128)
    return bytes(reversed(digits))


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">I", len(content)) + content


def track(*events: tuple[int, bytes]) -> bytes:
    """A track of (ticks since the event before, event), with its end mark."""
    return chunk(b"MTrk", b"".join(variable_length(delta) + event for delta, event in events) + b"\x00\xff\x2f\x00")


def midi_file(*chunks: bytes, division: int = 480, file_format: int = 1, declared: int | None = None) -> bytes:
    declared = len(chunks) if declared is None else declared
    return chunk(b"MThd", struct.pack(">HHH", file_format, declared, division)) + b"".join(chunks)


def on(pitch: int, velocity: int = 64, channel: int = 0) -> bytes:
    return bytes((0x90 | channel, pitch, velocity))


def off(pitch: int, channel: int = 0) -> bytes:
    return bytes((0x80 | channel, pitch, 0))


def program_change(program: int, channel: int = 0) -> bytes:
    return bytes((0xC0 | channel, program))


def meta(kind: int, *content: int) -> bytes:
    return bytes((0xFF, kind, len(content), *content))


def tempo(us_per_quarter: int) -> bytes:
    return meta(0x51, *us_per_quarter.to_bytes(3, "big"))


def meter(numerator: int, power: int) -> bytes:
    return meta(0x58, numerator, power, 24, 8)


NOTE = ((0, on(60)), (480, off(60)))
ONE_NOTE = midi_file(track(*NOTE))


def timed_track(events: list[tuple[int, bytes]]) -> bytes:
    """A track of (tick, event), in any order; of one tick the first stands first."""
    ordered = sorted(events, key=lambda event: event[0])
    ticks = [0, *(tick for tick, _ in ordered)]
    return track(*((tick - before, event) for before, (tick, event) in zip(ticks, ordered, strict=False)))
