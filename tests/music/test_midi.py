import io
import os
import struct
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.music.midi import MAX_INSTRUMENTS, MAX_TICKS, MIDI_REASONS, MidiError, read, read_reporting, write
from ostinato.music.piece import DRUMS, Piece, make_piece, without_overlaps
from tests.midi_events import (
    LONGEST_DELTA,
    NOTE,
    ONE_NOTE,
    chunk,
    meta,
    meter,
    midi_file,
    off,
    on,
    program_change,
    tempo,
    track,
)  # fmt: skip

DATA = Path(os.environ.get("OSTINATO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "midi"
"""Corpora as zip files."""


def rows(piece: Piece) -> list[tuple[int, ...]]:
    """Notes as (onset, duration, pitch, velocity, program)."""
    return list(zip(*(column.tolist() for column in piece.notes), strict=True))


def tempos_of(*events: tuple[int, bytes]) -> list[tuple[int, int]]:
    piece = read(midi_file(track(*events), track(*NOTE)))
    return list(zip(*(column.tolist() for column in piece.tempos), strict=True))


def meters_of(*events: tuple[int, bytes]) -> list[tuple[int, int, int]]:
    piece = read(midi_file(track(*events), track(*NOTE)))
    return list(zip(*(column.tolist() for column in piece.meters), strict=True))


def reason(data: bytes) -> str:
    with pytest.raises(MidiError) as caught:
        read(data)
    return caught.value.reason


# What is read


def test_a_hand_written_file_is_read_as_it_says() -> None:
    conductor = track((0, tempo(400_000)), (0, meter(3, 3)), (960, tempo(800_000)))
    piano = track((0, program_change(5)), (10, on(60, 70)), (5, on(64, 80)), (15, off(60)), (1, off(64)))
    drums = track((0, on(36, 90, 9)), (7, off(36, 9)))
    assert read(midi_file(conductor, piano, drums, division=96)) == make_piece(
        onset=[0, 10, 15],
        duration=[7, 20, 16],
        pitch=[36, 60, 64],
        velocity=[90, 70, 80],
        program=[DRUMS, 5, 5],
        tempos=([0, 960], [400_000, 800_000]),
        meters=([0], [3], [8]),
        ticks_per_quarter=96,
    )


def test_a_note_on_of_velocity_0_is_a_note_off() -> None:
    assert rows(read(midi_file(track((0, on(60)), (7, on(60, 0)))))) == [(0, 7, 60, 64, 0)]


def test_of_overlapping_notes_the_first_opened_is_the_first_closed() -> None:
    data = midi_file(track((0, on(60, 10)), (5, on(60, 20)), (5, off(60)), (90, off(60))))
    assert rows(read(data)) == [(0, 10, 60, 10, 0), (5, 95, 60, 20, 0)]


def test_a_note_of_no_length_lasts_a_sixteenth_and_one_that_is_never_closed_as_long_as_its_track() -> None:
    data = midi_file(track((0, on(60)), (0, off(60)), (3, on(61)), (0, on(62)), (4, off(62))))
    assert rows(read(data)) == [(0, 120, 60, 64, 0), (3, 4, 61, 64, 0), (3, 4, 62, 64, 0)]


def test_a_note_has_the_program_that_its_channel_had_when_it_began() -> None:
    first = track((0, program_change(7)), (0, on(40)), (2, program_change(9)), (0, on(60)), (3, off(60)), (1, off(40)))
    second = track((0, on(50)), (4, off(50)))
    third = track((2, on(51)), (1, off(51)), (9, on(52, channel=1)), (1, off(52, channel=1)))
    assert rows(read(midi_file(first, second, third))) == [
        (0, 6, 40, 64, 7),
        (0, 4, 50, 64, 7),
        (2, 1, 51, 64, 9),
        (2, 3, 60, 64, 9),
        (12, 1, 52, 64, 0),
    ]


def test_a_report_holds_the_notes_of_each_track_that_has_any() -> None:
    silent, second = track((0, tempo(1))), track((0, on(50, channel=3)), (4, off(50, channel=3)))
    reading = read_reporting(midi_file(track(*NOTE), silent, second))
    assert [notes.pitch.tolist() for notes in reading.tracks] == [[60], [50]]
    assert reading.piece == read(midi_file(track(*NOTE), silent, second))


# Tempo and meter


def test_a_file_without_tempo_and_meter_gives_a_piece_without() -> None:
    piece = read(ONE_NOTE)
    assert (len(piece.tempos.tick), len(piece.meters.tick), piece.duration_s) == (0, 0, 0.5)


def test_a_tempo_holds_whichever_track_it_stands_in() -> None:
    piece = read(midi_file(track(*NOTE), track((240, tempo(1_000_000)))))
    assert piece.duration_s == pytest.approx(0.25 + 0.5)


@pytest.mark.parametrize("count", [2, 30, 500])
def test_of_several_tempos_on_one_tick_the_last_in_the_file_holds(count: int) -> None:
    events = [(0, tempo(300_000 + 7919 * i % 1000)) for i in range(count)]
    assert tempos_of((0, tempo(1000)), (9, tempo(5)), *events, (4, tempo(77))) == [
        (0, 1000),
        (9, 300_000 + 7919 * (count - 1) % 1000),
        (13, 77),
    ]


@pytest.mark.parametrize("count", [2, 30, 500])
def test_of_several_meters_on_one_tick_the_last_in_the_file_holds(count: int) -> None:
    events = [(0, meter(1 + 7 * i % 50, 2)) for i in range(count)]
    assert meters_of((0, meter(9, 3)), (7, meter(99, 3)), *events) == [(0, 9, 8), (7, 1 + 7 * (count - 1) % 50, 4)]


def test_a_meter_that_every_track_repeats_counts_once() -> None:
    piece = read(midi_file(*[track((0, meter(3, 2)), *NOTE)] * 5))
    assert [column.tolist() for column in piece.meters] == [[0], [3], [4]]


def test_a_tempo_of_0_is_ignored() -> None:
    assert tempos_of((0, tempo(9)), (5, tempo(0)), (5, tempo(8))) == [(0, 9), (10, 8)]


@pytest.mark.parametrize("content", [(), (7,), (7, 7), (7, 7, 7, 7)])
def test_a_tempo_event_of_another_length_than_3_is_ignored(content: tuple[int, ...]) -> None:
    assert tempos_of((0, tempo(9)), (5, meta(0x51, *content)), (5, tempo(8))) == [(0, 9), (10, 8)]


def test_a_tempo_whose_length_is_spelled_in_two_bytes_counts() -> None:
    assert tempos_of((5, b"\xff\x51\x80\x03\x00\x00\x09")) == [(5, 9)]


@pytest.mark.parametrize("power", [7, 8, 33, 255])
def test_a_meter_with_a_denominator_above_64_is_ignored(power: int) -> None:
    assert meters_of((0, meter(4, 2)), (5, meter(3, power)), (5, meter(2, 6))) == [(0, 4, 4), (10, 2, 64)]


def test_a_meter_with_numerator_0_or_of_another_length_is_ignored() -> None:
    assert meters_of((0, meter(0, 2)), (1, meta(0x58)), (1, meta(0x58, 3, 2)), (1, meter(3, 2))) == [(3, 3, 4)]


# Wrappers and damage that can be undone


def test_a_riff_wrapper_is_taken_off() -> None:
    def riff(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

    wrapped = riff(b"RIFF", b"RMID" + riff(b"INFO", b"odd") + riff(b"data", ONE_NOTE))
    assert read(wrapped) == read(ONE_NOTE)
    assert reason(riff(b"RIFF", b"RMID" + riff(b"INFO", b"odd"))) == "not_midi"


def test_a_longer_header_and_unknown_chunks_are_skipped() -> None:
    body = chunk(b"XFIH", b"abc") + track((0, tempo(9)), (0, meta(0x51, 7)), *NOTE)
    short = chunk(b"MThd", struct.pack(">HHH", 0, 1, 480)) + body
    long = chunk(b"MThd", struct.pack(">HHH", 0, 1, 480) + b"more") + body
    assert read(long) == read(short)
    assert rows(read(long)) == [(0, 480, 60, 64, 0)]


def test_all_tracks_are_read_however_many_are_declared() -> None:
    tracks = track(*NOTE), track((3, on(61)), (1, off(61)))
    assert read(midi_file(*tracks, declared=1)) == read(midi_file(*tracks))
    assert read(midi_file(track(*NOTE), declared=9)) == read(ONE_NOTE)
    assert read(midi_file(track(*NOTE), chunk(b"XFIH", b"abc"), declared=9)) == read(ONE_NOTE)
    assert read(ONE_NOTE + b"junk behind the last track") == read(ONE_NOTE)


def test_what_stands_behind_the_end_mark_of_a_track_is_not_read() -> None:
    body = track(*NOTE)[8:] + b"\x00" + on(61) + b"\x05" + off(61)
    assert read(midi_file(chunk(b"MTrk", body))) == read(ONE_NOTE)


def test_escape_events_and_parts_of_system_exclusive_ones_are_skipped() -> None:
    parts = ((0, b"\xf0\x03\x43\x12\x00"), (16, b"\xf7\x06\x43\x12\x00\x43\x12\x00"), (16, b"\xf7\x04\x43\x12\x00\xf7"))
    escape = (0, b"\xf7\x02\xf3\x01")
    long_escape = (0, b"\xf7\x81\x00" + bytes(128))
    data = midi_file(track(*parts, escape, *NOTE, long_escape, *NOTE))
    assert rows(read(data)) == [(32, 480, 60, 64, 0), (512, 480, 60, 64, 0)]


def test_stray_data_bytes_above_127_are_repaired_and_reported() -> None:
    data = midi_file(track((0, on(60)), (5, bytes((0x80, 60, 200)))))
    assert read_reporting(data).repairs == ("stray_data_bytes",)
    assert rows(read(data)) == [(0, 5, 60, 64, 0)]
    assert not read_reporting(ONE_NOTE).repairs


def test_waits_of_more_than_ten_million_ticks_are_read() -> None:
    data = midi_file(track((9_900_000, on(60)), (20_000_000, off(60))), division=30_000)
    assert rows(read(data)) == [(9_900_000, 20_000_000, 60, 64, 0)]


def test_the_last_tick_that_fits_is_read_exactly() -> None:
    waits = [(LONGEST_DELTA, meta(1))] * 7
    data = midi_file(track(*waits, (LONGEST_DELTA + 7 - 10, on(60)), (9, off(60))))
    piece = read(data)
    assert piece.end_tick == MAX_TICKS - 2
    assert piece.duration_s == pytest.approx((MAX_TICKS - 2) / 480 * 0.5)


# What is refused

HOSTILE = {
    "empty": ("not_midi", b""),
    "one byte": ("not_midi", b"M"),
    "html": ("not_midi", b"<!DOCTYPE html><html></html>"),
    "zip": ("not_midi", b"PK\x03\x04" + bytes(40)),
    "leading junk": ("not_midi", b"junk" + ONE_NOTE),
    "eight million 0xFF": ("not_midi", b"\xff" * 8_000_000),
    "a track of eight million 0xFF": ("damaged", midi_file(chunk(b"MTrk", b"\xff" * 8_000_000))),
    "half a header": ("truncated", ONE_NOTE[:9]),
    "cut before a note": ("truncated", ONE_NOTE[:24]),
    "a track without a note that claims 2 GiB": ("truncated", midi_file(b"MTrk\x7f\xff\xff\xff" + bytes(99))),
    "a header that claims 4 GiB": ("truncated", b"MThd\xff\xff\xff\xff" + ONE_NOTE[8:]),
    "a short header": ("damaged", b"MThd\x00\x00\x00\x04" + ONE_NOTE[8:]),
    "an event that its track cuts": ("damaged", midi_file(chunk(b"MTrk", b"\x00\x90\x3c"))),
    "a data byte without status": ("damaged", midi_file(chunk(b"MTrk", b"\x00\x3c\x40"))),
    "an undefined status": ("damaged", midi_file(track((0, b"\xf4"), *NOTE))),
    "a text longer than its track": ("damaged", midi_file(track(*NOTE, (0, b"\xff\x01\xff\xff\xff\x7f")))),
    "25 frames a second": ("smpte_division", midi_file(track(*NOTE), division=0xE728)),
    "division 0": ("zero_division", midi_file(track(*NOTE), division=0)),
    "format 2": ("independent_tracks", midi_file(track(*NOTE), track(*NOTE), file_format=2)),
    "65,535 tracks": ("too_many_tracks", midi_file(*[track(*NOTE)] * 65_535)),
    "9 times 1,024 programs": (
        "too_many_tracks",
        midi_file(
            *[
                track(
                    *[
                        (1, event)
                        for program in range(128)
                        for channel in range(8)
                        for event in (program_change(program, channel), on(60, channel=channel))
                    ]
                )
            ]
            * 9
        ),
    ),
    "notes past 2^31": ("ticks_overflow", midi_file(track(*[(LONGEST_DELTA, on(60)), (5, off(60))] * 12))),
    "2^32 ticks before the first note": ("ticks_overflow", midi_file(track(*[(LONGEST_DELTA, meta(1))] * 16, *NOTE))),
    "a tempo past 2^31": (
        "ticks_overflow",
        midi_file(track(*NOTE), track(*[(LONGEST_DELTA, meta(1))] * 9, (0, tempo(9)))),
    ),
    "a thousand waits of 2^21": (
        "ticks_overflow",
        midi_file(track(*[(2**21 - 1, on(60)), (2**21 - 1, off(60))] * 520)),
    ),
    "ends in the wait behind a program change": (
        "truncated",
        midi_file(track((0, program_change(5)), (200, on(60)), (9, off(60)))).partition(b"\x48\x90")[0],
    ),
    "ends before its first track": ("truncated", ONE_NOTE[:18]),
    "ends within the header of its second track": ("truncated", midi_file(track((0, tempo(9))), track(*NOTE))[:-18]),
    "no tracks": ("no_notes", midi_file()),
    "only a tempo": ("no_notes", midi_file(track((0, tempo(9))))),
    "only ends of notes": ("no_notes", midi_file(track((0, off(60)), (0, on(60, 0))))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bytes_that_cannot_be_used_are_an_error_with_a_reason(name: str) -> None:
    expected, data = HOSTILE[name]
    with pytest.raises(MidiError) as caught:
        read(data)
    assert caught.value.reason == expected
    assert str(caught.value) == f"{expected}: {caught.value.detail}"
    assert len(caught.value.detail) > 10


def test_every_reason_has_an_example() -> None:
    assert {expected for expected, _ in HOSTILE.values()} == set(MIDI_REASONS)


def test_as_many_instruments_as_allowed_are_read() -> None:
    tracks = [track(*NOTE)] * (MAX_INSTRUMENTS // 16)
    assert read(midi_file(*tracks)).num_notes == MAX_INSTRUMENTS // 16


MUTATED = midi_file(
    track((0, tempo(400_000)), (0, meter(3, 2)), (10, tempo(300_000)), (0, b"\xf0\x03\x01\x02\xf7")),
    track(
        (0, program_change(7)), (0, on(60)), (5, on(64)), (480, off(60)), (0, b"\x3e\x40"), (9, off(64)), (0, off(62))
    ),
    track((0, b"\xf7\x01\x01"), (200, on(36, 9, 9)), (400_000, off(36, 9))),
)


@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, len(MUTATED)),
            st.integers(0, 4),
            st.binary(max_size=4)
            | st.sampled_from([b"\xff\xff\xff\x7f", b"\xff\x51", b"\xff\x58\x04", b"\xf7", b"\xff\x2f\x00", b"\x90"]),
        ),
        max_size=8,
    )
)
def test_any_change_of_the_bytes_gives_a_sound_piece_or_an_error(edits: list[tuple[int, int, bytes]]) -> None:
    data = MUTATED
    for position, removed, inserted in edits:
        data = data[:position] + inserted + data[position + removed :]
    try:
        piece = read(data)
    except MidiError:
        return
    onset, duration, pitch, velocity, program = piece.notes
    assert onset.min() >= 0
    assert duration.min() >= 1
    assert piece.end_tick < MAX_TICKS
    assert np.all((pitch >= 0) & (pitch < 128) & (velocity >= 1) & (velocity < 128))
    assert np.all((program >= 0) & (program <= DRUMS))
    assert np.all(piece.tempos.us_per_quarter > 0)
    assert np.all(piece.tempos.tick >= 0)
    assert np.isfinite(piece.duration_s)


# Writing


def changes(*values: st.SearchStrategy[int]) -> st.SearchStrategy[list[list[int]]]:
    """Columns of up to four changes: ticks, then values."""
    return st.lists(st.tuples(st.integers(0, 5000), *values), max_size=4).map(
        lambda events: [list(column) for column in zip(*events, strict=True)] or [[] for _ in range(len(values) + 1)]
    )


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    note = st.tuples(
        st.integers(0, 3000), st.integers(1, 900), st.integers(58, 63), st.integers(1, 127), st.integers(0, DRUMS)
    )
    notes = draw(st.lists(note, min_size=1, max_size=60))
    onset, duration, pitch, velocity, program = zip(*notes, strict=True)
    tick, us_per_quarter = draw(changes(st.integers(1, 2**24 - 1)))
    meter_tick, numerator, power = draw(changes(st.integers(1, 255), st.integers(0, 6)))
    return make_piece(
        onset=onset,
        duration=duration,
        pitch=pitch,
        velocity=velocity,
        program=program,
        tempos=(tick, us_per_quarter),
        meters=(meter_tick, numerator, [1 << exponent for exponent in power]),
        ticks_per_quarter=draw(st.integers(1, 2**15 - 1)),
    )


@given(piece=pieces(), text=st.text(max_size=300))
def test_reading_what_was_written_gives_the_piece_without_overlaps(piece: Piece, text: str) -> None:
    assert read(write(piece, text=text)) == without_overlaps(piece)


@given(piece=pieces())
def test_no_program_change_is_heard_in_the_notes_of_another_program(piece: Piece) -> None:
    piece = without_overlaps(piece)
    sounding: dict[tuple[int, int, int], int] = {}  # (port, channel, pitch) -> program that began the note
    program_of: dict[tuple[int, int], int] = defaultdict(int)
    heard = []
    for tick, port, message in play(write(piece)):
        place = (port, message.channel)
        if message.type == "program_change":
            assert not [key for key in sounding if key[:2] == place], f"tick {tick}: the channel still sounds"
            program_of[place] = message.program
        elif message.type == "note_on":
            program = DRUMS if message.channel == 9 else program_of[place]
            assert (*place, message.note) not in sounding
            sounding[*place, message.note] = program
            heard.append((tick, program, message.note))
        else:
            del sounding[*place, message.note]
    assert not sounding
    assert sorted(heard) == sorted(
        zip(piece.notes.onset.tolist(), piece.notes.program.tolist(), piece.notes.pitch.tolist(), strict=True)
    )


def play(data: bytes) -> list[tuple[int, int, Any]]:
    """Channel messages of all tracks as a player sends them: by time, tracks in file order, with each track's port."""
    messages = []
    messages_of_track: Any
    for messages_of_track in mido.MidiFile(file=io.BytesIO(data)).tracks:
        tick, port = 0, 0
        for message in messages_of_track:
            tick += message.time
            if message.type == "midi_port":
                port = message.port
            elif not message.is_meta:
                messages.append((tick, port, message))
    return sorted(messages, key=lambda entry: entry[0])


def chord_of_programs(num_programs: int, gap: int) -> Piece:
    """One note of 10 ticks for each program, each `gap` ticks after the one before."""
    n = np.arange(num_programs)
    return make_piece(
        onset=n * gap, duration=n * 0 + 10, pitch=n * 0 + 60, velocity=n * 0 + 64, program=n, ticks_per_quarter=24
    )


def test_fifteen_programs_have_a_channel_each_and_no_port() -> None:
    messages = play(write(chord_of_programs(15, 0)))
    channels = {message.channel for _, _, message in messages}
    assert channels == set(range(16)) - {9}
    assert {port for _, port, _ in messages} == {0}


def test_the_sixteenth_program_takes_the_channel_of_one_that_has_ended_or_else_a_second_port() -> None:
    one_by_one = play(write(chord_of_programs(20, 11)))
    assert {port for _, port, _ in one_by_one} == {0}
    together = play(write(chord_of_programs(31, 0)))
    assert {port for _, port, _ in together} == {0, 1, 2}
    assert len({(port, message.channel) for _, port, message in together}) == 31


def test_note_offs_come_before_note_ons_of_the_same_tick() -> None:
    piece = make_piece(
        onset=[0, 10], duration=[10, 10], pitch=[60, 60], velocity=[64, 65], program=[0, 0], ticks_per_quarter=24
    )
    assert [message.type for _, _, message in play(write(piece))] == ["program_change", *["note_on", "note_off"] * 2]


def test_what_the_piece_does_not_say_is_not_written() -> None:
    piece = chord_of_programs(2, 5)
    data = write(piece)
    assert b"\xff\x51" not in data
    assert b"\xff\x58" not in data
    assert pretty_midi.PrettyMIDI(io.BytesIO(data)).instruments[1].notes[0].start == pytest.approx(5 / 24 * 0.5)


def test_text_and_names_of_instruments_are_in_the_file() -> None:
    piece = make_piece(
        onset=[0, 0], duration=[5, 5], pitch=[60, 36], velocity=[64, 64], program=[40, DRUMS], ticks_per_quarter=24
    )
    tracks = mido.MidiFile(file=io.BytesIO(write(piece, text="seed 3, ½ speed")), charset="utf-8").tracks
    texts: Any = tracks[0]
    assert [message.text for message in texts if message.type == "text"] == ["seed 3, ½ speed"]
    assert sorted(messages.name for messages in tracks[1:]) == ["Drums", "Violin"]


def test_pretty_midi_reads_the_same_notes_and_seconds() -> None:
    piece = make_piece(
        onset=[0, 48, 96, 100],
        duration=[48, 30, 20, 3],
        pitch=[60, 62, 36, 61],
        velocity=[1, 64, 127, 5],
        program=[0, 127, DRUMS, 3],
        tempos=([0, 60, 98], [400_000, 1_234_567, 7]),
        meters=([0, 96], [4, 3], [4, 8]),
        ticks_per_quarter=48,
    )
    theirs = pretty_midi.PrettyMIDI(io.BytesIO(write(piece)))
    notes = [
        (note.start, note.end, note.pitch, note.velocity, DRUMS if instrument.is_drum else instrument.program)
        for instrument in theirs.instruments
        for note in instrument.notes
    ]
    onset, duration, pitch, velocity, program = piece.notes
    ours = zip(piece.seconds(onset), piece.seconds(onset + duration), pitch, velocity, program, strict=True)
    np.testing.assert_allclose(sorted(notes), sorted(ours), rtol=0, atol=1e-9)
    signatures = [(change.numerator, change.denominator) for change in theirs.time_signature_changes]
    assert signatures == [(4, 4), (3, 8)]


def test_waits_that_no_event_can_say_are_divided() -> None:
    piece = make_piece(
        onset=[0, 2**30],
        duration=[2**29, 7],
        pitch=[60, 60],
        velocity=[64, 64],
        program=[0, 0],
        tempos=([2**28, 2**30 + 2**29], [9, 8]),
        ticks_per_quarter=24,
    )
    assert read(write(piece)) == piece


def test_a_piece_without_notes_is_written_and_refused_when_read() -> None:
    piece = make_piece(onset=[], duration=[], pitch=[], velocity=[], program=[], ticks_per_quarter=24)
    assert reason(write(piece)) == "no_notes"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pitch": [128]}, "pitch 128 cannot be written to MIDI; it must be from 0 to 127"),
        ({"velocity": [0]}, "velocity 0 cannot"),
        ({"duration": [0]}, "duration 0 cannot"),
        ({"onset": [-1]}, "onset -1 cannot"),
        ({"onset": [2**31 - 5]}, "end of a note 2147483653 cannot"),
        ({"program": [129]}, "program 129 cannot"),
        ({"ticks_per_quarter": 2**15}, "ticks_per_quarter 32768 cannot"),
        ({"tempos": ([0], [2**24])}, "us_per_quarter 16777216 cannot"),
        ({"meters": ([0], [256], [4])}, "numerator 256 cannot"),
        ({"meters": ([0], [3], [6])}, "denominator 6 cannot be written to MIDI; it must be a power of two"),
    ],
)
def test_numbers_that_midi_has_no_room_for_are_not_written(changed: dict[str, object], message: str) -> None:
    columns: dict[str, object] = {"onset": [0], "duration": [10], "pitch": [60], "velocity": [64], "program": [0]}
    piece = make_piece(**{**columns, "ticks_per_quarter": 24, **changed})  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=message):
        write(piece)


# Real files


def corpus_files(corpus: Path) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(corpus) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".mid", ".midi")))
        return [(name, archive.read(name)) for name in names]


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no corpora in {DATA}; set OSTINATO_DATA to the folder above it")
def test_every_real_file_is_read_and_survives_writing() -> None:
    num_files = 0
    for corpus in sorted(DATA.glob("*.zip")):
        for name, data in corpus_files(corpus):
            try:
                piece = read(data)
            except MidiError as error:
                pytest.fail(f"{corpus.name}: {name}: {error}")
            assert read(write(piece)) == without_overlaps(piece), f"{corpus.name}: {name}"
            num_files += 1
    assert num_files >= 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Tempo, Key or Time")  # pretty_midi, on tempos outside the first track
@pytest.mark.parametrize("corpus", ["groove", "jsfakes", "nottingham", "pop909"])
def test_real_files_sound_when_pretty_midi_says(corpus: str) -> None:
    """In these corpora pretty_midi has no trouble; it ignores tempos outside the first track, which others have."""
    if not (DATA / f"{corpus}.zip").exists():
        pytest.skip(f"no {corpus}.zip in {DATA}; set OSTINATO_DATA to the folder above it")
    files = corpus_files(DATA / f"{corpus}.zip")
    for name, data in files[:: len(files) // 15]:
        reading = read_reporting(data)
        piece, account = reading.piece, reading.account
        theirs = [
            (note.start, note.pitch, note.velocity)
            for instrument in pretty_midi.PrettyMIDI(io.BytesIO(data)).instruments
            for note in instrument.notes
        ]
        ours = list(zip(piece.seconds(piece.notes.onset), piece.notes.pitch, piece.notes.velocity, strict=True))
        if account.no_length or account.unreleased:  # notes that pretty_midi drops
            found = np.array(theirs)
            known = [one for one in ours if (np.abs(found - one) < 1e-6).all(1).any()]
            assert len(ours) - len(known) <= account.no_length + account.unreleased
            ours = known
        np.testing.assert_allclose(sorted(ours), sorted(theirs), rtol=0, atol=1e-6, err_msg=f"{corpus}: {name}")
