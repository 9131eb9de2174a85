"""The pieces that were generated: on disk, so that they are there tomorrow, elsewhere, and for `ostinato sample`.

A piece is three files: `<id>.mid`, `<id>.json` (its recipe, as `ostinato sample` writes it beside a piece), and last
`<id>.studio.json`, what the page shows of it. The id is when it was made and the beginning of its SHA-256.
"""

import hashlib
import json
import logging
import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ostinato.configs.documents import Count, read_document
from ostinato.configs.errors import UserError
from ostinato.data.atomic import write_atomically
from ostinato.music import midi
from ostinato.music.bars import bar_lines
from ostinato.music.keys import heard_key, key_name
from ostinato.music.piece import Piece
from ostinato.sample.generate import Generated
from ostinato.sample.output.provenance import default_options, describe_edited, origin_text, provenance_json
from ostinato.sample.output.roll import roll_of, summary_of
from ostinato.sample.output.sheet import signature_of, title_of
from ostinato.sample.output.write import midi_bytes
from ostinato.studio.request import INPUTS

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
    """Those that are not as by default; of an edited piece none."""
    number: NotRequired[Count]
    """By which it is called, Take 3; pieces of version 0.1 have none."""
    key: NotRequired[str]


class Pieces:
    """The pieces in a folder, newest first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = threading.Lock()

    def save(
        self, generated: Generated, piece: Piece, origin: Mapping[str, Any], found: Mapping[str, str]
    ) -> dict[str, Any]:
        """Saves a piece and returns what the page shows of it; the same piece, note for note, is saved once."""
        data = midi_bytes(piece, generated, origin)
        key = signature_of(piece, origin)
        note = {
            "seed": origin["seed"],
            "take": origin["piece"],
            "options": changed_options(origin),
            **{name: origin["inputs"].get(name) for name in INPUTS},
            "primer_ticks": generated.primer_end,
            "ended": generated.ended,
            "loops": generated.num_loops,
            "key": key_name(key) if key else "",
            **summary_of(piece),
        }
        return self._keep(data, provenance_json(origin, found, data), note)

    def save_edited(self, piece: Piece, name: str, sha256: str) -> dict[str, Any]:
        """Saves a piece that was edited by hand, and returns what the page shows of it.

        Args:
            piece: on the grid of the model's codec.
            name: of the piece or file that it was made from.
            sha256: of that one's MIDI file.
        """
        origin, key = describe_edited(name, sha256), heard_key(piece)
        data = midi.write(
            piece, text=origin_text(origin), key=key, title=title_of(piece, origin),
            end_tick=int(bar_lines(piece)[-1]),
        )  # fmt: skip
        about = {"options": {}, "edited": origin["edited"], "key": key_name(key) if key else "", **summary_of(piece)}
        return self._keep(data, provenance_json(origin, {}, data), about)

    def _keep(self, data: bytes, recipe: bytes, about: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the three files of a piece, unless it is there."""
        sha256 = hashlib.sha256(data).hexdigest()
        with self._one_at_a_time:
            earlier = self.newest()
            for note in earlier:
                if note["sha256"] == sha256:
                    return {**note, "is_new": False}
            now = datetime.now(UTC)
            name = f"{now:%Y%m%d-%H%M%S}-{sha256[:8]}"
            number = 1 + max((note.get("number", 0) for note in earlier), default=0)
            known = {"id": name, "made": now.isoformat(timespec="seconds"), "sha256": sha256, "number": number}
            note = {**known, **about}
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / f"{name}.mid", data)
            write_atomically(self._folder / f"{name}.json", recipe)
            write_atomically(self._folder / f"{name}{_NOTE}", (json.dumps(note, indent=1) + "\n").encode())
        return {**note, "is_new": True}

    def newest(self) -> list[dict[str, Any]]:
        """Returns what the page shows of each piece, the newest first."""
        names = sorted((path.name.removesuffix(_NOTE) for path in self._folder.glob(f"*{_NOTE}")), reverse=True)
        notes = [note for name in names[:SHOWN] if _ID.fullmatch(name) and (note := self._note(name))]
        # Takes are made within a second.
        return sorted(notes, key=lambda note: (note.get("number", 0), note["id"]), reverse=True)

    def find(self, name: str) -> dict[str, Any] | None:
        """Returns what the page shows of a piece, with its notes; None where there is none."""
        path = self.midi_path(name)
        note = path and self._note(name)
        return {**note, "roll": roll_of(midi.read(path.read_bytes()))} if path and note else None

    def midi_path(self, name: str) -> Path | None:
        """Returns the MIDI file of a piece, None where there is none."""
        path = self._folder / f"{name}.mid"
        return path if _ID.fullmatch(name) and path.is_file() else None

    def title(self, name: str) -> str:
        """Returns how a piece is called, Take 3, D minor; one of version 0.1 by its id."""
        note = self._note(name) or {}
        parts = [f"Take {note['number']}", note.get("key", "")] if "number" in note else [f"ostinato-{name}"]
        return ", ".join(filter(None, parts))

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
