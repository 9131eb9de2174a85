"""The sampler of `ostinato sample`, for `benchmarks.worker`; a unit is ROWS rows of each piece.

    python -P benchmarks/sample_ours.py REQUEST

As a program it makes a unit three times, and prints as JSON what each took: the first one compiles, or finds in the
cache folder that REQUEST names what an earlier process has compiled.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from ostinato.configs.schema import ModelConfig, SampleConfig
from ostinato.model.network import MusicModel, init_params
from ostinato.music.score_codec import ScoreCodec
from ostinato.sample.generate import generate

ROWS = 128


def make_run(request: dict[str, Any]) -> Callable[[int], float]:
    """Returns what writes k units and returns the rows of each, of all pieces together."""
    if request.get("cache"):
        jax.config.update("jax_compilation_cache_dir", request["cache"])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    codec = ScoreCodec()
    config = ModelConfig(
        embedding_size=request["embedding_size"],
        hidden_size=request["hidden_size"],
        num_layers=request["num_layers"],
        head_size=request["head_size"],
    )
    model = MusicModel(config, tuple(field.size for field in codec.fields))
    params = init_params(model, jax.random.key(0))
    batch_size = request["batch_size"]

    def run(num_units: int) -> float:
        wanted = SampleConfig(num_pieces=batch_size, batch_size=batch_size, num_notes=num_units * ROWS)
        return sum(len(piece.steps) for piece in generate(model, params, codec, wanted)) / num_units

    return run


def main() -> None:
    """Prints what the first units take."""
    run = make_run(json.loads(sys.argv[1]))
    times = []
    for _ in range(3):
        before, start_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        run(1)
        after, end_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times.append({"cpu_s": round(cpu_s, 2), "wall_s": round(end_s - start_s, 2)})
    print(json.dumps(times))


if __name__ == "__main__":
    main()
