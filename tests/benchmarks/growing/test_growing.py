import json
import zipfile
from dataclasses import replace

import pytest

from ostinato.beam_pipelines.prepare import prepare
from ostinato.benchmarks.growing import measure
from ostinato.benchmarks.growing.archives import TRUTH, generate
from ostinato.benchmarks.growing.bars import load_bars
from ostinato.benchmarks.growing.compose import DAMAGES, VERSIONS, compose
from ostinato.configs.preparation import PrepareConfig
from ostinato.music import midi
from tests.midi_files import tune

NUM_FILES = 300


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    path = tmp_path_factory.mktemp("music") / "tunes.zip"
    with zipfile.ZipFile(path, "w") as box:
        for seed in range(300):
            piece = tune(seed, num_notes=200)
            if seed % 2:  # both hands on one instrument
                piece = replace(piece, notes=piece.notes._replace(program=0 * piece.notes.program))
            box.writestr(f"tune-{seed}.mid", midi.write(piece))
    return [path]


def test_the_files_do_not_depend_on_processes_and_the_first_blocks_not_on_the_number_of_files(
    music, tmp_path, monkeypatch
):
    bars = load_bars(music, num_files=300)
    assert bars.is_line.any()
    assert not bars.is_line.all()
    assert compose(bars, 3, 1, 50) == compose(bars, 3, 1, 50)
    assert compose(bars, 3, 1, 50) != compose(bars, 4, 1, 50)
    monkeypatch.setattr("ostinato.benchmarks.growing.archives.MAX_BLOCK", 100)
    generate(music, tmp_path / "one", num_files=200, processes=1)
    generate(music, tmp_path / "more", num_files=300, processes=2)
    first = sorted((tmp_path / "one").glob("*.tar"))
    assert len(first) == 8
    assert all((tmp_path / "more" / path.name).read_bytes() == path.read_bytes() for path in first)


def test_prepare_finds_what_was_put_in(music, tmp_path):
    truth = generate(music, tmp_path / "files", num_files=NUM_FILES)
    assert json.loads((tmp_path / "files" / TRUTH).read_text()) == truth
    assert sum(truth["kinds"].values()) == truth["files"] == NUM_FILES
    assert all(truth["kinds"][kind] for kind in (*VERSIONS, *DAMAGES))
    prepare([str(tmp_path / "files" / "*.tar")], tmp_path / "dataset", PrepareConfig(), [], num_parsers=1)
    found = measure.judge(tmp_path / "dataset", truth)
    assert all(found["agrees"].values()), found
    exact = ("copy", "key", "merged", "melody")
    assert all(found["recall"][kind] == 1 for kind in exact), found
