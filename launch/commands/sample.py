"""`ostinato sample`: new pieces of a run or of a baseline, one piece once more, or music without end."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

from ostinato.configs.errors import UserError, file_errors
from ostinato.configs.schema import SampleConfig
from ostinato.launch.commands.show import COMPILING, say, starting

if TYPE_CHECKING:
    from ostinato.music.codec import Codec
    from ostinato.sample.generate import Generated

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Generates pieces with a trained model: MIDI, sound and piano roll, and a page to hear and see them."""

    workdir: Path | None = None
    """The folder of a training run; with --again, where the run is now, if it was moved."""
    model: str = ""
    """Instead of --workdir, a trained model: one that `ostinato models` lists, hub:USER/NAME, or its folder. Or a
    simpler composer for comparison, which learns from --dataset: markov:1 to markov:4 (Markov chains over events of
    the music), or rules (recombines beats of the training pieces)."""
    dataset: Path | None = None
    """With --model markov:N or rules: a folder that `ostinato prepare` wrote."""
    output: Path | None = None
    """Folder for the new pieces; with --again a folder `again` beside the file, if it is not given."""
    again: Path | None = None
    """A MIDI file that this command wrote, or its .json: makes that piece again, to the same bytes. All options of the
    music come from the file."""
    primer: str = ""
    """What the pieces begin with: a MIDI file or score, a folder of them, or a dataset (its training split, as in
    the paper). Scores are ABC and, with the extra `notation`, MusicXML and kern."""
    harmonise: str = ""
    """A MIDI file or score whose notes (or those of --melody) are kept; other instruments are generated around them."""
    fill: str = ""
    """A MIDI file or score of which --fill-bars are generated again."""
    judge: str = ""
    """With --best-by judge: a judge.safetensors that `ostinato evaluate` wrote for this model."""
    stream: str = ""
    """Instead of --output, music without end: to a .mid file that can be opened at any moment, '-' or a named pipe or
    device (raw MIDI messages in time), or port:NAME, a live MIDI port (port: is the first; needs the extra `live`)."""
    checkpoint: Literal["best", "latest"] = "best"
    """best (lowest validation loss) or latest."""
    audio: bool = True
    """Write the sound of each piece."""
    audio_format: Literal["wav", "flac", "ogg"] = "wav"
    """How sound is written: wav, flac (the same sound, half of the size) or ogg (Vorbis, a tenth)."""
    soundfont: Path | None = None
    """A SoundFont (.sf2) for the sound; the small TimGM6mb by default."""
    notation: bool = False
    """Write the score of each piece: MusicXML, and an SVG page of it; needs the extra `notation`."""
    config: Annotated[SampleConfig, tyro.conf.arg(name="")] = field(default_factory=SampleConfig)

    def run(self) -> None:
        """Writes the pieces, or plays without end.

        Raises:
            UserError: the options do not go together, or an input cannot be read or does not fit the model.
        """
        if self.stream:
            self._play()
            return
        if self.notation:
            from ostinato.music.sheet.libraries import check_libraries

            check_libraries()  # before minutes of music
        is_baseline = _is_baseline(self.model) or self.dataset is not None
        made = self._compose() if is_baseline else self._again() if self.again else self._sample()
        each = ", ".join(["MIDI", *["sound"] * self.audio, *["score"] * self.notation])
        starting("writing %s and piano roll of each piece", each)
        from ostinato.sample.output.write import write_pieces

        paths = write_pieces(
            made.pieces,
            made.codec,
            made.output,
            origins=made.origins,
            found=made.found,
            config=made.config,
            audio=self.audio_format if self.audio else None,
            soundfont=self.soundfont,
            with_score=self.notation,
        )
        if self.again:
            say(f"{paths[0]}: the same bytes as {self.again} says")
        elif is_baseline:
            say(f"{made.output / 'index.html'}: {len(paths)} pieces by {self.model}")
        else:
            say(f"{made.output / 'index.html'}: {len(paths)} pieces to hear and see ({each} and piano roll of each)")

    def _sample(self) -> "_Made":
        """Returns new pieces of a run."""
        source = self._source()
        if source is None or self.output is None:
            missing = "--workdir is missing (or --model)" if source is None else "--output is missing"
            raise UserError(f"{missing}; see 'ostinato sample --help'")
        starting("loading %s", source)  # before the imports: they take seconds
        from ostinato.launch.cache import load_run
        from ostinato.pretrained.models import where_found
        from ostinato.sample.output.provenance import describe_origin
        from ostinato.sample.request import check_inputs, make_pieces

        inputs = self._inputs()
        check_inputs(self.config, inputs)
        run = load_run(source, self.checkpoint)
        number = self.config.num_pieces
        logger.info("generating %s; %s", "1 piece" if number == 1 else f"{number} pieces", COMPILING)
        pieces = dict(enumerate(make_pieces(run, self.config, inputs)))
        origins = {number: describe_origin(run, self.config, inputs, piece=number) for number in pieces}
        return _Made(pieces, run.codec, self.output, origins, where_found(source, inputs), self.config)

    def _compose(self) -> "_Made":
        """Returns new pieces of a baseline that knows a dataset."""
        if not self.model or self.workdir or self.again or self._inputs():
            raise UserError("--model and --dataset go together, with --output, and not with --workdir or its options")
        if self.dataset is None or self.output is None:
            raise UserError(f"--model {self.model} needs --dataset, from which it learns, and --output")
        from ostinato.data.store import url_of

        starting("%s learns from %s", self.model, url_of(self.dataset) or self.dataset)
        from ostinato.data.records import Dataset
        from ostinato.evaluation.baselines.compose import compose, describe_composer
        from ostinato.launch.cache import counts_of

        dataset = Dataset.open(self.dataset)
        pieces = dict(enumerate(compose(self.model, dataset, self.config, counts=lambda: counts_of(dataset))))
        origins = {number: describe_composer(self.model, dataset, self.config, piece=number) for number in pieces}
        found = {"dataset": dataset.location}
        return _Made(pieces, dataset.codec, self.output, origins, found, self.config)

    def _again(self) -> "_Made":
        """Returns one piece, made again to the same bytes from its MIDI file or the JSON beside it.

        Raises:
            ProvenanceError: the file does not say how, the model or an input is missing or another, or the bytes
                differ.
        """
        assert self.again is not None
        starting("making the piece of %s again", self.again)
        from ostinato.launch.cache import cache_compilations
        from ostinato.pretrained.again import find_again
        from ostinato.pretrained.models import where_found
        from ostinato.sample.finished import finished_piece
        from ostinato.sample.output import again, provenance
        from ostinato.sample.output.write import midi_bytes
        from ostinato.sample.request import make_pieces

        if self.config != SampleConfig():
            raise UserError("--again takes the options of the music from its file; leave the others out")
        recipe = provenance.read_recipe(self.again)
        number, origin = recipe.piece, recipe.origin
        config = provenance.config_of(recipe)
        inputs = again.find_inputs(recipe, self._inputs())
        workdir = find_again(recipe, self._source())
        cache_compilations()
        run = again.load_run(recipe, workdir)
        # Of the pieces of that call only this one is needed, but the primers were drawn for all of them.
        piece = make_pieces(run, config, inputs, num_pieces=number + 1)[number]
        again.check_bytes(recipe, midi_bytes(finished_piece(piece, run.codec, config), piece, origin))
        output = self.output or self.again.parent / "again"
        found = where_found(self._source() or recipe.found.get("model") or workdir, inputs)
        return _Made({number: piece}, run.codec, output, {number: origin}, found, config)

    def _play(self) -> None:
        """Plays piece after piece to a file, a pipe or a port until nobody wants more."""
        source = self._source()
        others = (
            self.output,
            self.again,
            self.dataset,
            self.harmonise,
            self.fill,
            self.judge,
            self.config.without_primer,
        )
        if source is None or _is_baseline(self.model) or any(others):
            raise UserError(
                "--stream goes with --workdir or a trained --model and with --primer, not with --output, --again, "
                "--dataset, --harmonise, --fill, --judge, --without-primer"
            )
        starting("loading %s", source)
        from ostinato.launch.cache import load_run
        from ostinato.sample.primers import load_primers
        from ostinato.sample.stream import endless_rows, open_sink, play

        run = load_run(source, self.checkpoint)
        primers = load_primers(self.primer, run.codec, self.config)
        rows = endless_rows(run.model, run.params, run.codec, self.config, primers[0] if primers else None)
        with file_errors(self.stream):
            sink = open_sink(self.stream, run.codec)
            # Standard output may be where the music goes.
            starting("%s: music without end; Ctrl-C ends it", self.stream)
            num_notes = play(run.codec, rows, sink)
        logger.info("%s: %d notes", self.stream, num_notes)

    def _source(self) -> str | Path | None:
        """Returns what names the trained model."""
        if self.workdir and self.model:
            raise UserError("--workdir and --model exclude each other; give one of them")
        return self.workdir or self.model or None

    def _inputs(self) -> dict[str, str]:
        """Returns the files that are given by the names of their options."""
        inputs = {"primer": self.primer, "harmonise": self.harmonise, "fill": self.fill}
        given = {name: path for name, path in inputs.items() if path}
        if len(given) > 1:
            raise UserError("--primer, --harmonise and --fill exclude each other; give one of them")
        return given | ({"judge": self.judge} if self.judge else {})


class _Made(NamedTuple):
    """Pieces by number, and what is written beside them: how each was made, where that was found, the options."""

    pieces: "Mapping[int, Generated]"
    codec: "Codec"
    output: Path
    origins: Mapping[int, dict[str, Any]]
    found: Mapping[str, str]
    config: SampleConfig


def _is_baseline(model: str) -> bool:
    return model == "rules" or model.startswith("markov:")
