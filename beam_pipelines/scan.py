"""The first stage: reads the inputs of a unit, has them parsed, and keeps the pieces in a spool file.

Each input is read exactly once. What goes on to the next stage is small: a few hundred bytes for each piece.
"""

import functools
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from apache_beam.metrics.metric import Metrics
from jaxtyping import Int64

from ostinato.beam_pipelines.duplicates.fingerprint import NUM_BANDS
from ostinato.beam_pipelines.duplicates.grouping import Findings, Rejected
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.labels import Label
from ostinato.beam_pipelines.inputs.sources import Input, Unit, read_unit
from ostinato.beam_pipelines.isolation import IsolatedPool, Killed
from ostinato.beam_pipelines.job import Job, style_column
from ostinato.beam_pipelines.parse import Parsed, Unusable, parse

INPUTS_PER_SPOOL = 4096
"""A unit that is a whole archive fills several spool files, so that memory does not grow with it."""

_MAX_SPOOLS = 10_000
"""Of one unit; numbers the spool files."""


class Scanned(NamedTuple):
    """What was found in up to INPUTS_PER_SPOOL inputs."""

    unit: int
    """Number of the unit."""
    findings: Findings
    rejected: list[Rejected]
    rejected_by_style: dict[str, int]
    num_inputs: int
    salvaged: dict[str, int]
    num_labelled: int


class _Named(NamedTuple):
    """What is known of an input while its bytes are with a parser."""

    name: str
    style: str
    label: Label


def scan(number: int, unit: Unit, job: Job) -> Iterator[Scanned]:
    """Yields what unit `number` holds, in its order."""
    pool = job.pool()
    inputs = read_unit(unit, max_bytes=job.config.max_file_mb << 20)
    for part in range(_MAX_SPOOLS):
        scanned = _scan_part(islice(inputs, INPUTS_PER_SPOOL), number * _MAX_SPOOLS + part, job, pool)
        if not scanned.num_inputs and part:
            return
        yield scanned
        if scanned.num_inputs < INPUTS_PER_SPOOL:
            return
    raise AssertionError(f"{unit.path}: more than {_MAX_SPOOLS * INPUTS_PER_SPOOL} inputs in one unit")


def _scan_part(inputs: Iterable[Input], number: int, job: Job, pool: IsolatedPool) -> Scanned:
    labels = job.load_labels()
    style_from = style_column(job.config, labels)
    names: deque[_Named] = deque()
    rejected: list[Rejected] = []
    rejected_by_style: Counter[str] = Counter()
    salvaged: Counter[str] = Counter()
    found: list[tuple[_Named, Parsed]] = []
    num_inputs = num_labelled = 0

    def readable() -> Iterator[bytes]:
        nonlocal num_inputs, num_labelled
        for one in inputs:
            num_inputs += 1
            label = labels.find(one.key, one.name) if labels else None
            num_labelled += label is not None
            named = _Named(one.name, _style(one, label or Label(), style_from), label or Label())
            if one.reason:
                reject(named, "read", one.reason, one.detail)
                continue
            names.append(named)
            yield one.data

    def reject(named: _Named, stage: str, reason: str, detail: str) -> None:
        rejected.append(Rejected(named.name, stage, reason, detail))
        rejected_by_style[named.style] += 1

    offsets, end = [], 0
    with files.create(job.spool(number)) as spool:
        for result in pool.imap(functools.partial(parse, config=job.config), readable(), size=len):
            named = names.popleft()
            if isinstance(result, Killed):
                reject(named, "parse", result.reason, result.detail)
            elif isinstance(result, Unusable):
                reject(named, *result)
            else:
                if result.salvaged:
                    salvaged[result.salvaged] += 1
                spool.write(result.packed)
                offsets.append(end)
                end += len(result.packed)
                found.append((named, result._replace(packed=b"")))
    findings = _columns(number, found, np.array([*offsets, end], np.int64))
    Metrics.counter("prepare", "found").inc(len(found))
    Metrics.counter("prepare", "rejected").inc(len(rejected))
    done = {"inputs": num_inputs, "rejected": len(rejected)}
    files.write_bytes(job.work_file("scanned", f"{number:08d}", "json"), json.dumps(done).encode())
    return Scanned(
        number // _MAX_SPOOLS, findings, rejected, dict(rejected_by_style), num_inputs, dict(salvaged), num_labelled
    )


def _columns(number: int, found: list[tuple[_Named, Parsed]], ends: Int64[np.ndarray, " n+1"]) -> Findings:
    """Returns pieces as columns; piece i lies between ends[i] and ends[i + 1] of the spool file."""
    prints = [parsed.fingerprints for _, parsed in found]
    return Findings(
        unit=number,
        name=[named.name for named, _ in found],
        style=[named.style for named, _ in found],
        split=[named.label.split for named, _ in found],
        sha256=np.frombuffer(b"".join(parsed.sha256 for _, parsed in found), np.uint8).reshape(-1, 32),
        num_notes=np.array([parsed.num_notes for _, parsed in found], np.int32),
        whole=np.array([one.whole for one in prints], np.uint64),
        parts=np.concatenate([np.zeros(0, np.uint64), *(one.parts for one in prints)]),
        num_parts=np.array([len(one.parts) for one in prints], np.int32),
        bands=np.concatenate([np.zeros((0, NUM_BANDS), np.uint32), *(one.bands for one in prints)]),
        num_voices=np.array([len(one.bands) for one in prints], np.int32),
        offset=ends[:-1],
        length=np.diff(ends),
        metadata=[named.label.metadata for named, _ in found],
    )


def _style(one: Input, label: Label, style_from: str) -> str:
    return {"none": "", "folder": one.folder, "labels": label.style}[style_from]
