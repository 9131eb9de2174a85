import dataclasses
import shutil
from pathlib import Path

import jax
import pytest

from ostinato.configs.schema import SampleConfig
from ostinato.sample.output.again import load_run
from ostinato.sample.output.provenance import ProvenanceError, Recipe, config_of, describe_origin
from ostinato.train.checkpoint import Checkpoints, load_params
from ostinato.train.schedule import make_optimizer
from ostinato.train.step import make_state_init
from tests.sample.runs import untrained, write_run


def test_a_piece_finds_the_checkpoint_that_made_it_among_all_that_the_run_has(tmp_path):
    folder = write_run(tmp_path / "run", untrained())
    config = untrained().config
    init = make_state_init(untrained().model, make_optimizer(config.optimizer, 1), config.data.batch_size)
    with Checkpoints(folder, keep=3) as checkpoints:
        description = checkpoints.describe(0)
        for step, loss in ((5, 2.0), (9, 1.0)):
            state = init(jax.random.key(step))
            checkpoints.save(state._replace(step=state.step + step), description, validation_loss=loss)
    recipes = {}
    for step in (0, 5, 9):
        origin = describe_origin(load_params(folder, step), SampleConfig(), {}, piece=0)
        recipes[step] = Recipe(Path("piece-000.mid"), origin, {}, "")
        assert load_run(recipes[step], folder).step == step
    # The same parameters under another step, as an imported model has them, are the same model.
    recipes[5].origin["step"] = 700
    assert load_run(recipes[5], folder).step == 5
    shutil.rmtree(folder / "checkpoints/5")
    with pytest.raises(ProvenanceError, match=r"of step 700, but .* has only those of step 0 \(.*\), 9 \("):
        load_run(recipes[5], folder)


def test_how_often_a_key_was_tried_is_told_where_the_network_was_told_one():
    run = untrained()
    told = dataclasses.replace(run.config, model=dataclasses.replace(run.config.model, key_condition=True))

    def tries(config, *, is_told=True):
        origin = describe_origin(run._replace(config=told) if is_told else run, config, {}, piece=0)
        return origin["options"].get("key_tries"), config_of(Recipe(Path("piece.mid"), origin, {}, "")).key_tries

    assert tries(SampleConfig(key="D minor", key_tries=3)) == (3, 3)
    # What says nothing was written once, as all pieces of earlier versions.
    assert tries(SampleConfig()) == tries(SampleConfig(key="D dorian")) == (None, 1)
    assert tries(SampleConfig(key="D minor"), is_told=False) == (None, 1)
