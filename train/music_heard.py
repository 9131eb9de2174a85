"""What a model has heard: the statistics of its training split, which travel with the run wherever it is moved."""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.data.records import Dataset, DatasetError
from ostinato.data.statistics import Statistics, read_statistics, total

logger = logging.getLogger(__name__)


def describe_music(*datasets: Dataset) -> dict[str, Any]:
    """Returns what the description of a run says of its datasets, all in all.

    That is name, sizes, and statistics where all of them have some.
    """
    splits: dict[str, dict[str, int]] = {}
    for dataset in datasets:
        for split, size in dataset.manifest["splits"].items():
            sum_ = splits.setdefault(split, {"pieces": 0, "notes": 0})
            sum_["pieces"] += size["pieces"]
            sum_["notes"] += size["notes"]
    statistics = [_read_statistics(dataset.fetch("statistics.json")) for dataset in datasets]
    known = [one for one in statistics if one is not None]
    return {
        "name": " + ".join(dataset.manifest["name"] for dataset in datasets),
        "splits": splits,
        "statistics": total(known).to_json() if len(known) == len(statistics) else None,
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


def _read_statistics(path: Path) -> Statistics | None:
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
