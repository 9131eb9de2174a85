"""Music to compare: held-out pieces, and as many as are wanted by each run and by the baselines that can write.

Repetition, range and the longest shared run grow with the length of a piece. So the pieces that are written are as long
as held-out ones are: their lengths are evenly spread over those of the held-out pieces, in a random order.
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ostinato.configs.schema import SampleConfig
from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset
from ostinato.evaluation.baselines.compose import RULES, compose
from ostinato.evaluation.excerpts import first_notes
from ostinato.evaluation.held_out import choose_pieces
from ostinato.music.piece import Piece
from ostinato.sample.generate import generate
from ostinato.train.checkpoint import LoadedRun

logger = logging.getLogger(__name__)

COMPOSERS = ("markov:3", RULES)

MAX_HELD_OUT = 200
"""Held-out pieces that are compared, evenly spread; some of their distances grow with the square of their number."""

LONGEST_NOTES = 512
"""No piece is asked to be longer, and held-out ones are cut there when they are compared."""


class HeldOut(NamedTuple):
    """Real pieces that no model has heard."""

    split: str
    ids: list[str]
    pieces: list[Piece]


class SampleRequest(NamedTuple):
    """How pieces are to be written."""

    num_notes: list[int]
    """Of each piece."""
    seed: int
    temperature: float
    batch_size: int


class Music(NamedTuple):
    """The pieces that were compared."""

    held_out: HeldOut = HeldOut("", [], [])
    written: Sequence[tuple[str, list[Piece]]] = ()
    """By whom, and what; the runs first."""
    request: SampleRequest | None = None
    notices: Sequence[str] = ()
    """Why there are none, or fewer than asked for."""


def read_held_out(dataset: Dataset, split: str) -> HeldOut:
    """Returns the pieces of a split as their codec gives them back; those without a note are left out."""
    source = dataset.source(split)
    records = [source[number] for number in choose_pieces(len(source), MAX_HELD_OUT).tolist()]
    pieces = [(record.id, dataset.codec.decode(record.steps)) for record in records]
    pieces = [(name, piece) for name, piece in pieces if piece.num_notes]
    return HeldOut(split, [name for name, _ in pieces], [piece for _, piece in pieces])


def choose_lengths(num_notes: Sequence[int], num_samples: int, seed: int) -> list[int]:
    """Returns how long each piece is to be: evenly spread over the lengths of real ones, none above LONGEST_NOTES."""
    places = (np.arange(num_samples) + 0.5) / num_samples
    lengths = np.quantile(num_notes, places, method="inverted_cdf").clip(1, LONGEST_NOTES)
    return np.random.default_rng(seed).permutation(lengths).astype(int).tolist()


def write_all(
    runs: Sequence[tuple[str, LoadedRun]],
    dataset: Dataset,
    request: SampleRequest,
    *,
    counts: Callable[[], NgramCounts],
) -> list[tuple[str, list[Piece]]]:
    """Returns pieces by each run, then by each of COMPOSERS."""
    written = []
    for name, run in runs:
        number, longest = len(request.num_notes), max(request.num_notes)
        logger.info("generating %d pieces of up to %d notes by %s; compiling comes first", number, longest, name)
        written.append((name, write_by_run(run, request)))
    return written + write_by_composers(dataset, request, counts=counts)


def write_by_run(run: LoadedRun, request: SampleRequest) -> list[Piece]:
    """Returns pieces by a trained model, without primers: all as long as the longest, and cut afterwards."""
    config = dataclasses.replace(_config(request), temperature=request.temperature, batch_size=request.batch_size)
    written = generate(run.model, run.params, run.codec, config)
    return _cut([run.codec.decode(one.steps) for one in written], request.num_notes)


def write_by_composers(
    dataset: Dataset, request: SampleRequest, *, counts: Callable[[], NgramCounts]
) -> list[tuple[str, list[Piece]]]:
    """Returns pieces by each of COMPOSERS, which know no temperature."""
    composed = []
    for name in COMPOSERS:
        logger.info("as many by the baseline %s", name)
        written = compose(name, dataset, _config(request), counts=counts)
        composed.append((name, _cut([dataset.codec.decode(one.steps) for one in written], request.num_notes)))
    return composed


def _config(request: SampleRequest) -> SampleConfig:
    lengths = request.num_notes
    return SampleConfig(num_pieces=len(lengths), num_notes=max(lengths), seed=request.seed)


def _cut(pieces: Sequence[Piece], num_notes: Sequence[int]) -> list[Piece]:
    """Returns the beginnings of pieces, with so many notes; a piece of which nothing was written is left out."""
    cut = [first_notes(piece, wanted) for piece, wanted in zip(pieces, num_notes, strict=True)]
    return [piece for piece in cut if piece.num_notes]
