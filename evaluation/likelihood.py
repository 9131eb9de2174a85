"""How likely the music of a split is, by piece, to predictors that count and to networks; pieces are read as a stream.

Letters: p pieces, b rows of a batch, t time steps, f fields, v values of a field, n rows of pieces.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Integer

from ostinato.configs.errors import UserError
from ostinato.data.ngrams import Tape, make_tape
from ostinato.data.records import Dataset, Record, TFRecordSource
from ostinato.evaluation.scores import Material, PieceScores, expected_hits
from ostinato.model.network import Carry, MusicModel, initial_carry, nll
from ostinato.music.codec import Codec
from ostinato.music.codecs import codec_line
from ostinato.train.checkpoint import LoadedRun
from ostinato.train.data import Batch
from ostinato.train.step import make_mesh, place, split_rows

ROWS_READ = 8192
"""Whole pieces are read until they have so many rows."""

PROBABILITIES_AT_ONCE = 2**21
"""As many are in memory at the same time: 16 MB."""

LONGEST_CHUNK = 128
"""Steps that a network reads at once; its memory goes on from chunk to chunk."""

_TOP = 5


class Predictor(Protocol):
    """What can be asked how probable each value of a field is."""

    @property
    def name(self) -> str: ...

    def probabilities(self, tape: Tape, field: int) -> Float[np.ndarray, "n v"]:
        """Returns a distribution over the values of a field for every row, given all before it."""
        ...


def check_codec(workdir: Path, run: LoadedRun, dataset: Dataset, *, advice: str) -> None:
    """Holds that a run can read a dataset.

    Raises:
        UserError: it was trained with another codec; `advice` says what to do.
    """
    if run.codec.to_json() != dataset.codec.to_json():
        raise UserError(
            f"{workdir}: trained with another codec ({codec_line(run.codec)}) than {dataset.path} has "
            f"({codec_line(dataset.codec)}); {advice}"
        )


def measure_material(source: TFRecordSource, pieces: Int[np.ndarray, " p"]) -> Material:
    """Returns what some pieces of a split hold."""
    styles, columns = [], []
    for number in pieces.tolist():
        record = source[number]
        piece = source.codec.decode(record.steps)
        notes = float(source.codec.count_notes(record.steps).sum())
        styles.append(record.style)
        columns.append([len(record.steps) - 1.0, notes, piece.duration_s, piece.end_tick / piece.ticks_per_quarter])
    return Material(styles, *np.array(columns, float).reshape(-1, 4).T)


def score_predictors(
    predictors: Sequence[Predictor], source: TFRecordSource, pieces: Int[np.ndarray, " p"], *, first_row: int = 1
) -> list[PieceScores]:
    """Returns how well each predictor knows some pieces of a split, of each from `first_row` on.

    No more than a few pieces are in memory.
    """
    parts = [
        [_score_rows(predictor, records, source.codec, first_row) for predictor in predictors]
        for records in _in_chunks(source, pieces)
    ]
    return [
        PieceScores(predictor.name, *(np.concatenate(column) for column in zip(*parts_of_one, strict=True)))
        for predictor, parts_of_one in zip(predictors, zip(*parts, strict=True), strict=True)
    ]


def score_network(
    run: LoadedRun, source: TFRecordSource, pieces: Int[np.ndarray, " p"], *, batch_size: int, name: str
) -> PieceScores:
    """Returns how well a trained network knows some pieces of a split.

    Its memory runs through each whole piece, whatever the excerpts of training were.
    """
    mesh = make_mesh(batch_size)
    step = _make_step(run.model, mesh)
    length = min(run.config.data.sequence_length, LONGEST_CHUNK)
    carry = jax.device_put(initial_carry(run.model.config, batch_size), split_rows(mesh))
    num_fields = len(source.codec.fields)
    sums_pc = np.zeros((len(pieces), 3 * num_fields + 1))
    for batch, piece_b in _batches(source, pieces, batch_size, length):
        carry, sums_bc = step(run.params, carry, place(batch, mesh, batch_size))
        is_piece = piece_b >= 0
        sums_pc[piece_b[is_piece]] += np.asarray(sums_bc, np.float64)[is_piece]
    nats, top1, top5 = (sums_pc[:, number * num_fields : (number + 1) * num_fields] for number in range(3))
    return PieceScores(name, nats, top1, top5, sums_pc[:, -1])


def _score_rows(
    predictor: Predictor, records: Sequence[Record], codec: Codec, first_row: int
) -> tuple[np.ndarray, ...]:
    """Returns nats, top-1, top-5 and whole rows of each piece."""
    tape = make_tape([record.steps for record in records])
    piece = np.repeat(np.arange(len(records)), [len(record.steps) for record in records])
    num_fields = len(codec.fields)
    sums_pc = np.zeros((len(records), 3 * num_fields + 1))
    num_rows = max(1, PROBABILITIES_AT_ONCE // max(field.size for field in codec.fields))
    for begin in range(0, len(tape.rows), num_rows):
        now = slice(begin, begin + num_rows)
        part = _cut(tape, now)
        real = part.position >= first_row
        whole = np.ones(len(part.rows))
        for field in range(num_fields):
            probability = predictor.probabilities(part, field)
            chosen = probability[np.arange(len(part.rows)), part.rows[:, field]][:, None]
            num_larger, num_equal = (probability > chosen).sum(1), (probability == chosen).sum(1)
            top1 = expected_hits(num_larger, num_equal, 1)
            columns = -np.log(chosen[:, 0]), top1, expected_hits(num_larger, num_equal, _TOP)
            for number, column in enumerate(columns):
                _add(sums_pc[:, number * num_fields + field], piece[now], column, real)
            whole *= top1
        _add(sums_pc[:, -1], piece[now], whole, real)
    nats, top1, top5 = (sums_pc[:, number * num_fields : (number + 1) * num_fields] for number in range(3))
    return nats, top1, top5, sums_pc[:, -1]


def _add(sums_p: np.ndarray, piece: np.ndarray, values: np.ndarray, real: np.ndarray) -> None:
    """Adds the values of real rows to the sums of their pieces."""
    sums_p += np.bincount(piece[real], values[real], len(sums_p))


def _cut(tape: Tape, rows: slice) -> Tape:
    history = {order: hashes[rows] for order, hashes in tape.history.items()}
    return Tape(tape.rows[rows], tape.position[rows], history)


def _in_chunks(source: TFRecordSource, pieces: Int[np.ndarray, " p"]) -> Iterator[list[Record]]:
    """Yields pieces, as many at a time as make ROWS_READ rows."""
    records: list[Record] = []
    for number in pieces.tolist():
        records.append(source[number])
        if sum(len(record.steps) for record in records) >= ROWS_READ:
            yield records
            records = []
    if records:
        yield records


def _batches(
    source: TFRecordSource, pieces: Int[np.ndarray, " p"], batch_size: int, length: int
) -> Iterator[tuple[Batch, Int[np.ndarray, " b"]]]:
    """Yields every piece once, in chunks of `length` steps, and of each row of the batch which of the pieces it is.

    Pieces of similar length are read side by side; a row that has nothing left to say has weight 0, one without a piece
    is -1.
    """
    by_length = np.argsort(np.asarray(source.lengths)[pieces], kind="stable")
    end = np.array(source.codec.end, np.int32)
    for first in range(0, len(by_length), batch_size):
        group = by_length[first : first + batch_size]
        piece_b = np.full(batch_size, -1)
        piece_b[: len(group)] = group
        longest = int(np.asarray(source.lengths)[pieces[group]].max())
        num_chunks = -(-(longest - 1) // length)
        steps = np.empty((batch_size, num_chunks * length + 1, len(end)), np.int32)
        steps[:] = end[None, None]
        weights = np.zeros((batch_size, num_chunks * length), np.float32)
        for row, number in enumerate(group):
            piece: Integer[np.ndarray, "_ f"] = source[int(pieces[number])].steps
            steps[row, : len(piece)] = piece
            weights[row, : len(piece) - 1] = 1.0
        for begin in range(0, num_chunks * length, length):
            now = slice(begin, begin + length)
            starts = np.zeros((batch_size, length), bool)
            starts[:, 0] = begin == 0
            inputs, targets = steps[:, now], steps[:, begin + 1 : begin + length + 1]
            yield Batch(inputs, targets, starts, weights[:, now]), piece_b


def _make_step(model: MusicModel, mesh: Mesh) -> Callable[[Any, Carry, Batch], tuple[Carry, Float[Array, "b c"]]]:
    """Returns the jitted step `(params, carry, batch) -> (carry, sums)`.

    The sums of each row over its real steps: nats, top-1 and top-5 of every field, and steps that were right whole.
    """

    def sums_of_rows(params: Any, carry: Carry, batch: Batch) -> tuple[Carry, Array]:
        targets_btf = jnp.asarray(batch.targets)
        outputs: Any = model.apply({"params": params}, batch.inputs, targets_btf, batch.starts, carry)
        logits, carry = outputs
        top1, top5 = [], []
        for field, logits_btv in enumerate(logits):
            chosen = jnp.take_along_axis(logits_btv, targets_btf[..., field : field + 1], axis=-1)
            num_larger = jnp.sum(logits_btv > chosen, axis=-1).astype(jnp.float32)
            num_equal = jnp.sum(logits_btv == chosen, axis=-1).astype(jnp.float32)
            top1.append(expected_hits(num_larger, num_equal, 1))
            top5.append(expected_hits(num_larger, num_equal, _TOP))
        whole = jnp.prod(jnp.stack(top1), axis=0)
        values_btc = jnp.concatenate(
            [nll(logits, targets_btf), jnp.stack(top1, -1), jnp.stack(top5, -1), whole[..., None]], axis=-1
        )
        # A padded step may be infinitely unlikely, and 0 times infinity is not 0.
        is_real = (batch.weights > 0)[..., None]
        return carry, jnp.sum(jnp.where(is_real, values_btc, 0.0), axis=1)

    everywhere, rows = PartitionSpec(), PartitionSpec("data")
    step = jax.shard_map(sums_of_rows, mesh=mesh, in_specs=(everywhere, rows, rows), out_specs=rows, check_vma=False)
    return jax.jit(
        step,
        in_shardings=(NamedSharding(mesh, everywhere), split_rows(mesh), split_rows(mesh)),
        out_shardings=split_rows(mesh),
    )
