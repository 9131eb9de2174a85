"""The page beside the pieces: play, look, download, and how each was made. One file of HTML that needs no network.

It is a function of pieces.json alone. Names of files and instruments come from outside: they go through `_text`.
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from ostinato.report.text import as_html
from ostinato.sample.output.gallery_style import SCRIPT, STYLE
from ostinato.sample.output.provenance import default_options

PAGE = "index.html"


def gallery_page(document: Mapping[str, Any]) -> str:
    """Returns the page of the pieces that `write_pieces` has listed."""
    pieces = document["pieces"]
    count = "1 piece" if len(pieces) == 1 else f"{len(pieces):,} pieces"
    seconds, notes = sum(piece["seconds"] for piece in pieces), sum(piece["notes"] for piece in pieces)
    lead = f"{count} by Ostinato: {notes:,} notes, {_duration(seconds)}."
    if found := document.get("diversity"):
        lead += (
            f" In rhythm and melody two of them are {found['mean']:.2f} apart on average, the two most alike "
            f"{found['least']:.2f} (0 is the same, 1 nothing in common)."
        )
    body = "\n".join(_article(piece) for piece in pieces)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{count} by Ostinato</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>New music</h1>
<p class="lead soft">{lead}</p>
{body}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _article(piece: Mapping[str, Any]) -> str:
    number = piece["origin"]["piece"]
    name = f"piece-{number}"
    files = [(piece["file"], "MIDI"), (piece["picture"], "picture")]
    if "sound" in piece:
        files.append((piece["sound"], piece["sound"].rpartition(".")[2].upper()))
    score = ""
    if "score" in piece:
        files += [(piece["musicxml"], "MusicXML"), (piece["score"], "score")]
        score = (
            f'<details><summary>Score</summary>\n<div class="page" tabindex="0" role="region" '
            f'aria-label="Score of piece {number}"><img src="{as_html(piece["score"])}" loading="lazy" '
            f'alt="Score of piece {number}"></div></details>\n'
        )
    files.append((piece["file"].rpartition(".")[0] + ".json", "recipe"))
    links = "".join(
        f'<li><a href="{as_html(file)}" download aria-label="Download {what} of piece {number}">{what}</a></li>'
        for file, what in files
    )
    sound = ""
    if "sound" in piece:
        sound = (
            f'<audio controls preload="metadata" src="{as_html(piece["sound"])}" aria-label="Piece {number}"></audio>\n'
        )
    roll = piece["roll"]
    return f"""<article aria-labelledby="{name}">
<h2 id="{name}">Piece {number}</h2>
<p class="soft">{as_html(_summary(piece))}</p>
<div class="roll" tabindex="0" role="region" aria-label="Piano roll of piece {number}">
<div class="sheet" data-times="{as_html(json.dumps(roll["times"]))}">
<img src="{as_html(piece["picture"])}" width="{roll["width"]}" height="{roll["height"]}" loading="lazy"
alt="Piano roll of piece {number}: {as_html(_summary(piece))}">
<span class="line" hidden></span>
</div>
</div>
{sound}{score}<ul class="files">{links}</ul>
{_making(piece)}
</article>"""


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


def _making(piece: Mapping[str, Any]) -> str:
    """Returns the controls that made a piece: those that were changed in one line, and all of them behind it."""
    origin = piece["origin"]
    defaults = default_options(origin)
    options = {"seed": origin["seed"], **origin["options"]}
    changed = {name: value for name, value in options.items() if _value(value) != _value(defaults.get(name))}
    flags = [f"--{name} {_quoted(given['name'])}" for name, given in origin["inputs"].items()]
    flags += [_flag(name, value) for name, value in changed.items()]
    rows = [
        f"<tr{' class=changed' if name in changed else ''}><td>{as_html(name.replace('_', ' '))}</td>"
        f"<td>{as_html(_value(value)) or 'none'}</td></tr>"
        for name, value in options.items()
    ]
    facts = {
        "model": f"parameters {origin['params_sha256'][:16]}, step {origin['step']:,}",
        **{name: f"{given['name']}, {given['sha256'][:16]}" for name, given in origin["inputs"].items()},
        **{name.replace("_", " "): _value(piece[name]) for name in piece if name not in _SHOWN},
        "made by": f"ostinato {origin['version']}",
    }
    rows += [f"<tr><td>{as_html(name)}</td><td>{as_html(value)}</td></tr>" for name, value in facts.items()]
    said = " ".join(flags) or "all options as they are by default"
    again = f"ostinato sample --again {_quoted(piece['file'])}"
    if "model" in origin["options"]:  # a baseline is no run that could be asked for one piece: all are written again
        again = f"ostinato sample {said} --output again"
    return f"""<details><summary>How it was made: <code>{as_html(said)}</code></summary>
<pre><code>{as_html(again)}</code></pre>
<table aria-label="All options of piece {origin["piece"]}"><thead><tr>
<th scope="col">option</th><th scope="col">value</th></tr></thead>
<tbody>{"".join(rows)}</tbody></table></details>"""


_SHOWN = {
    "file", "picture", "sound", "notes", "primer_notes", "seconds", "quarters_per_minute", "meters", "instruments",
    "origin", "roll", "score", "musicxml",
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
