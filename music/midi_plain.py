"""The quick way for files that hold nothing unusual: symusic parses them, in a third of the time.

symusic knows no channels that tracks share, drops notes without note-off and controllers of tracks without notes, and
mistakes some damage for music. Here the bare bytes tell whether a file may hold any of that; if so, or if what symusic
found says so, the file is left to `midi_scan`, which reads every file.
"""

import re
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from symusic.core import ScoreTick

from ostinato.music.account import NoteAccount
from ostinato.music.midi_bytes import END_MARK
from ostinato.music.midi_chunks import Chunks, Track
from ostinato.music.midi_notes import IS_HEEDED, Controls, Keys, hold
from ostinato.music.piece import DRUMS, Notes

_LATE = 2**28 - 1
"""The longest wait. Behind it, and the end of a track, each note is closed: those that last so long had no note-off."""
_LATE_BYTES = b"\xff\x01\x00\xff\xff\xff\x7f"
"""A text that takes over the time of the end mark, and the wait."""
_NOTE_OFFS = [bytes((0x80 | channel, 0, 0)) + bytes(b for pitch in range(1, 128) for b in (0, pitch, 0))
              for channel in range(16)]  # fmt: skip
_SEVERAL = -1
_MAX_INSTRUMENTS = 8192
"""Distinct (track, channel, program); symusic needs about 8 kB for each, the file as little as 7 bytes."""
_OTHER_PROGRAM = re.compile(rb"[\xc0-\xcf][^\0]")
_TIME_EVENT = re.compile(rb"\xff(?:\x51\x03...|\x58\x04....)", re.DOTALL)
"""Tempos and meters: their content would be taken for channels."""
_OTHERS = bytes(value for value in range(256) if value >> 4 not in (9, 11, 12))


class Plain(NamedTuple):
    """What a file without anything unusual holds."""

    tracks: list[Notes]
    """Of each track, channel and program."""
    tempos: tuple[np.ndarray, np.ndarray]
    meters: tuple[np.ndarray, np.ndarray, np.ndarray]
    account: NoteAccount


def read_plain(data: bytes, chunks: Chunks, *, pedal: bool) -> Plain | None:
    """Returns the notes of a file, or None where symusic cannot be relied on.

    Args:
        data: a file without RIFF wrapper.
        chunks: what its chunks say.
        pedal: whether notes last as long as the pedals hold them.
    """
    if (
        chunks.repairs
        or data[4:8] != b"\0\0\0\6"
        or b"\xff\x21" in data
        or b"\xf7" in data
        or _num_instruments_bound(data, len(chunks.tracks)) > _MAX_INSTRUMENTS
        or _last_tick_bound(data) >= _LATE
        or _has_odd_time_events(data)
    ):
        return None
    closed, places = _closed(data, chunks.tracks)
    try:
        score = ScoreTick.from_midi(closed) if closed else None
    except RuntimeError:
        return None
    if score is None or not len(score.tracks):
        return None
    tracks, controls, bends = [], [], 0
    for track in score.tracks:
        columns = track.notes.numpy()
        program = np.full(len(columns["time"]), DRUMS if track.is_drum else track.program)
        tracks.append(Notes(columns["time"], columns["duration"], columns["pitch"], columns["velocity"], program))
        if len(track.controls):
            controls.append((len(tracks) - 1, track.controls.numpy()))
        if len(track.pitch_bends):
            bends += int(np.count_nonzero(track.pitch_bends.numpy()["value"]))
    tempos, meters = score.tempos.numpy(), score.time_signatures.numpy()
    tempos = tempos["time"], tempos["mspq"]
    meters = meters["time"], meters["numerator"], meters["denominator"]
    if _conflict(*tempos) or _conflict(*meters):
        return None
    account = NoteAccount(read=sum(len(track.onset) for track in tracks), bends=bends)
    if any(track.duration.max(initial=0) >= _LATE or track.duration.min(initial=1) <= 0 for track in tracks):
        return None
    if not any(IS_HEEDED[one["number"]].any() for _, one in controls):
        return Plain(tracks, tempos, meters, account)
    if len(set(places)) == 1:
        places *= len(tracks)
    if _SEVERAL in places or len(places) < len(tracks) or (len(set(places)) > 1 and len(places) > len(tracks)):
        return None  # it is not known which of the tracks is which channel
    places = places[: len(tracks)]
    tracks, prolonged = _held(tracks, controls, places, pedal=pedal)
    return Plain(tracks, tempos, meters, replace(account, prolonged=prolonged)) if tracks else None


def _held(
    tracks: list[Notes], controls: list[tuple[int, dict[str, np.ndarray]]], places: list[int], *, pedal: bool
) -> tuple[list[Notes], int]:
    """Returns the notes with the ends that controllers give, and how many these prolong.

    No notes are returned where a controller leaves one without length.

    Args:
        tracks: the notes.
        controls: the number of the track, and its controllers, as symusic names them.
        places: the channel of each track.
        pedal: whether notes last as long as the pedals hold them.
    """
    tick, number, value = (
        np.concatenate([one[name] for _, one in controls]).astype(np.int64) for name in ("time", "number", "value")
    )
    where = np.repeat([places[track] for track, _ in controls], [len(one["time"]) for _, one in controls])
    at = IS_HEEDED[number].nonzero()[0]
    onset, duration, pitch, _, program = (
        np.concatenate(column).astype(np.int64) for column in zip(*tracks, strict=True)
    )
    place = np.repeat(places, [len(track.onset) for track in tracks])
    keys = Keys(place, pitch, onset, onset + duration, program == DRUMS)
    held = hold(Controls(tick[at], number[at], value[at], where[at]), keys, 1, pedal=pedal)
    if held.no_length:
        return [], 0
    ends = np.split(held.end - onset, np.cumsum([len(track.onset) for track in tracks])[:-1])
    return [track._replace(duration=end) for track, end in zip(tracks, ends, strict=True)], held.prolonged


def _closed(data: bytes, tracks: list[Track]) -> tuple[bytes, list[int]]:
    """Returns the file with every note closed long after the end of its track, and the channel of each that has notes.

    The channel is _SEVERAL where a track has more than one.

    No bytes are returned where tracks may share a channel, or a track has a controller of a channel without notes.
    """
    parts, users = [data[:14]], Counter[int]()
    changed, channels = set[int](), list[int]()
    for track in tracks:
        events = data[track.start : track.end]
        if events.find(END_MARK) != len(events) - len(END_MARK):
            return b"", []
        status = set(_TIME_EVENT.sub(b"", events).translate(None, _OTHERS))
        notes = {value & 15 for value in status if value >> 4 == 9}
        programs = {value & 15 for value in status if value >> 4 == 12}
        if not notes >= {value & 15 for value in status if value >> 4 == 11}:
            return b"", []
        users.update(notes | programs)
        changed |= programs
        channels += [_SEVERAL] if len(notes) > 1 else notes
        if notes:
            offs = b"\0".join(_NOTE_OFFS[channel] for channel in notes)
            events = b"".join((events[: -len(END_MARK)], _LATE_BYTES, offs, b"\0", END_MARK))
        parts += b"MTrk", len(events).to_bytes(4, "big"), events
    if any(users[channel] > 1 for channel in changed) and _OTHER_PROGRAM.search(data):
        return b"", []
    return b"".join(parts), channels


def _num_instruments_bound(data: bytes, num_tracks: int) -> int:
    """Returns a number that the instruments do not exceed: every channel of every track, and all 0xC0 to 0xCF."""
    return 16 * num_tracks + int(np.count_nonzero(np.frombuffer(data, np.uint8) & 0xF0 == 0xC0))


def _last_tick_bound(data: bytes) -> int:
    """Returns a number that the last tick of a file does not exceed.

    A byte above 127 can count 2^7, 2^14 or 2^21 ticks times its lower bits, according to how many such bytes follow
    it; any byte can count its lower bits. All bytes are taken for times.
    """
    values = np.frombuffer(data, np.uint8)
    is_high = values > 127
    bound = 127 * len(values) + ((int(np.maximum(values, 128).sum(dtype=np.int64)) - 128 * len(values)) << 7)
    followed = (is_high[:-1] & is_high[1:]).nonzero()[0]
    bound += int((values[followed] & 127).sum(dtype=np.int64)) << 14
    followed = followed[:-1][followed[1:] == followed[:-1] + 1]
    return bound + (int((values[followed] & 127).sum(dtype=np.int64)) << 21)


def _has_odd_time_events(data: bytes) -> bool:
    """Returns whether a tempo or meter event may have another length than the standard's, or an absurd denominator."""
    if data.count(b"\xff\x51") != data.count(b"\xff\x51\x03"):
        return True
    position = 0
    for _ in range(data.count(b"\xff\x58")):
        position = data.index(b"\xff\x58", position) + 2
        if data[position] != 4 or data[position + 2] > 6:
            return True
    return False


def _conflict(tick: np.ndarray, *values: np.ndarray) -> bool:
    """Returns whether neighbours at one tick differ: symusic's order of these is chance."""
    if len(tick) < 2:
        return False
    same_tick = tick[1:] == tick[:-1]
    return any(bool((same_tick & (value[1:] != value[:-1])).any()) for value in values)
