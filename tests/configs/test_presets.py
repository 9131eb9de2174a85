import dataclasses
import json

import jax
import pytest

from ostinato.configs.preparation import CodecConfig, PrepareConfig
from ostinato.configs.presets import PRESETS
from ostinato.configs.schema import DataConfig, ModelConfig, OptimizerConfig, SampleConfig, TrainConfig
from ostinato.model.network import MusicModel, count_params, init_params
from ostinato.music.score_codec import ScoreCodec
from ostinato.train.run_metadata import config_from_json

SCORE_SIZES = tuple(field.size for field in ScoreCodec().fields)


@pytest.mark.parametrize(
    ("preset", "field_sizes", "millions"),
    [
        ("chorales", SCORE_SIZES, 1.4),
        ("debug", SCORE_SIZES, 0.083),
        ("paper", (3000,), 6.2),
        ("lakh", SCORE_SIZES, 104.0),
    ],
)
def test_every_preset_makes_a_network_of_the_stated_size(preset, field_sizes, millions):
    model = MusicModel(config=PRESETS[preset]().train.model, field_sizes=field_sizes)
    shapes = jax.eval_shape(lambda key: init_params(model, key), jax.random.key(0))
    assert count_params(shapes) / 1e6 == pytest.approx(millions, rel=0.1)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_configuration_survives_the_json_of_a_checkpoint(preset):
    config = PRESETS[preset]().train
    assert config_from_json(json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_the_paper_is_as_the_paper_says():
    preset = PRESETS["paper"]()
    assert preset.prepare.codec.name == "notes"
    assert preset.prepare.split == (80, 20, 0)
    assert (preset.train.data.order, preset.train.data.sequence_length) == ("windows", 50)
    assert (preset.train.model.cell, preset.train.model.inputs, preset.train.model.residual) == (
        "lstm",
        "normalized",
        False,
    )
    assert preset.train.model.num_layers > 1
    assert preset.train.model.dropout > 0
    assert preset.train.num_epochs == 100
    assert preset.train.patience > 0
    assert preset.train.optimizer.weight_decay == 0  # Adam


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (CodecConfig, {"min_count": 0}, "min_count 0"),
        (CodecConfig, {"max_vocabulary": 70_000}, "max_vocabulary 70000"),
        (PrepareConfig, {"split": (80, 10, 5)}, "add up to 100"),
        (PrepareConfig, {"split": (0, 50, 50)}, "the first above 0"),
        (PrepareConfig, {"min_notes": 9, "max_notes": 8}, "min_notes 9"),
        (ModelConfig, {"hidden_size": 0}, "hidden_size 0"),
        (ModelConfig, {"dropout": 1.0}, "dropout 1.0"),
        (DataConfig, {"batch_size": 0}, "batch_size 0"),
        (DataConfig, {"max_transpose": 25}, "max_transpose 25"),
        (DataConfig, {"max_tempo_change": 51}, "max_tempo_change 51"),
        (DataConfig, {"max_velocity_change": -1}, "max_velocity_change -1"),
        (OptimizerConfig, {"learning_rate": 0.0}, "learning_rate 0.0"),
        (TrainConfig, {"num_steps": -1}, "num_steps -1"),
        (SampleConfig, {"temperature": -0.5}, "temperature -0.5"),
        (SampleConfig, {"top_p": 0.0}, "top_p 0.0"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(kind, values, said):
    with pytest.raises(ValueError, match=said):
        kind(**values)
