"""Counts what follows what in the training split of a dataset, as a Beam job.

    ranges of pieces -> count each range -> one element a part of the table -> merge and write

Each range is counted with NumPy and only its sums are shuffled. Contexts that share their last row and their known
fields go to one part, where the continuations of Kneser-Ney can be counted.
"""

import pickle
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np

from ostinato.beam_pipelines.runners import complete_beam_args, open_pipeline
from ostinato.data import ngram_files, ngrams
from ostinato.data.atomic import atomic_folder
from ostinato.data.ngrams import Pairs
from ostinato.data.records import Dataset

ROWS_PER_RANGE = 65_536
ROWS_PER_PART = 524_288
"""Rows make about 30 pairs of 31 bytes each before equal ones are added up."""


def count_ngrams(dataset: Dataset, folder: Path, beam_args: Sequence[str] = (), *, max_transpose: int = 0) -> None:
    """Writes the counts of the training split to a folder, which must be reachable by all workers under its name.

    The folder holds `ngrams.json` once all of it is there; what was there before is replaced.

    Args:
        dataset: whose training split is counted.
        folder: for `ngram_files.open_counts`.
        beam_args: options for Beam; without a runner the job runs in this process.
        max_transpose: every piece is counted in each key up to this many semitones higher and lower: what a network
            that was trained with --data.max-transpose has seen.

    Raises:
        BeamOptionsError: an option is unknown.
        ValueError: the codec cannot transpose.
    """
    options = complete_beam_args(list(beam_args))
    dataset.codec.transform("transpose", np.array([dataset.codec.start]), max_transpose)  # says so at once if it cannot
    lengths = np.asarray(dataset.source("train").lengths, np.int64) * (2 * max_transpose + 1)
    num_parts = max(1, -(-int(lengths.sum()) // ROWS_PER_PART))
    with atomic_folder(folder) as unfinished:
        with open_pipeline(options) as pipeline:
            parts: Any = (
                pipeline
                | "Ranges" >> beam.Create(_ranges(lengths))
                | "Spread" >> beam.Reshuffle()
                | "Count"
                >> beam.FlatMap(_count, dataset=dataset.location, num_parts=num_parts, max_transpose=max_transpose)
                | "ByPart" >> beam.GroupByKey()
            )
            _ = parts | "Write" >> beam.Map(_write, folder=str(unfinished.absolute()))
        ngram_files.finish(unfinished, num_parts, fingerprint=dataset.fingerprint, num_fields=len(dataset.codec.fields))


def _ranges(lengths: np.ndarray) -> list[tuple[int, int]]:
    """Returns the first piece and the one after the last of each range."""
    number = np.cumsum(lengths) // ROWS_PER_RANGE
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    return list(zip(begins.tolist(), [*begins[1:].tolist(), len(lengths)], strict=True))


# Elements are pickled here and not by Beam, so that every runner handles the same few bytes.


def _count(pieces: tuple[int, int], dataset: str, num_parts: int, max_transpose: int) -> Iterator[tuple[str, bytes]]:
    source = Dataset.open(dataset).source("train")
    changes = range(-max_transpose, max_transpose + 1)
    pairs = ngrams.count_pairs(
        [source.codec.transform("transpose", source[i].steps, change) for i in range(*pieces) for change in changes]
    )
    for number, part in enumerate(ngrams.split_pairs(pairs, num_parts)):
        yield str(number), pickle.dumps(tuple(part))


def _write(part: tuple[str, Iterable[bytes]], folder: str) -> str:
    """Writes one part of the table and returns its number."""
    number, counted = part
    pairs = ngrams.merge_pairs(Pairs(*pickle.loads(data)) for data in counted)
    ngram_files.write_part(Path(folder), int(number), *ngrams.tabulate(pairs))
    return number
