import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from ostinato.launch.chorales import VOICES, chorale_folder, write_chorales
from ostinato.music import midi

needs_music21 = pytest.mark.skipif(importlib.util.find_spec("music21") is None, reason="music21 is an optional extra")


def test_a_missing_music21_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(ValueError, match=r"not_installed_21 is not installed.*pip install 'ostinato\[demo\]'"):
        chorale_folder("not_installed_21")


def test_a_package_without_scores_is_not_taken_for_music21() -> None:
    with pytest.raises(ValueError, match="no scores in corpus/bach"):
        chorale_folder("numpy")


def test_chorales_that_are_there_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "bwv1.mid").write_bytes(b"mine")
    assert write_chorales(tmp_path) == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_a_folder_that_holds_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(ValueError, match="something other than chorales"):
        write_chorales(tmp_path)
    with pytest.raises(ValueError, match="something other than chorales"):
        write_chorales(tmp_path / "thesis.tex")


@needs_music21
def test_the_scores_are_found_without_running_music21() -> None:
    code = (
        "import sys; from ostinato.launch.chorales import chorale_folder; "
        "print(len(list(chorale_folder().glob('*.mxl'))), 'music21' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split()[1] == "False"
    assert int(found.split()[0]) >= 400


@pytest.fixture(scope="module")
def chorales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "chorales"
    assert write_chorales(folder) == 364
    return folder


@pytest.mark.slow
@needs_music21
def test_the_whole_corpus_appears_at_once_with_four_voices_each(chorales: Path) -> None:
    paths = sorted(chorales.iterdir())
    assert len(paths) == 364
    assert os.listdir(chorales.parent) == ["chorales"]  # no temporary folder stays
    for path in paths:
        assert set(midi.read(path.read_bytes()).notes.program.tolist()) == set(VOICES), path.name
    assert write_chorales(chorales) == 364


@pytest.mark.slow
@needs_music21
@pytest.mark.parametrize("name", ["bwv66.6", "bwv276", "bwv324", "bwv4.8", "bwv10.7"])
def test_a_chorale_has_the_notes_that_music21_reads(chorales: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # music21's own
        from music21 import converter, stream

        score = converter.parse(chorale_folder() / f"{name}.mxl", forceSource=True)
    assert isinstance(score, stream.Score)
    theirs = sorted(
        (VOICES[voice], round(float(note.offset) * 480), round(float(note.quarterLength) * 480), pitch.midi)
        for voice, part in enumerate(score.parts)
        for note in part.stripTies().flatten().notes
        if note.quarterLength
        for pitch in note.pitches
    )
    piece = midi.read((chorales / f"{name}.mid").read_bytes())
    notes = piece.notes
    ours = sorted(
        zip(notes.program.tolist(), notes.onset.tolist(), notes.duration.tolist(), notes.pitch.tolist(), strict=True)
    )
    assert piece.ticks_per_quarter == 480
    assert ours == theirs
