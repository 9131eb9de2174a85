import itertools
import os
import resource
import time
from pathlib import Path

import mido
import numpy as np
import pytest
from mido.ports import EchoPort

from ostinato.configs.schema import SampleConfig
from ostinato.music import midi
from ostinato.music.piece import DRUMS
from ostinato.music.score_codec import ScoreCodec
from ostinato.sample.output import growing_midi
from ostinato.sample.output.midi_events import MidiEvents
from ostinato.sample.stream import FileSink, PipeSender, PortSender, Rows, TimedSink, endless_rows, open_sink, play
from tests.midi_files import piece_of, tune
from tests.sample.tiny_models import CONFIG, MLSTM, SCORE, tiny_model, write


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now_s = 100.0

    def clock(self):
        return self.now_s

    def sleep(self, wait_s):
        assert wait_s > 0
        self.now_s += wait_s


def _rows(*pieces, size=7):
    """The rows of pieces as an endless sequence has them, some at a time."""
    for piece in pieces:
        steps = ScoreCodec().encode(piece)[1:]
        is_last = np.arange(len(steps)) == len(steps) - 1
        for first in range(0, len(steps), size):
            yield Rows(steps[first : first + size].astype(np.int32), is_last[first : first + size])


def test_a_stream_in_a_file_holds_the_pieces_one_after_the_other(tmp_path):
    tunes = [tune(seed) for seed in range(3)]
    path = tmp_path / "three.mid"
    assert play(ScoreCodec(), _rows(*tunes), FileSink(path, 24)) == 3 * 60
    found = midi.read(path.read_bytes())
    start = 0
    for piece in (ScoreCodec().quantise(piece) for piece in tunes):
        part = (found.notes.onset >= start) & (found.notes.onset < start + piece.end_tick)
        for ours, theirs in zip(found.notes._replace(onset=found.notes.onset - start), piece.notes, strict=True):
            np.testing.assert_array_equal(ours[part], theirs)
        start = -(-(start + piece.end_tick) // 24) * 24 + 24
    assert found.num_notes == 180


def test_a_full_file_is_followed_by_another_that_begins_in_the_same_tempo(tmp_path, monkeypatch):
    monkeypatch.setattr(growing_midi, "MAX_SIZE", 1 << 12)
    monkeypatch.setattr(growing_midi, "_FIRST_SIZE", 1 << 10)
    slow_tune = piece_of(*((480 * i, 480, 60 + i % 5, 80, 73) for i in range(900)), us_per_quarter=750_000)
    play(ScoreCodec(), _rows(slow_tune, size=50), FileSink(tmp_path / "long.mid", 24))
    pieces = [midi.read(path.read_bytes()) for path in tmp_path.iterdir()]
    assert len(pieces) > 2
    assert sum(piece.num_notes for piece in pieces) == 900
    for piece in pieces:
        assert piece.tempos.us_per_quarter.tolist() == [750_000]
        assert set(piece.notes.program) == {73}


def test_programs_that_take_turns_share_the_channels_and_drums_keep_theirs():
    notes = [(480 * i, 400, 60, 80, i % 40) for i in range(80)] + [(480 * i, 100, 38, 80, DRUMS) for i in range(80)]
    events = MidiEvents(ScoreCodec())
    found = [event for part in _rows(piece_of(*notes)) for event in events.add(part.rows, part.is_last)] + events.rest()
    assert [event.tick for event in found] == sorted(event.tick for event in found)
    program = {}
    heard = []
    for event in found:
        kind, channel = event.message[0] >> 4, event.message[0] & 15
        if kind == 0xC:
            program[channel] = event.message[1]
        elif kind == 0x9:
            heard.append((event.tick // 24, DRUMS if channel == 9 else program[channel]))
    assert sorted(heard) == sorted((i, program) for i in range(80) for program in (i % 40, DRUMS))


def test_a_port_gets_each_message_when_it_is_due():
    timing, port, sent = Time(), EchoPort(), []
    sink = TimedSink(PortSender(port), 24, clock=timing.clock, sleep=timing.sleep)
    piece = piece_of((0, 480, 60, 80, 73), (480, 240, 64, 80, 73), (960, 480, 67, 80, 73), us_per_quarter=1_000_000)
    events = MidiEvents(ScoreCodec())
    for part in _rows(piece, size=1):
        for event in events.add(part.rows, part.is_last):
            sink.write([event], [])
            sent += [(round(timing.now_s - 100, 6), message) for message in port.iter_pending()]
    notes = [(at_s, message.type, message.note) for at_s, message in sent if message.type.startswith("note")]
    assert notes[:5] == [
        (0.0, "note_on", 60), (1.0, "note_off", 60), (1.0, "note_on", 64), (1.5, "note_off", 64), (2.0, "note_on", 67)
    ]  # fmt: skip
    assert sent[0][1] == mido.Message("program_change", channel=0, program=73)


def test_what_sounds_is_silenced_when_it_ends_early():
    class Heard(list):
        def send(self, message):
            self.append(message)

        def close(self):
            self.append(b"closed")

    timing, heard = Time(), Heard()
    sink = TimedSink(heard, 24, clock=timing.clock, sleep=timing.sleep)
    rows = next(_rows(tune(1), size=9))
    sink.write(MidiEvents(ScoreCodec()).add(rows.rows, rows.is_last), [])
    sounding = {message[:2] for message in heard if message[0] >> 4 == 9}
    sounding -= {bytes((message[0] + 16, message[1])) for message in heard if message[0] >> 4 == 8}
    assert sounding
    num_heard = len(heard)
    sink.close()
    assert {bytes((message[0] + 16, message[1])) for message in heard[num_heard:-1]} == sounding
    assert heard[-1] == b"closed"


def test_a_pipe_gets_raw_messages():
    timing = Time()
    reading, writing = os.pipe()
    pipe = os.fdopen(writing, "wb", buffering=0)
    play(ScoreCodec(), _rows(tune(2)), TimedSink(PipeSender(pipe), 24, clock=timing.clock, sleep=timing.sleep))
    assert pipe.closed
    with open(reading, "rb") as file:
        messages = mido.parse_all(file.read())
    assert sum(message.type == "note_on" for message in messages) == 60
    assert sum(message.type == "note_off" for message in messages) == 60
    assert timing.now_s - 100 == pytest.approx(tune(2).duration_s, abs=0.1)


def test_a_reader_that_leaves_ends_the_stream_and_so_does_ctrl_c(tmp_path):
    timing = Time()
    reading, writing = os.pipe()
    pipe = os.fdopen(writing, "wb", buffering=0)

    def leaving():
        yield next(_rows(tune(2), size=20))
        os.close(reading)
        yield from _rows(tune(3))

    sink = TimedSink(PipeSender(pipe), 24, clock=timing.clock, sleep=timing.sleep)
    assert 0 < play(ScoreCodec(), leaving(), sink) < 60 + 20
    assert pipe.closed

    def interrupted():
        yield from _rows(tune(2))
        raise KeyboardInterrupt

    path = tmp_path / "interrupted.mid"
    assert play(ScoreCodec(), interrupted(), FileSink(path, 24)) == 60
    assert midi.read(path.read_bytes()).num_notes == 60


def test_a_target_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a stream goes to a \.mid file"):
        open_sink(str(tmp_path / "music.wav"), ScoreCodec())
    with pytest.raises(ValueError, match=r"ostinato\[live\]|no MIDI port"):
        open_sink("port:nowhere", ScoreCodec())


@pytest.mark.slow
@pytest.mark.parametrize("config", [CONFIG, MLSTM], ids=["lstm", "mlstm"])
def test_an_endless_sequence_begins_with_the_piece_that_sampling_writes(config):
    model = tiny_model(SCORE, config)
    (piece,) = write(model, num_pieces=1, num_notes=150, seed=5)
    wanted = SampleConfig(num_notes=150, seed=5)
    parts = list(itertools.islice(endless_rows(*model, SCORE, wanted), 6))
    rows, is_last = np.concatenate([part.rows for part in parts]), np.concatenate([part.is_last for part in parts])
    first = int(np.flatnonzero(is_last)[0]) + 1
    np.testing.assert_array_equal(rows[:first], piece.steps[1:-1])
    ends = np.flatnonzero(is_last) + 1
    assert len(ends) > 2
    for begin, end in itertools.pairwise([0, *ends]):
        steps = np.concatenate([[SCORE.start], rows[begin:end], [SCORE.end]]).astype(np.uint8)
        np.testing.assert_array_equal(SCORE.encode(SCORE.decode(steps), int(steps[1, 2])), steps)
        assert SCORE.count_notes(steps).sum() == 150


@pytest.mark.slow
def test_two_hundred_thousand_notes_cost_the_same_from_first_to_last(tmp_path):
    model, config = tiny_model(SCORE), SampleConfig(num_notes=5000)
    cpu_s, resident_kb, notes = [time.process_time()], [], [0]

    def measured():
        for part in endless_rows(*model, SCORE, config):
            yield part
            cpu_s.append(time.process_time())
            notes.append(notes[-1] + int(SCORE.count_notes(part.rows).sum()))
            resident_kb.append(_resident_kb())

    path = tmp_path / "endless.mid"
    total = play(SCORE, measured(), FileSink(path, 24), max_notes=200_000)
    assert total >= 200_000
    assert midi.read(path.read_bytes()).num_notes <= total  # the same pitch of one program may meet that of the next
    assert path.stat().st_size < 12 * total
    quarter = len(resident_kb) // 4
    # 100 bytes kept for each note would be 10 MB from the middle of the second quarter to that of the last.
    assert np.median(resident_kb[-quarter:]) < np.median(resident_kb[quarter : 2 * quarter]) + 8_000
    # If a note took time in proportion to those before it, the last quarter would cost seven times the first.
    per_note = np.diff(cpu_s)[1:] / np.maximum(np.diff(notes)[1:], 1)  # the first one compiles
    assert np.median(per_note[-quarter:]) < 3 * np.median(per_note[:quarter])


def _resident_kb() -> float:
    """What of this process is in memory now; its largest part so far would hide what a test after others needs."""
    pages = Path("/proc/self/statm")
    if not pages.is_file():
        pytest.skip("needs /proc to tell how much memory is in use")
    return int(pages.read_text().split()[1]) * resource.getpagesize() / 1024
