"""How likely the music of a split is, by piece, to predictors that count and to networks; pieces are read as a stream.

Letters: p pieces, b rows of a batch, t time steps, f fields, v values of a field, n rows of pieces, c columns of sums:
nats, top-1 hits and top-5 hits of every field, then exact matches.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from ostinato.configs.errors import UserError
from ostinato.data.ngrams import Tape, make_tape
from ostinato.data.records import Dataset, Record, RecordSource, TFRecordSource
from ostinato.evaluation.scores import PieceScores, SplitStats, expected_hits
from ostinato.model.copy_gate import mixed
from ostinato.model.field_head import nll
from ostinato.model.network import Carry, MusicModel, initial_carry, make_gate, make_head
from ostinato.music.codec import Codec
from ostinato.music.codecs import codec_line
from ostinato.train.batch import Batch
from ostinato.train.checkpoint import LoadedRun
from ostinato.train.data import evaluation_batches
from ostinato.train.step import make_mesh, place, split_rows

ROWS_READ = 8192
"""Whole pieces are read until they have so many rows."""

PROBABILITIES_AT_ONCE = 2**21
"""As many are in memory at the same time: 16 MB."""

LONGEST_CHUNK = 128
"""Steps that a network reads at once; its memory is carried from chunk to chunk."""

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
            f"{workdir}: trained with another codec ({codec_line(run.codec)}) than {dataset} has "
            f"({codec_line(dataset.codec)}); {advice}"
        )


def split_stats(source: TFRecordSource, pieces: Int[np.ndarray, " p"]) -> SplitStats:
    """Returns what some pieces of a split hold."""
    styles, columns = [], []
    for number in pieces.tolist():
        record = source[number]
        piece = source.codec.decode(record.steps)
        notes = float(source.codec.count_notes(record.steps).sum())
        styles.append(record.style)
        columns.append([len(record.steps) - 1.0, notes, piece.duration_s, piece.end_tick / piece.ticks_per_quarter])
    return SplitStats(styles, *np.array(columns, float).reshape(-1, 4).T)


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
        _scores(predictor.name, np.concatenate(of_predictor))
        for predictor, of_predictor in zip(predictors, zip(*parts, strict=True), strict=True)
    ]


def score_network(
    run: LoadedRun, source: RecordSource, pieces: Int[np.ndarray, " p"], *, batch_size: int, name: str
) -> PieceScores:
    """Returns how well a trained network knows some pieces of a split.

    Its memory runs through each whole piece, whatever the excerpts of training were.
    """
    mesh = make_mesh(batch_size)
    step = _make_step(run.model, mesh)  # pyright: ignore[reportArgumentType]  # flax gives modules a hash
    length = min(run.config.data.sequence_length, LONGEST_CHUNK)
    carry = jax.device_put(initial_carry(run.model.config, batch_size), split_rows(mesh))
    sums_pc = np.zeros((len(pieces), 3 * len(source.codec.fields) + 1))
    by_length, first = np.argsort(np.asarray(source.lengths)[pieces], kind="stable"), -batch_size
    for batch in evaluation_batches(source, batch_size, length, pieces=pieces, copy=run.config.model.copy):
        first += batch_size if batch.starts[0, 0] else 0  # the next pieces begin
        now = by_length[first : first + batch_size]
        carry, sums_bc = step(run.params, carry, place(batch, mesh, batch_size))
        sums_pc[now] += np.asarray(sums_bc, np.float64)[: len(now)]
    return _scores(name, sums_pc)


def _scores(name: str, sums_pc: Float[np.ndarray, "p c"]) -> PieceScores:
    nats, top1, top5 = np.split(sums_pc[:, :-1], 3, axis=1)
    return PieceScores(name, nats, top1, top5, sums_pc[:, -1])


def _score_rows(
    predictor: Predictor, records: Sequence[Record], codec: Codec, first_row: int
) -> Float[np.ndarray, "p c"]:
    """Returns the sums over the rows of each piece."""
    tape = make_tape([record.steps for record in records])
    piece = np.repeat(np.arange(len(records)), [len(record.steps) for record in records])
    num_rows = max(1, PROBABILITIES_AT_ONCE // max(field.size for field in codec.fields))
    sums_pc = np.zeros((len(records), 3 * len(codec.fields) + 1))
    for begin in range(0, len(tape.rows), num_rows):
        now = slice(begin, begin + num_rows)
        part = Tape(tape.rows[now], tape.position[now], {order: one[now] for order, one in tape.history.items()})
        nats, top1, top5 = [], [], []
        for field in range(len(codec.fields)):
            probability = predictor.probabilities(part, field)
            chosen = probability[np.arange(len(part.rows)), part.rows[:, field]][:, None]
            num_larger, num_equal = (probability > chosen).sum(1), (probability == chosen).sum(1)
            nats.append(-np.log(chosen[:, 0]))
            top1.append(expected_hits(num_larger, num_equal, 1))
            top5.append(expected_hits(num_larger, num_equal, _TOP))
        is_counted = part.position >= first_row
        for column, values in enumerate([*nats, *top1, *top5, np.prod(top1, axis=0)]):
            sums_pc[:, column] += np.bincount(piece[now][is_counted], values[is_counted], len(records))
    return sums_pc


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


@functools.lru_cache(maxsize=8)  # so that it is compiled once, not for each piece that somebody asks about
def _make_step(model: MusicModel, mesh: Mesh) -> Callable[[Any, Carry, Batch], tuple[Carry, Float[Array, "b c"]]]:
    """Returns the jitted step `(params, carry, batch) -> (carry, sums)`, the sums of each row over its real steps."""

    def sums_of_rows(params: Any, carry: Carry, batch: Batch) -> tuple[Carry, Array]:
        targets_btf = jnp.asarray(batch.targets)
        heard = model.heard(jnp.asarray(batch.inputs), batch.alignment)
        outputs: Any = model.apply({"params": params}, heard, batch.starts, carry, method=MusicModel.features)
        features_bth, carry = outputs
        logits: Any = make_head(model).apply({"params": params["head"]}, features_bth, targets_btf)
        nll_btf = nll(logits, targets_btf)
        if batch.alignment is not None:
            sources: Any = make_gate(model).apply({"params": params["gate"]}, features_bth, batch.alignment)
            logits, nll_btf = mixed(logits, nll_btf, targets_btf, sources, batch.alignment)
        top1, top5 = [], []
        for field, logits_btv in enumerate(logits):
            chosen = jnp.take_along_axis(logits_btv, targets_btf[..., field : field + 1], axis=-1)
            num_larger = jnp.sum(logits_btv > chosen, axis=-1).astype(jnp.float32)
            num_equal = jnp.sum(logits_btv == chosen, axis=-1).astype(jnp.float32)
            top1.append(expected_hits(num_larger, num_equal, 1))
            top5.append(expected_hits(num_larger, num_equal, _TOP))
        hits_btc = jnp.stack([*top1, *top5, jnp.prod(jnp.stack(top1), axis=0)], axis=-1)
        values_btc = jnp.concatenate([nll_btf, hits_btc], axis=-1)
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
