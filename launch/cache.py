"""Where things are kept that are made once: beside the dataset they were made of, or in the user's cache folder."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ostinato.data.records import Dataset
from ostinato.launch.commands.show import spinner
from ostinato.pretrained.find import find_source
from ostinato.pretrained.models import cache_folder

if TYPE_CHECKING:
    from ostinato.data.ngram_files import NgramCounts
    from ostinato.evaluation.memorization.index import CopyIndex
    from ostinato.train.checkpoint import LoadedRun


def cache_compilations() -> None:
    """Keeps compiled functions in the user's cache folder, so that the next run of the same shapes starts at once."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # many small ones take seconds together


def load_run(source: str | Path, checkpoint: Literal["best", "latest"] = "best") -> "LoadedRun":
    """Returns a trained model, whose functions will be compiled once and then kept.

    Args:
        source: the folder of a run, a model folder, the name of a model, or hub:USER/NAME, which is fetched.
        checkpoint: of a run; a model folder holds one model.

    Raises:
        UserError: there is no such thing, or it is damaged.
    """
    from ostinato.train.checkpoint import load_params

    folder = find_source(source)
    cache_compilations()
    return load_params(folder, checkpoint)


def folder_of(dataset: Dataset, name: str, *, is_made: Callable[[Path], bool]) -> Path:
    """Returns where something that is made of a dataset is, or is to be made.

    Args:
        dataset: what it is made of.
        name: of its folder.
        is_made: tells whether a folder holds it, whole and of this dataset.
    """
    beside = dataset.path / name
    if dataset.store is None and (is_made(beside) or os.access(dataset.path, os.W_OK)):
        return beside
    return cache_folder() / dataset.fingerprint / name


def counts_of(dataset: Dataset, beam_args: Sequence[str] = (), *, max_transpose: int = 0) -> "NgramCounts":
    """Returns what follows what in the training split, in its own keys or in several; it is counted once and then kept.

    `folder_of` says where.
    """
    from ostinato.data.ngram_files import open_counts

    folder = folder_of(
        dataset,
        f"ngrams-{max_transpose}" if max_transpose else "ngrams",
        is_made=lambda folder: open_counts(folder, dataset.fingerprint) is not None,
    )
    counts = open_counts(folder, dataset.fingerprint)
    if counts is None:
        from ostinato.beam_pipelines.count_ngrams import count_ngrams

        with spinner(f"counting {dataset} for the Markov chains"):
            count_ngrams(dataset, folder, beam_args, max_transpose=max_transpose)
        counts = open_counts(folder, dataset.fingerprint)
        assert counts is not None, "they have just been written"
    return counts


def index_of(dataset: Dataset) -> "CopyIndex":
    """Returns the index of the training split in which copies are looked for; it is made once and then kept.

    `folder_of` says where.
    """
    from ostinato.evaluation.memorization.index import CopyIndex, open_index

    folder = folder_of(dataset, "copies", is_made=lambda folder: open_index(folder, dataset.fingerprint) is not None)
    with spinner(f"indexing {dataset}, in which copies are looked for"):
        return CopyIndex.of_dataset(dataset, folder)
