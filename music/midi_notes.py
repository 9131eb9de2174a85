"""Notes from the channel events of a MIDI file, as a synthesizer would sound them: when they end, and on what.

All tracks of one port share sixteen channels, and with them their programs, pedals and commands to be silent.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from ostinato.music.account import NoteAccount
from ostinato.music.midi_bytes import BEND, CONTROL, DRUM_CHANNEL, NOTE_OFF, NOTE_ON
from ostinato.music.midi_scan import Changes, Channels, Scan
from ostinato.music.piece import DRUMS, Notes

SUSTAIN, SOSTENUTO = 64, 66
_DOWN = 64
"""Values from here on are a pedal that is down, half-way included."""
_SOUND_OFF, _RESET, _NOTES_OFF = 120, 121, 123
"""Controllers: all sound off, reset all controllers (the pedals too), all notes off."""
IS_HEEDED = np.isin(np.arange(256), (SUSTAIN, SOSTENUTO, _SOUND_OFF, _RESET, _NOTES_OFF))
"""Which controllers say when notes end."""

_BEND_CENTRE = 64
"""The second data byte, where the first is 0."""
_FOREVER = np.iinfo(np.int64).max

SHORT_PARTS = 4
"""A note of no length lasts so many-th part of a quarter: a sixteenth."""


class Sounding(NamedTuple):
    """The notes of a file, and how their ends were found."""

    notes: Notes
    """In the order in which they begin in the file."""
    voice: Int[np.ndarray, " n"]
    """Number of the (track, channel, program) of each note."""
    account: NoteAccount
    """How the ends of the notes were found, and what is not heard."""


class Controls(NamedTuple):
    """Controllers that say when notes end, in file order; c of them."""

    tick: Int[np.ndarray, " c"]
    number: Int[np.ndarray, " c"]
    value: Int[np.ndarray, " c"]
    place: Int[np.ndarray, " c"]
    """Their channel, each port's apart."""


class Keys(NamedTuple):
    """Notes as the keys say."""

    place: Int[np.ndarray, " n"]
    """Their channel, each port's apart."""
    pitch: Int[np.ndarray, " n"]
    onset: Int[np.ndarray, " n"]
    end: Int[np.ndarray, " n"]
    is_drum: Bool[np.ndarray, " n"]


class Held(NamedTuple):
    """When notes end, and what that changes."""

    end: Int[np.ndarray, " n"]
    no_length: int
    prolonged: int


def find_notes(scan: Scan, ticks_per_quarter: int, *, pedal: bool) -> Sounding:
    """Returns the notes of a file.

    Args:
        scan: its events.
        ticks_per_quarter: its resolution.
        pedal: whether notes last as long as the pedals hold them.
    """
    events, short = scan.channels, max(ticks_per_quarter // SHORT_PARTS, 1)
    ports = np.array(scan.ports) if any(scan.ports) else None
    kind = events.status & np.uint8(0xF0)
    on, off = _pair(events, kind, len(scan.ports))
    onset, pitch, track = events.tick[on], events.first[on].astype(np.int64), events.track[on]
    channel = (events.status[on] & np.uint8(15)).astype(np.int64)
    place = channel if ports is None else channel + 16 * ports[track]
    is_drum = channel == DRUM_CHANNEL
    end, num_unreleased = events.tick[off], 0
    if off.min(initial=0) < 0:
        off = _pair_across_tracks(events, ports, kind, on, off)
        unreleased = off < 0
        num_unreleased = int(np.count_nonzero(unreleased))
        one_shot = np.where(is_drum, onset + short, scan.end_ticks[track])
        end = np.where(unreleased, np.minimum(one_shot, _next_onset(place, pitch, onset)), events.tick[off])
    at = (kind == CONTROL).nonzero()[0]
    at = at[IS_HEEDED[events.first[at]]]
    controls = Controls(events.tick[at], events.first[at], events.second[at], _places(events, ports, at))
    held = hold(controls, Keys(place, pitch, onset, end, is_drum), short, pedal=pedal)
    program = _programs(scan.programs, ports, (on, onset, place, track))
    program[is_drum] = DRUMS
    bend = (kind == BEND).nonzero()[0]
    return Sounding(
        notes=Notes(onset, held.end - onset, pitch, events.second[on].astype(np.int64), program),
        voice=(track * 16 + channel) * (DRUMS + 1) + program,
        account=NoteAccount(
            read=len(on),
            unreleased=num_unreleased,
            no_length=held.no_length,
            prolonged=held.prolonged,
            bends=int(np.count_nonzero((events.second[bend] != _BEND_CENTRE) | (events.first[bend] != 0))),
        ),
    )


def _places(events: Channels, ports: Int[np.ndarray, " t"] | None, at: Int[np.ndarray, " k"]) -> Int[np.ndarray, " k"]:
    """Returns the channels of some events, each port's apart."""
    channel = (events.status[at] & np.uint8(15)).astype(np.int64)
    return channel if ports is None else channel + 16 * ports[events.track[at]]


def hold(controls: Controls, keys: Keys, short: int, *, pedal: bool) -> Held:
    """Returns when notes end by what controllers say (a silenced channel, pedals), none of them where it begins.

    Args:
        controls: those of IS_HEEDED.
        keys: the notes, as the keys say.
        short: ticks of a note of no length.
        pedal: whether notes last as long as the pedals hold them.
    """
    end, has_controls = keys.end, len(controls.tick) > 0
    if has_controls:
        silences = (controls.number == _SOUND_OFF) | (controls.number == _NOTES_OFF)
        if silences.any():
            silence = _next_in(controls.place[silences], controls.tick[silences], keys.place, keys.onset)
            end = np.minimum(end, silence)
    no_length = end <= keys.onset
    num_no_length = int(np.count_nonzero(no_length))
    if num_no_length:
        limit = np.minimum(keys.onset + short, _next_onset(keys.place, keys.pitch, keys.onset))
        end = np.where(no_length, limit, end)
    if not has_controls:
        return Held(end, num_no_length, 0)
    held = np.where(keys.is_drum, end, _held(controls, keys._replace(end=end)))
    return Held(held if pedal else end, num_no_length, int(np.count_nonzero(held > end)))


def _pair(events: Channels, kind: np.ndarray, num_tracks: int) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Returns the numbers of the events that begin notes, in file order, and of those that end them; -1 for none.

    Of notes of the same pitch, track and channel the first opened is the first closed.
    """
    at = (kind <= NOTE_ON).nonzero()[0]
    opens = (kind[at] == NOTE_ON) & (events.second[at] > 0)
    on = at.compress(opens)  # in half the time of a mask, where it is as random as here
    if not len(on):
        return on, on
    number = np.uint16 if num_tracks <= 32 else np.int64  # NumPy sorts 16 bits several times as fast as 64
    channel = (events.status[at] & np.uint8(15)).astype(number)
    key = events.track[at].astype(number) << 11 | channel << 7 | events.first[at]
    order = key.argsort(kind="stable")
    at, key, opens = at[order], key[order], opens[order]
    if len(at) % 2 == 0 and ((key[0::2] == key[1::2]) & (opens[0::2] > opens[1::2])).all():
        # Each note is closed before the next of its pitch begins.
        off_of = np.empty(len(kind), np.int64)
        off_of[at[0::2]] = at[1::2]
        return on, off_of[on]
    num_open = np.where(opens, 1, -1).cumsum()
    is_last = np.ones(len(key), bool)  # of its pitch
    np.not_equal(key[1:], key[:-1], out=is_last[:-1])
    last = is_last.nonzero()[0]
    off_of = np.full(len(kind), -1)
    if num_open.min() >= 0 and not num_open[last].any():  # every note is closed, and nothing else
        off_of[at.compress(opens)] = at.compress(~opens)
        return on, off_of[on]
    first = np.append(0, last[:-1] + 1)
    before = np.append(0, num_open[last[:-1]])
    simple = (np.minimum.reduceat(num_open, first) >= before) & (num_open[last] == before)
    is_simple = simple.repeat(last - first + 1)
    off_of[at[opens & is_simple]] = at[~opens & is_simple]
    for begin, end in zip(first[~simple].tolist(), (last[~simple] + 1).tolist(), strict=True):
        numbers, ends = _pair_one_pitch(at[begin:end].tolist(), opens[begin:end].tolist())
        off_of[numbers] = ends
    return on, off_of[on]


def _pair_one_pitch(at: list[int], opens: list[bool]) -> tuple[list[int], list[int]]:
    """Returns which events open notes of one pitch, and which close them; -1 for none.

    The first opened is the first closed, as long as this closes all. Else a note-off closes the note that was opened
    last: a note that lacks its note-off is not to take that of the next, and so on to the end of the piece.
    """
    for take in (deque.popleft, deque.pop):
        waiting, ends = deque[int](), dict[int, int]()
        for number, is_on in zip(at, opens, strict=True):
            if is_on:
                waiting.append(number)
                ends[number] = -1
            elif waiting:
                ends[take(waiting)] = number
        if not waiting:
            break
    return list(ends.keys()), list(ends.values())


def _pair_across_tracks(
    events: Channels, ports: np.ndarray | None, kind: np.ndarray, on: np.ndarray, off: np.ndarray
) -> Int[np.ndarray, " n"]:
    """Returns `off` with the note-offs of other tracks of the channel for notes that have none, where there are any."""
    opened = (off < 0).nonzero()[0]
    is_spare = (kind == NOTE_OFF) | ((kind == NOTE_ON) & (events.second == 0))
    is_spare[off[off >= 0]] = False
    spare = is_spare.nonzero()[0]
    at, note = np.r_[on[opened], spare], np.r_[opened, np.full(len(spare), -1)]
    key = _places(events, ports, at) << 7 | events.first[at]
    order = np.lexsort((events.tick[at], key))
    off, waiting = off.copy(), dict[int, list[int]]()
    for number, pitch, opens in zip(at[order].tolist(), key[order].tolist(), note[order].tolist(), strict=True):
        if opens >= 0:
            waiting.setdefault(pitch, []).append(opens)
        elif waiting.get(pitch):
            off[waiting[pitch].pop()] = number
    return off


def _next_onset(place: np.ndarray, pitch: np.ndarray, onset: np.ndarray) -> Int[np.ndarray, " n"]:
    """Returns when each note's pitch begins again on its channel; very late where it does not."""
    key = place << 7 | pitch
    if (onset[1:] < onset[:-1]).any():
        order = onset.argsort(kind="stable")
        order = order[_stable_order(key[order])]
    else:
        order = _stable_order(key)
    key, onset = key[order], onset[order]
    following = np.full(len(key), _FOREVER)
    same = key[1:] == key[:-1]
    np.copyto(following[:-1], onset[1:], where=same)
    together = same & (onset[1:] == onset[:-1])
    if together.any():
        # Of those that begin together all wait for what follows the last.
        last = np.append(~together, True).nonzero()[0]
        following = following[last].repeat(np.diff(last, prepend=-1))
    found = np.empty(len(key), np.int64)
    found[order] = following
    return found


def _stable_order(key: np.ndarray) -> np.ndarray:
    """Returns the stable order of numbers; NumPy sorts 16 bits several times as fast as 64."""
    return (key.astype(np.uint16) if len(key) and key.max() < 1 << 16 else key).argsort(kind="stable")


def _next_in(keys: np.ndarray, ticks: np.ndarray, key: np.ndarray, tick: np.ndarray) -> Int[np.ndarray, " n"]:
    """Returns for each (key, tick) the first of `ticks` with this key that is later; very late where there is none."""
    events = np.sort(keys.astype(np.int64) << 32 | ticks)
    if not len(events):
        return np.full(len(tick), _FOREVER)
    found = np.searchsorted(events, key.astype(np.int64) << 32 | tick, side="right")
    event = events[np.minimum(found, len(events) - 1)]
    return np.where((found < len(events)) & (event >> 32 == key), event & 0xFFFFFFFF, _FOREVER)


def _held(controls: Controls, keys: Keys) -> Int[np.ndarray, " n"]:
    """Returns where notes end that the pedals hold: when the pedal goes up, their pitch begins anew, or all is silent.

    A pedal that never goes up is let go at the last of the notes and controllers.
    """
    place_on, pitch, onset, end, _ = keys
    held, last_tick = end, max(int(end.max(initial=0)), int(controls.tick.max()))
    for pedal in (SUSTAIN, SOSTENUTO):
        at = ((controls.number == pedal) | (controls.number == _RESET)).nonzero()[0]
        is_down = (controls.number[at] == pedal) & (controls.value[at] >= _DOWN)
        if not is_down.any():
            continue
        # Stable: of one tick the last in the file holds.
        order = (controls.place[at] << 32 | controls.tick[at]).argsort(kind="stable")
        where, tick, is_down = controls.place[at[order]], controls.tick[at[order]], is_down[order]
        changes = np.ones(len(tick), bool)
        changes[1:] = (is_down[1:] != is_down[:-1]) | (where[1:] != where[:-1])
        where, tick, is_down = where.compress(changes), tick.compress(changes), is_down.compress(changes)
        down = is_down.nonzero()[0]
        until = np.full(len(tick), last_tick)
        np.copyto(until[:-1], tick[1:], where=where[1:] == where[:-1])
        where, down_tick, up_tick = where[down], tick[down], until[down]
        # A note that ends while the sustain pedal is down is held; so is one that sounds when the sostenuto goes down.
        side = "right" if pedal == SUSTAIN else "left"
        found = (where << 32 | down_tick).searchsorted(place_on << 32 | end, side=side) - 1
        is_held = (found >= 0) & (where[found] == place_on)
        if pedal == SOSTENUTO:
            is_held &= down_tick[found] >= onset
        held = np.where(is_held, np.maximum(held, up_tick[found]), held)
    if not (held > end).any():
        return end
    limit = _next_onset(place_on, pitch, onset)
    sound_off = controls.number == _SOUND_OFF
    if sound_off.any():
        limit = np.minimum(limit, _next_in(controls.place[sound_off], controls.tick[sound_off], place_on, onset))
    return np.minimum(held, np.maximum(end, limit))


def _programs(changes: Changes, ports: np.ndarray | None, notes: tuple[np.ndarray, ...]) -> Int[np.ndarray, " n"]:
    """Returns the program of each note: that of its channel when it begins, whichever track set it; 0 before any.

    A program change of the same tick holds, unless it stands behind the note in the note's own track.

    Args:
        changes: the program changes.
        ports: of each track; None where all are 0.
        notes: number among all events, onset, channel and track of each.
    """
    on, onset, place_on, track = notes
    if not changes.program.any():
        return np.zeros(len(on), np.int64)
    place = changes.channel if ports is None else changes.channel + 16 * ports[changes.track]
    if not changes.tick.any() and len(set(place.tolist())) == len(place):
        # One change for each channel, at the beginning: most files.
        program, before = np.zeros((2, 1 + max(int(place.max()), int(place_on.max(initial=0)))), np.int64)
        program[place], before[place] = changes.program, changes.before
        if not ((onset == 0) & (on < before[place_on])).any():
            return program[place_on]
    order = (place << 32 | changes.tick).argsort(kind="stable")  # they stand in the order of the file
    tick, place, before = changes.tick[order], place[order], changes.before[order]
    program = np.append(changes.program[order], 0)  # the last stands for "none"
    key = place << 32 | tick
    found = np.searchsorted(key, place_on << 32 | onset, side="right") - 1
    late = (tick[found] == onset) & (changes.track[order][found] == track) & (before[found] > on)
    if late.any():
        # Of this tick those count that stand before the note in the file.
        ranks = np.unique(key, return_inverse=True)[1] << 32 | before
        rank = ranks[found[late]] >> 32
        found[late] = np.searchsorted(ranks, rank << 32 | on[late], side="right") - 1
    return program[np.where((found >= 0) & (place[found] == place_on), found, -1)]
