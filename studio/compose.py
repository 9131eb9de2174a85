"""Generates pieces, exactly as `ostinato sample` does, and sends what has come on the way.

It goes through the functions of the command: `make_pieces`, origin, MIDI. So the same seed and options give the
same bytes, and `ostinato sample --again` makes each piece again.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Int

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.music.codec import Codec
from ostinato.pretrained.models import where_found
from ostinato.sample.controls import controls_for
from ostinato.sample.finished import finished_piece
from ostinato.sample.generate import generate
from ostinato.sample.infill import check_around, find_hole
from ostinato.sample.output.provenance import describe_origin
from ostinato.sample.output.roll import note_rows, roll_of, timing_of
from ostinato.sample.primers import load_primers, read_piece
from ostinato.sample.request import Watch, make_pieces
from ostinato.studio.pieces import Pieces
from ostinato.studio.request import Request
from ostinato.studio.worker import CancelledError, Job
from ostinato.train.checkpoint import LoadedRun

MAX_AROUND = 4000
"""Notes that music is written around; each is weighed by all attempts."""


def warm_up(run: LoadedRun) -> None:
    """Compiles all that pieces need: one note takes the same functions as a thousand."""
    generate(run.model, run.params, run.codec, SampleConfig(num_pieces=1, num_notes=1))


def check_request(run: LoadedRun, request: Request) -> None:
    """Refuses what this model cannot be asked for.

    Raises:
        UserError: an option does not fit the model, or the file has not the bars that are wanted; the message names the
            file, not where it is kept.
    """
    config = request.config
    controls_for(run.config.model, config, run.codec)
    for name, path in request.inputs.items():
        if name == "primer":
            _check_primer(path, run.codec, config)
            continue
        check_around(run.codec, config)
        piece = run.codec.quantise(read_piece(path))
        if piece.num_notes > MAX_AROUND:
            raise UserError(f"{path.name}: {piece.num_notes:,} notes; music is written around at most {MAX_AROUND:,}")
        if name == "fill":
            try:
                find_hole(piece, config)
            except UserError as error:
                raise UserError(f"{path.name}: {str(error).removesuffix(' (--primer)')}") from error


def compose(run: LoadedRun, source: str | Path, pieces: Pieces, job: Job) -> None:
    """Generates pieces and saves them; sends `notes` or `share` as they come, and at last the `pieces` that are `done`.

    Raises:
        UserError: the options do not fit the model, or no note came.
        CancelledError: the job was cancelled in the meantime.
    """
    config, inputs = job.request.config, job.request.inputs
    wanted, paths = job.request.wanted, {name: str(path) for name, path in inputs.items()}
    made = make_pieces(run, config, paths, num_pieces=wanted[-1] + 1, watch=_Growing(run.codec, job))
    done, found = [], where_found(source, inputs)
    for number in wanted[: len(made)]:
        piece = finished_piece(made[number], run.codec, config)
        if piece.num_notes:
            origin = describe_origin(run, config, inputs, piece=number)
            done.append({**pieces.save(made[number], piece, origin, found), "roll": roll_of(piece)})
    if not done:
        raise UserError("the model wrote no note in the length that was asked for; ask for more")
    job.send("done", pieces=done)


def _check_primer(path: Path, codec: Codec, config: SampleConfig) -> None:
    try:
        load_primers(str(path), codec, config)
    except UserError as error:
        raise UserError(str(error).replace(str(path), path.name).partition("; see --primer")[0]) from error


class _Growing(Watch):
    """Pieces that are being generated."""

    def __init__(self, codec: Codec, job: Job) -> None:
        self._codec, self._job = codec, job
        self._rows = {number: np.array([codec.start], np.int64) for number in job.request.wanted}
        self._sent: dict[int, Counter[tuple[int, ...]]] = {number: Counter() for number in self._rows}
        self._over: set[int] = set()

    def share(self, share: float) -> None:
        """Sends how much is written."""
        self._check()
        self._job.send("share", share=round(share, 3))

    def rows(self, numbers: list[int], rows: Int[np.ndarray, "p t f"]) -> None:
        """Sends the new notes of each piece."""
        self._check()
        for number, of_piece in zip(numbers, rows, strict=True):
            if number in self._rows and number not in self._over:
                self._grow(number, of_piece)

    def _check(self) -> None:
        if self._job.cancelled.is_set():
            raise CancelledError

    def _grow(self, number: int, rows: Int[np.ndarray, "t f"]) -> None:
        field, value = self._codec.eos
        ends = np.flatnonzero(rows[:, field] == value)
        if len(ends):
            self._over.add(number)
        self._rows[number] = np.concatenate([self._rows[number], rows[: ends[0] if len(ends) else None]])
        piece = self._codec.decode(self._rows[number])
        if piece.num_notes:
            # A later row may put a note between earlier ones: what is new is what has not been sent.
            now = Counter(map(tuple, note_rows(piece)))
            new = sorted((now - self._sent[number]).elements())
            self._job.send("notes", take=number, notes=new, **timing_of(piece))
            self._sent[number] = now
