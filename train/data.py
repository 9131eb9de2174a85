"""The order of the data: batch k of a run as a pure function of (dataset, seed, k).

There is no loader state. Resuming is asking for batch `state.step`; another number of hosts reads the same batches,
each host its own rows. Axes: b batch, t time step, f field, n rows of a piece.
"""

import functools
import os
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Protocol, runtime_checkable

import grain
import numpy as np
from jaxtyping import Int, Integer

from ostinato.configs.errors import UserError
from ostinato.configs.schema import DataConfig
from ostinato.data.records import RecordSource, TFRecordSource
from ostinato.train.augmentation import NO_CHANGE, Change, changed, draw_changes, largest_change, mishear, with_key
from ostinato.train.batch import Batch, Rows, batch_of, end_rows, joined, padded
from ostinato.train.token_stream import Part, TokenStream, make_stream

CACHE_BYTES = 256 * 2**20
"""So much of decoded pieces is kept in memory, about; a small corpus stays there whole."""
_ENTRY_BYTES = 512
"""What Python needs for each piece beside its rows, about."""

MAX_THREADS = 4
BATCHES_AHEAD = 8


@runtime_checkable  # for the check of types in tests
class TrainingBatches(Protocol):
    """Training batches by their number, without end."""

    @property
    def steps_per_epoch(self) -> int: ...

    def __getitem__(self, k: int) -> Batch: ...

    def pieces(self, k: int) -> list[int]:
        """Returns the numbers of the pieces in batch k, in the order of its rows, on all hosts together."""
        ...


def training_batches(
    source: TFRecordSource,
    config: DataConfig,
    *,
    seed: int,
    rows: slice = slice(None),
    copy: bool = False,
    tell_keys: bool = False,
) -> TrainingBatches:
    """Returns the training batches in the order that the configuration names.

    Args:
        source: the training split.
        config: batch size, sequence length, order, and by how much pieces are changed.
        seed: the seed of the run.
        rows: the rows of each batch that this host reads.
        copy: the network has a copy gate.
        tell_keys: inputs have one more column, the key of half of the pieces.

    Raises:
        UserError: the split is empty, the codec knows no bars to copy from or no keys, or pieces are to be changed in
            a way that the codec cannot.
    """
    if not len(source):
        raise UserError("the training split holds no pieces; prepare a larger collection")
    empty = np.array([source.codec.start, source.codec.end])
    changed(source.codec, empty, largest_change(config))  # says so at once if this codec cannot
    if (copy or config.misheard) and not source.codec.can_align:
        raise UserError(
            f"the {source.codec.name} codec has no bars to copy from; set --model.no-copy and --data.misheard 0"
        )
    if tell_keys and not source.codec.has_keys:
        raise UserError(f"the {source.codec.name} codec has no keys to tell; set --model.no-key-condition")
    order = {"streams": StreamBatches, "windows": WindowBatches}[config.order]
    return order(source, config, seed=seed, rows=rows, copy=copy, tell_keys=tell_keys)


class StreamBatches:
    """Whole pieces one after the other; the memory goes from batch to batch.

    In each epoch all pieces, in a new random order, form one circular stream of L steps. Row r of the b rows begins at
    position (offset + floor(r L / b)) mod L, the offset being random, and is read in S chunks of t steps,
    S = max(1, floor(L / (b t))). So each step of each piece is visited at most once in an epoch (if L >= b t) and fewer
    than b t steps are left out, however long the pieces are. Where a row begins inside a piece its memory is
    empty, which happens once in S batches.
    """

    def __init__(
        self, source: TFRecordSource, config: DataConfig, *, seed: int, rows: slice, copy: bool, tell_keys: bool
    ) -> None:
        self._codec = source.codec
        self._config, self._copy, self._tell_keys = config, copy, tell_keys
        self._seed = seed
        self._rows = range(config.batch_size)[rows]
        self._pieces = _Pieces(source, config, copy=copy, tell_keys=tell_keys)
        make = lambda epoch: make_stream(source.lengths, config, seed=(seed, epoch), tell_keys=tell_keys)  # noqa: E731
        self._stream = functools.lru_cache(maxsize=2)(make)  # threads that prefetch straddle two epochs
        self._making = threading.Lock()  # or each of them would make it
        self.steps_per_epoch = _steps_per_epoch(source.lengths, config)

    def __getitem__(self, k: int) -> Batch:
        chunk, stream = k % self.steps_per_epoch, self._stream_of(k // self.steps_per_epoch)
        t = self._config.sequence_length
        first = np.zeros((len(self._rows), t + 1), bool)
        places = [list(self._parts(stream, row, chunk)) for row in self._rows]
        # The piece that a row is in the midst of was read with the chunk before.
        new = [part for row in places for i, part in enumerate(row) if i or part.begin == 0 or chunk == 0]
        self._pieces.read_ahead(stream.pieces[[part.slot for part in new]].tolist())
        rows = []
        for i, row in enumerate(places):
            parts, filled = [], 0
            for slot, begin, length in row:
                change, piece = Change(*stream.changes[slot].tolist()), int(stream.pieces[slot])
                whole = self._pieces(piece, change, (self._seed, k // self.steps_per_epoch, slot))
                parts.append(whole.cut(begin, begin + length))
                first[i, filled] = begin == 0
                filled += length
            rows.append(joined(parts))
        starts = first[:, :-1].copy()
        if chunk == 0:
            starts[:, 0] = True
        rows = rows or [end_rows(self._codec, t + 1, copy=self._copy, tell_keys=self._tell_keys)]
        return batch_of(rows, starts, np.where(first[:, 1:], 0, 1).astype(np.float32))

    def pieces(self, k: int) -> list[int]:
        chunk, stream = k % self.steps_per_epoch, self._stream_of(k // self.steps_per_epoch)
        rows = range(self._config.batch_size)
        slots = (slot for row in rows for slot, _, _ in self._parts(stream, row, chunk))
        return list(dict.fromkeys(int(stream.pieces[slot]) for slot in slots))

    def _stream_of(self, epoch: int) -> TokenStream:
        with self._making:
            return self._stream(epoch)

    def _parts(self, stream: TokenStream, row: int, chunk: int) -> Iterator[Part]:
        """Returns the parts of pieces that make a row of t + 1 steps."""
        b, t = self._config.batch_size, self._config.sequence_length
        return stream.parts(stream.offset + row * stream.num_steps // b + chunk * t, t + 1)


class WindowBatches:
    """Excerpts of t steps from random places, each read with an empty memory (the paper).

    Every window of every piece is equally likely; a piece of n rows has max(1, n - t) of them. A piece that is shorter
    than a window is filled up with END rows of weight 0.
    """

    def __init__(
        self, source: TFRecordSource, config: DataConfig, *, seed: int, rows: slice, copy: bool, tell_keys: bool
    ) -> None:
        lengths = source.lengths
        self._codec = source.codec
        self._config = config
        self._seed = seed
        self._rows = range(config.batch_size)[rows]
        self._copy, self._tell_keys = copy, tell_keys
        self._pieces = _Pieces(source, config, copy=copy, tell_keys=tell_keys)
        self._window_ends = np.cumsum(np.maximum(1, lengths - config.sequence_length))
        self.steps_per_epoch = _steps_per_epoch(lengths, config)

    def __getitem__(self, k: int) -> Batch:
        rng = np.random.default_rng([self._seed, k])
        windows = rng.integers(self._window_ends[-1], size=self._config.batch_size)
        changes = draw_changes(rng, self._config, self._config.batch_size, tell_keys=self._tell_keys)
        pieces = np.searchsorted(self._window_ends, windows, side="right")
        begins = windows - np.where(pieces > 0, self._window_ends[pieces - 1], 0)
        excerpts = []
        self._pieces.read_ahead(pieces[list(self._rows)].tolist())
        for row in self._rows:
            whole = self._pieces(int(pieces[row]), Change(*changes[row].tolist()), (self._seed, k, row))
            excerpts.append(whole.cut(int(begins[row]), None))
        return padded(
            excerpts, self._config.sequence_length, self._codec, reset=True, copy=self._copy, tell_keys=self._tell_keys
        )

    def pieces(self, k: int) -> list[int]:
        windows = np.random.default_rng([self._seed, k]).integers(self._window_ends[-1], size=self._config.batch_size)
        return list(dict.fromkeys(np.searchsorted(self._window_ends, windows, side="right").tolist()))


def evaluation_batches(
    source: RecordSource,
    batch_size: int,
    sequence_length: int,
    *,
    rows: slice = slice(None),
    pieces: Int[np.ndarray, " p"] | None = None,
    copy: bool = False,
) -> Iterator[Batch]:
    """Yields every piece of a split (or the given ones) exactly once, in batches of the same shape as in training.

    Pieces are sorted by length and read b at a time in chunks of t steps; the memory goes from chunk to chunk and
    `starts` resets it where the next b pieces begin. Rows that have nothing left to say have weight 0.
    """
    b, t = batch_size, sequence_length
    lengths = np.asarray(source.lengths, np.int64)
    pieces = np.arange(len(lengths)) if pieces is None else pieces
    by_length = pieces[np.argsort(lengths[pieces], kind="stable")]
    for group in range(0, len(by_length), b):
        indices = by_length[group : group + b]
        read = functools.partial(_read_rows, source, copy=copy)
        source.read_ahead(indices[rows].tolist())
        wholes = [read(int(indices[row])) if row < len(indices) else None for row in range(b)[rows]]
        for begin in range(0, int(lengths[indices].max()) - 1, t):
            excerpts = [None if whole is None else whole.cut(begin, begin + t + 1) for whole in wholes]
            yield padded(excerpts, t, source.codec, reset=begin == 0, copy=copy)


def prefetch(batches: TrainingBatches, *, first_step: int) -> Generator[Batch]:
    """Yields batch first_step, first_step + 1, … without end; grain's threads prepare them ahead of time.

    An error of a thread, such as a damaged record, is raised here. The threads end with the generator's `close`.
    """
    dataset = grain.MapDataset.range(first_step, sys.maxsize).map(batches.__getitem__)
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    iterator = iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=BATCHES_AHEAD)))
    try:
        yield from iterator
    finally:
        iterator.close()


class _Pieces:
    """Reads pieces, changed and misheard; the most recently used ones are kept. Threads may share it."""

    def __init__(self, source: TFRecordSource, config: DataConfig, *, copy: bool, tell_keys: bool) -> None:
        codec = source.codec
        mean_bytes = int(source.lengths.mean() * len(codec.fields) * np.dtype(codec.dtype).itemsize)
        size = max(1, CACHE_BYTES // (_ENTRY_BYTES + mean_bytes))
        self._source, self._rate, self._copy, self._tell_keys = source, config.misheard, copy, tell_keys
        self._mark_transposed, self._key_quarters = config.mark_transposed, config.key_quarters
        self._changed = functools.lru_cache(maxsize=size)(self._read_changed)
        self._is_read = np.zeros(len(source) if size >= len(source) else 0, bool)  # those that stay in memory
        # Chunk after chunk reads on in the same pieces.
        self._heard = functools.lru_cache(maxsize=4 * config.batch_size)(self._hear)

    def read_ahead(self, pieces: list[int]) -> None:
        """Says which pieces are asked for next."""
        if len(self._is_read):
            pieces = [piece for piece in pieces if not self._is_read[piece]]
            self._is_read[pieces] = True
        self._source.read_ahead(pieces)

    def __call__(self, piece: int, change: Change, draw: tuple[int, ...]) -> Rows:
        """Returns a whole piece; `draw` seeds what is misheard."""
        if not self._rate and not self._copy and not self._tell_keys:
            steps = self._changed(piece, change)
            return Rows(steps, steps, None)
        return self._heard(piece, change, draw if self._rate else ())

    def _read_changed(self, piece: int, change: Change) -> Integer[np.ndarray, "n f"]:
        if change == NO_CHANGE:
            return self._source[piece].steps
        whole = self._changed(piece, NO_CHANGE)
        return changed(self._source.codec, whole, change, mark_transposed=self._mark_transposed)

    def _hear(self, piece: int, change: Change, draw: tuple[int, ...]) -> Rows:
        steps, codec = self._changed(piece, change), self._source.codec
        heard, misheard = steps, None
        if self._rate:
            heard, misheard = mishear(np.random.default_rng(draw), codec, steps, self._rate)
        if self._tell_keys:
            heard = with_key(heard, codec.keys_of(steps, quarters=self._key_quarters) if change.tells_key else 0)
        return Rows(steps, heard, codec.align(steps, misheard) if self._copy else None)


def _read_rows(source: RecordSource, piece: int, *, copy: bool) -> Rows:
    steps = source[piece].steps
    return Rows(steps, steps, source.codec.align(steps) if copy else None)


def _steps_per_epoch(lengths: Int[np.ndarray, " p"], config: DataConfig) -> int:
    return max(1, int(lengths.sum()) // (config.batch_size * config.sequence_length))
