"""The datasets that one run is trained on: one, or several with a share of the rows of every batch."""

import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.data.records import Dataset
from ostinato.music.codec import Codec
from ostinato.music.codecs import codec_line

_SHARED = re.compile(r"(.+):(\d+\.?\d*|\.\d+)", re.DOTALL)
"""A path, and its share. What follows the colon of `s3://bucket/data` or `C:\\data` is no number."""


class MixtureError(UserError):
    """Datasets that cannot be read side by side, or shares that cannot be."""


@dataclass(frozen=True)
class Part:
    """A dataset of a mixture."""

    dataset: Dataset
    share: float
    """Of the rows of every batch; those of all parts together are 1."""
    is_old: bool = False
    """It was learnt before (--old-dataset), and how well it is known now does not decide when the run is stopped."""


@dataclass(frozen=True)
class Mixture:
    """Each part is read in an order of its own. What is said of a run with one dataset is said of the first part."""

    parts: tuple[Part, ...]

    @property
    def first(self) -> Dataset:
        """An epoch is one of this dataset."""
        return self.parts[0].dataset

    @property
    def codec(self) -> Codec:
        """That of all of them."""
        return self.first.codec

    @property
    def names(self) -> list[str]:
        """Those of the datasets, of which no two are equal: the second `music` is `music_2`."""
        names: list[str] = []
        for part in self.parts:
            name = wanted = part.dataset.manifest["name"]
            number = 1
            while name in names:
                number += 1
                name = f"{wanted}_{number}"
            names.append(name)
        return names

    @property
    def fingerprint(self) -> str:
        """Equal exactly for datasets with equal content, in the same order and with the same shares."""
        if len(self.parts) == 1:
            return self.first.fingerprint
        content = [[part.dataset.fingerprint, round(part.share, 9)] for part in self.parts]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Returns what the description of a run says of a mixture."""
        datasets = [{**named(part.dataset), "share": round(part.share, 9)} for part in self.parts]
        return {"fingerprint": self.fingerprint, "datasets": datasets}

    def rows(self, batch_size: int) -> list[int]:
        """Returns how many rows of a batch each part has: at least one, and else as near to its share as can be.

        Raises:
            MixtureError: there are more datasets than rows.
        """
        if batch_size < len(self.parts):
            raise MixtureError(f"a batch of {batch_size} rows cannot hold rows of {len(self.parts)} datasets")
        counts, rows_left, share_left = [], batch_size, 1.0
        for number in range(len(self.parts) - 1, 0, -1):
            share = self.parts[number].share
            count = min(max(1, round(rows_left * share / share_left)), rows_left - number)
            counts.append(count)
            rows_left, share_left = rows_left - count, share_left - share
        return [rows_left, *reversed(counts)]


def named(dataset: Dataset) -> dict[str, str]:
    """Returns where a dataset is, and what it is."""
    return {"path": dataset.location, "fingerprint": dataset.fingerprint}


def mixture_of(data: Dataset | Mixture, *, old: Dataset | None = None, old_share: float = 0.0) -> Mixture:
    """Returns a dataset as a mixture of one; with `old`, which has a share of its own, of two.

    Raises:
        MixtureError: the one of `old` and `old_share` is given and not the other, or the codecs differ, be it in their
            vocabularies or styles.
    """
    mixture = data if isinstance(data, Mixture) else Mixture((Part(data, 1.0),))
    if (old is None) != (old_share == 0):
        raise MixtureError(
            "--old-dataset and --data.old-share belong together: the one says where from, the other how much"
        )
    if old is None:
        return mixture
    if len(mixture.parts) > 1:
        raise MixtureError("--old-dataset goes with one dataset; give all of them to --dataset, with their shares")
    _check_same_codec(old, mixture.first, said="--old-dataset ")
    return Mixture((Part(mixture.first, 1 - old_share), Part(old, old_share, is_old=True)))


def open_mixture(words: Sequence[str]) -> Mixture:
    """Opens what `--dataset` names: a folder, or several with their shares, as `a:0.7 b:0.3`.

    Shares are relative: `a:7 b:3` is the same. A word that is the name of a folder has no share.

    Raises:
        MixtureError: a share is missing or is not above 0, a dataset is named twice, or their codecs differ.
        DatasetError: a folder is not a finished dataset.
    """
    if len(words) == 1:
        return mixture_of(Dataset.open(words[0]))
    if not words:
        raise MixtureError("--dataset names nothing; it needs a folder that 'ostinato prepare' wrote")
    paths, shares = zip(*map(_split, words), strict=True)
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise MixtureError(f"--dataset names {twice} twice")
    opened = [Dataset.open(path) for path in paths]
    for other in opened[1:]:
        _check_same_codec(other, opened[0])
    return Mixture(tuple(Part(one, share / sum(shares)) for one, share in zip(opened, shares, strict=True)))


def _split(word: str) -> tuple[str, float]:
    found = None if os.path.exists(word) else _SHARED.fullmatch(word)
    if found is None:
        raise MixtureError(f"--dataset {word}: has no share; of several datasets each needs one, as {word}:0.5")
    share = float(found[2])
    if not 0 < share < math.inf:
        raise MixtureError(f"--dataset {word}: the share {found[2]:.20} must be above 0 and finite")
    return found[1], share


def _check_same_codec(other: Dataset, first: Dataset, *, said: str = "") -> None:
    ours, theirs = first.codec.to_json(), other.codec.to_json()
    if ours != theirs:
        differing = [name for name in ours if ours[name] != theirs.get(name)]
        raise MixtureError(
            f"{other}: {said}was prepared with another codec ({codec_line(other.codec)}) than {first} "
            f"({codec_line(first.codec)}); they differ in {' and '.join(differing)}, and have to be prepared alike"
        )
