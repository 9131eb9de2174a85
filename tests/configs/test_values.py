"""What keywords and the keys of files become, and what is said of those that are wrong."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from ostinato.configs.errors import UserError
from ostinato.configs.preparation import PrepareConfig
from ostinato.configs.schema import ModelConfig, SampleConfig, TrainConfig
from ostinato.configs.values import UnknownOptionError, similar, with_values
from ostinato.launch.commands.evaluate import Evaluate


def test_values_take_the_place_of_others_also_in_nested_configurations():
    config = with_values(TrainConfig(seed=3), {"num_steps": 7, "model": {"hidden_size": 5, "copy": True}})
    assert config == TrainConfig(seed=3, num_steps=7, model=ModelConfig(hidden_size=5, copy=True))
    assert with_values(TrainConfig(), {"model": ModelConfig(num_layers=1)}).model == ModelConfig(num_layers=1)


def test_values_become_what_the_command_line_would_have_made_of_them():
    given = {
        "temperature": 1,
        "seed": np.int64(4),
        "num_seconds": np.float32(2),
        "top_p": None,
        "instruments": "Flute",
        "field_temperature": OrderedDict(rhythm=2),
        "pitch_range": ["C3", 72],
        "fill_bars": np.array([5, 2]),
    }
    config = with_values(SampleConfig(), given)
    wanted = SampleConfig(
        temperature=1.0, seed=4, num_seconds=2.0, instruments=("Flute",), field_temperature=(("rhythm", 2.0),),
        pitch_range=("C3", "72"), fill_bars=(5, 2),
    )  # fmt: skip
    assert repr(config) == repr(wanted), "types as well"
    base = Evaluate(workdir=Path("a"), dataset=Path("b"), output=Path("c"))
    assert with_values(base, {"runs": "d", "old_dataset": "e"}).runs == (Path("d"),)


@pytest.mark.parametrize(
    ("config", "values", "said"),
    [
        (SampleConfig(), {"tempretaure": 1}, "unknown option tempretaure (perhaps temperature)"),
        (SampleConfig(), {"bars": 1}, "unknown option bars (perhaps num_bars or fill_bars)"),
        (TrainConfig(), {"hidden_size": 1}, "unknown option hidden_size (perhaps model.hidden_size)"),
        (TrainConfig(), {"model": {"hiden_size": 1}}, "unknown option model.hiden_size (perhaps model.hidden_size)"),
        (TrainConfig(), {"frobnicate": 1}, "unknown option frobnicate"),
    ],
)
def test_an_unknown_name_is_a_type_error_with_the_nearest_name(config, values, said):
    with pytest.raises(UnknownOptionError) as error:
        with_values(config, values, where="run.toml: ")
    assert str(error.value) == f"run.toml: {said}"
    assert isinstance(error.value, TypeError)
    assert isinstance(error.value, UserError)


@pytest.mark.parametrize(
    ("config", "values", "said"),
    [
        (TrainConfig(), {"num_steps": "many"}, "num_steps must be a whole number, not 'many'"),
        (TrainConfig(), {"num_steps": 1.5}, "num_steps must be a whole number, not 1.5"),
        (TrainConfig(), {"num_steps": True}, "num_steps must be a whole number, not True"),
        (TrainConfig(), {"model": {"dropout": "0.1"}}, "model.dropout must be a number, not '0.1'"),
        (TrainConfig(), {"model": {"copy": 1}}, "model.copy must be true or false, not 1"),
        (
            TrainConfig(),
            {"model": {"cell": "lst"}},
            "model.cell 'lst' must be one of lstm, gru, rnn, mlstm, transformer",
        ),
        (TrainConfig(), {"model": 3}, "model must be a table of options, not 3"),
        (SampleConfig(), {"key": 3}, "key must be text, not 3"),
        (SampleConfig(), {"top_p": "x"}, "top_p must be a number, not 'x'"),
        (SampleConfig(), {"instruments": 3}, "instruments must be a list, not 3"),
        (SampleConfig(), {"fill_bars": [1, 2, 3]}, "fill_bars must be a list of 2, not [1, 2, 3]"),
        (PrepareConfig(), {"split": "80"}, "split must be a list, not '80'"),
        (PrepareConfig(), {"split": [80, 10, "x"]}, "split must be a whole number, not 'x'"),
        (SampleConfig(), {"temperature": -1}, "temperature -1.0 of temperature must be at least 0"),
    ],
)
def test_a_wrong_value_is_named(config, values, said):
    with pytest.raises(UserError) as error:
        with_values(config, values, where="run.toml: ")
    assert str(error.value) == f"run.toml: {said}"
    assert not isinstance(error.value, TypeError)


def test_words_are_similar_that_begin_a_part_alike_or_are_spelled_alike():
    assert similar("size", ["model.hidden-size", "batch_size", "seed"]) == " (perhaps model.hidden-size or batch_size)"
    assert similar("sampel", ["prepare", "sample"]) == " (perhaps sample)"
    assert similar("frob", ["prepare", "sample"]) == ""
