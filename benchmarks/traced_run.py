"""A short training run under JAX's profiler: how long the loop waits for its batches.

    python -m ostinato.benchmarks.traced_run DATASET WORKDIR CONFIG

CONFIG is TrainConfig as JSON. The last line is JSON, from the trace: the seconds between the second request for a batch
and the last, the steps that were begun meanwhile, and of the seconds those inside `next(stream)`.
"""

import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import jax

from ostinato.data.records import Dataset
from ostinato.train import loop
from ostinato.train.data import Batch, prefetch
from ostinato.train.run_metadata import config_from_json

WAIT = "next(stream)"


def _annotated(*args: Any, **kwargs: Any) -> Generator[Batch]:
    """Yields what `prefetch` does; the trace shows each wait."""
    stream = prefetch(*args, **kwargs)
    try:
        while True:
            with jax.profiler.TraceAnnotation(WAIT):
                batch = next(stream)
            yield batch
    finally:
        stream.close()


def _read(trace: Path) -> dict[str, float]:
    """Returns the numbers of a trace. The first step is left out: it compiles, and the first batches are not there."""
    (path,) = trace.glob("**/*.xplane.pb")
    plane = jax.profiler.ProfileData.from_file(str(path)).find_plane_with_name("/host:CPU")
    events = [event for line in plane.lines for event in line.events]
    waits = sorted((event.start_ns, event.duration_ns) for event in events if event.name == WAIT)
    waits = waits[1:]
    return {
        "steps": len(waits) - 1,
        "loop_s": (sum(waits[-1]) - waits[0][0]) / 1e9,
        "wait_s": sum(duration_ns for _, duration_ns in waits) / 1e9,
        "longest_wait_s": max(duration_ns for _, duration_ns in waits) / 1e9,
    }


def main() -> None:
    """Trains, reads the trace and prints one line of JSON."""
    dataset, workdir, config = Dataset.open(sys.argv[1]), Path(sys.argv[2]), config_from_json(json.loads(sys.argv[3]))
    loop.prefetch = _annotated
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # a line for each Python function would slow the loop down
    with jax.profiler.trace(str(workdir / "trace"), profiler_options=options):
        loop.train(config, dataset, workdir / "run")
    print(json.dumps(_read(workdir / "trace")))


if __name__ == "__main__":
    main()
