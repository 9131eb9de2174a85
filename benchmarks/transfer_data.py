"""The pieces of the transfer benchmark: k to learn from, and held-out ones that nothing learnt before repeats."""

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ostinato.beam_pipelines.duplicates.fingerprint import Fingerprints, fingerprint, stack
from ostinato.beam_pipelines.duplicates.prints import Prints
from ostinato.beam_pipelines.duplicates.relations import relate
from ostinato.configs.errors import UserError
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Dataset, Record
from ostinato.evaluation.held_out import choose_pieces
from ostinato.music.codec import Codec
from ostinato.music.piece import Notes, Piece

HELD_OUT = ("validation", "test")


class Apart(NamedTuple):
    """What is left of two collections when no held-out piece may repeat what a model has heard."""

    train: list[int]
    """Numbers of pieces of the new training split that share no group with a held-out piece."""
    left_out: int
    """How many others there were."""
    old_pieces: int
    """Pieces of the old collection, all splits, that were looked at."""


def keep_apart(new: Dataset, old: Dataset) -> Apart:
    """Returns which pieces of the new training split may be learnt from.

    All pieces of both collections are grouped by the fingerprints of `prepare`, which see the same music in another
    key, tempo, ending or arrangement; that two datasets were prepared one by one does not matter.

    Raises:
        UserError: a held-out piece of the new collection shares its group with a piece of the old one.
    """
    sources = [(dataset, dataset.source(split), split) for dataset in (new, old) for split in dataset.splits]
    group = _groups([source[i].steps for _, source, _ in sources for i in range(len(source))], new.codec).tolist()
    train: list[int] = []
    held_out, of_old = set(), []
    for dataset, source, split in sources:
        names, group = group[: len(source)], group[len(source) :]
        if dataset is old:
            of_old += names
        elif split in HELD_OUT:
            held_out.update(names)
        else:
            train = names
    both = held_out.intersection(of_old)
    if both:
        raise UserError(f"{old.path}: holds music that is held out in {new.path} ({len(both)} groups of pieces)")
    free = [number for number, name in enumerate(train) if name not in held_out]
    return Apart(free, len(train) - len(free), len(of_old))


def write_subset(
    folder: Path, new: Dataset, apart: Apart, num_pieces: int, *, seed: int, num_validation: int
) -> Dataset:
    """Writes a dataset of a few training pieces, if it is not there, and opens it.

    With the same seed fewer pieces are part of more. The validation pieces are the same for all; there is no test
    split.
    """
    if not (folder / "manifest.json").exists():
        if num_pieces > len(apart.train):
            raise UserError(f"{new.path}: has {len(apart.train)} training pieces to choose from, not {num_pieces}")
        order = np.random.default_rng([seed, 0]).permutation(apart.train)[:num_pieces]
        validation = choose_pieces(len(new.source("validation")), num_validation)
        records = {"train": _records(new, "train", order), "validation": _records(new, "validation", validation)}
        write_dataset(folder, records, new.codec, drawn_from=new.fingerprint)
    return Dataset.open(folder)


def _records(dataset: Dataset, split: str, numbers: Int[np.ndarray, " p"]) -> list[Record]:
    source = dataset.source(split)
    return [source[number] for number in numbers.tolist()]


def _groups(pieces: Sequence[np.ndarray], codec: Codec) -> Int[np.ndarray, " n"]:
    """Returns a number for each piece that it shares with those that hold the same or nearly the same music."""
    found = [_fingerprint(codec.decode(steps)) for steps in pieces]
    num_notes = np.array([codec.count_notes(steps).sum() for steps in pieces], np.int32)
    with tempfile.TemporaryDirectory(prefix="ostinato-") as folder, contextlib.closing(Prints(Path(folder))) as prints:
        prints.add(stack(found))
        numbers = np.arange(len(found), dtype=np.int32)
        return relate(prints, rank=numbers, num_notes=num_notes, fixed=np.full(len(found), -1, np.int32)).group


def _fingerprint(piece: Piece) -> Fingerprints:
    notes = piece.notes
    tracks = [Notes(*(column[notes.program == program] for column in notes)) for program in np.unique(notes.program)]
    return fingerprint(piece, tracks)
