"""The work folder of a job: which units there are, and what an earlier command has left that this one goes on with.

    job.json            what the folder is, for which settings of the scan, and for which job
    units/N.json        what unit N reads, with the versions of its files
    scanned/N.pieces    spools; see `spool`
    scanned/N.json      how many inputs a spool has, for whoever watches
    assigned, written, failed

A unit is gone on with when all that it reads is wanted and unchanged, whatever its number was; its number stays. What
the earlier command did not come to is divided into new units.
"""

import contextlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import NotRequired, TypedDict

from ostinato.beam_pipelines import base as base_module
from ostinato.beam_pipelines.base import BaseError, Kept, removal
from ostinato.beam_pipelines.inputs import files
from ostinato.beam_pipelines.inputs.errors import StorageError
from ostinato.beam_pipelines.inputs.places import Place, identities, printable
from ostinato.beam_pipelines.inputs.sources import full_path, units_of_files
from ostinato.beam_pipelines.inputs.stores import MAX_THREADS
from ostinato.beam_pipelines.inputs.units import Unit
from ostinato.beam_pipelines.job import BALLAST, BALLAST_BYTES, VERSION, Job
from ostinato.beam_pipelines.scan import MAX_SPOOLS
from ostinato.configs.documents import parse_document
from ostinato.configs.errors import UserError

logger = logging.getLogger(__name__)

FILE = "job.json"
FORMAT = 1
STAGES = ("units", "scanned", "assigned", "written")


class Description(TypedDict):
    """What a work folder says of itself."""

    format: int
    ostinato: str
    settings: str
    """Of the scan; see `Job.settings`."""
    base: NotRequired[str]
    """The fingerprint of the dataset whose units it began with."""
    job: NotRequired[str]
    """Of the whole job; see `Job.key`."""


def read_description(work: str) -> Description | None:
    """Returns what the work folder of an earlier command is; None where there is none of this format."""
    path = files.join(work, FILE)
    with contextlib.suppress(UserError):
        found = parse_document(files.read_bytes(path), Description, where=path)
        return found if found["format"] == FORMAT else None
    return None


def begin(job: Job, units: Sequence[Unit], *, inputs_per_unit: int) -> dict[int, Unit]:
    """Returns the units by their numbers, which are written to the work folder; what is of no more use is removed.

    Raises:
        StorageError: the folder cannot be read or written.
    """
    found = read_description(job.work)
    base = job.base.fingerprint if job.base else ""
    is_same_scan = found is not None and (found["settings"], found.get("base", "")) == (job.settings, base)
    begun = _list(job.work, "units", "scanned")
    _remove([path for path in begun if not is_same_scan or job.is_of_base(_number_of(path))])
    if job.base:
        _copy_scan(files.join(job.base.folder, base_module.FOLDER), job.work)
    old = dict(_read_units(job.work))
    of_base = {number: unit for number, unit in old.items() if job.is_of_base(number)}
    if job.base and of_base.keys() != job.base.settings.keys():
        raise BaseError(f"{job.base.folder}: what it says of its units is missing or damaged; prepare it again")
    others = {number: unit for number, unit in old.items() if number not in of_base}
    units = _without_known(units, of_base, job)
    first = max(old, default=-1) + 1
    numbered = of_base | number_units(units, others, first=first, inputs_per_unit=inputs_per_unit)
    _remove([path for path in _list(job.work, "units", "scanned") if _number_of(path) not in numbered])
    is_same_job = found is not None and found.get("job") == job.key
    _remove(_list(job.work, "assigned", "failed", *(() if is_same_job else ("written",))))
    for number in numbered.keys() - old.keys():
        data = numbered[number].to_json().encode()
        files.write_bytes(job.work_file("units", f"{number:08d}", "json"), data)
    description: Description = {"format": FORMAT, "ostinato": VERSION, "settings": job.settings, "job": job.key}
    description["base"] = base
    files.write_bytes(files.join(job.work, FILE), json.dumps(description).encode())
    job.write_note("failed", BALLAST, " " * BALLAST_BYTES)
    read_before = finished_units(job.work) | of_base.keys()
    if read_before:
        line = "%s: %d of %d units were read before; %d are read now"
        logger.info(line, job.work, len(read_before), len(numbered), len(numbered) - len(read_before))
    return numbered


def keep(job: Job, folder: str, units: Iterable[int]) -> None:
    """Writes to a folder what other datasets can be made from; see `base`.

    Args:
        job: which has found it.
        folder: the dataset's `base.FOLDER`.
        units: the numbers of all.
    """
    _copy_scan(job.work, folder)
    base = job.base
    kept: Kept = {
        "format": base_module.FORMAT,
        "ostinato": VERSION,
        "settings": job.settings,
        "removed": list(base.removed) if base else [],
        "settings_by_unit": {str(number): base.settings[number] if base and job.is_of_base(number) else job.settings
                             for number in units},
    }  # fmt: skip
    files.write_bytes(files.join(folder, base_module.DESCRIPTION), json.dumps(kept).encode())


def _copy_scan(source: str, target: str) -> None:
    for stage, ending in (("scanned", ".pieces"), ("units", ".json")):
        files.copy_files(files.join(source, stage), files.join(target, stage), ending)


def _without_known(units: Sequence[Unit], of_base: Mapping[int, Unit], job: Job) -> list[Unit]:
    """Returns units without what the base has read and not removed.

    Raises:
        BaseError: a file has changed since.
    """
    if job.base is None:
        return list(units)
    folder, removed, identity = job.base.folder, job.base.removed, identities()
    known: dict[str, tuple[str, str]] = {}
    for number, unit in of_base.items():
        is_removed = removal(removed, number)
        places = [(one.path, one.version) for one in unit.entries if isinstance(one, Place)]
        for path, version in places or [(unit.path, unit.version)]:
            if not is_removed(printable(path)):
                known[identity(full_path(unit, path))] = version, path

    def is_new(unit: Unit, path: str, version: str) -> bool:
        before, name = known.get(identity(full_path(unit, path)), (version, ""))
        if before != version:
            advice = f"--remove {name} leaves out what was read then"
            raise BaseError(f"{path}: is another file than when {folder} was prepared; {advice}")
        return not name

    new = []
    for unit in units:
        if unit.kind == "files":
            places = (one for one in unit.entries if isinstance(one, Place) and is_new(unit, one.path, one.version))
            some = unit._replace(entries=tuple(places))
            new += [some] if some.entries else []
        elif is_new(unit, unit.path, unit.version):
            new.append(unit)
    return new


def number_units(
    units: Sequence[Unit], old: Mapping[int, Unit], *, first: int, inputs_per_unit: int
) -> dict[int, Unit]:
    """Returns units that read what `units` do, of which as many as can be are old ones with their numbers.

    Args:
        units: as they were found.
        old: those of an earlier command.
        first: number of the first new one.
        inputs_per_unit: at most so many files.
    """
    loose = {place: unit.base for unit in units if unit.kind == "files" for place in unit.entries}
    archives = dict.fromkeys(unit for unit in units if unit.kind != "files")
    numbered: dict[int, Unit] = {}
    for number, unit in sorted(old.items()):
        if not unit.is_versioned:
            continue
        if unit in archives:
            del archives[unit]
            numbered[number] = unit
        elif unit.kind == "files" and all(loose.get(place) == unit.base for place in unit.entries):
            for place in unit.entries:
                del loose[place]
            numbered[number] = unit
    bases = {unit.base for unit in units}
    rest = [
        unit
        for base in sorted(bases)
        for unit in units_of_files(
            [place for place, of in loose.items() if of == base and isinstance(place, Place)],
            base,
            inputs_per_unit=inputs_per_unit,
        )
    ]
    return numbered | dict(zip(count(first), [*rest, *archives], strict=False))


def finished_units(work: str) -> set[int]:
    """Returns the numbers of the units of which all inputs were read, by the notes of the scan."""
    notes = [path for path in _list(work, "scanned") if path.endswith(".json")]
    with ThreadPoolExecutor(MAX_THREADS) as executor:
        read = executor.map(lambda path: json.loads(files.read_bytes(path)), notes)
        return {_number_of(path) for path, note in zip(notes, read, strict=True) if note.get("last")}


def _read_units(work: str) -> Iterator[tuple[int, Unit]]:
    paths = _list(work, "units")
    with ThreadPoolExecutor(MAX_THREADS) as executor:
        for path, data in zip(paths, executor.map(files.read_bytes, paths), strict=True):
            with contextlib.suppress(ValueError):  # what cannot be read is read again from its sources
                yield _number_of(path), Unit.from_json(data)


def _list(work: str, *stages: str) -> list[str]:
    return [path for stage in stages for path in files.list_files(files.join(work, stage))]


def _number_of(path: str) -> int:
    """Returns the number of the unit that a file of units/ or scanned/ is of; -1 for other files."""
    path = path.replace("\\", "/")
    stage, name = path.split("/")[-2:]
    stem = Path(name).stem
    if not stem.isdecimal():
        return -1
    return int(stem) // (MAX_SPOOLS if stage == "scanned" else 1)


def _remove(paths: Sequence[str]) -> None:
    with ThreadPoolExecutor(MAX_THREADS) as executor:
        list(executor.map(_remove_file, paths))


def _remove_file(path: str) -> None:
    try:
        files.delete_file(path)
    except StorageError as error:
        if error.reason != "missing":
            raise
