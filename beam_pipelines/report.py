"""The page that prepare ends with: report.html in the dataset's folder, one file that needs no network.

It is a function of the dataset's description alone, so the same dataset has the same page. Names of files and styles
are the user's: everything that comes from outside goes through `_text`.
"""

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ostinato.beam_pipelines import summary as tables
from ostinato.beam_pipelines.charts import charts, flow
from ostinato.beam_pipelines.page_style import STYLE
from ostinato.beam_pipelines.summary import Summary, Table, summarise
from ostinato.beam_pipelines.text import EXPLANATIONS, KINDS, NO_STATISTICS, hours_text
from ostinato.configs.schema import PrepareConfig
from ostinato.data.records import DatasetError, write_atomically
from ostinato.report.text import as_html

FILE = "report.html"

EXAMPLES = 5
"""Inputs that are named for each reason and each kind."""

_LONGEST_TEXT = 160


def write_report(folder: Path) -> Path:
    """Writes report.html into the folder of a finished dataset and returns its path.

    Raises:
        DatasetError: the folder holds no manifest, or its statistics are damaged.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise DatasetError(f"{folder}: not a finished dataset (manifest.json is missing); run 'ostinato prepare' first")
    summary = summarise(folder, json.loads(path.read_text()))
    write_atomically(folder / FILE, _page(summary).encode())
    return folder / FILE


def _page(summary: Summary) -> str:
    name = _text(summary.manifest["name"])
    sections = [_opening, _inputs, _contents, _music, _left_out, _making]
    body = "\n".join(section(summary) for section in sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}: what is in it</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _opening(summary: Summary) -> str:
    splits = summary.manifest["splits"].values()
    pieces, notes = sum(split["pieces"] for split in splits), sum(split["notes"] for split in splits)
    figures = [("pieces", f"{pieces:,}"), ("notes", f"{notes:,}")]
    if summary.splits:
        figures.append(("hours of music", hours_text(summary.whole.hours)))
        named = [style for style in summary.styles if style]
        figures.append(("instruments", f"{int((summary.whole.program_pieces > 0).sum()):,}"))
        figures += [("styles", f"{len(summary.styles):,}")] if named else []
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
    parts = [
        f"<h1>{_text(summary.manifest['name'])}</h1>",
        '<p class="lead soft">A dataset of MIDI music, prepared by Ostinato.</p>',
        f'<dl class="figures">{cells}</dl>',
    ]
    if not summary.splits:
        parts.append(f'<p class="note">{NO_STATISTICS}</p>')
    return "\n".join(parts)


def _inputs(summary: Summary) -> str:
    counts = summary.manifest.get("counts")
    if not counts:
        return _section("Inputs", '<p class="note">How many inputs there were was not written down.</p>')
    picture = flow(
        [
            ("in the dataset", counts["accepted"], "accepted"),
            ("duplicates", counts["duplicates"], "duplicates"),
            ("rejected", counts["rejected"], "rejected"),
        ]
    )
    parts = [f'<div class="scroll">{picture}</div>', f"<p>{tables.counts_line(summary)}.</p>"]
    salvaged = tables.salvage_table(summary).rows
    if salvaged:
        mended = " and ".join(f"{count} {_text(meaning or how)}" for how, count, meaning in salvaged)
        parts.append(f"<p>Of the inputs that could be read, some had to be mended: {mended}.</p>")
    labels = summary.manifest.get("labels")
    if labels:
        parts.append(f"<p>{labels['labelled']:,} inputs had a label; {_moved(labels['moved'])}.</p>")
    return _section("Inputs", *parts)


def _moved(number: int) -> str:
    if not number:
        return "each piece is in the split that was fixed for it"
    return f"{number:,} pieces are in another split than the one fixed for them, since a relative had to be there"


def _contents(summary: Summary) -> str:
    parts = [_table(tables.split_table(summary), has_sum=len(summary.manifest["splits"]) > 1)]
    if "groups" in summary.manifest:
        parts.append(
            f'<p class="soft">{summary.manifest["groups"]:,} groups of related pieces; no group is in two splits.</p>'
        )
    styles = tables.style_table(summary)
    if styles.rows:
        parts += ["<h3>Styles</h3>", _table(styles, bar=1)]
    return _section("Pieces, notes and hours", *parts)


def _music(summary: Summary) -> str:
    if not summary.splits:
        return ""
    figures = "".join(
        f'<figure><h3>{chart.title} <span class="soft">share of {chart.unit}</span></h3>{chart.svg}<figcaption>'
        f"{_text(chart.caption)}</figcaption></figure>"
        for chart in charts(summary.whole)
    )
    return _section(
        "The music",
        f'<div class="charts">{figures}</div>',
        "<h3>In figures</h3>",
        _table(tables.music_table(summary)),
        "<h3>Instruments</h3>",
        '<p class="soft">By the number of pieces they play in; names of General MIDI.</p>',
        _table(tables.program_table(summary), bar=1),
    )


def _left_out(summary: Summary) -> str:
    rejected = tables.reject_table(summary)
    num_duplicates = summary.manifest.get("counts", {}).get("duplicates", 0)
    parts = ["<h3>Rejected</h3>"]
    if rejected.rows:
        examples = _examples(summary.rejects(), "reason", summary.manifest["rejected_by_reason"])
        parts.append("<p>Every one has a line in <code>rejects.jsonl</code>. Some of each kind:</p>")
        parts += [
            _details(
                f"<b>{count}</b> {_text(reason)}",
                EXPLANATIONS.get(reason, ""),
                ["input", "stage", "what was found"],
                [[line["path"], line["stage"], line["detail"]] for line in examples[reason]],
            )
            for reason, count, _ in rejected.rows
        ]
    else:
        parts.append("<p>Nothing.</p>")
    parts.append("<h3>Duplicates</h3>")
    if num_duplicates:
        counts = summary.manifest.get("duplicates_by_kind") or {"": num_duplicates}
        examples = _examples(summary.duplicates(), "kind", counts)
        parts.append("<p>Every one has a line in <code>duplicates.jsonl</code>. Some of each kind:</p>")
        parts += [
            _details(
                f"<b>{counts[kind]:,}</b> {_text(kind or 'duplicates')}",
                KINDS.get(kind, ""),
                ["left out", "kept"],
                [[line["path"], line["kept"]] for line in examples[kind]],
            )
            for kind in sorted(counts)
        ]
    else:
        parts.append("<p>Nothing.</p>")
    return _section("What was left out", *parts)


def _making(summary: Summary) -> str:
    manifest = summary.manifest
    options = _flat(manifest.get("prepare", {}))
    defaults = _flat(dataclasses.asdict(PrepareConfig()))
    changed = [
        f"--{name.replace('_', '-')} {_value(value)}" for name, value in options.items() if defaults.get(name) != value
    ]
    labels = ["--labels …"] if "labels" in manifest else []
    command = " ".join(["ostinato prepare --midi … --output …", *labels, *changed])
    rows = [[name, _value(value), _value(defaults.get(name, ""))] for name, value in options.items()]
    codec = {key: value for key, value in manifest["codec"].items() if not isinstance(value, list)}
    sizes = {key: len(value) for key, value in manifest["codec"].items() if isinstance(value, list)}
    about = [
        *([key, _value(value)] for key, value in codec.items()),
        *([key, f"{size:,}"] for key, size in sizes.items()),
    ]
    num_bytes = sum(shard["bytes"] for split in manifest["splits"].values() for shard in split["shards"])
    return _section(
        "How it was made",
        f"<pre><code>{_text(command)}</code></pre>",
        _table(Table("options", ["option", "value", "default"], rows, words=(0, 1, 2))) if rows else "",
        "<h3>Codec</h3>",
        _table(Table("codec", ["part", "value"], about, words=(0, 1))),
        "<h3>Files</h3>",
        f"<p>{num_bytes / 1e6:,.1f} MB in shards. Equal datasets have equal fingerprints; this one's is<br>"
        f"<code>{_text(manifest['fingerprint'])}</code></p>",
    )


def _section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def _table(table: Table, *, bar: int | None = None, has_sum: bool = False) -> str:
    """Returns a table; with `bar`, the figures of that column are drawn too, except in the row of the rest."""
    styles = [' class="words"' if number in table.words else "" for number in range(len(table.heading))]
    head = "".join(f'<th scope="col"{css}>{_text(cell)}</th>' for css, cell in zip(styles, table.heading, strict=True))
    figures = [] if bar is None else [float(row[bar].replace(",", "")) for row in table.rows[: tables.MAX_ROWS]]
    lines = []
    for number, row in enumerate(table.rows):
        cells = "".join(f"<td{css}>{_long_text(cell)}</td>" for css, cell in zip(styles, row, strict=True))
        if number < len(figures):
            width = 100 * figures[number] / max(*figures, 1.0)
            drawn = f'<span style="width: {width:.1f}%"></span>' if width else ""
            cells += f'<td class="bar">{drawn}</td>'
        elif figures:
            cells += "<td></td>"
        css = ' class="sum"' if has_sum and number == len(table.rows) - 1 else ""
        lines.append(f"<tr{css}>{cells}</tr>")
    wide, space = (' class="wide"', "<td></td>") if figures else ("", "")
    body = "\n".join(lines)
    return (
        f'<div class="scroll"><table{wide} aria-label="{_text(table.title)}"><thead><tr>{head}{space}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _details(title: str, meaning: str, heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a line that opens to a table of examples; `title` is HTML already."""
    head = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in heading)
    body = "\n".join("<tr>" + "".join(f"<td>{_long_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    about = f' <span class="soft">{_text(meaning)}</span>' if meaning else ""
    return (
        f"<details><summary>{title}{about}</summary>\n"
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></details>"
    )


def _examples(lines: Iterable[dict[str, str]], key: str, counts: Mapping[str, int]) -> dict[str, list[dict[str, str]]]:
    """Returns EXAMPLES lines for each value of a key, from all over the list.

    Args:
        lines: in the order of their paths, so that neighbours are alike.
        key: the column that tells kinds apart; older datasets lack it, and have the kind "".
        counts: how many lines there are of each value.
    """
    wanted = {value: {i * count // EXAMPLES for i in range(EXAMPLES)} for value, count in counts.items()}
    seen: Counter[str] = Counter()
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for line in lines:
        value = line.get(key, "")
        if seen[value] in wanted.get(value, ()):
            found[value].append(line)
        seen[value] += 1
    return found


def _text(value: Any) -> str:
    """Returns any text as it may stand in HTML, in an attribute too."""
    return as_html(str(value))


def _long_text(value: str) -> str:
    """Returns text of any length: what is cut out of its middle is in the title."""
    if len(value) <= _LONGEST_TEXT:
        return _text(value)
    half = _LONGEST_TEXT // 2
    return f'<span title="{_text(value[:2000])}">{_text(value[:half])} … {_text(value[-half:])}</span>'


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Returns the leaves of nested dictionaries by dotted path, as the command line names them."""
    if not isinstance(value, dict):
        return {path: list(value) if isinstance(value, tuple) else value}
    leaves: dict[str, Any] = {}
    for key, part in value.items():
        leaves.update(_flat(part, f"{path}.{key}" if path else key))
    return leaves


def _value(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
