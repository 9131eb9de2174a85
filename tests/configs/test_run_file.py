"""A run as a TOML file: it comes back as it was, and what is wrong in it is named with the file and the key."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.configs.errors import UserError
from ostinato.configs.presets import PRESETS
from ostinato.configs.run_file import read_run_file, run_file_text
from ostinato.configs.schema import ModelConfig, TrainConfig


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_comes_back_as_it_was(tmp_path, preset):
    config = PRESETS[preset]().train
    options = {"dataset": "data/mine", "init_from": "runs/0", "track": ["mlflow", "wandb"]}
    text = run_file_text(config, options, comment="a run")
    (tmp_path / "run.toml").write_text(text)
    assert read_run_file(tmp_path / "run.toml") == (
        {"dataset": ("data/mine",), "init_from": Path("runs/0"), "track": ("mlflow", "wandb")},
        config,
    )
    assert text.startswith('# a run\ndataset = "data/mine"\n')


def test_several_datasets_come_back_with_their_shares(tmp_path):
    words = ("data/a:0.7", "s3://bucket/b:0.3")
    (tmp_path / "run.toml").write_text(run_file_text(TrainConfig(), {"dataset": words}, comment="a run"))
    assert read_run_file(tmp_path / "run.toml").options == {"dataset": words}


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(min_value=1e-300, max_value=1e300),
    st.integers(0, 2**63 - 1),
)
def test_every_path_and_number_comes_back_to_the_bit(path, rate, seed):
    config = TrainConfig(seed=seed, peer_timeout_s=rate)
    values = tomllib.loads(run_file_text(config, {"dataset": path}, comment=""))
    assert (values["dataset"], values["peer_timeout_s"], values["seed"]) == (path, rate, seed)


def test_what_is_not_named_is_as_the_preset_says(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('preset = "debug"\nnum_steps = 5\n[model]\ncell = "gru"\ndropout = 0\n')
    debug = PRESETS["debug"]().train
    model = dataclasses.replace(debug.model, cell="gru", dropout=0.0)
    assert read_run_file(file) == ({}, dataclasses.replace(debug, num_steps=5, model=model))
    file.write_text("model.num_layers = 1")
    assert read_run_file(file).config == TrainConfig(model=ModelConfig(num_layers=1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("num_step = 5", "unknown option num_step (perhaps num_steps)"),
        ("datset = 'a'", "unknown option datset (perhaps dataset or old_dataset)"),
        ("[model]\nhiden_size = 5", "unknown option model.hiden_size (perhaps model.hidden_size)"),
        ("[modle]\nhidden_size = 5", "unknown option modle"),
        ("hidden_size = 5", "unknown option hidden_size (perhaps model.hidden_size)"),
        ("num_steps = 'many'", "num_steps must be a whole number, not 'many'"),
        ("model = 5", "model must be a table of options, not 5"),
        ("[model]\ncopy = 1", "model.copy must be true or false, not 1"),
        ("dataset = 5", "dataset must be a list, not 5"),
        ("workdir = 5", "workdir must be a path, not 5"),
        ("track = ['wandb', 'aim']", "track 'aim' must be one of wandb, mlflow"),
        ("preset = 'debg'", "preset 'debg' (perhaps debug) must be one of chorales, debug, paper, lakh"),
        ("preset = 5", "preset 5 must be one of chorales, debug, paper, lakh"),
        ("num_epochs = 0", "num_epochs 0 must be at least 1"),
        ("num_epochs = ", "cannot be read as TOML (Invalid value (at end of document))"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path, text, said):
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read_run_file(file)
    assert str(error.value) == f"{file}: {said}"


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.toml: No such file"):
        read_run_file(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"a\.toml: cannot be read as TOML"):
        read_run_file(tmp_path / "a.toml")
