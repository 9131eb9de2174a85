"""MIDI files for the benchmarks: real ones off their archives, and as many altered copies of them as are asked for."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import symusic

from ostinato.beam_pipelines.inputs.sources import find_units, read_unit

MAX_FILE_BYTES = 16 << 20


def load(sources: Sequence[str | Path], count: int | None = None) -> list[bytes]:
    """Returns the bytes of all MIDI files that can be read, by name; or of about `count`, evenly spread."""
    inputs = [one for unit in find_units(map(str, sources)) for one in read_unit(unit, max_bytes=MAX_FILE_BYTES)]
    blobs = [one.data for one in sorted(inputs, key=lambda one: one.name) if not one.reason]
    return blobs if count is None else blobs[:: max(1, len(blobs) // count)]


def write(blobs: Sequence[bytes], folder: Path) -> Path:
    """Writes files to a new folder and returns it."""
    folder.mkdir(parents=True)
    for number, data in enumerate(blobs):
        (folder / f"{number:05d}.mid").write_bytes(data)
    return folder


def write_altered(blobs: Sequence[bytes], folder: Path, count: int, *, files_per_folder: int) -> list[Path]:
    """Writes `count` files to new folders of `files_per_folder` each, which are returned in order.

    They are the given files and altered copies of them, shuffled: each folder is much like any other.
    """
    files = _shuffled_copies(blobs, -(-count // len(blobs)) + 1)  # one more, since symusic refuses some files
    return [
        write(list(islice(files, files_per_folder)), folder / f"{begin:06d}")
        for begin in range(0, count, files_per_folder)
    ]


def _shuffled_copies(blobs: Sequence[bytes], num_copies: int) -> Iterator[bytes]:
    for drawn in np.random.default_rng(0).permutation(num_copies * len(blobs)).tolist():
        copy, number = divmod(drawn, len(blobs))
        data = alter(blobs[number], seed=copy) if copy else blobs[number]
        if data:
            yield data


def alter(data: bytes, *, seed: int) -> bytes:
    """Returns the file with its twelve pitch classes exchanged at random, or nothing if symusic refuses it.

    Nobody, `prepare` included, takes the two for the same music; repeats, lengths and controllers stay.
    """
    try:
        score: Any = symusic.Score.from_midi(data)
    except RuntimeError:
        return b""
    # The seed takes the content in, so that two versions of a song are not altered alike.
    classes = np.random.default_rng([seed, *data[-64:]]).permutation(12)
    pitch = np.arange(128)
    altered = pitch - pitch % 12 + classes[pitch % 12]
    altered = np.where(altered > 127, altered - 12, altered).astype(np.int8)
    for track in score.tracks:
        notes = track.notes.numpy()
        notes["pitch"] = altered[notes["pitch"]]
        track.notes = symusic.Note.from_numpy(**notes, ttype="tick")
    return score.dumps_midi()
