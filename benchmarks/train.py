"""The training step beside flax.linen's, torch's and Keras's on real music, beside event tokens, and its input.

    python -m ostinato.benchmarks.train --data FOLDER [--flax --torch --keras] [--tokens] [--input] [--start] [--smoke]

FOLDER holds MIDI files or archives of them. Without flags everything is measured, in about three quarters of an hour.

- `--flax`, `--torch`, `--keras`: the whole step (forward, backward, clipping, Adam) of the same network on the same
  batches, one row for each note, in notes per second of CPU time, and as a share of what a large matmul reaches.
- `--tokens`: one row per note beside REMI tokens, in notes per second, and in likelihood after the same CPU time.
- `--input`: the loader alone beside the step, and how long a run waits for it.
- `--start`: how long a run takes to its first step.

Each variant is a process of its own, pinned to one core; they take turns, and medians are reported. Linux only. What is
not installed here (extra bench) may have an environment of its own; if it has none, it is left out:

    python3.11 -m venv ~/.cache/ostinato/alternatives/torch
    ~/.cache/ostinato/alternatives/torch/bin/pip install torch numpy
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ostinato.benchmarks import designs
from ostinato.benchmarks.input import measure_loader, measure_start
from ostinato.benchmarks.prepare import find_python
from ostinato.benchmarks.prepared import console, make_table
from ostinato.benchmarks.processes import run
from ostinato.benchmarks.turns import KEEP_FREED_MEMORY, Turns, Variant, measure, ratio
from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig
from ostinato.data.records import Dataset, write_dataset
from ostinato.model.network import MusicModel, count_params, init_params
from ostinato.train.data import Batch, training_batches

OURS = "ostinato"
NUM_BATCHES = 8
"""Different batches; the steps go round."""
KEEPING = ", keeping freed memory"
"""The same library, with glibc told to keep freed memory as we tell it: what is left is the difference in the work."""

EMBEDDING_SIZE = HEAD_SIZE = 128


class Shape(NamedTuple):
    """One network and batch, and what we must reach there: how many times as fast as each library."""

    num_layers: int
    hidden_size: int
    batch_size: int
    sequence_length: int
    bars: dict[str, float]

    @property
    def label(self) -> str:
        return f"{self.num_layers} x {self.hidden_size}, batch {self.batch_size}, t = {self.sequence_length}"


SHAPES = (
    Shape(1, 128, 64, 64, {"flax": 1.4, "keras": 1.2}),
    Shape(2, 512, 64, 64, {"flax": 1.3, "keras": 1.2}),
    Shape(1, 128, 32, 128, {"torch": 1.0}),
    Shape(2, 512, 32, 128, {"torch": 1.0}),
    Shape(1, 128, 64, 32, {"torch": 0.9}),
    Shape(2, 512, 64, 32, {"torch": 0.9}),
)
SMOKE_SHAPES = (Shape(1, 16, 4, 8, {"flax": 1.4, "torch": 1.0, "keras": 1.2}),)
XLA_MATMUL = "XLA's matmul"
MIN_CEILING_SHARE = 0.8
"""Of XLA's own matmul, at 2 x 512."""

LIBRARIES = {"flax": "flax.linen", "torch": "torch.nn.LSTM", "keras": "Keras 3 on JAX"}
SMOKE_EFFORT = designs.Effort(
    600, 200, budget_s=0.2, num_rounds=1, round_s=0.02, hidden_size=16, num_layers=1, wider=32
)


class _Bench(NamedTuple):
    """What all sections need."""

    dataset: Dataset
    work: Path
    num_rounds: int
    round_s: float
    matmul_sides: tuple[int, ...]
    """The faster of these is the ceiling."""


def _compare(bench: _Bench, shape: Shape, pythons: dict[str, str]) -> dict[str, Any]:
    """Measures one shape with the libraries that are there, and prints the table."""
    request = _request(bench, shape)
    variants = {OURS: Variant("step_ours.py", request)}
    for name, python in pythons.items():
        if name in shape.bars:
            variants[LIBRARIES[name]] = Variant(f"step_{name}.py", request, python)
            variants[LIBRARIES[name] + KEEPING] = Variant(f"step_{name}.py", request, python, KEEP_FREED_MEMORY)
            if name == "torch":
                variants["torch.nn.LSTM, 2 threads"] = Variant("step_torch.py", request, python, threads=2)
    matmuls = {XLA_MATMUL: ("xla", sys.executable)}
    if "torch" in pythons:
        matmuls["torch's matmul"] = ("torch", pythons["torch"])
    squares = {
        f"{name} {side}": Variant("matmul.py", {"library": library, "side": side}, python)
        for name, (library, python) in matmuls.items()
        for side in bench.matmul_sides
    }
    turns = measure(variants | squares, num_rounds=bench.num_rounds, round_s=bench.round_s)

    num_notes = shape.batch_size * shape.sequence_length
    num_params, num_multiplied = _count(bench.dataset, shape)
    flops = dict.fromkeys(variants, 6 * num_params * num_notes)
    flops |= {label: 2 * variant.request["side"] ** 3 for label, variant in squares.items()}
    speed = {label: [flops[label] / one for one in turns[label].cpu_s] for label in turns}
    ceilings = {
        name: max((label for label in squares if label.startswith(name)), key=lambda label: np.median(speed[label]))
        for name in matmuls
    }
    headings = ("", "notes/s", "ours is", "must be", "CPU ms", "ms", "page faults", *(f"of {one}" for one in matmuls))
    table = make_table(f"{shape.label}: the whole training step, {num_params:,} parameters, one core", headings)
    ratios, shares = {}, {}
    for label in variants:
        one, bar = turns[label], shape.bars.get(next((k for k, v in LIBRARIES.items() if label.startswith(v)), ""))
        ratios[label] = round(ratio(one.cpu_s, turns[OURS].cpu_s), 3)
        shares[label] = {name: round(ratio(speed[label], speed[best]), 3) for name, best in ceilings.items()}
        table.add_row(
            label, f"{num_notes / one.median_cpu_s:,.0f}", f"{ratios[label]:.2f} x", f"{bar:g} x" if bar else "",
            f"{one.median_cpu_s * 1e3:,.1f}", f"{one.median_wall_s * 1e3:,.1f}", f"{one.median_page_faults:,.0f}",
            *(f"{share:.2f}" for share in shares[label].values()),
        )  # fmt: skip
    console.print(table)
    gflops = {label: round(float(np.median(speed[label])) / 1e9, 1) for label in squares}
    console.print("Square matmuls, GFLOP/s: " + ", ".join(f"{label} {one}" for label, one in gflops.items()))
    if shape.num_layers == 2:
        strict = shares[OURS][XLA_MATMUL] * num_multiplied / num_params
        console.print(
            f"Of XLA's matmul we must reach {MIN_CEILING_SHARE}, at six flops for each parameter and note. Of the "
            f"parameters we multiply {num_multiplied:,} for each note; counting those alone we reach {strict:.2f}."
        )
    return {
        "ratios": {f"{shape.label}: {label}": value for label, value in ratios.items() if label != OURS},
        "parameters": num_params,
        "multiplied_parameters": num_multiplied,
        "notes_per_cpu_s": {label: round(num_notes / turns[label].median_cpu_s) for label in variants},
        "share_of_ceiling": shares,
        "gflops_per_s": gflops,
        "turns": {label: _rounded(one) for label, one in turns.items()},
    }


def _rounded(turns: Turns) -> dict[str, list[float]]:
    return {name: [float(f"{one:.4g}") for one in values] for name, values in turns._asdict().items()}


def _count(dataset: Dataset, shape: Shape) -> tuple[int, int]:
    """Returns the number of parameters, and of those that we multiply with something for each note.

    The others are tables, and the first layer's kernel, which is multiplied with the tables once a step.
    """
    config = ModelConfig(
        hidden_size=shape.hidden_size,
        num_layers=shape.num_layers,
        embedding_size=EMBEDDING_SIZE,
        head_size=HEAD_SIZE,
    )
    model = MusicModel(config, tuple(field.size for field in dataset.codec.fields))
    params = jax.eval_shape(lambda key: init_params(model, key), jax.random.key(0))
    tables = {name: leaf for name, leaf in params.items() if name.startswith("embedding_")}
    tables |= {name: leaf for name, leaf in params["head"].items() if name.startswith("context_")}
    num_params = count_params(params)
    return num_params, num_params - count_params((tables, params["layers_0"]["kernel"]))


def _request(bench: _Bench, shape: Shape) -> dict[str, Any]:
    """Writes batches of the training split, and returns what a variant needs to know."""
    path = bench.work / f"batches-{shape.batch_size}-{shape.sequence_length}.npz"
    if not path.exists():
        data = DataConfig(batch_size=shape.batch_size, sequence_length=shape.sequence_length)
        source = training_batches(bench.dataset.source("train"), data, seed=0)
        batches = [source[number] for number in range(NUM_BATCHES)]
        columns: dict[str, Any] = {name: np.stack([getattr(one, name) for one in batches]) for name in Batch._fields}
        np.savez(path, **columns)
    return {
        "batches": str(path),
        "field_sizes": [field.size for field in bench.dataset.codec.fields],
        "hidden_size": shape.hidden_size,
        "num_layers": shape.num_layers,
        "embedding_size": EMBEDDING_SIZE,
        "head_size": HEAD_SIZE,
        "learning_rate": 1e-3,
    }


def _measure_input(bench: _Bench, shapes: tuple[Shape, ...]) -> dict[str, Any]:
    steps = {
        shape.label: (
            DataConfig(batch_size=shape.batch_size, sequence_length=shape.sequence_length),
            Variant("step_ours.py", _request(bench, shape)),
        )
        for shape in shapes[:1]  # the quickest step is the hungriest
    }
    return measure_loader(
        bench.dataset.path, steps, bench.work,
        traced_steps=200 if shapes is SHAPES else 10, num_rounds=bench.num_rounds, round_s=bench.round_s,
    )  # fmt: skip


def _measure_start(bench: _Bench, shapes: tuple[Shape, ...]) -> dict[str, Any]:
    shape = max(shapes, key=lambda shape: (shape.hidden_size, shape.sequence_length))
    config = TrainConfig(
        model=ModelConfig(hidden_size=shape.hidden_size, num_layers=shape.num_layers),
        data=DataConfig(batch_size=shape.batch_size, sequence_length=shape.sequence_length),
    )
    # Eight short pieces to validate on: what is measured is to be the start, and not the size of the dataset.
    dataset = bench.dataset
    train, validation = dataset.source("train"), dataset.source("validation")
    records = {
        "train": [train[number] for number in range(min(300, len(train)))],
        "validation": [validation[number] for number in np.argsort(validation.lengths)[:8].tolist()],
    }
    write_dataset(bench.work / "start", records, dataset.codec)
    return measure_start(bench.work / "start", bench.work, config, num_rounds=min(3, bench.num_rounds))


def _prepare(folder: Path, output: Path) -> Dataset:
    ostinato = str(Path(sys.executable).with_name("ostinato"))
    run([ostinato, "prepare", "--midi", str(folder), "--output", str(output)])
    return Dataset.open(output)


def main() -> None:
    """Runs what was asked for and prints tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder of MIDI files or archives of them")
    sections = ("flax", "torch", "keras", "tokens", "input", "start")
    for section in sections:
        parser.add_argument(f"--{section}", action="store_true", help="this and what else is named, and no more")
    parser.add_argument("--rounds", type=int, default=9, help="each variant has so many turns")
    parser.add_argument("--budget", type=float, default=240, help="for --tokens, CPU seconds of each training")
    parser.add_argument("--smoke", action="store_true", help="tiny networks, to see that it runs")
    options = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "jax"  # without it, importing keras looks for TensorFlow

    chosen = [section for section in sections if getattr(options, section)] or list(sections)
    shapes = SMOKE_SHAPES if options.smoke else SHAPES
    effort = SMOKE_EFFORT if options.smoke else designs.Effort(budget_s=options.budget, num_rounds=options.rounds)
    pythons, skipped = {}, {}
    for name, module in {"flax": "flax", "torch": "torch", "keras": "keras", "tokens": "miditok"}.items():
        if name in chosen:
            python, reason = find_python(module)
            if python:
                pythons[name] = python
            else:
                skipped[name] = reason
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="ostinato-benchmark-") as folder:
        dataset = _prepare(options.data, Path(folder) / "dataset")
        sizes = (1, 0.02, (64,)) if options.smoke else (options.rounds, 2.0, (1024, 2048))
        bench = _Bench(dataset, Path(folder), *sizes)
        for shape in shapes:
            if any(name in shape.bars for name in pythons):
                results[shape.label] = _compare(bench, shape, pythons)
        if "tokens" in pythons:
            results["tokens"] = designs.compare(dataset, bench.work, pythons["tokens"], effort)
        if "input" in chosen:
            results["input"] = _measure_input(bench, shapes)
        if "start" in chosen:
            results["start"] = _measure_start(bench, shapes)
    for name, reason in skipped.items():
        console.print(f"{name} is left out: {reason}")
    ratios = {name: value for result in results.values() for name, value in result.pop("ratios").items()}
    print(json.dumps({"ratios": ratios, "skipped": skipped, **results}))


if __name__ == "__main__":
    main()
