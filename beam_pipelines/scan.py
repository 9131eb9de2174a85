"""The first stage: reads the inputs of a unit, has them parsed, and keeps the pieces in a spool file.

Each input is read exactly once. What the next stage gets is small: a few hundred bytes for each piece.
"""

import functools
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from apache_beam.metrics.metric import Metrics
from jaxtyping import Int64

from ostinato.beam_pipelines.duplicates.fingerprint import stack
from ostinato.beam_pipelines.duplicates.grouping import Rejected, ScanResult
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.labels import Label
from ostinato.beam_pipelines.inputs.sources import Input, Unit, read_unit
from ostinato.beam_pipelines.isolation import Killed
from ostinato.beam_pipelines.job import Job, style_column
from ostinato.beam_pipelines.parse import Parsed, ToParse, Unusable, parse_input

INPUTS_PER_SPOOL = 4096
"""A unit that is a whole archive fills several spool files, so that memory does not grow with it."""

_MAX_SPOOLS = 10_000
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


class _Named(NamedTuple):
    """What is known of an input without its bytes."""

    name: str
    style: str
    label: Label | None


def scan(number: int, unit: Unit, job: Job) -> Iterator[Scanned]:
    """Yields what unit `number` holds, in its order."""
    job.note_reading(unit.path or unit.entries[0][0])
    inputs = read_unit(unit, max_bytes=job.config.max_file_mb << 20)
    for part in range(_MAX_SPOOLS):
        scanned = _scan_part(islice(inputs, INPUTS_PER_SPOOL), number, number * _MAX_SPOOLS + part, job)
        if not scanned.num_inputs and part:
            return
        yield scanned
        if scanned.num_inputs < INPUTS_PER_SPOOL:
            return
    raise AssertionError(f"{unit.path}: more than {_MAX_SPOOLS * INPUTS_PER_SPOOL} inputs in one unit")


def _scan_part(inputs: Iterable[Input], unit: int, spool: int, job: Job) -> Scanned:
    known: list[_Named] = []
    found: list[tuple[_Named, Parsed]] = []
    rejected: list[tuple[_Named, Rejected]] = []
    ends = [0]
    with files.create(job.spool(spool)) as file:
        for named, result in _parse_all(inputs, known, job):
            if isinstance(result, Unusable):
                rejected.append((named, Rejected(named.name, *result)))
                continue
            file.write(result.packed)
            ends.append(ends[-1] + len(result.packed))
            found.append((named, result._replace(packed=b"")))
    num_notes = sum(parsed.num_notes for _, parsed in found)
    for name, count in (("inputs", len(known)), ("found", len(found)), ("notes", num_notes)):
        Metrics.counter("prepare", name).inc(count)
    Metrics.counter("prepare", "rejected").inc(len(rejected))
    job.write_note("scanned", f"{spool:08d}", {"inputs": len(known), "rejected": len(rejected), "notes": num_notes})
    return Scanned(
        unit=unit,
        result=_columns(spool, found, np.array(ends, np.int64)),
        rejected=[reject for _, reject in rejected],
        rejected_by_style=Counter(named.style for named, _ in rejected),
        num_inputs=len(known),
        repaired=Counter(repair for _, parsed in found for repair in parsed.repairs),
        num_labelled=sum(named.label is not None for named in known),
    )


def _parse_all(inputs: Iterable[Input], known: list[_Named], job: Job) -> Iterator[tuple[_Named, Parsed | Unusable]]:
    """Yields what becomes of each input, those that cannot be read last, and adds each to `known`."""
    labels = job.load_labels()
    style_from = style_column(job.config, labels)
    with_parsers: deque[_Named] = deque()
    unreadable: list[tuple[_Named, Unusable]] = []

    def readable() -> Iterator[ToParse]:
        for one in inputs:
            label = labels.find(one.key, one.name, one.holder) if labels else None
            style = {"none": "", "folder": one.folder, "labels": label.style if label else ""}[style_from]
            named = _Named(one.name, style, label)
            known.append(named)
            if one.reason:
                unreadable.append((named, Unusable("read", one.reason, one.detail)))
            else:
                with_parsers.append(named)
                yield ToParse(one.data, one.kind)

    for result in job.pool().imap(
        functools.partial(parse_input, config=job.config), readable(), size=lambda one: len(one.data)
    ):
        unusable = Unusable("parse", result.reason, result.detail) if isinstance(result, Killed) else result
        yield with_parsers.popleft(), unusable
    yield from unreadable


def _columns(spool: int, found: list[tuple[_Named, Parsed]], ends: Int64[np.ndarray, " n+1"]) -> ScanResult:
    """Returns pieces as columns; piece i lies between ends[i] and ends[i + 1] of the spool file."""
    labels = [named.label or Label() for named, _ in found]
    return ScanResult(
        spool=spool,
        name=[named.name for named, _ in found],
        style=[named.style for named, _ in found],
        split=[label.split for label in labels],
        group=[label.group for label in labels],
        sha256=np.frombuffer(b"".join(parsed.sha256 for _, parsed in found), np.uint8).reshape(-1, 32),
        num_notes=np.array([parsed.num_notes for _, parsed in found], np.int32),
        prints=stack([parsed.fingerprints for _, parsed in found]),
        offset=ends[:-1],
        length=np.diff(ends),
        metadata=[label.metadata for label in labels],
    )
