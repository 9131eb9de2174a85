"""The page beside the pieces: play, look, download, and how each was made. One file of HTML that needs no network."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ostinato.report.templates import render
from ostinato.sample.output.provenance import default_options

PAGE = "index.html"


def gallery_page(document: Mapping[str, Any], rolls: Sequence[Mapping[str, Any]]) -> str:
    """Returns the page of the pieces that `write_pieces` has listed, with what `page_roll` returned of each."""
    pieces = document["pieces"]
    count = "1 piece" if len(pieces) == 1 else f"{len(pieces):,} pieces"
    seconds, notes = sum(piece["seconds"] for piece in pieces), sum(piece["notes"] for piece in pieces)
    lead = f"{count} by Ostinato: {notes:,} notes, {_duration(seconds)}."
    if found := document.get("diversity"):
        lead += (
            f" In rhythm and melody two of them are {found['mean']:.2f} apart on average, the two most alike "
            f"{found['least']:.2f} (0 is the same, 1 nothing in common)."
        )
    folder = Path(__file__).parent / "templates"
    return render(
        folder,
        "gallery.html",
        count=count,
        lead=lead,
        pieces=[_content(*one) for one in zip(pieces, rolls, strict=True)],
    )


def _content(piece: Mapping[str, Any], roll: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the page shows of a piece."""
    files = [(piece["file"], "MIDI"), (piece["picture"], "picture")]
    if "sound" in piece:
        files.append((piece["sound"], piece["sound"].rpartition(".")[2].upper()))
    if "score" in piece:
        files += [(piece["musicxml"], "MusicXML"), (piece["score"], "score")]
    files.append((piece["file"].rpartition(".")[0] + ".json", "recipe"))
    return {
        "number": piece["origin"]["piece"],
        "summary": _summary(piece),
        "picture": piece["picture"],
        "roll": roll,
        "sound": piece.get("sound", ""),
        "score": piece.get("score", ""),
        "files": files,
        **_making(piece),
    }


def _summary(piece: Mapping[str, Any]) -> str:
    """Returns one line about the music."""
    notes = f"{piece['notes']:,} notes"
    if piece["primer_notes"]:
        notes += f", the first {piece['primer_notes']:,} of them given"
    tempos = piece["quarters_per_minute"]
    tempo = f"{tempos[0]}" if len(tempos) == 1 else f"{tempos[0]} to {tempos[-1]}"
    meters = piece["meters"][:3] + ["…"] * (len(piece["meters"]) > 3)
    parts = [notes, _duration(piece["seconds"]), f"{tempo} quarter notes a minute", ", ".join(meters)]
    return "; ".join(part for part in parts if part) + ". " + ", ".join(piece["instruments"]) + "."


def _making(piece: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the controls that made a piece: those that were changed in one line, the command, and all of them."""
    origin = piece["origin"]
    defaults = default_options(origin)
    options = {"seed": origin["seed"], **origin["options"]}
    changed = {name: value for name, value in options.items() if _value(value) != _value(defaults.get(name))}
    flags = [f"--{name} {_quoted(given['name'])}" for name, given in origin["inputs"].items()]
    flags += [_flag(name, value) for name, value in changed.items()]
    facts = {
        "model": f"parameters {origin['params_sha256'][:16]}, step {origin['step']:,}",
        **{name: f"{given['name']}, {given['sha256'][:16]}" for name, given in origin["inputs"].items()},
        **{name.replace("_", " "): _value(piece[name]) for name in piece if name not in _SHOWN},
        "made by": f"ostinato {origin['version']}",
    }
    said = " ".join(flags) or "all options as they are by default"
    again = f"ostinato sample --again {_quoted(piece['file'])}"
    if "model" in origin["options"]:  # a baseline is no run that could be asked for one piece: all are generated again
        again = f"ostinato sample {said} --output again"
    rows = [(name.replace("_", " "), _value(value) or "none", name in changed) for name, value in options.items()]
    return {"said": said, "again": again, "rows": [*rows, *((name, value, False) for name, value in facts.items())]}


_SHOWN = {
    "file", "picture", "sound", "notes", "primer_notes", "seconds", "quarters_per_minute", "meters", "instruments",
    "origin", "score", "musicxml",
}  # fmt: skip


def _flag(name: str, value: Any) -> str:
    name = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {' '.join(_quoted(str(word)) for word in _words(value))}"


def _words(value: Any) -> list[Any]:
    """Returns an option as the command line has it, word by word."""
    return [word for part in value for word in _words(part)] if isinstance(value, list | tuple) else [value]


def _quoted(word: str) -> str:
    return shlex.quote(word)


def _value(value: Any) -> str:
    """Returns an option in words that people read."""
    return " ".join(map(str, _words(value)))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
