"""A trained model as Python has it: it writes pieces, and says how likely others are."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ostinato.api.options import takes_options
from ostinato.api.piece import MusicSource, Piece, Pieces, music_in
from ostinato.configs.schema import SampleConfig
from ostinato.configs.values import UnknownOptionError, with_values

if TYPE_CHECKING:
    from ostinato.train.checkpoint import LoadedRun

SHORT = {"bars": "num_bars", "notes": "num_notes", "seconds": "num_seconds"}
"""Other names of options."""

_OF_PRIMERS = ("primer_notes", "primer_start", "primer_bars", "without_primer")
_OF_HARMONY = ("melody", "particles")
_OF_FILLING = ("fill_bars", "look_ahead_bars", "particles")


class LogLikelihood(NamedTuple):
    """How likely a piece is to a model, in nats; nearer to 0 is likelier."""

    total: float
    """log p of the whole piece, its end included."""
    per_note: float
    """`total` divided by `num_notes`; reports show it without its sign."""
    num_notes: int


class Model:
    """A trained model, in memory.

    The options of its methods are those of `ostinato sample`, explained in docs/sampling.md and in
    `ostinato.configs.schema.SampleConfig`; `bars`, `notes` and `seconds` are short for `num_bars` and so on. The same
    options and seed give the same bytes as the command.
    """

    def __init__(self, run: "LoadedRun", source: str) -> None:
        """Use `ostinato.load`."""
        self._run, self._source = run, source

    def __repr__(self) -> str:
        return f"<ostinato.Model {self._source}, step {self._run.step}>"

    @property
    def styles(self) -> list[str]:
        """The styles that it was trained to tell apart."""
        return [style for style in self._run.codec.styles if style]

    @property
    def instruments(self) -> list[str]:
        """The instruments that it was trained on, the most frequent first; none where its dataset is gone."""
        from ostinato.studio.options import known_instruments

        return known_instruments(self._run.description)

    @takes_options(SampleConfig, leave_out=(*_OF_PRIMERS, *_OF_HARMONY, *_OF_FILLING))
    def sample(self, **options: Any) -> Pieces:
        """Returns new pieces.

        Args:
            options: of `SampleConfig`: `model.sample(num_pieces=2, bars=16, key="D minor", seed=1)`.

        Raises:
            UnknownOptionError: there is no such option; it is a TypeError and names the nearest one.
            UserError: a value cannot be, or the model cannot write what is asked for.
        """
        return self._make({}, options)

    @takes_options(SampleConfig, leave_out=(*_OF_HARMONY, *_OF_FILLING))
    def continue_(self, primer: MusicSource, **options: Any) -> Pieces:
        """Returns pieces that begin with another; `primer_bars` and `primer_notes` say with how much of it.

        Args:
            primer: a file (MIDI or a score), a folder of them, a dataset, bytes of MIDI, a Piece, or a PrettyMIDI.
            options: as for `sample`.

        Raises:
            UserError: as `sample`, or the primer cannot be read.
        """
        return self._make({"primer": primer}, options)

    @takes_options(SampleConfig, leave_out=(*_OF_PRIMERS, *_OF_FILLING, "num_notes", "num_bars", "num_seconds"))
    def harmonise(self, given: MusicSource, **options: Any) -> Pieces:
        """Returns pieces that hold the given notes, or those of `melody`, with other instruments around them.

        Args:
            given: as for `continue_`, but no folder.
            options: as for `sample`.

        Raises:
            UserError: as `continue_`.
        """
        return self._make({"harmonise": given}, options)

    @takes_options(SampleConfig, leave_out=(*_OF_PRIMERS, *_OF_HARMONY, "num_notes", "num_bars", "num_seconds"))
    def fill(self, given: MusicSource, bars: tuple[int, int], **options: Any) -> Pieces:
        """Returns a piece with some bars generated again, several times, the best first.

        Args:
            given: as for `harmonise`.
            bars: the first bar that is rewritten, and how many are; 1 is the first bar of the piece.
            options: as for `sample`.

        Raises:
            UserError: as `continue_`.
        """
        return self._make({"fill": given}, {**options, "fill_bars": bars})

    def log_likelihood(self, midi: MusicSource, *, style: str = "") -> LogLikelihood:
        """Returns how likely a piece is, as `ostinato evaluate` measures it: each row given all rows before it.

        Args:
            midi: as for `harmonise`.
            style: the style that it is in, if the model knows any.

        Raises:
            UserError: the music cannot be read or has no notes, or the style is not known.
        """
        import numpy as np

        from ostinato.configs.errors import UserError
        from ostinato.data.records import Record, RecordsInMemory
        from ostinato.evaluation.likelihood import score_network
        from ostinato.sample.controls import style_number
        from ostinato.sample.primers import read_piece

        codec = self._run.codec
        with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
            piece = read_piece(music_in(midi, Path(folder)))
        steps = codec.encode(piece, style_number(style, codec))
        num_notes = int(codec.count_notes(steps).sum())
        if not num_notes:
            raise UserError("the piece has no notes that the model can read")
        source = RecordsInMemory(codec, [Record("", style, steps)])
        scores = score_network(self._run, source, np.array([0]), batch_size=1, name="")
        total = -float(scores.nats_p[0])
        return LogLikelihood(total, total / num_notes, num_notes)

    def _make(self, inputs: Mapping[str, MusicSource], options: Mapping[str, Any]) -> Pieces:
        from ostinato.sample.finished import finished_piece
        from ostinato.sample.output.provenance import describe_origin
        from ostinato.sample.output.write import midi_bytes
        from ostinato.sample.request import check_inputs, make_pieces

        config = sample_config(options)
        check_inputs(config, inputs)
        pieces = Pieces()
        with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
            paths = {name: str(music_in(source, Path(folder))) for name, source in inputs.items()}
            for number, generated in enumerate(make_pieces(self._run, config, paths)):
                music = finished_piece(generated, self._run.codec, config)
                origin = describe_origin(self._run, config, paths, piece=number)
                end = 0 if config.without_primer else generated.primer_end
                pieces.append(
                    Piece(
                        music, midi_bytes(music, generated, origin), name=f"piece-{number:03d}", origin=origin,
                        primer_end_tick=end, ended=generated.ended,
                    )
                )  # fmt: skip
        return pieces


def load(source: str | Path, checkpoint: Literal["best", "latest"] = "best") -> Model:
    """Returns a trained model.

    Args:
        source: the folder of a run or a model, the name of a model that `ostinato models` lists, or hub:USER/NAME.
        checkpoint: best (lowest validation loss) or latest.

    Raises:
        UserError: there is no such model, or it is damaged.
    """
    from ostinato.launch.cache import load_run

    return Model(load_run(source, checkpoint), str(source))


def sample_config(options: Mapping[str, Any]) -> SampleConfig:
    """Returns the configuration that keywords ask for.

    Raises:
        UnknownOptionError: there is no such option, or it is given under both of its names.
        UserError: a value cannot be.
    """
    if double := [name for name in options if SHORT.get(name) in options]:
        raise UnknownOptionError(f"{double[0]} is short for {SHORT[double[0]]}; give one of them")
    values = {SHORT.get(name, name): value for name, value in options.items()}
    return with_values(SampleConfig(), values, also=tuple(SHORT))
