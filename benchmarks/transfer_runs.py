"""The models of the transfer benchmark: how each is trained, and what it needs on held-out music of both corpora.

Letters: p pieces.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from ostinato.benchmarks.outcomes import kept
from ostinato.benchmarks.transfer_data import Apart, write_subset
from ostinato.configs.presets import chorales
from ostinato.configs.schema import DataConfig, ModelConfig, OptimizerConfig, TrainConfig
from ostinato.data.records import Dataset, TFRecordSource
from ostinato.evaluation.held_out import choose_pieces
from ostinato.evaluation.likelihood import score_network, split_stats
from ostinato.evaluation.scores import SplitStats
from ostinato.train.checkpoint import LoadedRun, load_params
from ostinato.train.loop import train

SPLIT = "test"
OUTCOME, PRETRAINED = "outcome.json", "pretrained"
BATCH_SIZE = 32
"""Pieces measured at the same time."""


class Method(NamedTuple):
    """A way to learn from few pieces."""

    name: str
    learning_rates: tuple[float, ...] = ()
    """For each k that with the lowest validation loss is taken; none is that which FINE_TUNED has."""
    is_pretrained: bool = True
    times_steps: int = 1
    """What the effort's steps are multiplied by."""
    old_share: float = 0.0
    frozen_layers: int = 0


SCRATCH = Method("from scratch", (4e-3, 2e-3, 1e-3), is_pretrained=False, times_steps=3)
FINE_TUNED = Method("fine-tuned", (3e-3, 1e-3))
METHODS = (
    SCRATCH,
    FINE_TUNED,
    Method("fine-tuned, half old music", old_share=0.5),
    Method("fine-tuned, first layer frozen", frozen_layers=1),
)


class Effort(NamedTuple):
    """How much is trained and measured."""

    methods: tuple[Method, ...] = METHODS
    model: ModelConfig = chorales().train.model
    pretrain_steps: int = 2400
    pretrain_evaluations: int = 3
    pretrain_dropout: float = 0.1
    """Of much music less is learnt by heart than of little."""
    num_steps: tuple[tuple[int, int], ...] = ((10, 300), (30, 600), (100, 800))
    """Of each k at most so many; early stopping ends most runs before."""
    num_evaluations: int = 12
    patience: int = 4
    batch_size: int = 8
    """Rows of new music in each batch of the small runs."""
    sequence_length: int = 64
    num_validation: int = 40
    """Pieces that decide when a run stops and which learning rate it has."""
    num_old: int = 60
    """Held-out pieces of the old corpus that forgetting is measured on."""


class Task(NamedTuple):
    """One small run."""

    num_pieces: int
    method: Method
    seed: int
    learning_rate: float

    @property
    def name(self) -> str:
        words = self.method.name.replace(",", "").replace(" ", "-")
        return f"k{self.num_pieces:03d}-{words}-seed{self.seed}-{self.learning_rate:g}"


class Measured(NamedTuple):
    """Held-out pieces of one corpus."""

    source: TFRecordSource
    pieces: Int[np.ndarray, " p"]
    material: SplitStats


class Bench(NamedTuple):
    """What all runs share."""

    output: Path
    new: Dataset
    old: Dataset
    apart: Apart
    effort: Effort
    held_out: dict[str, Measured]
    """By the names new and old."""


def open_bench(output: Path, new: Dataset, old: Dataset, apart: Apart, effort: Effort) -> Bench:
    """Chooses the held-out pieces that everything is measured on."""
    held_out = {}
    for name, dataset, at_most in (("new", new, 0), ("old", old, effort.num_old)):
        source = dataset.source(SPLIT)
        pieces = choose_pieces(len(source), at_most)
        held_out[name] = Measured(source, pieces, split_stats(source, pieces))
    return Bench(output, new, old, apart, effort, held_out)


def pretrain(bench: Bench) -> dict[str, Any]:
    """Trains on the old corpus, or goes on with it, and returns what the model needs on held-out music."""
    effort = bench.effort
    base = chorales().train
    config = dataclasses.replace(
        base,
        model=dataclasses.replace(effort.model, dropout=effort.pretrain_dropout),
        data=dataclasses.replace(base.data, batch_size=32, sequence_length=effort.sequence_length),
        optimizer=dataclasses.replace(base.optimizer, warmup_steps=100),
        num_steps=effort.pretrain_steps,
        evaluate_every=effort.pretrain_steps // effort.pretrain_evaluations,
        patience=0,
    )
    return _outcome(bench, bench.output / PRETRAINED, config, bench.old)


def small_runs(bench: Bench, seeds: Sequence[int]) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Yields each small run with its outcome; those that are done are not trained again.

    The first seed tries all learning rates, and the others have the best one of the same k and method. A seed draws the
    training pieces and all that is random in training.

    Args:
        bench: what all runs share.
        seeds: how many for each k of the effort.
    """
    best: dict[tuple[int, str], float] = {}
    todo = [
        (seed, num_pieces)
        for seed in range(max(seeds))
        for (num_pieces, _), num_seeds in zip(bench.effort.num_steps, seeds, strict=True)
        if seed < num_seeds
    ]
    for seed, num_pieces in todo:
        for method in bench.effort.methods:
            key = num_pieces, method.name
            tried = method.learning_rates or (best[num_pieces, FINE_TUNED.name],)
            losses = {}
            for learning_rate in (best[key],) if key in best else tried:
                task = Task(num_pieces, method, seed, learning_rate)
                outcome = run_task(bench, task)
                losses[learning_rate] = outcome["validation_loss"]
                yield task, outcome
            best.setdefault(key, min(losses, key=losses.__getitem__))


def small_config(effort: Effort, task: Task) -> TrainConfig:
    """Returns how a small run is trained. Each step sees as much new music, whatever there is of old beside it."""
    base = chorales().train
    method = task.method
    num_steps = dict(effort.num_steps)[task.num_pieces] * method.times_steps
    evaluate_every = max(1, num_steps // effort.num_evaluations)
    return dataclasses.replace(
        base,
        model=effort.model,
        data=DataConfig(
            batch_size=round(effort.batch_size / (1 - method.old_share)),
            sequence_length=effort.sequence_length,
            max_transpose=base.data.max_transpose,
            old_share=method.old_share,
        ),
        optimizer=OptimizerConfig(
            learning_rate=task.learning_rate, warmup_steps=min(20, num_steps), frozen_layers=method.frozen_layers
        ),
        num_steps=num_steps,
        evaluate_every=evaluate_every,
        patience=effort.patience,
        keep_checkpoints=1,
        log_every=evaluate_every,
        seed=task.seed,
    )


def run_task(bench: Bench, task: Task) -> dict[str, Any]:
    """Trains and measures one small run, or returns what was measured before."""
    folder = bench.output / f"data-k{task.num_pieces:03d}-seed{task.seed}"
    subset = write_subset(
        folder, bench.new, bench.apart, task.num_pieces, seed=task.seed, num_validation=bench.effort.num_validation
    )
    config = small_config(bench.effort, task)
    origin = bench.output / PRETRAINED if task.method.is_pretrained else None
    old = bench.old if task.method.old_share else None
    return _outcome(bench, bench.output / task.name, config, subset, init_from=origin, old_dataset=old)


def _outcome(bench: Bench, workdir: Path, config: TrainConfig, dataset: Dataset, **begin: Any) -> dict[str, Any]:
    """Trains and measures, or returns what was measured before: nats of each held-out piece, by corpus."""
    num_held_out = {name: len(held.pieces) for name, held in bench.held_out.items()}

    def make() -> dict[str, Any]:
        result = train(config, dataset, workdir, **begin)
        run = load_params(workdir, "best")
        jax.clear_caches()  # each run compiles its own step
        return {
            "steps": result.step,
            "best_step": result.best_step,
            "validation_loss": result.best_loss,
            "params_sha256": run.params_sha256,
            "nats": {name: _nats(run, held) for name, held in bench.held_out.items()},
        }

    return kept(workdir / OUTCOME, {"config": dataclasses.asdict(config), "held_out": num_held_out}, make)


def _nats(run: LoadedRun, held: Measured) -> list[float]:
    return score_network(run, held.source, held.pieces, batch_size=BATCH_SIZE, name="").nats_p.tolist()
