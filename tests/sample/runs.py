"""Runs for tests of the sampler, made without training."""

import dataclasses
from pathlib import Path

import jax

from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig
from ostinato.model.network import init_params
from ostinato.music.codec import Codec
from ostinato.sample.export.exchange import PARAMETERS, import_run, write_parameters
from ostinato.train.checkpoint import LoadedRun, make_model
from ostinato.train.fingerprint import tree_sha256
from tests.sample.tiny_models import CONFIG, SCORE


def untrained(*, seed: int = 1, codec: Codec | None = None, config: ModelConfig = CONFIG) -> LoadedRun:
    """Returns a model with new parameters, as if it had been loaded."""
    codec = codec or SCORE
    train = TrainConfig(model=config, data=DataConfig(batch_size=4, sequence_length=16), num_steps=4)
    model = make_model(config, codec)
    params = init_params(model, jax.random.key(seed))
    return LoadedRun(0, train, codec, model, params, tree_sha256(params), {"config": dataclasses.asdict(train)})


def write_run(folder: Path, run: LoadedRun) -> Path:
    """Writes a model as a run and returns the folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_name(f"{folder.name}-{PARAMETERS}")
    write_parameters(run, file)
    import_run(file, folder)
    return folder
