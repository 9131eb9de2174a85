"""The Beam pipeline: one line, so that it gives the same bytes on every runner.

    units -> scan -> one group of all findings -> assign -> one element a shard -> write

Fingerprints and places are shuffled, never music, and there are no side inputs, tags or bundle hooks (Dask's runner
loses them without a word). The notes codec counts its vocabulary between assign and write.
"""

import json
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam

from ostinato.beam_pipelines.duplicates.grouping import Assigned, Assignment, assign
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.sources import Unit
from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.scan import Scanned, scan
from ostinato.beam_pipelines.write import count_vocabulary, write_list, write_shard
from ostinato.music import notes_codec
from ostinato.music.codec import Codec
from ostinato.music.score_codec import ScoreCodec

SUMMARY = "summary"
CODEC = "codec"
"""Names of the notes in the work folder with the counts of the whole job and with the codec of its records."""


def build(pipeline: beam.Pipeline, units: list[Unit], job: Job) -> None:
    """Adds all stages to a pipeline, and writes the units to the work folder.

    In the pipeline itself there are only their numbers: its size is limited on some runners, and a large archive has
    many members.
    """
    for number, unit in enumerate(units):
        files.write_bytes(job.work_file("units", f"{number:08d}", "pickle"), pickle.dumps(unit))
    parts: Any = (
        pipeline
        | "Units" >> beam.Create(range(len(units)))
        | "Spread" >> beam.Reshuffle()
        | "Scan" >> beam.FlatMap(_scan, job=job)
        | "Together" >> beam.GroupByKey()
        | "Assign" >> beam.FlatMap(_assign, job=job)
        | "ByShard" >> beam.GroupByKey()
    )
    if job.config.codec.name == "notes":
        parts = (
            parts
            | "Count" >> beam.Map(_count, job=job)
            | "AllCounts" >> beam.GroupByKey()
            | "Vocabulary" >> beam.FlatMap(_choose_vocabulary, job=job)
            | "ByShardAgain" >> beam.GroupByKey()
        )
    _ = parts | "Write" >> beam.Map(_write, job=job)


# Elements are pickled here and not by Beam, so that every runner handles the same few bytes.


def _scan(number: int, job: Job) -> Iterator[tuple[str, bytes]]:
    files.configure(job.beam_args)
    unit: Unit = pickle.loads(files.read_bytes(job.work_file("units", f"{number:08d}", "pickle")))
    for scanned in scan(number, unit, job):
        yield "", pickle.dumps(scanned)


def _assign(group: tuple[str, Iterable[bytes]], job: Job) -> Iterator[tuple[str, bytes]]:
    """Yields ("split/shard/shards", (pieces, codec)) and what has to be written beside the shards."""
    scanned: list[Scanned] = [pickle.loads(data) for data in group[1]]
    config = job.config
    assignment = assign(
        [one.findings for one in scanned],
        split=config.split,
        seed=config.seed,
        num_shards=config.num_shards,
        duplicates=config.duplicates,
    )
    # Written at once, and not by _write, so that the progress display knows how many shards there will be.
    summary = json.dumps(_summarise(scanned, assignment))
    files.write_bytes(job.work_file("assigned", SUMMARY, "json"), summary.encode())
    styles = sorted({piece.style for pieces in assignment.shards.values() for piece in pieces})
    codec = ScoreCodec(styles=tuple(styles)) if styles and config.codec.name == "score" else None
    for (split, shard, count), pieces in assignment.shards.items():
        yield f"{split}/{shard}/{count}", pickle.dumps((pieces, _text(codec), styles))
    rejects = sorted(reject for one in scanned for reject in one.rejected)
    yield "rejects", pickle.dumps(rejects)
    yield "duplicates", pickle.dumps(assignment.duplicates)
    if codec:
        yield CODEC, pickle.dumps(codec.to_json())


def _summarise(scanned: list[Scanned], assignment: Assignment) -> dict[str, Any]:
    """Returns the counts of the whole job."""
    rejected_by_style = sum((Counter(one.rejected_by_style) for one in scanned), Counter())
    found_by_style = sum((Counter(one.findings.style) for one in scanned), Counter())
    by_unit: Counter[int] = Counter()
    for one in scanned:
        by_unit[one.unit] += one.num_inputs
    accepted_by_style = Counter(piece.style for pieces in assignment.shards.values() for piece in pieces)
    return {
        "inputs": sum(one.num_inputs for one in scanned),
        "inputs_by_unit": [by_unit[number] for number in range(max(by_unit) + 1)],
        "rejected_by_reason": Counter(reject.reason for one in scanned for reject in one.rejected),
        "duplicates_by_kind": Counter(duplicate.kind for duplicate in assignment.duplicates),
        "salvaged": sum((Counter(one.salvaged) for one in scanned), Counter()),
        "by_style": {
            style: {
                "accepted": accepted_by_style[style],
                "rejected": rejected_by_style[style],
                "duplicates": found_by_style[style] - accepted_by_style[style],
            }
            for style in sorted(found_by_style.keys() | rejected_by_style.keys())
        },
        "labelled": sum(one.num_labelled for one in scanned),
        "groups": assignment.num_groups,
        "moved": assignment.moved,
        "shards": len(assignment.shards),
    }


def _count(part: tuple[str, Iterable[bytes]], job: Job) -> tuple[str, bytes]:
    """Hands a part on to the one place where the vocabulary is chosen, with the counts of a training shard."""
    key, (content,) = part[0], tuple(part[1])
    counts = {}
    if key.startswith("train/"):
        pieces: list[Assigned] = pickle.loads(content)[0]
        counts = count_vocabulary(pieces, job)
    return "", pickle.dumps((key, content, counts))


def _choose_vocabulary(group: tuple[str, Iterable[bytes]], job: Job) -> Iterator[tuple[str, bytes]]:
    parts = [pickle.loads(data) for data in group[1]]
    total: Counter[tuple[Any, ...]] = Counter()
    for _, _, counts in parts:
        total.update(counts)
    events = [(notes_codec.NoteEvent(*event), count) for event, count in total.items()]
    config = job.config.codec
    styles = next((pickle.loads(content)[2] for key, content, _ in parts if "/" in key), None)
    if styles is None:
        yield from ((key, content) for key, content, _ in parts)
        return
    vocabulary = notes_codec.choose_vocabulary(events, min_count=config.min_count, max_vocabulary=config.max_vocabulary)
    codec = notes_codec.NotesCodec(vocabulary=vocabulary, styles=tuple(styles))
    yield CODEC, pickle.dumps(codec.to_json())
    for key, content, _ in parts:
        if "/" in key:
            content = pickle.dumps((pickle.loads(content)[0], _text(codec), styles))
        yield key, content


def _write(part: tuple[str, Iterable[bytes]], job: Job) -> str:
    """Writes one part of the dataset and returns its key."""
    key, (content,) = part[0], tuple(part[1])
    rows = pickle.loads(content)
    if key == CODEC:
        files.write_bytes(job.work_file("assigned", key, "json"), json.dumps(rows).encode())
    elif "/" in key:
        pieces, codec_text, _ = rows
        write_shard(key, pieces, codec_text, job)
    else:
        write_list(key, rows, job)
    return key


def _text(codec: Codec | None) -> str:
    return json.dumps(codec.to_json()) if codec else ""
