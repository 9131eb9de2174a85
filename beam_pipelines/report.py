"""The page that prepare ends with: report.html in the dataset's folder, one file that needs no network.

It is a function of the dataset's description alone, so the same dataset has the same page. Names of files and styles
are the user's: the template escapes them.
"""

import dataclasses
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ostinato.beam_pipelines import summary as tables
from ostinato.beam_pipelines.charts import charts
from ostinato.beam_pipelines.summary import Summary, summarise
from ostinato.beam_pipelines.text import NO_STATISTICS, hours_text, share_text
from ostinato.configs.preparation import PrepareConfig
from ostinato.data.atomic import write_atomically
from ostinato.data.manifest import read_manifest
from ostinato.report.templates import render

FILE = "report.html"

_TEMPLATES = Path(__file__).parent / "templates"

EXAMPLES = 5
"""Inputs that are named for each reason and each kind."""


class Examples(NamedTuple):
    """Inputs that were left out for one reason."""

    name: str
    number: str
    meaning: str
    rows: list[list[str]]


def write_report(folder: Path) -> Path:
    """Writes report.html into the folder of a finished dataset and returns its path.

    Raises:
        DatasetError: the folder holds no manifest, or its statistics are damaged.
    """
    summary = summarise(folder, read_manifest(folder))
    write_atomically(folder / FILE, render(_TEMPLATES, "dataset.html", **_content(summary)).encode())
    return folder / FILE


def _content(summary: Summary) -> dict[str, Any]:
    manifest = summary.manifest
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    return {
        "name": manifest["name"],
        "figures": _figures(summary),
        "no_statistics": NO_STATISTICS,
        "shares": _shares(manifest.get("counts")),
        "counts_line": tables.counts_line(summary),
        "repairs": tables.count_table(summary, "salvaged").rows,
        "not_read": tables.count_table(summary, "not_read"),
        "labels": manifest.get("labels"),
        "splits": tables.split_table(summary),
        "groups": manifest.get("groups"),
        "styles": tables.style_table(summary),
        "charts": charts(summary.whole),
        "music": tables.music_table(summary),
        "programs": tables.program_table(summary),
        "notes": tables.note_table(summary),
        "rejected": list(
            _left_out(summary, "rejected_by_reason", "rejects.jsonl", "reason", ("path", "stage", "detail"))
        ),
        "duplicates": list(_left_out(summary, "duplicates_by_kind", "duplicates.jsonl", "kind", ("path", "kept"))),
        **_making(manifest),
        "megabytes": sum(shard["bytes"] for shard in shards) / 1e6,
        "fingerprint": manifest["fingerprint"],
    }


def _figures(summary: Summary) -> list[tuple[str, str, str]]:
    splits = summary.manifest["splits"].values()
    figures = {"pieces": f"{sum(split['pieces'] for split in splits):,}"}
    figures["notes"] = f"{sum(split['notes'] for split in splits):,}"
    if summary.splits:
        figures["hours of music"] = hours_text(summary.whole.hours)
        figures["instruments"] = str((summary.whole.program_pieces > 0).sum())
        if any(summary.styles):
            figures["styles"] = f"{len(summary.styles):,}"
    return [(name, value, "") for name, value in figures.items()]


def _shares(counts: Mapping[str, int] | None) -> list[dict[str, Any]]:
    """Returns what became of the inputs; nothing where that was not counted."""
    if not counts:
        return []
    names = {"accepted": "in the dataset", "duplicates": "duplicates", "rejected": "rejected"}
    return [
        {"key": key, "name": name, "number": counts[key], "text": share_text(counts[key], counts["inputs"])}
        for key, name in names.items()
    ]


def _left_out(summary: Summary, counts_key: str, file: str, key: str, columns: Sequence[str]) -> Iterator[Examples]:
    """Yields how many inputs were left out for each reason, and EXAMPLES of them from all over the list."""
    found: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    counts, seen = summary.counts(counts_key), Counter[str]()
    wanted = {name: {i * count // EXAMPLES for i in range(EXAMPLES)} for name, count in counts.items()}
    for line in summary.lines(file, columns):  # in the order of their paths, so that neighbours are alike
        name = line.get(key, "")
        if seen[name] in wanted.get(name, ()):
            found[name].append(line)
        seen[name] += 1
    for name, count, meaning in tables.count_table(summary, counts_key).rows:
        yield Examples(name, count, meaning, [[line[column] for column in columns] for line in found[name]])


def _making(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the command, the options and the codec.

    Paths are left open, so that equal datasets have equal pages, and so are options of Beam, which may hold secrets.
    """
    options = dict(_leaves(manifest.get("prepare", {})))
    defaults = dict(_leaves(dataclasses.asdict(PrepareConfig())))
    words = ["ostinato prepare --midi … --output …", *(["--labels …"] if "labels" in manifest else [])]
    if made_from := manifest.get("made_from"):  # whose settings stay
        removed = [shlex.quote(name) for name in made_from[-1]["removed"]]
        if len(removed) > EXAMPLES:
            removed = [*removed[:EXAMPLES], "…"]
        words += ["--from …", *(["--remove", *removed] if removed else [])]
    else:
        changed = (name for name, value in options.items() if defaults.get(name) != value)
        words += [f"--{name.replace('_', '-')} {options[name]}" for name in changed]
    sizes = [(key, f"{len(value):,}") for key, value in manifest["codec"].items() if isinstance(value, list)]
    parts = [(key, str(value)) for key, value in manifest["codec"].items() if not isinstance(value, list)]
    return {
        "command": " ".join(words),
        "options": [(name, value, defaults.get(name, "")) for name, value in options.items()],
        "codec": [*parts, *sizes],
    }


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields the leaves of nested dictionaries by dotted path, as the command line names and writes them."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}" if path else key)
    elif path:
        yield path, " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
