import io
import os
import subprocess
import sys
from pathlib import Path

import mido
import numpy as np
import pytest
import symusic

from ostinato.sample.output import growing_midi
from ostinato.sample.output.growing_midi import GrowingMidi

ROOT = Path(__file__).parents[3]


def _note(pitch: int, wait: int = 0) -> bytes:
    return bytes((wait, 0x90, pitch, 80))


def _end(pitch: int, wait: int) -> bytes:
    return bytes((wait, 0x80, pitch, 0))


def _notes(data: bytes) -> list[tuple[int, int, int]]:
    """(onset, duration, pitch) as symusic reads them; mido must find as many, and a single End of Track at the end."""
    (track,) = mido.MidiFile(file=io.BytesIO(data)).tracks
    assert [message.type for message in track].count("end_of_track") == 1
    assert track[-1].type == "end_of_track"
    begins = sum(message.type == "note_on" and message.velocity > 0 for message in track)
    ends = sum(message.type == "note_off" for message in track)
    score = symusic.Score.from_midi(data)
    notes = sorted((note.start, note.duration, note.pitch) for part in score.tracks for note in part.notes)
    assert begins == ends == len(notes)
    return notes


def test_a_file_that_grows_is_whole_after_every_piece_of_every_write(tmp_path, monkeypatch):
    path, found = tmp_path / "grows.mid", []
    monkeypatch.setattr(growing_midi, "_FIRST_SIZE", 2048)
    real_write, real_replace = os.pwrite, os.replace

    def write_in_pieces(file: int, data: bytes, at: int) -> int:
        for end in sorted({0, 1, len(data) // 3, len(data) - 1, len(data)}):
            real_write(file, data[:end], at)
            found.append(len(_notes(path.read_bytes())))
        return len(data)

    def replace(source, target):
        real_replace(source, target)
        found.append(len(_notes(path.read_bytes())))

    monkeypatch.setattr(os, "pwrite", write_in_pieces)
    monkeypatch.setattr(os, "replace", replace)
    rng = np.random.default_rng(0)
    file, total = GrowingMidi(path, ticks_per_quarter=24), 0
    for _ in range(15):
        count = int(rng.integers(1, 60))
        pitches = rng.choice(128, count, replace=False).tolist()
        sounding = pitches[count // 2 :]
        music = b"".join([_note(pitch) for pitch in pitches] + [_end(pitch, 3) for pitch in pitches[: count // 2]])
        file.append(music, b"".join(_end(pitch, 1) for pitch in sounding))
        total += count
        # What sounds is ended by what follows, too.
        file.append(b"".join(_end(pitch, 1) for pitch in sounding), b"")
    assert found == sorted(found)  # nothing that was there is ever lost
    assert found[-1] == total
    file.close()
    data = path.read_bytes()
    assert len(_notes(data)) == total
    assert len(data) == 22 + int.from_bytes(data[18:22], "big")
    assert [entry.name for entry in tmp_path.iterdir()] == ["grows.mid"]


def test_notes_that_sound_at_the_cut_end_when_they_were_meant_to(tmp_path):
    path = tmp_path / "cut.mid"
    file = GrowingMidi(path, ticks_per_quarter=24)
    file.append(_note(60) + _note(64, 10), _end(64, 5) + _end(60, 30))
    assert _notes(path.read_bytes()) == [(0, 45, 60), (10, 5, 64)]
    file.append(_end(64, 5) + _note(67, 2), _end(67, 1) + _end(60, 27))
    assert _notes(path.read_bytes()) == [(0, 45, 60), (10, 5, 64), (17, 1, 67)]


def test_a_full_file_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(growing_midi, "MAX_SIZE", 1 << 12)
    file = GrowingMidi(tmp_path / "small.mid", ticks_per_quarter=24)
    assert file.has_room(1000)
    while file.has_room(1000):
        file.append((_note(60) + _end(60, 1)) * 125, b"")
    assert len(_notes((tmp_path / "small.mid").read_bytes())) >= 125
    file.close()


_ENDLESS = """
import itertools, sys
from pathlib import Path
import numpy as np
from ostinato.music.score_codec import ScoreCodec
from ostinato.sample.stream import FileSink, Rows, play
from tests.midi_files import tune
codec = ScoreCodec()
def rows():
    for seed in itertools.count():
        steps = codec.encode(tune(seed % 50))[1:]
        is_last = np.arange(len(steps)) == len(steps) - 1
        yield from (Rows(steps[:30], is_last[:30]), Rows(steps[30:], is_last[30:]))
        print(seed, flush=True)
play(codec, rows(), FileSink(Path(sys.argv[1]), 24))
"""


@pytest.mark.slow
@pytest.mark.parametrize("pieces_before_the_kill", [1, 40, 400])
def test_a_stream_that_is_killed_leaves_a_whole_file(tmp_path, pieces_before_the_kill):
    path = tmp_path / "endless.mid"
    with subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout
        try:
            for _ in range(pieces_before_the_kill):
                process.stdout.readline()
                copy = path.read_bytes()
        finally:
            process.kill()
    at_the_end = len(_notes(path.read_bytes()))
    assert len(_notes(copy)) <= at_the_end
    assert at_the_end >= 55 * (pieces_before_the_kill - 1)
