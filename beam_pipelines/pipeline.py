"""The Beam pipeline: one line, so that it gives the same bytes on every runner.

    units -> scan -> one group of all spool files -> assign -> one element a shard -> write

Only numbers and names are shuffled: what a stage finds out goes to the work folder, so that no runner has to hold it.
There are no side inputs, tags or bundle hooks (Dask's runner loses them without a word). The notes codec counts its
vocabulary between assign and write.
"""

import contextlib
import json
import pickle
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam

from ostinato.beam_pipelines.base import read_splits
from ostinato.beam_pipelines.duplicates.grouping import Assigned, Rejected, assign
from ostinato.beam_pipelines.duplicates.pieces import open_pieces
from ostinato.beam_pipelines.duplicates.runs import SortedRuns
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.beam_pipelines.inputs.units import Unit
from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.scan import Scanned, scan
from ostinato.beam_pipelines.totals import Totals
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


# Elements are small bytes or text, so that every runner handles them alike.


def _scan(number: int, job: Job) -> Iterator[tuple[str, int]]:
    """Yields the numbers of the spool files; what they hold is written beside them."""
    with job.at_work():
        unit = Unit.from_json(files.read_bytes(job.work_file("units", f"{number:08d}", "json")))
        for scanned in scan(number, unit, job):
            spool = scanned.result.spool
            files.write_bytes(_found_file(spool, job), pickle.dumps(scanned, pickle.HIGHEST_PROTOCOL))
            yield "", spool


def _found_file(spool: int, job: Job) -> str:
    return job.work_file("scanned", f"{spool:08d}", "found")


def _assign(group: tuple[str, Iterable[int]], job: Job) -> Iterator[tuple[str, str]]:
    """Yields "split/shard/shards", which sorts by shard, for each shard; its pieces are in the work folder."""
    # Where the work folder is on this machine there is room in it for files that are read again and again.
    place = None if files.is_remote(job.work) else job.work
    with job.at_work(), _written_in(place), open_pieces(place) as (pieces, folder):
        totals, config, num_old = Totals(), job.config, 0
        with contextlib.closing(SortedRuns(folder / "rejected")) as rejected:
            for spool in sorted(group[1]):
                scanned: Scanned = pickle.loads(files.read_bytes(_found_file(spool, job)))
                pieces.add(scanned.result)
                rejected.add(scanned.rejected)
                totals.add(scanned)
                num_old = len(pieces) if job.is_of_base(scanned.unit) else num_old
            write_list("rejects", map(Rejected._make, rejected.merged()), job)
        assignment = assign(
            pieces,
            split=config.split,
            seed=config.seed,
            num_shards=config.num_shards,
            duplicates=config.duplicates,
            pinned=read_splits(job.base.folder) if job.base else None,
            num_old=num_old,
        )
        write_list("duplicates", totals.count_duplicates(assignment.duplicates()), job)
        summary = totals.summary(assignment)
        job.write_note("assigned", SUMMARY, summary)
        if config.codec.name == "score" and assignment.shards:
            job.write_note("assigned", CODEC, ScoreCodec(styles=_accepted_styles(summary)).to_json())
        for shard, key in zip(assignment.shards, summary["keys"], strict=True):
            files.write_bytes(_shard_file(key, job), pickle.dumps(assignment.read_shard(shard)))
            yield key, ""


@contextlib.contextmanager
def _written_in(folder: str | None) -> Iterator[None]:
    """Says in one line why the files of the pieces cannot be written."""
    try:
        yield
    except OSError as error:
        where = folder or tempfile.gettempdir()
        raise StorageError(where, f"cannot be written ({error.strerror or error})") from error


def _shard_file(key: str, job: Job) -> str:
    return job.work_file("assigned", key, "pickle")


def _read_shard(key: str, job: Job) -> list[Assigned]:
    return pickle.loads(files.read_bytes(_shard_file(key, job)))


def _accepted_styles(summary: dict[str, Any]) -> tuple[str, ...]:
    return tuple(style for style, counts in summary["by_style"].items() if counts["accepted"])


def _count(shard: tuple[str, Iterable[str]], job: Job) -> tuple[str, bytes]:
    """Hands a shard on to the one place where the vocabulary is chosen, with the counts of a training shard."""
    with job.at_work():
        key = shard[0]
        counts = count_vocabulary(_read_shard(key, job), job) if key.startswith("train/") else {}
        return "", pickle.dumps((key, counts))


def _choose_vocabulary(group: tuple[str, Iterable[bytes]], job: Job) -> Iterator[tuple[str, str]]:
    with job.at_work():
        keys: list[str] = []
        counts: Counter[Any] = Counter()
        for key, found in map(pickle.loads, group[1]):
            keys.append(key)
            counts.update(found)
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
        yield from ((key, "") for key in keys)


def _write(shard: tuple[str, Iterable[str]], job: Job) -> str:
    """Writes one shard and returns its key."""
    with job.at_work():
        key = shard[0]
        write_shard(key, _read_shard(key, job), json.dumps(job.read_note("assigned", CODEC)), job)
        return key
