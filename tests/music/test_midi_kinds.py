"""Files that were once read wrong, one for each kind, and what a player makes of them."""

from collections import Counter

import numpy as np
import pytest

from ostinato.music.account import NoteAccount
from ostinato.music.bars import bar_lines
from ostinato.music.midi import MidiError, read, read_reporting
from ostinato.music.piece import DRUMS, Piece
from ostinato.music.score_codec import ScoreCodec
from tests.midi_events import chunk, meta, meter, midi_file, off, on, program_change, tempo, timed_track

PITCHES = (60, 64, 62, 67, 65, 72, 69, 71)


def control(number: int, value: int, channel: int = 0) -> bytes:
    return bytes((0xB0 | channel, number, value))


def notes(count: int = 24, *, step: int = 480, length: int = 480, channel: int = 0, begin: int = 0) -> list:
    pairs = [(begin + i * step, PITCHES[i % len(PITCHES)]) for i in range(count)]
    return [
        event
        for tick, pitch in pairs
        for event in ((tick, on(pitch, channel=channel)), (tick + length, off(pitch, channel)))
    ]


def hits(length: int | None) -> list:
    ends = [(i * 240 + (length or 0), off((36, 42, 38, 42)[i % 4], 9)) for i in range(64)]
    begins = [(i * 240, on((36, 42, 38, 42)[i % 4], channel=9)) for i in range(64)]
    return [event for pair in zip(begins, ends, strict=True) for event in pair] if length is not None else begins


def file_of(*tracks: list, **options: int) -> bytes:
    return midi_file(*map(timed_track, tracks), **options)


def programs(piece: Piece) -> dict[int, int]:
    return dict(Counter(piece.notes.program.tolist()))


def begins(piece: Piece) -> Counter[tuple[int, int]]:
    return Counter(zip(piece.notes.onset.tolist(), piece.notes.pitch.tolist(), strict=True))


def counts(account: NoteAccount) -> dict[str, int]:
    return {name: count for name, count in vars(account).items() if count and name != "read"}


TWO = notes(), notes(channel=1)
BROKEN = bytearray(file_of(*TWO))
BROKEN[BROKEN.rindex(b"MTrk") + 9] = 5  # a data byte where a status must stand
ONE = file_of(notes())
PEDAL = [(0, control(64, 127)), *notes(length=60), (24 * 480, control(64, 0))]
BENDS = [(i * 120, bytes((0xE0, 0, 0x50))) for i in range(40)]
CHORD = [*notes(), (24 * 480, on(48)), (24 * 480, on(55)), (26 * 480, control(123, 0))]
MIDDLE_END = [*notes(), (12 * 480, meta(0x2F))]

READ = {
    "programs in a set-up track": (
        file_of([(0, program_change(40)), (0, program_change(42, 1))], *TWO), {40: 24, 42: 24}, {}, ()),
    "a program in a later track": (file_of(*TWO, [(0, program_change(73))]), {73: 24, 0: 24}, {}, ()),
    "a port has its own channels": (
        file_of([(0, meta(0x21, 1)), (0, program_change(9)), *notes()], notes()), {9: 24, 0: 24}, {}, ()),
    "two tracks set one channel": (
        file_of([(0, program_change(40)), *notes()], [(0, program_change(9)), *notes(begin=7)]), {9: 48}, {}, ()),
    "a pedal": (file_of(PEDAL), {0: 24}, {"prolonged": 24}, ()),
    "bends": (file_of([*notes(), *BENDS]), {0: 24}, {"bends": 40}, ()),
    "more tracks than declared": (file_of(*TWO, declared=1), {0: 48}, {}, ("track_count",)),
    "no track declared": (file_of(notes(), file_format=0, declared=0), {0: 24}, {}, ("track_count",)),
    "an end mark in the middle": (file_of(MIDDLE_END, file_format=0), {0: 24}, {}, ("end_mark",)),
    "an unknown format": (file_of(notes(), file_format=0x6D01), {0: 24}, {}, ("format_word",)),
    "the last byte is missing": (ONE[:-1], {0: 24}, {}, ("end_mark", "track_size")),
    "one broken track": (bytes(BROKEN), {0: 24}, {}, ("broken_track",)),
    "a size that leads into the next track": (
        midi_file(chunk(b"MTrk", timed_track(notes())[8:])[:4] + b"\0\0\x40\0" + timed_track(notes())[8:],
                  timed_track(notes(channel=1))), {0: 48}, {}, ("track_size",)),
    "drum hits of no length": (file_of([*hits(0), *notes()]), {0: 24, DRUMS: 64}, {"no_length": 64}, ()),
    "drum hits without end": (file_of([*hits(None), *notes()]), {0: 24, DRUMS: 64}, {"unreleased": 64}, ()),
    "a chord that is never released": (file_of(CHORD), {0: 26}, {"unreleased": 2}, ()),
    "a chord that all sound off ends": (
        file_of([*CHORD[:-1], (26 * 480, control(120, 0))]), {0: 26}, {"unreleased": 2}, ()),
}  # fmt: skip
"""Bytes, notes of each program, what the account says beside the notes, repairs."""


@pytest.mark.parametrize("name", READ)
def test_a_player_hears_these(name: str) -> None:
    data, by_program, account, repairs = READ[name]
    reading = read_reporting(data)
    assert programs(reading.piece) == by_program
    assert counts(reading.account) == account
    assert reading.account.read == reading.piece.num_notes == sum(len(track.onset) for track in reading.tracks)
    assert reading.repairs == repairs


def test_how_long_notes_last_that_nothing_or_a_command_ends() -> None:
    assert read(file_of(CHORD)).notes.duration[-2:].tolist() == [960, 960]
    assert set(read(file_of([*hits(None), *notes()])).notes.duration.tolist()) == {120, 480}
    hung = read(file_of([(0, on(40)), (480, on(40)), (960, off(40)), *notes()]))
    assert hung.notes.duration[hung.notes.pitch == 40].tolist() == [480, 480]
    cut = read(file_of([(0, on(40)), (100, control(123, 0)), (500, off(40))]))
    assert cut.notes.duration.tolist() == [100]


def test_another_track_of_the_channel_may_end_a_note() -> None:
    assert read(file_of([(0, on(40)), (0, on(41)), (90, off(41))], [(70, off(40))])).notes.duration.tolist() == [70, 90]


def test_pedals_hold_notes_until_they_go_up_or_the_pitch_begins_again() -> None:
    piece = read(file_of(PEDAL))
    assert piece.notes.duration.tolist() == [8 * 480] * 16 + [480 * (24 - i) for i in range(16, 24)]
    as_written = read_reporting(file_of(PEDAL), pedal=False)
    assert set(as_written.piece.notes.duration.tolist()) == {60}
    assert as_written.account.prolonged == 24
    half = read(file_of([(0, control(64, 63)), *notes(2, length=60), (1440, control(64, 0))]))
    assert half.notes.duration.tolist() == [60, 60]
    sostenuto = [(30, control(66, 64)), *notes(2, length=60), (1440, control(66, 0))]
    assert read(file_of(sostenuto)).notes.duration.tolist() == [1440, 60]  # of the second nothing sounded yet


def test_format_2_is_refused() -> None:
    with pytest.raises(MidiError) as caught:
        read(file_of(*TWO, file_format=2))
    assert caught.value.reason == "independent_tracks"


MIXED = timed_track([(0, tempo(500_000)), *notes(12), (12 * 480, b"\xf0\x03\x01\x02\xf7"), *notes(12, begin=12 * 480)])
BEHIND = midi_file(timed_track(notes(channel=1)), MIXED)


@pytest.mark.parametrize("data", [midi_file(MIXED, file_format=0), BEHIND], ids=["alone", "behind another"])
def test_of_a_file_that_ends_within_its_last_track_all_is_read_that_stands_there(data: bytes) -> None:
    whole, others = begins(read(data)), 24 * (data is BEHIND)
    first = data.index(on(PITCHES[0]), data.rindex(b"MTrk"))
    heard = others + 1
    for end in range(first + 3, len(data) - 4):  # within times, events, an exclusive message, and between them
        reading = read_reporting(data[:end])
        assert reading.repairs == ("cut_track", "track_size")
        assert reading.account.read == reading.piece.num_notes >= heard
        heard = reading.piece.num_notes
        assert begins(reading.piece) <= whole
        assert reading.piece.notes.duration.min() >= 1
    assert heard == others + 24


def test_a_cut_track_without_notes_costs_the_others_nothing() -> None:
    data = midi_file(timed_track(notes()), timed_track([(0, meta(3, *b"a long name"))]))
    reading = read_reporting(data[:-8])
    assert (reading.piece.num_notes, reading.account.given_up) == (24, 0)
    assert "cut_track" in reading.repairs


WHOLE_TRACK = timed_track(notes())
WRONG_SIZE = WHOLE_TRACK[:4] + b"\0\0\0\x11" + WHOLE_TRACK[8:]
AROUND = {
    "zeros at the end": (ONE + bytes(64), 24, ()),
    "zeros instead of the end": (ONE[:-100] + bytes(100), 13, ("end_mark",)),
    "bytes between tracks": (midi_file(WHOLE_TRACK, b"\0\0junk" + WHOLE_TRACK), 48, ("track_size",)),
    "a wrong size in the first track": (midi_file(WRONG_SIZE, WHOLE_TRACK, WHOLE_TRACK), 72, ("track_size",)),
    "a wrong size in the middle track": (midi_file(WHOLE_TRACK, WRONG_SIZE, WHOLE_TRACK), 72, ("track_size",)),
    "a wrong size in the last track": (midi_file(WHOLE_TRACK, WHOLE_TRACK, WRONG_SIZE), 72, ("track_size",)),
    "a second file": (ONE + ONE, 24, ("second_file",)),
    "a second file behind other bytes": (ONE + bytes(3) + ONE, 24, ("second_file", "track_size")),
    "a second file behind a wrong size": (
        midi_file(WRONG_SIZE, file_format=0) + ONE, 24, ("second_file", "track_size")),
    "a MacBinary head": (
        b"\0\4tune".ljust(65, b"\0") + b"Midi".ljust(63, b"\0") + ONE + bytes(91), 24, ("macbinary_head",)),
    "music without an end mark": (midi_file(chunk(b"MTrk", WHOLE_TRACK[8:-4])), 24, ("end_mark",)),
    "music behind an end mark, and no other": (
        midi_file(chunk(b"MTrk", WHOLE_TRACK[8:] + WHOLE_TRACK[8:-4]), file_format=0), 24, ("end_mark",)),
}  # fmt: skip
"""Bytes, notes, repairs."""


@pytest.mark.parametrize("name", AROUND)
def test_what_stands_around_and_between_tracks_is_told(name: str) -> None:
    data, num_notes, repairs = AROUND[name]
    reading = read_reporting(data)
    assert (reading.piece.num_notes, reading.repairs) == (num_notes, repairs)


def test_what_was_given_up_is_counted() -> None:
    cut = midi_file(timed_track(notes()), chunk(b"MTrk", timed_track(notes(channel=1))[8:-4] + b"\0\xf4"))
    assert read_reporting(cut).account == NoteAccount(read=24, given_up=24)


@pytest.mark.parametrize("bpm", [3.6, 6, 14.4, 16, 20.5, 33.3, 120, 263, 264, 400, 777, 1000])
def test_seconds_and_bars_are_right_at_any_tempo(bpm: float) -> None:
    piece = read(file_of([(0, tempo(round(6e7 / bpm))), (0, meter(3, 2)), *notes()]))
    said = ScoreCodec().quantise(piece)
    np.testing.assert_allclose(said.seconds(said.notes.onset), piece.seconds(piece.notes.onset), rtol=0.01)
    assert said.duration_s == pytest.approx(piece.duration_s, rel=0.01)
    np.testing.assert_allclose(said.seconds(bar_lines(said)), piece.seconds(bar_lines(piece)), rtol=0.01)
    assert ScoreCodec().quantise(said) == said


def test_only_the_stretch_in_an_extreme_tempo_is_written_otherwise() -> None:
    changes = [(0, tempo(500_000)), (4800, tempo(10_000_000)), (5760, tempo(500_000))]
    piece = read(file_of([*changes, *notes()]))
    said = ScoreCodec().quantise(piece)
    assert said.duration_s == pytest.approx(piece.duration_s, rel=0.001)
    assert said.notes.duration.tolist() == [24] * 10 + [96] * 2 + [24] * 12


@pytest.mark.parametrize("late", [1, 20, 40, 100])
def test_a_doubled_part_is_merged_or_kept_and_never_cut_to_nothing(late: int) -> None:
    parts = [[(0, program_change(80, c)), *notes(48, length=470, channel=c, begin=c * late)] for c in (0, 1)]
    encoding = ScoreCodec().encode_reporting(read(file_of(*parts)))
    assert (encoding.piece.num_notes, encoding.account.merged) == (48, 48)
    assert encoding.piece.notes.duration.min() >= 23


def test_notes_that_are_struck_again_stay_notes() -> None:
    drone = [(0, on(60)), (4800, off(60)), *notes(20, step=240, length=200, channel=1)]
    encoding = ScoreCodec().encode_reporting(read(file_of(drone)))
    assert (encoding.account.merged, encoding.account.shortened) == (1, 1)  # they begin together, then it is struck
