"""Music that musicians bring: read, measured, and saved by its content, under the name that it came with.

Of a score its MIDI is kept, `tune.abc.mid`, so that nothing but MIDI is read again.
"""

import hashlib
import re
import unicodedata
from pathlib import Path
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.data.atomic import make_folder, write_atomically
from ostinato.music import midi, notation
from ostinato.music.codec import Codec
from ostinato.music.midi import MIDI_SUFFIXES, MidiReason
from ostinato.music.piece import Piece
from ostinato.sample.output.roll import roll_of, summary_of
from ostinato.studio.edits import check_size
from ostinato.studio.scores import to_midi

MAX_BYTES = 2_000_000
"""Of a file; a symphony has some hundred thousand."""
MAX_FILES, MAX_NAME = 500, 80
"""Files that are kept, a gigabyte at most; characters of a name."""

_SHA256 = re.compile("[0-9a-f]{64}")
_IN_WORDS: dict[MidiReason, str] = {
    "not_midi": "is not a MIDI file",
    "truncated": "is cut short",
    "damaged": "is damaged",
    "smpte_division": "counts film frames instead of beats",
    "zero_division": "has no beats",
    "independent_tracks": "holds several pieces",
    "too_many_tracks": "has too many tracks",
    "ticks_overflow": "is too long",
    "no_notes": "has no notes",
}


class Uploads:
    """A folder in which each file is `<SHA-256>/<name>`."""

    def __init__(self, folder: Path, codec: Codec) -> None:
        self._folder, self._codec = folder, codec

    def save(self, name: str, data: bytes) -> dict[str, Any]:
        """Saves a file and returns what the page shows of it, as the model sees it: on the grid of its codec.

        Raises:
            UserError: it is no MIDI file or score that can be used; the message names it.
        """
        kind = notation.KINDS.get(Path(name).suffix.lower())
        name = safe_name(name)
        if kind:
            data = to_midi(name.removesuffix(".mid"), data, kind)
        piece = self._read(name, data)
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._folder / sha256 / name
        if not path.is_file():
            if sum(1 for _ in self._folder.glob("*/*")) >= MAX_FILES:
                raise UserError(f"{name}: {MAX_FILES} files are kept already; delete some of them in {self._folder}")
            make_folder(path.parent)
            write_atomically(path, data)
        return {"name": name, "sha256": sha256, **summary_of(piece), "roll": roll_of(piece)}

    def find(self, given: object) -> Path:
        """Returns the file that {"name": …, "sha256": …} names.

        Raises:
            UserError: there is none.
        """
        name, sha256 = (given.get("name"), given.get("sha256")) if isinstance(given, dict) else (None, None)
        if isinstance(name, str) and isinstance(sha256, str) and _SHA256.fullmatch(sha256) and safe_name(name) == name:
            path = self._folder / sha256 / name
            if path.is_file():
                return path
            raise UserError(f"{name}, which this piece needs, is no longer among the uploads; choose it once more")
        raise UserError("the request names no upload; choose it once more")

    def _read(self, name: str, data: bytes) -> Piece:
        try:
            piece = midi.read(data)
        except midi.MidiError as error:
            raise UserError(f"{name} {_IN_WORDS[error.reason]}: {error.detail}") from error
        check_size(piece, name)
        return self._codec.quantise(piece)


def safe_name(name: str) -> str:
    """Returns a name that every file system takes, as near to the given one as can be."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    name = re.sub(r"[^\w .,()+#-]", "_", name).strip(" .")
    stem, dot, suffix = name.rpartition(".")
    if not dot or f".{suffix.lower()}" not in MIDI_SUFFIXES:
        stem, suffix = name, "mid"
    while len(stem.encode()) > 2 * MAX_NAME or len(stem) > MAX_NAME:
        stem = stem[:-1]
    return f"{stem.strip(' .') or 'music'}.{suffix}"
