"""A piece as Python has it: notes as an array, MIDI, sound, a picture, and all of them in a notebook."""

import base64
import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import numpy as np
from jaxtyping import Float32, Shaped
from markupsafe import Markup

from ostinato.configs.errors import UserError
from ostinato.data.atomic import make_folder, write_atomically
from ostinato.music.piece import Piece as Music
from ostinato.report.templates import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pretty_midi import PrettyMIDI

MusicSource = Union[str, Path, bytes, "Piece", "PrettyMIDI"]
"""What `music_in` takes."""

NOTE = np.dtype(
    [
        ("onset_quarter", np.float64),
        ("duration_quarter", np.float64),
        ("onset_sec", np.float64),
        ("duration_sec", np.float64),
        ("pitch", np.int32),
        ("velocity", np.int32),
        ("program", np.int32),
    ]
)
"""A note, with the names that partitura's note arrays have, so that its functions take them. Program 128 is drums."""

SOUNDS, MIDI, PICTURE = (".wav", ".flac", ".ogg"), (".mid", ".midi"), ".png"
SCORES = (".musicxml", ".svg")


class Audio(NamedTuple):
    """Sound; IPython.display.Audio(*audio) plays it."""

    samples: Float32[np.ndarray, "2 t"]
    """From -1 to 1, left and right."""
    rate: int
    """Samples per second."""


class Score(NamedTuple):
    """A page of notation; notebooks show it."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


class Piece:
    """A piece that a model has written. Notebooks show it: piano roll and player, inside the page."""

    def __init__(
        self, music: Music, data: bytes, *, name: str, origin: Mapping[str, Any], primer_end_tick: int, ended: bool
    ) -> None:
        """Is called by the methods of `Model`.

        Args:
            music: the notes.
            data: of the MIDI file.
            name: a title.
            origin: `origin`.
            primer_end_tick: where what was given ends; 0 if nothing was.
            ended: `ended_by_model`.
        """
        self.name = name
        self.origin = origin
        """How it was made: fingerprint of the model, seed, options. It is in the MIDI file, too."""
        self.ended_by_model = ended
        """The model wrote an end; otherwise the piece is as long as was asked for."""
        self._music, self._midi, self._primer_end_tick = music, data, primer_end_tick

    def __repr__(self) -> str:
        return f"<ostinato.Piece {self.name}: {self.num_notes} notes, {self.seconds:.1f} s>"

    @property
    def num_notes(self) -> int:
        """How many notes it has."""
        return self._music.num_notes

    @property
    def seconds(self) -> float:
        """Seconds from the beginning to the end of the last note."""
        return self._music.duration_s

    @property
    def notes(self) -> Shaped[np.ndarray, " n"]:
        """The notes by onset, as an array with the fields of `NOTE`: `piece.notes["pitch"]`."""
        music, (onset, duration, pitch, velocity, program) = self._music, self._music.notes
        notes = np.zeros(len(onset), NOTE)
        notes["onset_quarter"], notes["duration_quarter"] = np.array([onset, duration]) / music.ticks_per_quarter
        notes["onset_sec"] = music.seconds(onset)
        notes["duration_sec"] = music.seconds(onset + duration) - notes["onset_sec"]
        notes["pitch"], notes["velocity"], notes["program"] = pitch, velocity, program
        return notes

    def midi(self) -> bytes:
        """Returns the MIDI file: the bytes that `ostinato sample` writes for the same seed and options."""
        return self._midi

    def to_pretty_midi(self) -> "PrettyMIDI":
        """Returns the piece as pretty_midi has it."""
        import pretty_midi

        return pretty_midi.PrettyMIDI(io.BytesIO(self._midi))

    def musicxml(self) -> bytes:
        """Returns the score as MusicXML, for notation programs: as `ostinato sample --notation` writes it.

        Raises:
            UserError: the extra `notation` is not installed.
        """
        from ostinato.sample.output.sheet import musicxml_of

        return musicxml_of(self._music, self.origin)

    def score(self) -> Score:
        """Returns the score as a page.

        Raises:
            UserError: the extra `notation` is not installed.
        """
        from ostinato.music.sheet.page import engrave

        return Score(engrave(self.musicxml()).decode())

    def audio(self, *, soundfont: str | Path | None = None) -> Audio:
        """Returns the sound, rendered with a SoundFont (.sf2); by default the small TimGM6mb.

        Raises:
            UserError: the piece is longer than half an hour, or the SoundFont cannot be used.
        """
        from ostinato.sample.output.audio import SAMPLE_RATE, render_audio

        return Audio(render_audio(self._music, soundfont=None if soundfont is None else Path(soundfont)), SAMPLE_RATE)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draws a piano roll on matplotlib's axes, or on a new figure, and returns the axes."""
        from ostinato.sample.output.piano_roll import figure_size_in, fill_figure, paint_piano_roll

        primer_end_tick = self._primer_end_tick or None
        if axes is not None:
            paint_piano_roll(axes, self._music, title=self.name, primer_end_tick=primer_end_tick)
            return axes
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=figure_size_in(self._music), layout="constrained")
        return fill_figure(figure, self._music, title=self.name, primer_end_tick=primer_end_tick)

    def save(self, path: str | Path, *, soundfont: str | Path | None = None) -> Path:
        """Writes a file, whole or not at all, and returns its path; the ending says what it holds.

        Args:
            path: .mid, .wav, .flac, .ogg, .musicxml, .svg (a page of the score) or .png (a piano roll). The folder is
                made if needed.
            soundfont: for sound; see `audio`.

        Raises:
            UserError: the ending is another one, the file cannot be written, or the extra `notation` is missing.
        """
        from ostinato.sample.output.audio import write_audio
        from ostinato.sample.output.piano_roll import draw_piano_roll

        path = Path(path)
        if path.suffix not in (*MIDI, *SOUNDS, *SCORES, PICTURE):
            raise UserError(f"{path}: must end in {', '.join((MIDI[0], *SOUNDS, *SCORES))} or {PICTURE}")
        make_folder(path.parent)
        if path.suffix in MIDI:
            write_atomically(path, self._midi)
        elif path.suffix in SCORES:
            is_page = path.suffix == ".svg"
            write_atomically(path, self.score().svg.encode() if is_page else self.musicxml())
        elif path.suffix == PICTURE:
            draw_piano_roll(self._music, path, title=self.name, primer_end_tick=self._primer_end_tick or None)
        else:
            write_audio(self._music, path, soundfont=None if soundfont is None else Path(soundfont))
        return path

    def _repr_html_(self) -> str:
        """Returns what a notebook shows: roll and player, the picture where no script runs. Nothing is fetched."""
        from ostinato.sample.output.roll import page_roll

        with tempfile.TemporaryDirectory(prefix="ostinato-") as folder:
            picture, sound = (_as_data(self.save(Path(folder, name))) for name in ("roll.png", "sound.ogg"))
        title = f"{self.name}: {self.num_notes} notes, {self.seconds:.0f} s"
        roll = page_roll(self._music, primer_ticks=self._primer_end_tick)
        templates = Path(__file__).parent / "templates"
        return render(templates, "piece.html", title=title, picture=picture, sound=sound, roll=roll)


class Pieces(list[Piece]):
    """Several pieces; a notebook shows each of them."""

    def _repr_html_(self) -> str:
        return "".join(piece._repr_html_() for piece in self)


def music_in(source: "MusicSource", folder: Path) -> Path:
    """Returns a file that holds some music: its own, or one that is written into a folder.

    Args:
        source: a file (MIDI, or a score), the bytes of a MIDI file, a `Piece`, or what pretty_midi has read.
        folder: for what has no file of its own.

    Raises:
        UserError: it is none of these.
    """
    if isinstance(source, str | os.PathLike):
        return Path(source)
    if isinstance(source, Piece):
        return source.save(folder / f"{source.name}.mid")
    path = folder / "music.mid"
    if isinstance(source, bytes):
        path.write_bytes(source)
    elif hasattr(source, "instruments") and hasattr(source, "write"):
        source.write(str(path))
    else:
        raise UserError(f"music must be a file, bytes of MIDI, a Piece or a PrettyMIDI, not {type(source).__name__}")
    return path


def _as_data(file: Path) -> Markup:
    kind = {".png": "image/png", ".ogg": "audio/ogg"}[file.suffix]
    return Markup("data:{};base64,{}").format(kind, base64.b64encode(file.read_bytes()).decode())
