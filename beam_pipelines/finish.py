"""The end of a prepare job: the notes of its stages are checked and become the dataset's description."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.units import Unit, check_streams
from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.output import VainError
from ostinato.beam_pipelines.pipeline import CODEC, SUMMARY
from ostinato.beam_pipelines.write import NotesWritten
from ostinato.configs.errors import Lines
from ostinato.data import dataset_writer, records
from ostinato.data.dataset_writer import Shard
from ostinato.data.statistics import Statistics, total
from ostinato.music.account import COUNTS
from ostinato.music.codecs import codec_from_json

SHOWN_REJECTS = 5
"""Where no input can be used."""


class UnusableError(VainError):
    """No input can be used."""


class LostError(RuntimeError):
    """The numbers do not add up. Never the user's mistake."""


def finish(folder: Path, job: Job, units: Mapping[int, Unit], not_read: Mapping[str, int]) -> None:
    """Writes pieces.jsonl, changed.jsonl, statistics.json, the index, TFDS's description and, last, the manifest.

    Args:
        folder: a local folder, which holds rejects.jsonl and duplicates.jsonl already.
        job: its notes are read.
        units: those that were scanned, by their numbers.
        not_read: how many files were not read, by their endings.

    Raises:
        SourceError: a compressed archive changed while it was being read.
        UnusableError: the dataset would be empty.
        LostError: an input or a note is neither in the dataset nor accounted for.
    """
    summary = job.read_note("assigned", SUMMARY)
    if not summary["shards"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(summary["rejected_by_reason"].items()))
        rejects = (f"  {line}" for line in _some_rejects(folder))
        raise UnusableError(Lines.of(f"none of {summary['inputs']} inputs can be used ({reasons})", *rejects))
    shards: dict[str, list[Shard]] = {split: [] for split in records.SPLITS}
    statistics: dict[str, dict[str, Statistics]] = defaultdict(dict)
    notes, changed = NotesWritten(), Counter[str]()
    sizes: dict[str, list[np.ndarray]] = {"piece_notes": [], "piece_ms": []}
    with (folder / "pieces.jsonl").open("wb") as pieces, (folder / "changed.jsonl").open("w") as changes:
        for key in sorted(summary["keys"]):
            note = job.read_note("written", key)
            pieces.write(files.read_bytes(job.work_file("written", key, "jsonl")))
            split = note["split"]
            shards[split].append(_as_arrays(Shard(**note["shard"])))
            notes.merge(note["notes"])
            for name, columns in sizes.items():
                columns.append(np.array(note["notes"][name], np.int64))
            changes.writelines(json.dumps(line) + "\n" for line in note["notes"]["changed"])
            changed.update(line["reason"] for line in note["notes"]["changed"])
            for style, counts in note["statistics"].items():
                so_far = statistics[style].get(split, Statistics.empty())
                statistics[style][split] = so_far + Statistics.from_json(counts)
    counts = {
        "inputs": summary["inputs"],
        "accepted": sum(len(shard.lengths) for parts in shards.values() for shard in parts),
        "rejected": _count_lines(folder / "rejects.jsonl"),
        "duplicates": _count_lines(folder / "duplicates.jsonl"),
    }
    _check(counts, summary, {number: unit for number, unit in units.items() if not job.is_of_base(number)})
    content = _by_split_and_style(statistics)
    found = sum(split["notes"] for split in content["splits"].values())
    account = _account(notes, summary["notes"], found)
    content["quartiles"] = {
        name: np.quantile(np.concatenate(columns), (0.25, 0.5, 0.75)).round().astype(int).tolist()
        for name, columns in sizes.items()
    }
    (folder / "statistics.json").write_text(json.dumps(content) + "\n")
    extra = {
        "counts": counts,
        **{key: summary[key] for key in ("rejected_by_reason", "duplicates_by_kind", "salvaged", "by_style")},
        "notes": account,
        "pieces_with": dict(notes.pieces),
        "changed": changed,
        "not_read": dict(sorted(not_read.items())),
        "groups": summary["groups"],
        "prepare": asdict(job.config),
    }
    if job.base:
        extra["made_from"] = job.base.made_from
    if job.labels:
        extra["labels"] = {key: summary[key] for key in ("labelled", "moved")}
    codec = codec_from_json(job.read_note("assigned", CODEC))
    dataset_writer.finish_dataset(folder, job.name, codec, shards, extra)


def _as_arrays(shard: Shard) -> Shard:
    """Returns the shard with its numbers in a fifth of the memory."""
    return shard._replace(offsets=np.array(shard.offsets, np.int64), lengths=np.array(shard.lengths, np.int32))


def _by_split_and_style(by_style: Mapping[str, Mapping[str, Statistics]]) -> dict[str, Any]:
    """Returns the content of statistics.json."""
    splits = [split for split in records.SPLITS if any(split in found for found in by_style.values())]
    sums = {split: total(found[split] for found in by_style.values() if split in found) for split in splits}
    return {
        "splits": {split: sums[split].to_json() for split in splits},
        "styles": {
            style: {split: found[split].to_json() for split in splits if split in found}
            for style, found in sorted(by_style.items())
        },
    }


def _account(notes: NotesWritten, num_found: int, num_kept: int) -> dict[str, int]:
    """Returns what became of all notes.

    Args:
        notes: of the pieces in the dataset.
        num_found: notes in all inputs that can be used, duplicates too.
        num_kept: notes that are in the dataset.
    """
    counts = notes.notes
    if counts["read"] != counts["left_out"] + counts["merged"] + num_kept:
        raise LostError(f"{dict(counts)} are to leave {num_kept} notes")
    duplicates = num_found - counts["read"]
    account = {"found": num_found, "duplicates": duplicates, **{name: counts[name] for name in COUNTS}}
    return account | {"kept": num_kept}


def _some_rejects(folder: Path) -> list[str]:
    """Returns what was found in the first inputs; the list itself goes with the job that failed."""
    with (folder / "rejects.jsonl").open() as lines:
        rejects = list(map(json.loads, islice(lines, SHOWN_REJECTS)))
    return [f"{reject['path']}: {reject['detail'] or reject['reason']}" for reject in rejects]


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _check(counts: dict[str, int], summary: dict[str, Any], units: Mapping[int, Unit]) -> None:
    """Compares what was written with what was read, and that with what was there before the job."""
    by_unit = [summary["inputs_by_unit"].get(str(number), 0) for number in units]
    check_streams(units.values(), by_unit)
    accounted = counts["accepted"] + counts["rejected"] + counts["duplicates"]
    by_style = sum(sum(numbers.values()) for numbers in summary["by_style"].values())
    expected = [unit.num_inputs for unit in units.values()]
    is_whole = all(want in (None, found) for want, found in zip(expected, by_unit, strict=True))
    if not (is_whole and counts["inputs"] == accounted == by_style):
        raise LostError(f"units hold {expected} inputs, {by_unit} were read, but accounted for are {counts}")
