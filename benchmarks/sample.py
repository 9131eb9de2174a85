"""`ostinato sample` beside an eager loop in torch and the sliding window of the Keras tutorials.

    python -m ostinato.benchmarks.sample [--smoke]

Notes per second of CPU time on one core, for the `chorales` network and one of 2 x 512, with new parameters: the speed
does not depend on what was learnt. Each variant has a process of its own that is pinned to one core; they take turns,
medians are reported. Ours obeys the grammar, and makes the same music whatever the batch size; theirs does neither.
Then what compiling takes, in a process with an empty cache folder and in one that finds it full. About fifteen minutes
on a quiet machine; Linux only. What is not installed here may have an environment of its own, as in `prepare`:

    python3.11 -m venv ~/.cache/ostinato/alternatives/torch
    ~/.cache/ostinato/alternatives/torch/bin/pip install torch
    python3.11 -m venv ~/.cache/ostinato/alternatives/tensorflow
    ~/.cache/ostinato/alternatives/tensorflow/bin/pip install tensorflow-cpu
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ostinato.benchmarks.prepare import find_python
from ostinato.benchmarks.prepared import console, make_table
from ostinato.benchmarks.turns import Turns, Variant, measure, ratio
from ostinato.configs.presets import chorales
from ostinato.music.score_codec import ScoreCodec

OURS = "ostinato sample"
TORCH = "torch.nn.LSTMCell, eager loop"
WINDOW = "Keras on TensorFlow, predict on a window of 50"
WINDOW_JAX = "Keras on JAX, predict on a window of 50"
BATCH_SIZES = (1, 16, 256)
LEAST = {(TORCH, 1): 5.0, (TORCH, 256): 1.5, (WINDOW, 1): 300.0}
"""How many times as fast we have to be."""
MAX_COMPILE_S = 10


def _networks() -> dict[str, dict[str, Any]]:
    model = chorales().train.model
    small = {
        "embedding_size": model.embedding_size,
        "hidden_size": model.hidden_size,
        "num_layers": model.num_layers,
        "head_size": model.head_size,
        "field_sizes": [field.size for field in ScoreCodec().fields],
    }
    return {"chorales, 2 x 256": small, "2 x 512": {**small, "hidden_size": 512}}


def _variants(request: dict[str, Any]) -> tuple[dict[str, Variant], dict[str, str]]:
    """Returns what can run here, by label, and why the others are left out."""
    os.environ.setdefault("KERAS_BACKEND", "jax")  # or importing keras would look for TensorFlow
    variants, skipped = {OURS: Variant("sample_ours.py", request)}, {}
    for label, module, file, environment in (
        (TORCH, "torch", "sample_torch.py", {}),
        (WINDOW, "tensorflow", "sample_window.py", {"KERAS_BACKEND": "tensorflow"}),
        (WINDOW_JAX, "keras", "sample_window.py", {"KERAS_BACKEND": "jax"}),
    ):
        python, reason = find_python(module)
        if python:
            variants[label] = Variant(file, request, python, environment)
        else:
            skipped[label] = reason
    return variants, skipped


def _rates(turns: Turns, rows: float) -> list[float]:
    return [rows / cpu_s for cpu_s in turns.cpu_s]


def _compare(name: str, request: dict[str, Any], *, num_rounds: int, round_s: float) -> dict[str, Any]:
    """Measures one network at one batch size."""
    variants, skipped = _variants(request)
    turns = measure(variants, num_rounds=num_rounds, round_s=round_s)
    # A unit is not equally long for all: what a run returns is its rows.
    seconds = {
        label: [cpu_s / rows for cpu_s, rows in zip(one.cpu_s, one.losses, strict=True)] for label, one in turns.items()
    }
    middle = {label: 1 / sorted(values)[len(values) // 2] for label, values in seconds.items()}
    times = {label: ratio(values, seconds[OURS]) for label, values in seconds.items() if label != OURS}
    batch_size = request["batch_size"]
    for label in variants:
        need = LEAST.get((label, batch_size))
        cells = [f"{middle[label]:,.0f}", f"{times[label]:.3g} x" if label in times else ""]
        _TABLE.add_row(name, str(batch_size), label, *cells, f"at least {need:g} x" if need else "")
    return {
        "notes_per_cpu_s": {label: round(rate, 1) for label, rate in middle.items()},
        "ratios": {label: round(value, 2) for label, value in times.items()},
        "skipped": skipped,
    }


def _measure_compiling(request: dict[str, Any], work: Path) -> dict[str, Any]:
    """Returns CPU seconds of the first 128 rows less those of later ones, without and with a cache that is full."""
    found = []
    for _ in range(2):
        script = str(Path(__file__).with_name("sample_ours.py"))
        command = [sys.executable, "-P", script, json.dumps({**request, "cache": str(work / "cache")})]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        times = json.loads(done.stdout.splitlines()[-1])
        found.append({kind: round(times[0][kind] - min(times[1][kind], times[2][kind]), 2) for kind in times[0]})
    return {"compiling": found[0], "from_cache": found[1]}


_TABLE = make_table(
    "Rows per second of CPU time, one core", ("network", "batch", " ", "rows/s", "ours is", "must hold")
)


def main() -> None:
    """Measures and prints a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    parser.add_argument("--rounds", type=int, default=5, help="each variant runs so often")
    parser.add_argument("--round-s", type=float, default=4.0, help="for about so long")
    parser.add_argument("--smoke", action="store_true", help="one tiny round, to see that it runs")
    options = parser.parse_args()

    batch_sizes = [1] if options.smoke else options.batch_sizes
    num_rounds, round_s = (1, 0.1) if options.smoke else (options.rounds, options.round_s)
    results: dict[str, Any] = {}
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ostinato-benchmark-") as folder:
        for name, network in list(_networks().items())[: 1 if options.smoke else None]:
            for batch_size in batch_sizes:
                result = _compare(name, {**network, "batch_size": batch_size}, num_rounds=num_rounds, round_s=round_s)
                ratios |= {f"{name}, batch {batch_size}, {label}": value for label, value in result["ratios"].items()}
                results[f"{name}, batch {batch_size}"] = result
            work = Path(folder, str(network["hidden_size"]))
            results[f"{name}, compiling"] = _measure_compiling({**network, "batch_size": 1}, work)
    console.print(_TABLE)
    for result in results.values():
        for label, reason in result.get("skipped", {}).items():
            console.print(f"{label} is left out: {reason}")
    for name, result in results.items():
        if "compiling" in result:
            first, second = result["compiling"], result["from_cache"]
            console.print(
                f"{name}: compiling takes {first['cpu_s']:.1f} s of CPU time, {first['wall_s']:.1f} s (must be below "
                f"{MAX_COMPILE_S} s); from the cache {second['cpu_s']:.1f} s, {second['wall_s']:.1f} s"
            )
    load = os.getloadavg()[0]
    print(json.dumps({"ratios": ratios, "load": round(load, 1), **results}))


if __name__ == "__main__":
    main()
