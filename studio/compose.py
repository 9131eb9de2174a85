"""Writes one piece, exactly as `ostinato sample` does, and tells on the way what has come.

It goes through the functions of the command: primers, `generate`, origin, MIDI. So the same seed and options give the
same bytes, and `ostinato sample --again` makes the piece anew.
"""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Integer

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.music.codec import Codec
from ostinato.sample.generate import generate
from ostinato.sample.output.provenance import describe_origin
from ostinato.sample.primers import load_primers
from ostinato.sample.rank import make_score
from ostinato.studio.pieces import Pieces
from ostinato.studio.roll import note_rows, roll_of, timing_of
from ostinato.train.checkpoint import LoadedRun

Tell = Callable[[dict[str, Any]], None]
"""Takes an event: an object of JSON."""


class CancelledError(Exception):
    """Nobody waits for the piece any more."""


def warm_up(run: LoadedRun) -> None:
    """Compiles all that pieces need: one note takes the same functions as a thousand."""
    generate(run.model, run.params, run.codec, SampleConfig(num_pieces=1, num_notes=1))


def read_primer(path: Path | None, codec: Codec, config: SampleConfig) -> list[Integer[np.ndarray, "n f"]]:
    """Returns what the piece begins with, as `load_primers`.

    Raises:
        UserError: the file has not the bars that are wanted; the message names the file, not where it is kept.
    """
    try:
        return load_primers(str(path or ""), codec, config)
    except ValueError as error:
        said = str(error).replace(str(path), path.name if path else "").partition("; see --primer")[0]
        raise UserError(said) from error


def compose(
    run: LoadedRun,
    workdir: Path,
    pieces: Pieces,
    config: SampleConfig,
    primer: Path | None,
    *,
    tell: Tell,
    cancelled: threading.Event,
) -> None:
    """Writes a piece and keeps it; tells of `notes` as they come, and at last of the piece that is `done`.

    Raises:
        UserError: the options do not fit the model, or no note came.
        CancelledError: it was set in the meantime.
    """
    primers = read_primer(primer, run.codec, config)
    growing = _Growing(run.codec, tell, cancelled)
    score = make_score(run, config.best_by)
    (generated,) = generate(run.model, run.params, run.codec, config, primers, score=score, watch=growing.add)
    piece = run.codec.decode(generated.steps)
    if not piece.num_notes:
        raise UserError("the model wrote no note in the length that was asked for; ask for more")
    inputs = {} if primer is None else {"primer": primer}
    note = pieces.keep(
        generated,
        piece,
        primer_ticks=run.codec.decode(generated.steps[: generated.num_primer_steps]).end_tick,
        origin=describe_origin(run, config, inputs, piece=0),
        found={name: str(path.absolute()) for name, path in {"workdir": workdir, **inputs}.items()},
    )
    tell({"event": "done", "piece": {**note, "roll": roll_of(piece)}})


class _Growing:
    """A piece that is being written."""

    def __init__(self, codec: Codec, tell: Tell, cancelled: threading.Event) -> None:
        self._codec, self._tell, self._cancelled = codec, tell, cancelled
        self._rows = np.array([codec.start], np.int64)
        self._told: Counter[tuple[int, ...]] = Counter()
        self._is_over = False

    def add(self, rows: Int[np.ndarray, "p t f"]) -> None:
        """Takes the next rows; the first piece is the one, the others fill up its block."""
        if self._cancelled.is_set():
            raise CancelledError
        if self._is_over:
            return
        field, value = self._codec.eos
        ends = np.flatnonzero(rows[0, :, field] == value)
        self._is_over = bool(len(ends))
        self._rows = np.concatenate([self._rows, rows[0, : ends[0] if len(ends) else None]])
        piece = self._codec.decode(self._rows)
        if not piece.num_notes:
            return
        # A later row may put a note between earlier ones: what is new is what has not been told.
        now = Counter(map(tuple, note_rows(piece)))
        new = sorted((now - self._told).elements())
        self._told = now
        self._tell({"event": "notes", "notes": new, **timing_of(piece)})
