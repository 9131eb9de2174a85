"""Small datasets of tunes, whole or cut into windows, for tests of evaluation; and a network."""

from pathlib import Path

import jax
import numpy as np

from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig
from ostinato.data.records import Dataset, Record, write_dataset
from ostinato.model.network import init_params
from ostinato.music.score_codec import ScoreCodec
from ostinato.train.checkpoint import LoadedRun, make_model
from tests.midi_files import tune

CODEC = ScoreCodec()


def write_pieces(folder: Path, **splits: list[np.ndarray]) -> Dataset:
    """Writes pieces of `ScoreCodec` as a dataset."""
    records = {
        split: [Record(f"{split}-{number}", "", rows.astype(CODEC.dtype)) for number, rows in enumerate(pieces)]
        for split, pieces in splits.items()
    }
    write_dataset(folder, records, CODEC)
    return Dataset.open(folder)


def tunes(*seeds: int, num_notes: int = 48) -> list[np.ndarray]:
    """Returns different pieces."""
    return [CODEC.encode(tune(seed, num_notes=num_notes)) for seed in seeds]


def windows(pieces: list[np.ndarray], *, begin: int, step: int, length: int = 30) -> list[np.ndarray]:
    """Returns overlapping excerpts of pieces as pieces of their own, as the paper cuts them before it splits."""
    header, end = pieces[0][:4], pieces[0][-1:]
    return [
        np.concatenate([header, piece[place : place + length], end])
        for piece in pieces
        for place in range(begin, len(piece) - length, step)
    ]


def untrained(*, seed: int = 1) -> LoadedRun:
    """Returns a small network with new parameters, as if it had been loaded."""
    train = TrainConfig(
        model=ModelConfig(embedding_size=8, hidden_size=16, num_layers=2, head_size=8, dropout=0.0),
        data=DataConfig(batch_size=4, sequence_length=16),
    )
    model = make_model(train.model, CODEC)
    params = init_params(model, jax.random.key(seed))
    return LoadedRun(0, train, CODEC, model, params, "", {})
