"""The first stage: reads the inputs of a unit, has them parsed, and keeps the pieces in a spool file.

Each input is read exactly once, also when the job is killed and begun again: a spool that is whole is not made anew.
What the next stage needs to know of the pieces, 2 kB for each, is written beside them.
"""

import functools
import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from apache_beam.metrics.metric import Metrics

from ostinato.beam_pipelines import spool
from ostinato.beam_pipelines.base import removal
from ostinato.beam_pipelines.duplicates.fingerprint import stack
from ostinato.beam_pipelines.duplicates.grouping import Rejected
from ostinato.beam_pipelines.duplicates.pieces import ScanResult
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.beam_pipelines.inputs.labels import Label
from ostinato.beam_pipelines.inputs.sources import Input, read_unit
from ostinato.beam_pipelines.inputs.units import Unit
from ostinato.beam_pipelines.isolation import Killed
from ostinato.beam_pipelines.job import Job, style_column
from ostinato.beam_pipelines.parse import Parsed, ToParse, Unusable, parse_input
from ostinato.beam_pipelines.spool import Entry, Placed, SpoolError

INPUTS_PER_SPOOL = 4096
"""A unit that is a whole archive fills several spool files, so that memory does not grow with it."""

MAX_SPOOLS = 10_000
"""Of one unit; numbers the spool files."""


class Scanned(NamedTuple):
    """What became of up to INPUTS_PER_SPOOL inputs."""

    unit: int
    """Number of the unit."""
    result: ScanResult
    rejected: list[Rejected]
    rejected_by_style: dict[str, int]
    num_inputs: int
    repaired: dict[str, int]
    num_labelled: int


class _Awaited(NamedTuple):
    """An input that the parsers have."""

    entry: Entry
    """As far as it is known without them."""
    data: bytes


def scan(number: int, unit: Unit, job: Job) -> Iterator[Scanned]:
    """Yields what unit `number` holds, in its order; of spools that are there, without reading anything anew."""
    identity, is_of_base = job.identity(number, unit), job.is_of_base(number)
    is_removed = removal(job.base.removed if job.base else (), number)
    job.note_reading(unit.path or next(iter(unit.entries))[0])
    inputs = read_unit(unit, max_bytes=job.config.max_file_mb << 20)
    unread = 0
    is_verified = not job.verify or is_of_base or _is_unchanged(number, unit, identity, job)
    for part in range(MAX_SPOOLS):
        name = number * MAX_SPOOLS + part
        placed = _read_whole(name, identity, job) if is_verified else None
        if placed is None and is_of_base:
            raise SpoolError(f"{job.spool(name)}: is missing or damaged; prepare the dataset of --from again")
        if placed is None:
            deque(islice(inputs, unread), maxlen=0)  # they are in spools that are whole
            unread = 0
            placed = _scan_part(islice(inputs, INPUTS_PER_SPOOL), name, identity, job)
        else:
            unread += len(placed)
        is_last = len(placed) < INPUTS_PER_SPOOL
        placed = [one for one in placed if not is_removed(one.entry.name)]
        scanned = _sum_up(number, name, placed)
        rejected = len(scanned.rejected)
        note = {"inputs": len(placed), "rejected": rejected, "notes": int(scanned.result.num_notes.sum(dtype=int))}
        job.write_note("scanned", f"{name:08d}", {**note, "last": is_last})
        if placed or not part:
            yield scanned
        if is_last:
            return
    raise AssertionError(f"{unit.path}: more than {MAX_SPOOLS * INPUTS_PER_SPOOL} inputs in one unit")


def _read_whole(name: int, identity: str, job: Job) -> list[Placed] | None:
    """Returns what a spool that is there says; None where there is none that is whole."""
    try:
        with files.open_binary(job.spool(name)) as file:
            return list(spool.read_spool(file, identity=identity))
    except SpoolError:
        return None
    except StorageError as error:
        if error.reason == "missing":
            return None
        raise


def _is_unchanged(number: int, unit: Unit, identity: str, job: Job) -> bool:
    """Compares the bytes of all inputs of a unit with those that its spools were made from."""
    found: list[Entry] = []
    for part in range(MAX_SPOOLS):
        placed = _read_whole(number * MAX_SPOOLS + part, identity, job)
        if placed is None:
            return False
        found += [one.entry for one in placed]
        if len(placed) < INPUTS_PER_SPOOL:
            break
    known = Counter((entry.name, entry.sha256) for entry in found)
    inputs = read_unit(unit, max_bytes=job.config.max_file_mb << 20)
    return known == Counter((one.name, b"" if one.reason else hashlib.sha256(one.data).digest()) for one in inputs)


def _scan_part(inputs: Iterable[Input], name: int, identity: str, job: Job) -> list[Placed]:
    with files.create(job.spool(name)) as file:
        writer = spool.Writer(file)
        for entry, packed in _parse_all(inputs, job):
            writer.add(entry, packed)
        writer.finish(identity)
    num_inputs = len(writer.placed)
    num_rejected = sum(one.entry.rejected is not None for one in writer.placed)
    num_notes = sum(one.entry.num_notes for one in writer.placed)
    counts = {"inputs": num_inputs, "found": num_inputs - num_rejected, "rejected": num_rejected, "notes": num_notes}
    for counter, count in counts.items():
        Metrics.counter("prepare", counter).inc(count)
    return writer.placed


def _parse_all(inputs: Iterable[Input], job: Job) -> Iterator[tuple[Entry, bytes]]:
    """Yields what becomes of each input and the packed piece; those that cannot be read last."""
    labels = job.load_labels()
    style_from = style_column(job.config, labels)
    with_parsers: deque[_Awaited] = deque()
    unreadable: list[Entry] = []

    def readable() -> Iterator[ToParse]:
        for one in inputs:
            label = labels.find(one.key, one.name, one.holder) if labels else None
            style = {"none": "", "folder": one.folder, "labels": label.style if label else ""}[style_from]
            if one.reason:
                unreadable.append(Entry(one.name, style, label, b"", ("read", one.reason, one.detail)))
            else:
                with_parsers.append(_Awaited(Entry(one.name, style, label, b""), one.data))
                yield ToParse(one.data, one.kind)

    for result in job.pool().imap(
        functools.partial(parse_input, config=job.config), readable(), size=lambda one: len(one.data)
    ):
        awaited = with_parsers.popleft()
        if isinstance(result, Parsed):
            yield _complete(awaited.entry, result), result.packed
        else:
            unusable = Unusable("parse", result.reason, result.detail) if isinstance(result, Killed) else result
            yield _reject(awaited, unusable), b""
    for entry in unreadable:
        yield entry, b""


def _complete(entry: Entry, parsed: Parsed) -> Entry:
    return Entry(
        entry.name,
        entry.style,
        entry.label,
        parsed.sha256,
        num_notes=parsed.num_notes,
        repairs=parsed.repairs,
        prints=spool.encode_prints(parsed.fingerprints),
        num_bytes=len(parsed.packed),
    )


def _reject(awaited: _Awaited, unusable: Unusable) -> Entry:
    entry, digest = awaited.entry, hashlib.sha256(awaited.data).digest()
    detail = unusable.detail.encode(errors="backslashreplace").decode()
    return Entry(entry.name, entry.style, entry.label, digest, unusable._replace(detail=detail))


def _sum_up(unit: int, name: int, placed: Sequence[Placed]) -> Scanned:
    """Returns what the next stage is told of a spool."""
    found = [one for one in placed if one.entry.rejected is None]
    rejected = [one.entry for one in placed if one.entry.rejected is not None]
    entries = [one.entry for one in found]
    labels = [entry.label or Label() for entry in entries]
    result = ScanResult(
        spool=name,
        name=[entry.name for entry in entries],
        style=[entry.style for entry in entries],
        split=[label.split for label in labels],
        group=[label.group for label in labels],
        sha256=np.frombuffer(b"".join(entry.sha256 for entry in entries), np.uint8).reshape(-1, 32),
        num_notes=np.array([entry.num_notes for entry in entries], np.int32),
        prints=stack([spool.decode_prints(entry.prints) for entry in entries if entry.prints]),
        offset=np.array([one.offset for one in found], np.int64),
        length=np.array([one.length for one in found], np.int64),
        metadata=[label.metadata for label in labels],
    )
    return Scanned(
        unit=unit,
        result=result,
        rejected=[Rejected(entry.name, *entry.rejected) for entry in rejected if entry.rejected],
        rejected_by_style=Counter(entry.style for entry in rejected),
        num_inputs=len(placed),
        repaired=Counter(repair for entry in entries for repair in entry.repairs),
        num_labelled=sum(one.entry.label is not None for one in placed),
    )
