"""One small dataset and one small model for all tests of training."""

import dataclasses
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato.configs.schema import DataConfig, ModelConfig, OptimizerConfig, TrainConfig
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Dataset, Record
from ostinato.music.notes_codec import END, NUM_SPECIAL, START, NoteEvent, NotesCodec

TRAIN_LENGTHS = (3, 40, 9, 25, 2, 61, 17, 33, 30, 50)
VALIDATION_LENGTHS = (12, 3, 30, 21, 7)


def make_dataset(folder: Path, train_lengths: tuple[int, ...], validation_lengths: tuple[int, ...] = ()) -> Dataset:
    """Every row between START and END has an integer that no other row of its split has."""

    def records(lengths: tuple[int, ...]) -> list[Record]:
        values = iter(range(NUM_SPECIAL, NUM_SPECIAL + sum(lengths)))
        return [
            Record(str(i), "", np.array([START, *(next(values) for _ in range(n - 2)), END], np.uint16)[:, None])
            for i, n in enumerate(lengths)
        ]

    events = (NoteEvent(1 + i // 128, 1, (i % 128,)) for i in range(max(sum(train_lengths), sum(validation_lengths))))
    codec = NotesCodec(tuple(events))
    write_dataset(folder, {"train": records(train_lengths), "validation": records(validation_lengths)}, codec)
    return Dataset.open(folder)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("train") / "notes", TRAIN_LENGTHS, VALIDATION_LENGTHS)


@pytest.fixture(scope="session")
def config() -> TrainConfig:
    """Eight steps to the epoch, dropout on, streams."""
    return TrainConfig(
        model=ModelConfig(embedding_size=8, hidden_size=16, head_size=8, num_layers=2, dropout=0.3),
        data=DataConfig(batch_size=4, sequence_length=8),
        optimizer=OptimizerConfig(learning_rate=3e-2, warmup_steps=2, schedule="constant"),
        num_steps=10,
        evaluate_every=5,
        log_every=1,
    )


MLSTM = {"cell": "mlstm", "norm": "pre"}
"""What makes an mLSTM of the model, for `replace`."""
NETWORKS = [pytest.param({}, id="lstm"), pytest.param(MLSTM, id="mlstm", marks=pytest.mark.slow)]


def replace(config: TrainConfig, **changes: object) -> TrainConfig:
    """`replace(config, data=dict(order="windows"))` changes a value of a part."""
    parts = {
        name: dataclasses.replace(getattr(config, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return dataclasses.replace(config, **parts)


def after(num_steps: int) -> Callable[[], bool]:
    """Returns a `should_stop` that says so after some steps."""
    asked = itertools.count(1)
    return lambda: next(asked) >= num_steps


def read_metrics(workdir: Path, split: str) -> list[dict[str, Any]]:
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [record for record in records if record["split"] == split]
