"""The sampler of `ostinato sample`, for `benchmarks.worker`; a unit is ROWS rows of each piece."""

from collections.abc import Callable
from typing import Any

import jax

from ostinato.configs.schema import ModelConfig, SampleConfig
from ostinato.model.network import MusicModel, init_params
from ostinato.music.score_codec import ScoreCodec
from ostinato.sample.generate import generate

ROWS = 128
MODEL = ("embedding_size", "hidden_size", "num_layers", "head_size")


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what writes k units and returns the rows of each, of all pieces together.

    The first one compiles, or finds in the folder `request["cache"]` what an earlier process has compiled.
    """
    if request.get("cache"):
        jax.config.update("jax_compilation_cache_dir", request["cache"])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    codec, batch_size = ScoreCodec(), request["batch_size"]
    config = ModelConfig(**{name: request[name] for name in MODEL})
    model = MusicModel(config, tuple(field.size for field in codec.fields))
    params = init_params(model, jax.random.key(0))

    def run(num_units: int) -> float:
        wanted = SampleConfig(num_pieces=batch_size, batch_size=batch_size, num_notes=num_units * ROWS)
        return sum(len(piece.steps) for piece in generate(model, params, codec, wanted)) / num_units

    return run
