"""Random files, read as a whole by NumPy and event by event by the plain reader below, which says the same in loops."""

from collections import defaultdict
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.music.midi import read_reporting
from ostinato.music.piece import DRUMS
from tests.midi_events import chunk, meta, midi_file, tempo, variable_length

DIVISION = 48
SHORT = DIVISION // 4
FOREVER = 1 << 40


class Event(NamedTuple):
    tick: int
    track: int
    number: int
    """In the file."""
    kind: int
    """The status without its channel."""
    place: int
    """Channel, and 16 times the port."""
    first: int
    second: int


class Note(NamedTuple):
    on: Event
    off: Event | None


class Files(NamedTuple):
    """Tracks as (wait, message), and the port of each."""

    tracks: list[list[tuple[int, bytes]]]
    ports: list[int]


def in_one_part(event: Event) -> tuple[int, int, int]:
    return event.track, event.place, event.first


def opens(event: Event) -> bool:
    return event.kind == 0x90 and event.second > 0


def closes(event: Event) -> bool:
    return event.kind == 0x80 or (event.kind == 0x90 and event.second == 0)


def events_of(files: Files) -> tuple[list[Event], list[int]]:
    """All channel events in file order, and where each track ends."""
    found, ends = [], []
    for number, (messages, port) in enumerate(zip(files.tracks, files.ports, strict=True)):
        tick = 0
        for wait, message in messages:
            tick += wait
            status, *data = message
            if status < 0xF0:
                place = (status & 15) + 16 * port
                found.append(Event(tick, number, len(found), status & 0xF0, place, *data, *[0] * (2 - len(data))))
        ends.append(tick)
    return found, ends


def pair(events: list[Event]) -> list[Note]:
    """First opened, first closed, in each track; or last opened, where that leaves notes open. Then across tracks."""
    off_of: dict[int, Event] = {}
    parts = defaultdict(list)
    for event in events:
        if opens(event) or closes(event):
            parts[in_one_part(event)].append(event)
    for part in parts.values():
        for take in (0, -1):
            waiting, closed = [], {}
            for event in part:
                if opens(event):
                    waiting.append(event)
                elif waiting:
                    closed[waiting.pop(take).number] = event
            if not waiting:
                break
        off_of |= closed
    used = {event.number for event in off_of.values()}
    left = [event for event in events if opens(event) and event.number not in off_of]
    spare = [event for event in events if closes(event) and event.number not in used]
    waiting = defaultdict(list)
    for event in sorted([*left, *spare], key=lambda event: event.tick) if left else ():
        held = waiting[event.place, event.first]
        if opens(event):
            held.append(event)
        elif held:
            off_of[held.pop().number] = event
    return [Note(event, off_of.get(event.number)) for event in events if opens(event)]


def later(note: Note, ticks: list[int]) -> int:
    return min((tick for tick in ticks if tick > note.on.tick), default=FOREVER)


def program_of(note: Note, events: list[Event]) -> int:
    if note.on.place % 16 == 9:
        return DRUMS
    changes = [event for event in events if event.kind == 0xC0 and event.place == note.on.place]
    changes = sorted((event for event in changes if event.tick <= note.on.tick), key=lambda event: event.tick)
    if changes and changes[-1].tick == note.on.tick and changes[-1].track == note.on.track:
        changes = [event for event in changes if event.tick < note.on.tick or event.number < note.on.number]
    return changes[-1].first if changes else 0


def pedal_up(note: Note, end: int, pedal: int, controls: list[Event], last_tick: int) -> int:
    """Where the pedal goes up that holds a note; 0 where none does."""
    begin, is_down, spans = 0, False, []
    for event in sorted(controls, key=lambda event: event.tick):
        if event.first in (pedal, 121) and (event.first == pedal and event.second >= 64) != is_down:
            if is_down:
                spans.append((begin, event.tick))
            begin, is_down = event.tick, not is_down
    spans += [(begin, last_tick)] if is_down else []
    if pedal == 64:
        spans = [span for span in spans if span[0] <= end]
    else:
        spans = [span for span in spans if span[0] < end][-1:]
        spans = [span for span in spans if span[0] >= note.on.tick]
    return spans[-1][1] if spans else 0


def plain_read(files: Files, *, pedal: bool) -> tuple[list[tuple[int, ...]], dict[str, int]]:
    """Notes as (onset, duration, pitch, velocity, program), sorted, and the counts of the account."""
    events, ends = events_of(files)
    notes = pair(events)
    onsets, controls = defaultdict(list), defaultdict(list)
    for note in notes:
        onsets[note.on.place, note.on.first].append(note.on.tick)
    for event in events:
        if event.kind == 0xB0 and event.first in (64, 66, 120, 121, 123):
            controls[event.place].append(event)
    counts = dict.fromkeys(("unreleased", "no_length", "prolonged"), 0)
    keys = []
    for note in notes:
        onset, heard = note.on.tick, controls[note.on.place]
        following = later(note, onsets[note.on.place, note.on.first])
        if note.off:
            end = note.off.tick
        else:
            counts["unreleased"] += 1
            end = min(following, onset + SHORT if note.on.place % 16 == 9 else ends[note.on.track])
        end = min(end, later(note, [event.tick for event in heard if event.first in (120, 123)]))
        if end <= onset:
            counts["no_length"] += 1
            end = min(onset + SHORT, following)
        keys.append((note, end, following))
    last_tick = max([end for _, end, _ in keys] + [event.tick for some in controls.values() for event in some])
    found = []
    for note, end, following in keys:
        heard = controls[note.on.place]
        up = max(pedal_up(note, end, number, heard, last_tick) for number in (64, 66))
        silent = later(note, [event.tick for event in heard if event.first == 120])
        held = min(max(up, end), max(end, min(following, silent)))
        if note.on.place % 16 != 9 and held > end:
            counts["prolonged"] += 1
            end = held if pedal else end
        onset, pitch, velocity = note.on.tick, note.on.first, note.on.second
        found.append((onset, end - onset, pitch, velocity, program_of(note, events)))
    bends = sum(event.kind == 0xE0 and (event.first, event.second) != (0, 64) for event in events)
    return sorted(found), counts | {"read": len(notes), "bends": bends}


def file_bytes(files: Files, *, running: bool) -> bytes:
    """The file, with the status left out where it is the last one, if asked."""
    chunks = []
    for messages, port in zip(files.tracks, files.ports, strict=True):
        data, last = variable_length(0) + meta(0x21, port) if port else b"", None
        for wait, message in messages:
            data += variable_length(wait) + (message[1:] if running and message[0] == last else message)
            last = message[0] if message[0] < 0xF0 else last
        chunks.append(chunk(b"MTrk", data + b"\0\xff\x2f\0"))
    return midi_file(*chunks, division=DIVISION)


channels = st.sampled_from([0, 0, 0, 1, 9])
pitches = st.sampled_from([60, 60, 61, 36])
begins = st.builds(lambda c, p, v: bytes((0x90 | c, p, v)), channels, pitches, st.sampled_from([0, 1, 64, 127]))
messages = st.one_of(
    begins,
    begins,
    st.builds(lambda c, p: bytes((0x80 | c, p, 0)), channels, pitches),
    st.builds(lambda c, p: bytes((0x80 | c, p, 0)), channels, pitches),
    st.builds(
        lambda c, n, v: bytes((0xB0 | c, n, v)),
        channels,
        st.sampled_from([64, 64, 64, 66, 66, 7, 120, 121, 123]),
        st.sampled_from([0, 63, 64, 127]),
    ),
    st.builds(lambda c, p: bytes((0xC0 | c, p)), channels, st.sampled_from([0, 5, 100])),
    st.builds(lambda c, v: bytes((0xE0 | c, 0, v)), channels, st.sampled_from([64, 65])),
    st.sampled_from([tempo(400_000), meta(1, *b"text"), b"\xd0\x07", b"\xf0\x02\x01\xf7"]),
)
waits = st.sampled_from([0, 0, 0, 1, 5, SHORT, 100, 127, 128, 3000, 16384, 2**21])


@st.composite
def random_files(draw: st.DrawFn) -> Files:
    tracks = draw(st.lists(st.lists(st.tuples(waits, messages), max_size=40), min_size=1, max_size=3))
    tracks += [[]] * draw(
        st.sampled_from([0, 0, 0, 33])
    )  # so many that a channel of each track needs more than 16 bits
    tracks.append([(3, b"\x90\x3c\x40"), (7, b"\x80\x3c\0")])
    ports = draw(st.lists(st.sampled_from([0, 0, 1]), min_size=len(tracks), max_size=len(tracks)))
    return Files(tracks, ports if draw(st.booleans()) else [0] * len(tracks))


@given(files=random_files(), pedal=st.booleans(), running=st.booleans())
@settings(deadline=None)
def test_random_files_are_read_as_event_by_event(files: Files, pedal: bool, running: bool) -> None:
    reading = read_reporting(file_bytes(files, running=running), pedal=pedal)
    expected, counts = plain_read(files, pedal=pedal)
    assert sorted(zip(*(column.tolist() for column in reading.piece.notes), strict=True)) == expected
    assert {name: getattr(reading.account, name) for name in counts} == counts
    tracks = [zip(*(column.tolist() for column in track), strict=True) for track in reading.tracks]
    assert sorted(note for track in tracks for note in track) == expected
    assert reading.repairs == ()


def on_off(wait: int, pitch: int, channel: int) -> list[tuple[int, bytes]]:
    return [(wait, bytes((0x90 | channel, pitch, 64))), (2, bytes((0x80 | channel, pitch, 0)))]


IN_TURN = [event for i in range(200) for event in on_off(i % 5, 40 + i % 7, i % 2)]
ODD = {
    "no notes of a pitch overlap": Files([IN_TURN], [0]),
    "all note-offs stand first": Files([sorted(IN_TURN, key=lambda event: event[1][0])], [0]),
    "a note and the note-off of another": Files([[(0, b"\x90\x3c\x40"), (5, b"\x80\x3d\0"), (5, meta(1))]], [0]),
    "an early note-off 32 tracks later": Files(
        [[(9, b"\x90\x3c\x40"), (5, meta(1))], *[[]] * 31, [(1, b"\x80\x3c\0")]], [0] * 33
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_these_are_read_as_event_by_event(name: str) -> None:
    reading = read_reporting(file_bytes(ODD[name], running=False))
    expected, counts = plain_read(ODD[name], pedal=True)
    assert sorted(zip(*(column.tolist() for column in reading.piece.notes), strict=True)) == expected
    assert {name: getattr(reading.account, name) for name in counts} == counts
