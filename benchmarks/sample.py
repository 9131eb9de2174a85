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

import json
import os
import tempfile
from dataclasses import dataclass
from statistics import median
from typing import Any

import tyro

from ostinato.benchmarks.processes import find_python
from ostinato.benchmarks.turns import Variant, measure, ratio, started
from ostinato.configs.presets import chorales
from ostinato.launch.commands.show import print_table, say
from ostinato.music.score_codec import ScoreCodec

OURS = "ostinato sample"
OTHERS = {
    "torch.nn.LSTMCell, eager loop": ("torch", "sample_torch.py", {}),
    "Keras on TensorFlow, predict on a window of 50": (
        "tensorflow", "sample_window.py", {"KERAS_BACKEND": "tensorflow"}
    ),
    "Keras on JAX, predict on a window of 50": ("keras", "sample_window.py", {"KERAS_BACKEND": "jax"}),
}  # fmt: skip
"""The module that each needs, its file and its environment."""


def _networks() -> dict[str, dict[str, Any]]:
    model = chorales().train.model
    small = {name: getattr(model, name) for name in ("embedding_size", "hidden_size", "num_layers", "head_size")}
    small["field_sizes"] = [field.size for field in ScoreCodec().fields]
    return {"chorales, 2 x 256": small, "2 x 512": {**small, "hidden_size": 512}}


def _find_others() -> dict[str, tuple[str, str, dict[str, str]]]:
    """Returns what can run here, by label, with its interpreter, and says why the others are left out."""
    os.environ.setdefault("KERAS_BACKEND", "jax")  # or importing keras would look for TensorFlow
    found = {}
    for label, (module, file, environment) in OTHERS.items():
        python, reason = find_python(module)
        if python:
            found[label] = python, file, environment
        else:
            say(f"{label} is left out: {reason}")
    return found


def _compile_times(request: dict[str, Any], cache: str) -> list[tuple[float, float]]:
    """Returns CPU seconds and seconds of the first rows less those of later ones, without and with a full cache."""
    found = []
    for _ in range(2):
        with started("compiling", Variant("sample_ours.py", {**request, "cache": cache})) as worker:
            first, *later = (worker.run(1) for _ in range(3))
        cpu_s, wall_s = (first[name] - min(one[name] for one in later) for name in ("cpu_s", "wall_s"))
        found.append((cpu_s, wall_s))
    return found


@dataclass(frozen=True, kw_only=True)
class Options:
    batch_sizes: tuple[int, ...] = (1, 16, 256)
    rounds: int = 5
    """Each variant runs so often."""
    round_s: float = 4.0
    """For about so long."""
    smoke: bool = False
    """One tiny round, to see that it runs."""


def main(options: Options) -> None:
    """Measures and prints a table and one line of JSON."""
    networks, batch_sizes, turns = _networks(), options.batch_sizes, (options.rounds, options.round_s)
    if options.smoke:
        networks, batch_sizes, turns = dict(list(networks.items())[:1]), (1,), (1, 0.1)
    others, rows, ratios = _find_others(), [], {}
    for name, network in networks.items():
        for batch_size in batch_sizes:
            request = {**network, "batch_size": batch_size}
            variants = {OURS: Variant("sample_ours.py", request)}
            variants |= {label: Variant(file, request, python, env) for label, (python, file, env) in others.items()}
            # A unit is not equally long for all: what a run returns is its rows.
            cost = {
                label: [cpu_s / num_rows for cpu_s, num_rows in zip(one.cpu_s, one.losses, strict=True)]
                for label, one in measure(variants, num_rounds=turns[0], round_s=turns[1]).items()
            }
            for label, seconds in cost.items():
                times = ratio(seconds, cost[OURS])
                ratios[f"{name}, batch {batch_size}, {label}"] = round(times, 2)
                rows.append([name, str(batch_size), label, f"{1 / median(seconds):,.0f}", f"{times:.3g} x"])
        with tempfile.TemporaryDirectory(prefix="ostinato-benchmark-") as cache:
            new, cached = _compile_times({**network, "batch_size": 1}, cache)
        say(
            f"{name}: compiling takes {new[0]:.1f} s of CPU time, {new[1]:.1f} s; "
            f"from the cache {cached[0]:.1f} s, {cached[1]:.1f} s"
        )
    headings = ("network", "batch", "", "rows/s", "ours is")
    print_table("Rows per second of CPU time, one core", headings, rows, words=(0, 2))
    print(json.dumps({"ratios": {name: value for name, value in ratios.items() if not name.endswith(OURS)}}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
