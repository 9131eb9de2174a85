"""The command on real and on made-up rolls."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from ostinato.benchmarks.rolls.read import NUM_KEYS
from ostinato.launch.cli import main

DATA = Path(os.environ.get("OSTINATO_DATA", Path(__file__).parents[4] / "shared/data")) / "piano_rolls"


def write_rolls(path, seed=0):
    """Writes a few pieces of noise."""
    rng = np.random.default_rng(seed)
    content = {}
    for name, num_pieces in [("traindata", 5), ("validdata", 2), ("testdata", 2)]:
        content[name] = np.empty((1, num_pieces), object)
        for number in range(num_pieces):
            content[name][0, number] = (rng.random((20 + number, NUM_KEYS)) < 0.05).astype(np.uint8)
    scipy.io.savemat(path, content)


@pytest.mark.slow
def test_the_command_writes_its_table_and_goes_on_where_it_stopped(tmp_path, capsys):
    write_rolls(tmp_path / "JSB_Chorales.mat")
    command = ["bench", "rolls", "--data", str(tmp_path), "--output", str(tmp_path / "out"), "--smoke"]
    assert main([*command, "--seeds", "1"]) == 0
    first = json.loads((tmp_path / "out" / "rolls.json").read_text())
    assert [(entry["column"], entry["seed"]) for entry in first["results"]] == [("frame", 0), ("chord", 0)]
    assert {entry["test_frames"] for entry in first["results"]} == {19 + 20}
    assert main([*command, "--seeds", "2", "--columns", "frame"]) == 0
    second = json.loads((tmp_path / "out" / "rolls.json").read_text())
    assert second["results"][:2] == first["results"]  # to the second that they took: neither was trained again
    assert [(entry["column"], entry["seed"]) for entry in second["results"][2:]] == [("frame", 1)]
    shown = capsys.readouterr().out
    assert shown.count("Column A") == 2
    assert "(2 seeds)" in (tmp_path / "out" / "rolls.md").read_text()
    assert str(tmp_path) not in (tmp_path / "out" / "rolls.md").read_text()


def test_a_folder_without_the_data_is_one_line(tmp_path, capsys):
    assert main(["bench", "rolls", "--data", str(tmp_path)]) == 2
    assert "no such file; --data is the folder that holds JSB_Chorales.mat" in capsys.readouterr().err


def test_no_seed_is_a_mistake(tmp_path, capsys):
    assert main(["bench", "rolls", "--data", str(tmp_path), "--seeds", "0"]) == 2
    assert "--seeds 0 must be at least 1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no piano rolls in {DATA}; set OSTINATO_DATA to the folder above it")
def test_the_smoke_models_beat_the_model_without_memory_on_the_published_chorales(tmp_path):
    output = tmp_path / "out"
    assert main(["bench", "rolls", "--data", str(DATA), "--output", str(output), "--smoke", "--seeds", "1"]) == 0
    content = json.loads((output / "rolls.json").read_text())
    assert {entry["test_frames"] for entry in content["results"]} == {4725 - 77}
    assert all(entry["test_nats"] < 11.06 for entry in content["results"])
