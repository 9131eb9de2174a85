"""MIDI files for the benchmarks: real ones off their archives, and as many altered copies of them as are asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import symusic

from ostinato.beam_pipelines.inputs.sources import find_units, read_unit

MAX_FILE_BYTES = 16 << 20


def load(sources: Sequence[str | Path]) -> list[bytes]:
    """Returns the bytes of all MIDI files that can be read, in the order of their names."""
    inputs = [one for unit in find_units(map(str, sources)) for one in read_unit(unit, max_bytes=MAX_FILE_BYTES)]
    return [one.data for one in sorted(inputs, key=lambda one: one.name) if not one.reason]


def sample(blobs: Sequence[bytes], count: int) -> list[bytes]:
    """Returns about `count` files, evenly spread."""
    return list(blobs[:: max(1, len(blobs) // count)])


def write(blobs: Sequence[bytes], folder: Path) -> list[Path]:
    """Writes files to a new folder and returns their paths, in order."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number:05d}.mid" for number in range(len(blobs))]
    for path, data in zip(paths, blobs, strict=True):
        path.write_bytes(data)
    return paths


def write_altered(blobs: Sequence[bytes], folder: Path, count: int, *, files_per_folder: int) -> list[Path]:
    """Writes `count` files to new folders of `files_per_folder` each, which are returned in order.

    They are the given files and altered copies of them, shuffled: each folder is much like any other.
    """
    num_copies = -(-count // len(blobs)) + 1  # one more, since files that symusic refuses have no copies
    order = iter(np.random.default_rng(0).permutation(num_copies * len(blobs)).tolist())
    folders = []
    for begin in range(0, count, files_per_folder):
        chosen: list[bytes] = []
        while len(chosen) < min(files_per_folder, count - begin):
            copy, number = divmod(next(order), len(blobs))
            data = alter(blobs[number], seed=copy) if copy else blobs[number]
            if data:
                chosen.append(data)
        folders.append(folder / f"{begin:06d}")
        write(chosen, folders[-1])
    return folders


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
