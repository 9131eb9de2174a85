"""What new pieces begin with: a MIDI file, a folder of them, or the training split of a dataset."""

from pathlib import Path

import numpy as np
from jaxtyping import Integer

from ostinato.music import midi
from ostinato.music.codec import Codec
from ostinato.music.midi import MIDI_SUFFIXES
from ostinato.music.records import Dataset


def load_primers(
    path: str, codec: Codec, *, num_notes: int, num_pieces: int, seed: int
) -> list[Integer[np.ndarray, "n f"]]:
    """Returns the beginnings of pieces, from START through their first `num_notes` notes; none for an empty path.

    Args:
        path: a MIDI file, a folder of MIDI files (in the order of their names), or a dataset, from whose training split
            `num_pieces` pieces are drawn by `seed`.
        codec: of the model.
        num_notes: how much of each piece is taken.
        num_pieces: how many primers are of use.
        seed: of the draw.

    Raises:
        ValueError: there is no such file, it is not MIDI, or it was prepared with another codec.
    """
    if not path:
        return []
    folder = Path(path)
    if (folder / "manifest.json").is_file():
        dataset = Dataset.open(folder)
        if dataset.codec.to_json() != codec.to_json():
            raise ValueError(f"{path}: was prepared with another codec than the model's; give the model's own dataset")
        source = dataset.source("train")
        chosen = np.random.default_rng(seed).choice(len(source), size=num_pieces, replace=num_pieces > len(source))
        pieces = [source[int(i)].steps for i in chosen]
    else:
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in MIDI_SUFFIXES)
        files = files[:num_pieces] if folder.is_dir() else [folder]
        if not files or not all(file.is_file() for file in files):
            raise ValueError(f"{path}: neither a MIDI file, a folder with MIDI files, nor a finished dataset")
        pieces = [codec.encode(_read(file)) for file in files]
    return [_beginning(piece, codec, num_notes) for piece in pieces]


def _read(file: Path) -> midi.Piece:
    try:
        return midi.read(file.read_bytes())
    except midi.MidiError as error:
        raise ValueError(f"{file}: {error}") from error


def _beginning(steps: Integer[np.ndarray, "n f"], codec: Codec, num_notes: int) -> Integer[np.ndarray, "m f"]:
    """Returns the steps through the first num_notes notes, never END."""
    enough = np.flatnonzero(np.cumsum(codec.count_notes(steps)) >= num_notes)
    return steps[: enough[0] + 1] if len(enough) else steps[:-1]
