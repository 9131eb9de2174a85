"""What a piece gives: notes, files, a picture, and what notebooks show."""

import re

import numpy as np
import pytest
import soundfile
from matplotlib import pyplot
from matplotlib.figure import Figure

import ostinato
from ostinato.api.piece import Pieces, music_in
from ostinato.music import midi
from ostinato.music.piece import DRUMS
from tests.midi_files import piece_of

MUSIC = piece_of((0, 480, 60, 80, 73), (480, 960, 64, 30, 73), (480, 240, 36, 127, DRUMS), us_per_quarter=600_000)

ORIGIN = {"seed": 1, "piece": 0, "options": {"key": "E minor"}}


@pytest.fixture
def piece():
    return ostinato.Piece(MUSIC, midi.write(MUSIC), name="piece-000", origin=ORIGIN, primer_end_tick=480, ended=True)


def test_the_notes_are_an_array_in_quarters_and_seconds(piece):
    notes = piece.notes
    assert notes.dtype.names == (
        "onset_quarter", "duration_quarter", "onset_sec", "duration_sec", "pitch", "velocity", "program"
    )  # fmt: skip
    assert notes.tolist() == [
        (0, 1, 0, 0.6, 60, 80, 73),
        (1, 2, 0.6, pytest.approx(1.2), 64, 30, 73),
        (1, 0.5, 0.6, pytest.approx(0.3), 36, 127, DRUMS),
    ]
    assert (piece.num_notes, piece.seconds) == (3, pytest.approx(1.8))
    assert repr(piece) == "<ostinato.Piece piece-000: 3 notes, 1.8 s>"


def test_pretty_midi_reads_the_same_notes(piece):
    read = piece.to_pretty_midi()
    found = sorted((note.start, note.pitch) for part in read.instruments for note in part.notes)
    assert found == [(0, 60), (pytest.approx(0.6), 36), (pytest.approx(0.6), 64)]


@pytest.mark.parametrize("suffix", [".mid", ".wav", ".flac", ".ogg", ".png", ".musicxml", ".svg"])
def test_the_ending_says_what_is_saved(piece, tmp_path, suffix):
    path = piece.save(tmp_path / f"new/music{suffix}")
    data = path.read_bytes()
    assert data.startswith(
        {
            ".mid": b"MThd", ".wav": b"RIFF", ".flac": b"fLaC", ".ogg": b"OggS", ".png": b"\x89PNG",
            ".musicxml": b"<?xml", ".svg": b"<svg",
        }[suffix]
    )  # fmt: skip
    if suffix == ".musicxml":
        assert b"<work-title>Piece 0 of seed 1, E minor</work-title>" in data
    if suffix == ".svg":
        assert data.decode() == piece.score()._repr_svg_()
    if suffix == ".mid":
        assert data == piece.midi()
    if suffix == ".wav":
        samples, rate = piece.audio()
        read, read_rate = soundfile.read(path)
        assert read_rate == rate
        np.testing.assert_allclose(read.T, samples, atol=1.5 / 32767)


def test_another_ending_is_refused(piece, tmp_path):
    with pytest.raises(
        ostinato.UserError, match=r"a\.mp3: must end in \.mid, \.wav, \.flac, \.ogg, \.musicxml, \.svg or \.png"
    ):
        piece.save(tmp_path / "a.mp3")


def test_a_plot_is_on_the_axes_that_are_given_or_on_a_new_figure(piece):
    axes = Figure().add_subplot()
    assert piece.plot(axes) is axes
    assert axes.get_title(loc="left") == "piece-000"
    with pyplot.rc_context({"backend": "agg"}):
        new = piece.plot()
    (legend,) = new.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Flute", "Drums"]
    pyplot.close(new.figure)


def test_a_notebook_shows_the_picture_and_plays_the_sound_without_a_network(piece):
    page = piece._repr_html_()
    assert re.findall(r'src="data:(.*?);base64,', page) == ["image/png", "audio/ogg"]
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert "piece-000: 3 notes, 2 s" in page
    assert Pieces([piece, piece])._repr_html_() == page + page


def test_music_is_a_file_bytes_a_piece_or_what_pretty_midi_has(piece, tmp_path):
    assert music_in("a.mid", tmp_path) == music_in(tmp_path / "a.mid", tmp_path).relative_to(tmp_path)
    for source in (piece, piece.midi(), piece.to_pretty_midi()):
        read = midi.read(music_in(source, tmp_path).read_bytes())
        assert read.notes.pitch.tolist() == MUSIC.notes.pitch.tolist()
