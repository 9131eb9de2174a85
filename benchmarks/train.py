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

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro

from ostinato.benchmarks import designs
from ostinato.benchmarks.input import measure_loader, measure_start, measure_waits
from ostinato.benchmarks.processes import find_python, run
from ostinato.benchmarks.turns import KEEP_FREED_MEMORY, Variant, measure, ratio
from ostinato.configs.presets import chorales
from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Dataset
from ostinato.launch.commands.show import print_table, say
from ostinato.model.network import MusicModel, count_params, init_params
from ostinato.train.batch import Batch
from ostinato.train.data import training_batches

OURS = "ostinato"
LIBRARIES = {"flax": "flax.linen", "torch": "torch.nn.LSTM", "keras": "Keras 3 on JAX"}
MODULES = {"flax": "flax", "torch": "torch", "keras": "keras", "tokens": "miditok"}
NUM_BATCHES = 8
"""Different batches; the steps go round."""
KEEPING = ", keeping freed memory"
"""The same library, with glibc told to keep freed memory as we tell it: what is left is the difference in the work."""
EMBEDDING_SIZE = HEAD_SIZE = 128


class Shape(NamedTuple):
    """One network and batch, and the libraries that it is measured with."""

    num_layers: int
    hidden_size: int
    batch_size: int
    sequence_length: int
    libraries: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.num_layers} x {self.hidden_size}, batch {self.batch_size}, t = {self.sequence_length}"

    @property
    def model(self) -> ModelConfig:
        return ModelConfig(
            hidden_size=self.hidden_size, num_layers=self.num_layers,
            embedding_size=EMBEDDING_SIZE, head_size=HEAD_SIZE,
        )  # fmt: skip

    @property
    def data(self) -> DataConfig:
        return DataConfig(batch_size=self.batch_size, sequence_length=self.sequence_length)


SHAPES = tuple(
    Shape(layers, units, rows, length, libraries)
    for rows, length, libraries in ((64, 64, ("flax", "keras")), (32, 128, ("torch",)), (64, 32, ("torch",)))
    for layers, units in ((1, 128), (2, 512))
)
SMOKE_SHAPES = (Shape(1, 16, 4, 8, ("flax", "torch", "keras")),)
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


def _compare(bench: _Bench, shape: Shape, pythons: dict[str, str]) -> dict[str, float]:
    """Measures one shape with the libraries that are there, and prints the table."""
    request = _request(bench, shape)
    variants = {OURS: Variant("step_ours.py", request)}
    for name in shape.libraries:
        if name in pythons:
            file, label = f"step_{name}.py", LIBRARIES[name]
            variants[label] = Variant(file, request, pythons[name])
            variants[label + KEEPING] = Variant(file, request, pythons[name], KEEP_FREED_MEMORY)
            if name == "torch":
                variants[label + ", 2 threads"] = Variant(file, request, pythons[name], threads=2)
    squares = {f"XLA's matmul of {side}": Variant("matmul.py", {"side": side}) for side in bench.matmul_sides}
    turns = measure(variants | squares, num_rounds=bench.num_rounds, round_s=bench.round_s)

    num_notes = shape.batch_size * shape.sequence_length
    num_params, num_multiplied = _count(bench.dataset, shape)
    flops = dict.fromkeys(variants, 6 * num_params * num_notes)
    flops |= {label: 2 * variant.request["side"] ** 3 for label, variant in squares.items()}
    speed = {label: [flops[label] / one for one in turns[label].cpu_s] for label in turns}
    ceiling = max(squares, key=lambda label: median(speed[label]))
    rows, ratios = [], {}
    for label in variants:
        one = turns[label]
        ratios[f"{shape.label}: {label}"] = times = ratio(one.cpu_s, turns[OURS].cpu_s)
        rows.append(
            (
                label, f"{num_notes / median(one.cpu_s):,.0f}", f"{times:.2f} x", f"{median(one.cpu_s) * 1e3:,.1f}",
                f"{median(one.wall_s) * 1e3:,.1f}", f"{median(one.page_faults):,.0f}", f"{median(one.losses):.2f}",
                f"{ratio(speed[label], speed[ceiling]):.2f}",
            )
        )  # fmt: skip
    print_table(
        f"{shape.label}: the whole training step, {num_params:,} parameters, one core",
        ("", "notes/s", "ours is", "CPU ms", "ms", "page faults", "loss", f"of {ceiling}"),
        rows,
    )
    say(
        f"{ceiling}: {median(speed[ceiling]) / 1e9:.1f} GFLOP/s. Shares count six flops for each parameter and note; "
        f"we multiply {num_multiplied:,} of the parameters for each note."
    )
    return ratios


def _count(dataset: Dataset, shape: Shape) -> tuple[int, int]:
    """Returns the number of parameters, and of those that we multiply with something for each note.

    The others are tables, and the first layer's kernel, which is multiplied with the tables once a step.
    """
    model = MusicModel(shape.model, tuple(field.size for field in dataset.codec.fields))
    params = jax.eval_shape(lambda key: init_params(model, key), jax.random.key(0))
    tables = {name: leaf for name, leaf in params.items() if name.startswith("embedding_")}
    tables |= {name: leaf for name, leaf in params["head"].items() if name.startswith("context_")}
    num_params = count_params(params)
    return num_params, num_params - count_params((tables, params["layers_0"]["kernel"]))


def _request(bench: _Bench, shape: Shape) -> dict[str, Any]:
    """Writes batches of the training split, and returns what a variant needs to know."""
    path = bench.work / f"batches-{shape.batch_size}-{shape.sequence_length}.npz"
    if not path.exists():
        source = training_batches(bench.dataset.source("train"), shape.data, seed=0)
        batches = [source[number] for number in range(NUM_BATCHES)]
        columns: dict[str, Any] = {
            name: np.stack([getattr(one, name) for one in batches]) for name in Batch._fields[:4]
        }
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


def _measure_input(bench: _Bench, shape: Shape, num_steps: int) -> dict[str, float]:
    step = Variant("step_ours.py", _request(bench, shape))
    rounds = {"num_rounds": bench.num_rounds, "round_s": bench.round_s}
    times = measure_loader(bench.dataset.path, shape.data, step, **rounds)
    return times | measure_waits(bench.dataset.path, bench.work, chorales().train, num_steps=num_steps)


def _measure_start(bench: _Bench, shape: Shape) -> None:
    # Eight short pieces to validate on: what is measured is to be the start, and not the size of the dataset.
    dataset, folder = bench.dataset, bench.work / "start"
    train, validation = dataset.source("train"), dataset.source("validation")
    records = {
        "train": [train[number] for number in range(min(300, len(train)))],
        "validation": [validation[number] for number in np.argsort(validation.lengths)[:8].tolist()],
    }
    write_dataset(folder, records, dataset.codec)
    config = TrainConfig(model=shape.model, data=shape.data)
    measure_start(folder, bench.work, config, num_rounds=min(3, bench.num_rounds))


@dataclass(frozen=True, kw_only=True)
class Options:
    data: Path
    """Folder of MIDI files or archives of them."""
    flax: bool = False
    """This and what else is named, and no more."""
    torch: bool = False
    keras: bool = False
    tokens: bool = False
    input: bool = False
    start: bool = False
    rounds: int = 9
    """Each variant has so many turns."""
    budget: float = 240
    """For --tokens, CPU seconds of each training."""
    smoke: bool = False
    """Tiny networks, to see that it runs."""


def main(options: Options) -> None:
    """Runs what was asked for and prints tables and one line of JSON."""
    os.environ["KERAS_BACKEND"] = "jax"  # without it, importing keras looks for TensorFlow
    sections = (*MODULES, "input", "start")
    chosen = [section for section in sections if getattr(options, section)] or sections
    pythons = {}
    for name in (name for name in chosen if name in MODULES):
        python, reason = find_python(MODULES[name])
        if python:
            pythons[name] = python
        else:
            say(f"{name} is left out: {reason}")
    shapes, sizes = SHAPES, (options.rounds, 2.0, (1024, 2048))
    effort = designs.Effort(budget_s=options.budget, num_rounds=options.rounds)
    if options.smoke:
        shapes, sizes, effort = SMOKE_SHAPES, (1, 0.02, (64,)), SMOKE_EFFORT
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ostinato-benchmark-") as folder:
        dataset = Path(folder, "dataset")
        ostinato = str(Path(sys.executable).with_name("ostinato"))
        run([ostinato, "prepare", "--midi", str(options.data), "--output", str(dataset)])
        bench = _Bench(Dataset.open(dataset), Path(folder), *sizes)
        for shape in shapes:
            if pythons.keys() & shape.libraries:
                ratios |= _compare(bench, shape, pythons)
        if "tokens" in pythons:
            ratios |= designs.compare(bench.dataset, bench.work, pythons["tokens"], effort)
        if "input" in chosen:
            ratios |= _measure_input(bench, shapes[0], 10 if options.smoke else 200)  # the quickest step needs most
        if "start" in chosen:
            _measure_start(bench, max(shapes, key=lambda shape: (shape.hidden_size, shape.sequence_length)))
    print(json.dumps({"ratios": {label: round(one, 3) for label, one in ratios.items()}}))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
