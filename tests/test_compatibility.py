"""What earlier versions left on people's disks opens, resumes, samples and counts as it did then."""

import hashlib
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ostinato.data.records import Dataset
from ostinato.launch.cli import main
from ostinato.listen.design.study import Study
from ostinato.music import midi
from ostinato.sample.output.provenance import origin_text
from ostinato.train.checkpoint import load_params
from tests.midi_files import tune

FIXTURES = Path(__file__).parent / "fixtures/version_0_1"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
TRAINING = shlex.split(
    "--model.hidden-size 16 --model.embedding-size 8 --model.head-size 8 --model.num-layers 2 --data.batch-size 4 "
    "--data.sequence-length 16 --num-steps 6 --checkpoint-every 3 --log-every 1"
)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A folder of all that the old version wrote."""
    folder = tmp_path_factory.mktemp("old")
    for archive in sorted(FIXTURES.glob("*.zip")):
        shutil.unpack_archive(archive, folder / archive.stem)
    return folder


def _sampled(output: Path, *arguments: object) -> list[str]:
    """Returns the digests of the pieces that `ostinato sample` writes, in the layout of that version.

    Beside each piece is left the recipe that it had.
    """
    assert main(["sample", "--output", str(output), "--no-audio", *map(str, arguments)]) == 0
    digests = []
    for path in sorted(output.glob("*.mid")):
        recipe = json.loads(path.with_suffix(".json").read_text())
        del recipe["layout"]
        origin = {name: value for name, value in recipe.items() if name not in ("found", "midi_sha256")}
        data = midi.write(midi.read(path.read_bytes()), text=origin_text(origin))
        recipe["midi_sha256"] = hashlib.sha256(data).hexdigest()
        path.with_suffix(".json").write_text(json.dumps(recipe))
        digests.append(recipe["midi_sha256"])
    return digests


@pytest.mark.parametrize(("codec", "num_notes", "num_decoded"), [("score", 960, 960), ("notes", 852, 743)])
def test_a_dataset_opens(old, capsys, codec, num_notes, num_decoded):
    path = old / f"dataset-{codec}"
    dataset = Dataset.open(path)
    assert dataset.codec.name == codec
    train = dataset.source("train")
    assert (len(train), train.num_notes) == (16, num_notes)
    decoded = [dataset.codec.decode(train[number].steps) for number in range(len(train))]
    assert sum(len(piece.notes.onset) for piece in decoded) == num_decoded  # rare notes are unknown
    assert main(["inspect", str(path)]) == 0
    assert "21 inputs: 20 accepted, 0 duplicates, 1 rejected" in capsys.readouterr().out


@pytest.mark.parametrize("codec", ["score", "notes"])
def test_the_checkpoints_of_a_run_hold_the_same_parameters(old, capsys, codec):
    assert main(["runs", "show", str(old / f"run-{codec}"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["step"], shown["best_step"], shown["finished"]) == (6, 6, True)
    assert (
        shown["params_sha256"]
        == load_params(old / f"run-{codec}").params_sha256
        == EXPECTED["params_sha256"][codec]["6"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "preset"), [("score", "chorales"), ("notes", "paper")])
def test_a_run_resumes_to_the_same_parameters(old, tmp_path, codec, preset):
    shutil.copytree(old / f"run-{codec}", tmp_path / "run")
    command = [sys.executable, "-m", "ostinato.launch.cli", "train", "--dataset", f"dataset-{codec}"]
    command += ["--workdir", str(tmp_path / "run"), "--from-step", "3", preset, *TRAINING]
    one_device = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    subprocess.run(command, cwd=old, env=one_device, check=True, timeout=240)
    before, after = load_params(old / f"run-{codec}"), load_params(tmp_path / "run")
    assert (before.step, after.step) == (6, 6)
    for name, array in _flat(before.params).items():
        np.testing.assert_allclose(_flat(after.params)[name], array, rtol=0, atol=2e-6, err_msg=name)
    # Another processor rounds otherwise; the one on which the run was made does not.
    flags = next((line for line in Path("/proc/cpuinfo").read_text().splitlines(True) if line[:5] == "flags"), "")
    if hashlib.sha256(flags.encode()).hexdigest() == EXPECTED["processor_sha256"]:
        assert after.params_sha256 == before.params_sha256


def _flat(tree: dict, prefix: str = "") -> dict[str, np.ndarray]:
    flat = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: np.asarray(value)}
    return flat


def test_a_run_samples_the_same_bytes(old, tmp_path):
    run = ["--workdir", old / "run-score"]
    pieces = {
        "score": _sampled(tmp_path / "a", *run, *shlex.split("--num-pieces 2 --seed 3 --num-notes 40")),
        "controls": _sampled(
            tmp_path / "b", *run, "--key", "D minor",
            *shlex.split("--num-pieces 2 --seed 4 --num-bars 4 --meter 3/4 --tempo 90 --top-p 0.9 --top-k 20"),
            *shlex.split("--density 6 --style wild --checkpoint latest"),
        ),
        "notes": _sampled(
            tmp_path / "c", "--workdir", old / "run-notes",
            *shlex.split("--num-pieces 2 --seed 5 --num-notes 40 --min-p 0.01 --temperature 0.9"),
        ),
    }  # fmt: skip
    (tmp_path / "tune-000.mid").write_bytes(midi.write(tune(0)))
    hole = ["--fill", tmp_path / "tune-000.mid", "--fill-bars", 2, 3]
    pieces["fill"] = _sampled(tmp_path / "d", *run, *shlex.split("--num-pieces 1 --seed 6"), *hole)
    assert pieces == EXPECTED["pieces"]
    # Made again, a piece of that version has its bytes: no title, and the end at its last note.
    assert main(["sample", "--again", str(tmp_path / "a/piece-001.json"), "--no-audio"]) == 0
    again = (tmp_path / "a/again/piece-001.mid").read_bytes()
    assert hashlib.sha256(again).hexdigest() == EXPECTED["pieces"]["score"][1]


def test_an_export_becomes_a_run_with_the_same_parameters(old, tmp_path):
    assert main(["import", str(old / "export"), str(tmp_path / "run")]) == 0
    assert load_params(tmp_path / "run").params_sha256 == EXPECTED["params_sha256"]["score"]["6"]


def test_the_answers_of_a_study_say_what_they_said(old, tmp_path):
    assert main(["listen", "results", str(old / "study"), "--output", str(tmp_path)]) == 0
    _assert_close(json.loads((tmp_path / "results.json").read_text()), EXPECTED["results"], "results")


def test_a_study_of_format_2_says_what_it_said_and_asks_what_it_asked(tmp_path):
    fixtures = FIXTURES.parent / "version_0_2"
    expected = json.loads((fixtures / "expected.json").read_text())
    shutil.unpack_archive(fixtures / "study.zip", tmp_path / "study")
    assert main(["listen", "results", str(tmp_path / "study"), "--output", str(tmp_path)]) == 0
    _assert_close(json.loads((tmp_path / "results.json").read_text()), expected["results"], "results")
    study = Study.open(tmp_path / "study")
    plan = [[task._asdict() for task in study.plan_of(number)] for number in (0, 1, 5, 239)]
    assert json.loads(json.dumps(plan)) == expected["plan"]


def _assert_close(found: object, expected: object, where: str) -> None:
    """Compares JSON values; numbers may differ in their last digits, and words that explain may change."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), where
        assert expected.keys() <= found.keys(), where
        for name, value in expected.items():
            if name != "rule":
                _assert_close(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list):
        assert isinstance(found, list), where
        assert len(found) == len(expected), where
        for number, value in enumerate(expected):
            _assert_close(found[number], value, f"{where}[{number}]")
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-9), f"{where}: {found} was {expected}"
    else:
        assert found == expected, where
