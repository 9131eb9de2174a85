"""The Beam pipeline: one line, so that it gives the same bytes on every runner.

    units -> scan -> one group of all results -> assign -> one element a shard -> write

Fingerprints and places are shuffled, never music, and there are no side inputs, tags or bundle hooks (Dask's runner
loses them without a word). The notes codec counts its vocabulary between assign and write. All else that a stage finds
out goes to the work folder.
"""

import json
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam

from ostinato.beam_pipelines.base import read_splits
from ostinato.beam_pipelines.duplicates.grouping import Assignment, assign
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.units import Unit
from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.scan import Scanned, scan
from ostinato.beam_pipelines.write import count_vocabulary, write_list, write_shard
from ostinato.music import notes_codec
from ostinato.music.score_codec import ScoreCodec

SUMMARY = "summary"
CODEC = "codec"
"""Names of the notes in the work folder with the counts of the whole job and with the codec of its records."""


def build(pipeline: beam.Pipeline, units: Iterable[int], job: Job) -> None:
    """Adds all stages to a pipeline.

    Args:
        pipeline: of Beam.
        units: their numbers. What they are stands in the work folder: the size of a pipeline is limited on some
            runners, and a large archive has many members.
        job: goes to every worker.
    """
    shards: Any = (
        pipeline
        | "Units" >> beam.Create(sorted(units))
        | "Spread" >> beam.Reshuffle()
        | "Scan" >> beam.FlatMap(_scan, job=job)
        | "Together" >> beam.GroupByKey()
        | "Assign" >> beam.FlatMap(_assign, job=job)
        | "ByShard" >> beam.GroupByKey()
    )
    if job.config.codec.name == "notes":
        shards = (
            shards
            | "Count" >> beam.Map(_count, job=job)
            | "AllCounts" >> beam.GroupByKey()
            | "Vocabulary" >> beam.FlatMap(_choose_vocabulary, job=job)
            | "ByShardAgain" >> beam.GroupByKey()
        )
    _ = shards | "Write" >> beam.Map(_write, job=job)


# Elements are pickled here and not by Beam, so that every runner handles the same few bytes.


def _scan(number: int, job: Job) -> Iterator[tuple[str, bytes]]:
    with job.at_work():
        unit = Unit.from_json(files.read_bytes(job.work_file("units", f"{number:08d}", "json")))
        for scanned in scan(number, unit, job):
            yield "", pickle.dumps(scanned)


def _assign(group: tuple[str, Iterable[bytes]], job: Job) -> Iterator[tuple[str, bytes]]:
    """Yields "split/shard/shards", which sorts by shard, and the pieces of each shard."""
    with job.at_work():
        scanned: list[Scanned] = sorted(map(pickle.loads, group[1]), key=lambda one: one.result.spool)
        config = job.config
        assignment = assign(
            [one.result for one in scanned],
            split=config.split,
            seed=config.seed,
            num_shards=config.num_shards,
            duplicates=config.duplicates,
            pinned=read_splits(job.base.folder) if job.base else None,
        )
        summary = _summarise(scanned, assignment)
        job.write_note("assigned", SUMMARY, summary)
        write_list("rejects", sorted(reject for one in scanned for reject in one.rejected), job)
        write_list("duplicates", assignment.duplicates, job)
        if config.codec.name == "score" and assignment.shards:
            job.write_note("assigned", CODEC, ScoreCodec(styles=_accepted_styles(summary)).to_json())
        for shard, pieces in assignment.shards.items():
            yield _shard_key(*shard), pickle.dumps(pieces)


def _shard_key(split: str, shard: int, num_shards: int) -> str:
    return f"{split}/{shard:05d}/{num_shards:05d}"


def _summarise(scanned: list[Scanned], assignment: Assignment) -> dict[str, Any]:
    """Returns the counts of the whole job."""
    rejected_by_style = _total(one.rejected_by_style for one in scanned)
    found_by_style = _total(Counter(one.result.style) for one in scanned)
    accepted_by_style = Counter(piece.style for pieces in assignment.shards.values() for piece in pieces)
    by_unit = _total({one.unit: one.num_inputs} for one in scanned)
    return {
        "inputs": by_unit.total(),
        "inputs_by_unit": dict(sorted(by_unit.items())),
        "rejected_by_reason": _sorted(Counter(reject.reason for one in scanned for reject in one.rejected)),
        "duplicates_by_kind": _sorted(Counter(duplicate.kind for duplicate in assignment.duplicates)),
        "salvaged": _sorted(_total(one.repaired for one in scanned)),
        "by_style": {
            style: {
                "accepted": accepted_by_style[style],
                "rejected": rejected_by_style[style],
                "duplicates": found_by_style[style] - accepted_by_style[style],
            }
            for style in sorted(found_by_style.keys() | rejected_by_style.keys())
        },
        "notes": sum(int(one.result.num_notes.sum(dtype=int)) for one in scanned),
        "labelled": sum(one.num_labelled for one in scanned),
        "groups": assignment.num_groups,
        "moved": assignment.moved,
        "shards": len(assignment.shards),
        "keys": [_shard_key(*shard) for shard in assignment.shards],
    }


def _total(counts: Iterable[Mapping[Any, int]]) -> Counter[Any]:
    total: Counter[Any] = Counter()
    for one in counts:
        total.update(one)
    return total


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns counts by name: how the inputs are divided into units must not show."""
    return dict(sorted(counts.items()))


def _accepted_styles(summary: dict[str, Any]) -> tuple[str, ...]:
    return tuple(style for style, counts in summary["by_style"].items() if counts["accepted"])


def _count(shard: tuple[str, Iterable[bytes]], job: Job) -> tuple[str, bytes]:
    """Hands a shard on to the one place where the vocabulary is chosen, with the counts of a training shard."""
    with job.at_work():
        key, (pieces,) = shard
        counts = count_vocabulary(pickle.loads(pieces), job) if key.startswith("train/") else {}
        return "", pickle.dumps((key, pieces, counts))


def _choose_vocabulary(group: tuple[str, Iterable[bytes]], job: Job) -> Iterator[tuple[str, bytes]]:
    with job.at_work():
        shards = [pickle.loads(data) for data in group[1]]
        counts = _total(counts for _, _, counts in shards)
        config = job.config.codec
        vocabulary = notes_codec.choose_vocabulary(
            [(notes_codec.NoteEvent(*event), count) for event, count in counts.items()],
            min_count=config.min_count,
            max_vocabulary=config.max_vocabulary,
        )
        if job.base:  # so that models of the base can be trained further
            vocabulary = notes_codec.NotesCodec.from_json(job.base.codec).vocabulary
        styles = _accepted_styles(job.read_note("assigned", SUMMARY))
        job.write_note("assigned", CODEC, notes_codec.NotesCodec(vocabulary=vocabulary, styles=styles).to_json())
        yield from ((key, pieces) for key, pieces, _ in shards)


def _write(shard: tuple[str, Iterable[bytes]], job: Job) -> str:
    """Writes one shard and returns its key."""
    with job.at_work():
        key, (pieces,) = shard
        write_shard(key, pickle.loads(pieces), json.dumps(job.read_note("assigned", CODEC)), job)
        return key
