"""The pieces that were generated: on disk, so that they are there tomorrow, elsewhere, and for `ostinato sample`.

A piece is three files: `<id>.mid`, `<id>.json` (its recipe, as `ostinato sample` writes it beside a piece), and last
`<id>.studio.json`, what the page shows of it. The id is when it was made and the beginning of its SHA-256.
"""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from ostinato.configs.documents import read_document
from ostinato.configs.errors import UserError
from ostinato.data.atomic import write_atomically
from ostinato.music import midi
from ostinato.music.piece import Piece
from ostinato.sample.generate import Generated
from ostinato.sample.output.provenance import default_options, provenance_json
from ostinato.sample.output.write import midi_bytes
from ostinato.studio.roll import roll_of, summary_of

SHOWN = 300
"""Pieces in the history of the page. Older ones stay on disk."""

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")
_NOTE = ".studio.json"
_logger = logging.getLogger(__name__)


class Note(TypedDict):
    """What the page shows of a piece, and `roll.summary_of`."""

    id: str
    sha256: str
    made: str
    options: dict[str, Any]


class Pieces:
    """The pieces in a folder, newest first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(
        self, generated: Generated, piece: Piece, origin: Mapping[str, Any], found: Mapping[str, str]
    ) -> dict[str, Any]:
        """Saves a piece and returns what the page shows of it; the same piece, note for note, is saved once."""
        data = midi_bytes(piece, generated, origin)
        sha256 = hashlib.sha256(data).hexdigest()
        for earlier in self.newest():
            if earlier["sha256"] == sha256:
                return {**earlier, "is_new": False}
        now = datetime.now(UTC)
        name = f"{now:%Y%m%d-%H%M%S}-{sha256[:8]}"
        note = {
            "id": name,
            "made": now.isoformat(timespec="seconds"),
            "sha256": sha256,
            "seed": origin["seed"],
            "options": changed_options(origin),
            "primer": origin["inputs"].get("primer"),
            "primer_ticks": generated.primer_end,
            "ended": generated.ended,
            "loops": generated.num_loops,
            **summary_of(piece),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._folder / f"{name}.mid", data)
        write_atomically(self._folder / f"{name}.json", provenance_json(origin, found, data))
        write_atomically(self._folder / f"{name}{_NOTE}", (json.dumps(note, indent=1) + "\n").encode())
        return {**note, "is_new": True}

    def newest(self) -> list[dict[str, Any]]:
        """Returns what the page shows of each piece, the newest first."""
        names = sorted((path.name.removesuffix(_NOTE) for path in self._folder.glob(f"*{_NOTE}")), reverse=True)
        return [note for name in names[:SHOWN] if _ID.fullmatch(name) and (note := self._note(name))]

    def find(self, name: str) -> dict[str, Any] | None:
        """Returns what the page shows of a piece, with its notes; None where there is none."""
        path = self.midi_path(name)
        note = path and self._note(name)
        return {**note, "roll": roll_of(midi.read(path.read_bytes()))} if path and note else None

    def midi_path(self, name: str) -> Path | None:
        """Returns the MIDI file of a piece, None where there is none."""
        path = self._folder / f"{name}.mid"
        return path if _ID.fullmatch(name) and path.is_file() else None

    def delete(self, name: str) -> bool:
        """Deletes a piece, and returns whether there was one."""
        if self.midi_path(name) is None:
            return False
        for suffix in (_NOTE, ".json", ".mid"):
            (self._folder / f"{name}{suffix}").unlink(missing_ok=True)
        return True

    def _note(self, name: str) -> dict[str, Any] | None:
        path = self._folder / f"{name}{_NOTE}"
        if not path.exists():
            return None  # deleted meanwhile, by another window
        try:
            return dict(read_document(path, Note))
        except UserError as error:
            _logger.warning("%s; it is left out of the history", error)
            return None


def changed_options(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a piece, as JSON has them, that are not as by default."""
    usual = {**default_options(origin), "num_pieces": 1}
    given, default = (json.loads(json.dumps(dict(one))) for one in (origin["options"], usual))
    return {name: value for name, value in given.items() if value != default[name]}
