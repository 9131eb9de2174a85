"""Where things are kept that are made once: beside the dataset they were made of, or in the user's cache folder."""

import os
from collections.abc import Callable
from pathlib import Path

from ostinato.music.records import Dataset


def cache_folder() -> Path:
    """Returns the folder that Ostinato may fill as it likes, and others may empty."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato"


def folder_of(dataset: Dataset, name: str, *, is_made: Callable[[Path], bool]) -> Path:
    """Returns where something that is made of a dataset is, or is to be made.

    Args:
        dataset: what it is made of.
        name: of its folder.
        is_made: tells whether a folder holds it, whole and of this dataset.
    """
    beside = dataset.path / name
    if is_made(beside) or os.access(dataset.path, os.W_OK):
        return beside
    return cache_folder() / dataset.fingerprint / name
