"""Small datasets of tunes, whole or cut into windows, for tests of evaluation, and what is measured on them."""

from pathlib import Path
from typing import Any

import numpy as np

from ostinato.data.dataset_writer import write_dataset
from ostinato.data.ngram_files import NgramCounts, in_memory
from ostinato.data.records import Dataset, Record
from ostinato.evaluation.measure import EvaluationConfig
from ostinato.evaluation.memorization.index import CopyIndex
from ostinato.evaluation.report import evaluate_run
from ostinato.music.score_codec import ScoreCodec
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


def leaking(folder: Path) -> Dataset:
    """Writes excerpts that were cut first and split afterwards."""
    pieces = tunes(*range(8))
    return write_pieces(folder, train=windows(pieces, begin=4, step=4), test=windows(pieces, begin=7, step=12))


def counts_of(dataset: Dataset) -> NgramCounts:
    """Returns what follows what in the training split."""
    source = dataset.source("train")
    return in_memory([source[i].steps for i in range(len(source))])


def evaluated(dataset: Dataset, output: Path, *runs: Path, **options: Any) -> dict[str, Any]:
    """Returns the report of some runs, which is written to a folder."""
    return evaluate_run(
        EvaluationConfig(runs=runs, batch_size=4, **options),
        dataset,
        output,
        counts=lambda: counts_of(dataset),
        index=lambda: CopyIndex.of_dataset(dataset, output / "copies"),
        audio=False,
    )
