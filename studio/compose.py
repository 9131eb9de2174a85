"""Generates one piece, exactly as `ostinato sample` does, and sends what has come on the way.

It goes through the functions of the command: primers, `generate`, origin, MIDI. So the same seed and options give the
same bytes, and `ostinato sample --again` makes the piece again.
"""

from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Int

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.music.codec import Codec
from ostinato.pretrained.models import where_found
from ostinato.sample.finished import finished_piece
from ostinato.sample.generate import generate
from ostinato.sample.output.provenance import describe_origin
from ostinato.sample.primers import Primer, load_primers
from ostinato.sample.rank import make_score
from ostinato.studio.pieces import Pieces
from ostinato.studio.roll import note_rows, roll_of, timing_of
from ostinato.studio.worker import CancelledError, Job
from ostinato.train.checkpoint import LoadedRun


def warm_up(run: LoadedRun) -> None:
    """Compiles all that pieces need: one note takes the same functions as a thousand."""
    generate(run.model, run.params, run.codec, SampleConfig(num_pieces=1, num_notes=1))


def read_primer(path: Path | None, codec: Codec, config: SampleConfig) -> list[Primer]:
    """Returns what the piece begins with, as `load_primers`.

    Raises:
        UserError: the file has not the bars that are wanted; the message names the file, not where it is kept.
    """
    try:
        return load_primers(str(path or ""), codec, config)
    except ValueError as error:
        message = str(error).replace(str(path), path.name if path else "").partition("; see --primer")[0]
        raise UserError(message) from error


def compose(run: LoadedRun, source: str | Path, pieces: Pieces, job: Job) -> None:
    """Generates a piece and saves it; sends `notes` as they come, and at last the piece that is `done`.

    Raises:
        UserError: the options do not fit the model, or no note came.
        CancelledError: the job was cancelled in the meantime.
    """
    primers = read_primer(job.primer, run.codec, job.config)
    score = make_score(run, job.config.best_by)
    watch = _Growing(run.codec, job).add
    (generated,) = generate(run.model, run.params, run.codec, job.config, primers, score=score, watch=watch)
    piece = finished_piece(generated, run.codec, job.config)
    if not piece.num_notes:
        raise UserError("the model wrote no note in the length that was asked for; ask for more")
    inputs = {} if job.primer is None else {"primer": job.primer}
    origin = describe_origin(run, job.config, inputs, piece=0)
    note = pieces.save(generated, piece, origin, where_found(source, inputs))
    job.send("done", piece={**note, "roll": roll_of(piece)})


class _Growing:
    """A piece that is being generated."""

    def __init__(self, codec: Codec, job: Job) -> None:
        self._codec, self._job = codec, job
        self._rows = np.array([codec.start], np.int64)
        self._sent: Counter[tuple[int, ...]] = Counter()
        self._is_over = False

    def add(self, rows: Int[np.ndarray, "p t f"]) -> None:
        """Takes the next rows; the first piece is the one, the others fill up its block."""
        if self._job.cancelled.is_set():
            raise CancelledError
        if self._is_over:
            return
        field, value = self._codec.eos
        ends = np.flatnonzero(rows[0, :, field] == value)
        self._is_over = bool(len(ends))
        self._rows = np.concatenate([self._rows, rows[0, : ends[0] if len(ends) else None]])
        piece = self._codec.decode(self._rows)
        if piece.num_notes:
            # A later row may put a note between earlier ones: what is new is what has not been sent.
            now = Counter(map(tuple, note_rows(piece)))
            self._job.send("notes", notes=sorted((now - self._sent).elements()), **timing_of(piece))
            self._sent = now
