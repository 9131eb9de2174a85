"""A small dataset of tunes with a test split, what follows what in it, and a run."""

from pathlib import Path

from ostinato.data.dataset_writer import write_dataset
from ostinato.data.ngram_files import NgramCounts, in_memory
from ostinato.data.records import Dataset, Record
from tests.midi_files import tune
from tests.sample.runs import untrained, write_run
from tests.sample.tiny_models import SCORE


def tunes_dataset(folder: Path, *, num_train: int = 12, num_test: int = 12) -> Dataset:
    """Returns tunes of about 18 s, in bars of 2 s."""
    numbers = {"train": range(num_train), "test": range(100, 100 + num_test)}
    records = {
        split: [Record(f"{split}-{i}", "wild", SCORE.encode(tune(i), 1).astype(SCORE.dtype)) for i in range_]
        for split, range_ in numbers.items()
    }
    write_dataset(folder, records, SCORE)
    return Dataset.open(folder)


def counts_of(dataset: Dataset) -> NgramCounts:
    """Returns what follows what in the training split."""
    source = dataset.source("train")
    return in_memory([source[i].steps for i in range(len(source))])


def tiny_run(folder: Path) -> Path:
    """Returns the folder of an untrained run of the dataset's codec."""
    return write_run(folder, untrained(codec=SCORE))
