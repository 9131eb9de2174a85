"""What a model has heard: the statistics of its training split, which travel with the run wherever it is moved."""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.data.records import Dataset, DatasetError
from ostinato.data.statistics import Statistics, read_statistics

logger = logging.getLogger(__name__)


def describe_music(dataset: Dataset) -> dict[str, Any]:
    """Returns what the description of a run says of its dataset: name, sizes, and statistics where it has them."""
    sizes = dataset.manifest["splits"].items()
    statistics = _read_statistics(dataset.path)
    return {
        "name": dataset.manifest["name"],
        "splits": {split: {"pieces": size["pieces"], "notes": size["notes"]} for split, size in sizes},
        "statistics": None if statistics is None else statistics.to_json(),
    }


def music_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what `describe_music` said of the dataset of a run; nothing where nobody knows.

    Runs of earlier versions do not hold it: their dataset is asked, if it is still where it was.
    """
    if description.get("music"):
        return description["music"]
    dataset = description.get("dataset") or {"path": ""}
    if not dataset["path"]:
        return {}
    with contextlib.suppress(DatasetError):
        found = Dataset.open(dataset["path"])
        if found.fingerprint == dataset["fingerprint"]:
            return describe_music(found)
    return {}


def music_heard(description: Mapping[str, Any]) -> Statistics | None:
    """Returns the statistics of what a model was trained on: instruments, tempos, lengths; None where nobody knows."""
    held = music_of(description).get("statistics")
    return None if held is None else _parse(held, "what a run says of its dataset")


def _read_statistics(folder: Path) -> Statistics | None:
    path = folder / "statistics.json"
    if not path.is_file():
        return None
    try:
        return _parse(read_statistics(path)["splits"].get("train"), str(path))
    except UserError as error:
        logger.warning("%s: the instruments and tempos of the training music are not known", error)
        return None


def _parse(values: Any, where: str) -> Statistics | None:
    try:
        return Statistics.from_json(values, where=where)
    except UserError as error:
        logger.warning("%s: the instruments and tempos of the training music are not known", error)
        return None
