"""ostinato prepare: a collection of MIDI files becomes a dataset, as one Apache Beam job.

    ostinato prepare --midi FOLDER --output DATASET

The pipeline is one line: locators -> scan (read, parse, fingerprint) -> one group of all findings -> split and shard of
each piece -> one element writes one shard. Locators and fingerprints are shuffled, never music, and there are no side
inputs, tags or bundle hooks: this shape gives the same bytes on every Beam runner. Files are read twice, which costs
less than carrying their music through the shuffle.
"""

import argparse
import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics
from apache_beam.options.pipeline_options import PipelineOptions

from ostinato.beam_pipelines import sources
from ostinato.beam_pipelines.fingerprint import fingerprint
from ostinato.beam_pipelines.grouping import Assigned, Duplicate, Found, Rejected, assign
from ostinato.beam_pipelines.sources import Locator, UnreadableError
from ostinato.configs.schema import PrepareConfig
from ostinato.music import midi, notes_codec, records
from ostinato.music.codec import Codec, codec_from_json
from ostinato.music.records import Record, Shard
from ostinato.music.score_codec import ScoreCodec

logger = logging.getLogger(__name__)

LOCATORS_PER_ELEMENT = 64
"""Beam's cost per element is shared by so many files."""

IN_MEMORY_INPUTS = 20_000
"""Up to so many inputs one process is faster than starting several."""

_PARTS = "parts"


class PrepareError(ValueError):
    """The collection or the output folder cannot be used."""


def prepare(patterns: list[str], output: Path, config: PrepareConfig, beam_args: list[str]) -> dict[str, Any]:
    """Prepares a dataset and returns its manifest.

    Everything is written to `<output>.partial`, which is renamed at the end: a folder with the final name is whole.

    Args:
        patterns: see `sources.find_inputs`.
        output: the dataset's folder; must not exist.
        config: what is kept, how it is split and encoded.
        beam_args: options for Beam, such as `--runner=FlinkRunner`; none chooses the local runner.

    Raises:
        PrepareError: `output` exists, or no input could be used.
        sources.SourceError: a pattern matches nothing.
    """
    check_beam_args(beam_args)
    if output.exists():
        raise PrepareError(f"{output}: exists already; remove it or choose another --output")
    inputs = sources.find_inputs(patterns)
    logger.info("%d inputs found", len(inputs))
    options = beam_args or local_beam_args(len(inputs))
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / _PARTS).mkdir(parents=True)
    name = records.dataset_name(output)
    codec = _make_codec(inputs, partial, config, options)
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        _ = assignments(pipeline, inputs, config) | "Write" >> beam.Map(
            write_part, folder=str(partial), name=name, codec=codec.to_json(), config=config
        )
    manifest = _finish(partial, name, codec, config, num_inputs=len(inputs))
    partial.rename(output)
    return manifest


def check_beam_args(beam_args: list[str]) -> None:
    """Refuses options that neither ostinato nor Beam knows; Beam itself ignores them.

    Raises:
        PrepareError: names them.
    """
    parser: Any = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for group in PipelineOptions.__subclasses__():
        with contextlib.suppress(argparse.ArgumentError):  # two groups of Beam's may declare one option
            group._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(beam_args)
    if unknown:
        raise PrepareError(f"unknown options {' '.join(unknown)}; see 'ostinato prepare --help' and Beam's own options")


def local_beam_args(num_inputs: int) -> list[str]:
    """Returns the options of the local runner: one process for a small collection, one for each core otherwise."""
    # FnApiRunner is named because DirectRunner first tries to download another runner.
    if num_inputs <= IN_MEMORY_INPUTS or (os.cpu_count() or 1) == 1:
        return ["--runner=FnApiRunner"]
    return ["--runner=FnApiRunner", "--direct_running_mode=multi_processing", f"--direct_num_workers={os.cpu_count()}"]


def assignments(pipeline: beam.Pipeline, inputs: list[Locator], config: PrepareConfig) -> Any:
    """Returns the collection of (key, items): see `assign_all` for the keys."""
    chunks = [inputs[i : i + LOCATORS_PER_ELEMENT] for i in range(0, len(inputs), LOCATORS_PER_ELEMENT)]
    return (
        pipeline
        | "Inputs" >> beam.Create(chunks)
        | "Spread" >> beam.Reshuffle()
        | "Scan" >> beam.FlatMap(scan_all, config=config)
        | "Together" >> beam.Map(lambda found: ("", found))
        | "GroupAll" >> beam.GroupByKey()
        | "Assign" >> beam.FlatMap(assign_all, config=config)
        | "GroupByShard" >> beam.GroupByKey()
    )


def scan_all(locators: Iterable[Locator], config: PrepareConfig) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yields ("found", Found) or ("rejected", Rejected) for each input."""
    for locator in locators:
        result = scan(Locator(*locator), config)
        kind = "found" if isinstance(result, Found) else "rejected"
        Metrics.counter("prepare", kind).inc()
        yield kind, tuple(result)


def scan(locator: Locator, config: PrepareConfig) -> Found | Rejected:
    """Reads and parses one input and decides whether it can be used."""
    try:
        data = sources.read_bytes(locator, max_bytes=config.max_file_mb << 20)
    except UnreadableError as error:
        return Rejected(locator.name, "read", error.reason, error.detail)
    try:
        reading = midi.read_reporting(data)
    except midi.MidiError as error:
        return Rejected(locator.name, "parse", error.reason, error.detail)
    piece = reading.piece
    if not config.min_notes <= piece.num_notes <= config.max_notes:
        reason = "too_few_notes" if piece.num_notes < config.min_notes else "too_many_notes"
        allowed = f"{config.min_notes} to {config.max_notes} are allowed"
        return Rejected(locator.name, "select", reason, f"{piece.num_notes} notes, {allowed}")
    if config.codec.name == "notes" and not notes_codec.count_events(piece):
        return Rejected(locator.name, "select", "only_drums", "the notes codec leaves drums out")
    prints = fingerprint(piece, reading.tracks)
    return Found(locator, hashlib.sha256(data).hexdigest(), prints.whole, prints.parts)


def assign_all(
    group: tuple[str, Iterable[tuple[str, tuple[Any, ...]]]], config: PrepareConfig
) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Yields ("split/shard/shards", pieces), ("rejects", …) and ("duplicates", …) from all that the scan found."""
    found, rejected = [], []
    for kind, row in group[1]:
        if kind == "found":
            locator, *rest = row
            found.append(Found(Locator(*locator), *rest))
        else:
            rejected.append(tuple(row))
    assignment = assign(found, split=config.split, seed=config.seed, num_shards=config.num_shards)
    for (split, shard, count), pieces in assignment.shards.items():
        yield f"{split}/{shard}/{count}", [tuple(piece) for piece in pieces]
    yield "rejects", sorted(rejected)
    yield "duplicates", sorted(tuple(duplicate) for duplicate in assignment.duplicates)


def write_part(
    part: tuple[str, Iterable[list[tuple[Any, ...]]]],
    folder: str,
    name: str,
    codec: dict[str, Any],
    config: PrepareConfig,
) -> str:
    """Writes one shard (or list of rejects or duplicates) and a note of what it holds; returns its key."""
    key, (rows,) = part[0], list(part[1])
    if key in ("rejects", "duplicates"):
        kind = Rejected if key == "rejects" else Duplicate
        lines = "".join(json.dumps(kind(*row)._asdict(), ensure_ascii=True) + "\n" for row in rows)
        records.write_atomically(Path(folder) / f"{key}.jsonl", lines.encode())
        return key
    split, shard, num_shards = key.split("/")
    file = records.shard_name(name, split, int(shard), int(num_shards))
    pieces = [Assigned(Locator(*locator), *rest) for locator, *rest in rows]
    encoder = codec_from_json(codec)
    data, description = records.pack_shard(file, _encode_all(pieces, encoder, config), encoder)
    records.write_atomically(Path(folder) / file, data)
    note = {
        "split": split,
        "shard": description._asdict(),
        "pieces": [{"id": p.id, "path": p.locator.name, "split": split, "group": p.group} for p in pieces],
    }
    records.write_atomically(Path(folder) / _PARTS / f"{split}-{int(shard):05d}.json", json.dumps(note).encode())
    return key


def _encode_all(pieces: list[Assigned], codec: Codec, config: PrepareConfig) -> Iterator[Record]:
    by_folder = config.codec.style == "folder"
    for assigned in pieces:
        data = sources.read_bytes(assigned.locator, max_bytes=config.max_file_mb << 20)
        if hashlib.sha256(data).hexdigest() != assigned.id:
            raise PrepareError(f"{assigned.locator.name}: changed while it was being prepared; run it again")
        style = assigned.locator.style if by_folder else ""
        yield Record(assigned.id, style, codec.encode(midi.read(data), codec.styles.index(style)))


def _make_codec(inputs: list[Locator], partial: Path, config: PrepareConfig, options: list[str]) -> Codec:
    styles = tuple(sorted({locator.style for locator in inputs})) if config.codec.style == "folder" else ("",)
    if config.codec.name == "score":
        return ScoreCodec(styles=styles)
    counts = partial / _PARTS / "vocabulary.json"
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        _ = (
            assignments(pipeline, inputs, config)
            | "Count" >> beam.FlatMap(count_events, config=config)
            | "Sum" >> beam.CombinePerKey(sum)
            | "AllCounts" >> beam.Map(lambda count: ("", count))
            | "GroupCounts" >> beam.GroupByKey()
            | "WriteCounts" >> beam.Map(write_counts, path=str(counts))
        )
    if not counts.exists():
        raise PrepareError("no training piece with pitched notes; nothing to count a vocabulary from")
    events = [(notes_codec.NoteEvent(gap, length, tuple(pitches)), n) for (gap, length, pitches), n in _load(counts)]
    counts.unlink()
    vocabulary = notes_codec.choose_vocabulary(
        events, min_count=config.codec.min_count, max_vocabulary=config.codec.max_vocabulary
    )
    return notes_codec.NotesCodec(vocabulary=vocabulary, styles=styles)


def count_events(
    part: tuple[str, Iterable[list[tuple[Any, ...]]]], config: PrepareConfig
) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Yields how often each note or chord occurs in one training shard, for the vocabulary of the notes codec."""
    key, (rows,) = part[0], list(part[1])
    if not key.startswith("train/"):
        return
    total: Counter[notes_codec.NoteEvent] = Counter()
    for locator, *_ in rows:
        data = sources.read_bytes(Locator(*locator), max_bytes=config.max_file_mb << 20)
        for event, count in notes_codec.count_events(midi.read(data)):
            total[event] += count
    for event, count in sorted(total.items()):
        yield tuple(event), count


def write_counts(group: tuple[str, Iterable[tuple[Any, int]]], path: str) -> str:
    """Writes all counts of the vocabulary as one JSON file; returns its path."""
    records.write_atomically(Path(path), json.dumps(sorted(group[1])).encode())
    return path


def _finish(folder: Path, name: str, codec: Codec, config: PrepareConfig, *, num_inputs: int) -> dict[str, Any]:
    """Checks that nothing was lost, writes the metadata and returns the manifest."""
    notes = [_load(path) for path in sorted((folder / _PARTS).glob("*.json"))]
    shards: dict[str, list[Shard]] = {split: [] for split in records.SPLITS}
    for note in notes:
        shards[note["split"]].append(Shard(**note["shard"]))
    pieces = [piece for note in notes for piece in note["pieces"]]
    rejects = [json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines()]
    duplicates = (folder / "duplicates.jsonl").read_text().splitlines()
    reasons = Counter(reject["reason"] for reject in rejects)
    if not pieces:
        found = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise PrepareError(f"none of {num_inputs} inputs can be used ({found}); see {folder / 'rejects.jsonl'}")
    accounted = len(pieces) + len(rejects) + len(duplicates)
    assert accounted == num_inputs, f"{num_inputs} inputs, but {accounted} accounted for"

    lines = "".join(json.dumps(piece) + "\n" for piece in pieces)
    records.write_atomically(folder / "pieces.jsonl", lines.encode())
    shutil.rmtree(folder / _PARTS)
    counts = {
        "inputs": num_inputs,
        "accepted": len(pieces),
        "rejected": len(rejects),
        "duplicates": len(duplicates),
    }
    extra = {
        "counts": counts,
        "groups": len({piece["group"] for piece in pieces}),
        "rejected_by_reason": dict(sorted(reasons.items())),
        "prepare": asdict(config),
    }
    records.finish_dataset(folder, name, codec, shards, extra)
    return _load(folder / "manifest.json")


def _load(path: Path) -> Any:
    return json.loads(path.read_text())
