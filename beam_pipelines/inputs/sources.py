"""A collection of MIDI files as units of work: the driver finds them, a worker reads one by itself.

Each input is read once, and each is yielded, with its bytes or with the reason why it has none.
"""

import functools
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Literal, NamedTuple, TypeVar, cast

from more_itertools import chunked

from ostinato.beam_pipelines.inputs import archives, files, listing, seven_zip, tars
from ostinato.beam_pipelines.inputs.archives import Member, Refusal
from ostinato.beam_pipelines.inputs.compression import Inflated
from ostinato.beam_pipelines.inputs.contents import contents, max_bytes_of
from ostinato.beam_pipelines.inputs.endings import (
    ARCHIVE_SUFFIXES,
    SEVEN_ZIP_SUFFIXES,
    STREAM_SUFFIXES,
    TAR_SUFFIXES,
    ZIP_SUFFIXES,
    Kind,
    ending_of,
    has_suffix,
    holds_many,
    input_suffixes,
    is_input,
    tar_method,
)
from ostinato.beam_pipelines.inputs.entries import Entries
from ostinato.beam_pipelines.inputs.errors import ReadReason, SourceError, StorageError, UnreadableError
from ostinato.beam_pipelines.inputs.places import Place, find_places, folder_name, printable, stem, with_versions
from ostinato.beam_pipelines.inputs.stores import MAX_THREADS, is_remote
from ostinato.beam_pipelines.inputs.units import Unit

_BUFFER_BYTES = 1 << 17

T = TypeVar("T", Place, Member)


class Input(NamedTuple):
    """One input as it comes off its source; its names hold no character that cannot be written as UTF-8."""

    name: str
    """For people: path, or archive!member, with #2 and so on behind it where an archive has a name more than once."""
    key: str
    """Path relative to the folder or archive that the user named; as the list writes it for a line of a list."""
    folder: str
    """Name of the folder it lies in; of the archive (without its ending) where it lies in no folder there."""
    data: bytes
    """Empty where it cannot be read."""
    reason: ReadReason | Literal[""] = ""
    detail: str = ""
    kind: Kind = "midi"
    """As what it is to be parsed."""
    holder: str = ""
    """The key of the file that holds it and others: a tune book, a zip in an archive; else empty."""


def find_units(
    patterns: Iterable[str],
    *,
    inputs_per_unit: int = 1024,
    stream_parts: int = 1,
    not_read: Counter[str] | None = None,
) -> list[Unit]:
    """Returns units that together hold each input once; their order depends on names only.

    Args:
        patterns: see `places.find_places`. Archives are zip, tar, compressed tar and 7z (see `endings`); their members
            are known by their endings.
        inputs_per_unit: at most so many files or members.
        stream_parts: so many units read each compressed tar, all from beginning to end, and share its members out.
        not_read: files of folders, and members of zip and tar archives, that are not read are added to it, by their
            endings.

    Raises:
        SourceError: a pattern matches nothing, or a folder cannot be listed.
        StorageError: an archive cannot be listed for a reason that may pass.
    """
    not_read = Counter() if not_read is None else not_read
    places = with_versions(find_places(patterns, not_read))
    base = os.getcwd()
    loose = [place for place in places if not has_suffix(place.path, ARCHIVE_SUFFIXES)]
    units = units_of_files(loose, base, inputs_per_unit=inputs_per_unit)
    for place in places:
        if has_suffix(place.path, ARCHIVE_SUFFIXES):
            units += _archive_units(place, base, not_read, inputs_per_unit=inputs_per_unit, stream_parts=stream_parts)
    if not units:
        names = ", ".join(place.path for place in places[:3])
        raise SourceError(f"{names}: no member ends in {', '.join(input_suffixes())}")
    return units


def units_of_files(places: Sequence[Place], base: str, *, inputs_per_unit: int) -> list[Unit]:
    """Returns units for files that are no archives, in their order."""
    return [Unit("files", base, entries=Entries(share)) for share in _shares(places, inputs_per_unit)]


def _shares(entries: Sequence[T], size: int) -> list[list[T]]:
    """Returns the entries in lists; those that hold nobody knows how many inputs are in lists of their own."""
    by_holding = [[entry for entry in entries if holds_many(entry[0]) is many] for many in (False, True)]
    return [share for part in by_holding for share in chunked(part, size)]


def read_unit(unit: Unit, *, max_bytes: int) -> Iterator[Input]:
    """Yields the inputs of a unit in an order of their own; several threads may read units at once.

    Args:
        unit: of `find_units`.
        max_bytes: an input that has more is not read.

    Raises:
        StorageError: an archive that was there is gone, or the storage fails in a way that may pass.
    """
    if unit.kind == "files":
        yield from _read_files(unit, max_bytes)
    elif unit.kind == "7z":
        members = cast("tuple[Member, ...]", tuple(unit.entries))
        for member, read in seven_zip.read_members(full_path(unit, unit.path), members, max_bytes=max_bytes):
            yield from _inputs_in(member.name, _member(unit, member, read), max_bytes)
    elif unit.entries or not unit.fault:
        try:
            with files.open_binary(full_path(unit, unit.path)) as file:
                yield from (_read_stream if unit.kind == "stream" else _read_members)(unit, file, max_bytes)
        except OSError as error:
            raise StorageError(unit.path, f"cannot be read ({error.strerror or error})") from error
    if unit.fault:
        yield _whole_archive(unit, unit.fault)


def full_path(unit: Unit, path: str) -> str:
    """Returns where a file that a unit reads is, also for a process that works in another folder."""
    return path if is_remote(path) else os.path.join(unit.base, path)


def _archive_units(
    place: Place, base: str, not_read: Counter[str], *, inputs_per_unit: int, stream_parts: int
) -> list[Unit]:
    kind = _archive_kind(place.path)
    unit = Unit(kind, base, place.path, place.key, place.named, version=place.version)
    path = full_path(unit, place.path)
    try:
        if unit.kind == "stream":
            if not is_remote(path):
                files.open_binary(path).close()
            elif not files.is_file(path):  # opening it may mean to fetch all of it
                raise StorageError(path, "no such file", reason="missing")
            return [unit._replace(part=part, parts=stream_parts) for part in range(stream_parts)]
        with files.open_binary(path) as file:
            if unit.kind == "zip":
                listed, fault = listing.list_zip(file)
            else:
                listed, fault = (seven_zip.list_members if unit.kind == "7z" else listing.list_tar)(path)
    except OSError as error:
        raise StorageError(place.path, f"cannot be read ({error.strerror or error})") from error
    except StorageError as error:
        if error.reason is None:
            raise
        return [unit._replace(fault=(error.reason, error.detail))]
    members: list[Member] = []
    seen: Counter[str] = Counter()
    for member in listed:
        if _is_wanted(member.name):
            members.append(member._replace(repeat=seen[member.name]))
            seen[member.name] += 1
        elif not member.name.endswith("/"):
            not_read[ending_of(member.name)] += 1
    units = [unit._replace(entries=Entries(share)) for share in _shares(members, inputs_per_unit)]
    if fault:
        *units, last = units or [unit]
        units.append(last._replace(fault=fault))
    return units


def _archive_kind(path: str) -> Literal["zip", "tar", "stream", "7z"]:
    if has_suffix(path, SEVEN_ZIP_SUFFIXES):
        return "7z"
    if has_suffix(path, ZIP_SUFFIXES):
        return "zip"
    # A remote tar would have to be read to its end to know where its members lie.
    return "tar" if has_suffix(path, TAR_SUFFIXES) and not is_remote(path) else "stream"


def _is_wanted(member: str) -> bool:
    """Returns whether a member of an archive is read; a zip in it is opened."""
    return is_input(member) or member.lower().endswith(ZIP_SUFFIXES)


def _read_files(unit: Unit, max_bytes: int) -> Iterator[Input]:
    places = [cast(Place, entry) for entry in unit.entries]
    if not any(is_remote(place.path) for place in places):
        for place in places:
            yield from _inputs_in(place.path, _read_file(unit, place, max_bytes), max_bytes)
        return
    # Servers answer slowly, but many questions at once.
    with ThreadPoolExecutor(MAX_THREADS) as executor:
        for some in chunked(places, 4 * MAX_THREADS):
            found = executor.map(lambda place: _read_file(unit, place, max_bytes), some)
            for place, one in zip(some, found, strict=True):
                yield from _inputs_in(place.path, one, max_bytes)


def _read_file(unit: Unit, place: Place, max_bytes: int) -> Input:
    path = full_path(unit, place.path)
    shown = printable(place.path), printable(place.key), printable(folder_name(path))
    try:
        return Input(*shown, files.read_bytes(path, max_bytes=max_bytes))
    except StorageError as error:
        if error.reason is None:
            raise
        return Input(*shown, b"", error.reason, printable(error.detail))


def _inputs_in(name: str, file: Input, max_bytes: int) -> Iterator[Input]:
    """Yields the inputs that a file holds, the file itself where it cannot be read."""
    if file.reason:
        yield file
        return
    for found in contents(name, file.data, max_bytes=max_bytes):
        suffix = printable(found.suffix)
        reason, detail = found.refusal or ("", "")
        yield Input(
            name=file.name + suffix,
            key=file.key + suffix,
            folder=printable(found.folder) or file.folder,
            data=found.data,
            reason=reason,
            detail=printable(detail),
            kind=found.kind,
            holder=file.key if suffix else "",
        )


def _read_members(unit: Unit, file: BinaryIO, max_bytes: int) -> Iterator[Input]:
    kind = "zip" if unit.kind == "zip" else "tar"
    for entry in unit.entries:
        member = cast(Member, entry)
        limit = max_bytes_of(member.name, max_bytes)
        read = functools.partial(archives.read_member, file, kind, member, max_bytes=limit)
        yield from _inputs_in(member.name, _member(unit, member, read), max_bytes)


def _read_stream(unit: Unit, file: BinaryIO, max_bytes: int) -> Iterator[Input]:
    seen: Counter[str] = Counter()
    count = 0

    def is_mine() -> bool:
        return count % unit.parts == unit.part

    def wanted(member: Member) -> bool:
        is_large = member.size > max_bytes_of(member.name, max_bytes)
        return not is_large and _is_wanted(member.name) and (is_mine() or holds_many(member.name))

    compressed = has_suffix(unit.path, STREAM_SUFFIXES)
    inflated = Inflated(file, method=tar_method(unit.path)) if compressed else None
    stream = cast(BinaryIO, io.BufferedReader(inflated, _BUFFER_BYTES)) if inflated else file
    fault = None
    try:
        for member, data in tars.walk_tar(stream, wanted=wanted):
            if not _is_wanted(member.name):
                continue
            repeated = member._replace(repeat=seen[member.name])
            seen[member.name] += 1
            if not (is_mine() or holds_many(member.name)):
                count += 1
                continue
            limit = max_bytes_of(member.name, max_bytes)
            read = functools.partial(archives.check_tar_member, member, data, max_bytes=limit)
            for one in _inputs_in(member.name, _member(unit, repeated, read), max_bytes):
                if is_mine():
                    yield one
                count += 1
        while inflated and stream.read(_BUFFER_BYTES):
            pass  # the checksum of a compressed stream stands at its end
    except UnreadableError as error:
        fault = error
    fault = inflated.fault if inflated and inflated.fault else fault
    if fault and is_mine():
        yield _whole_archive(unit, (fault.reason, fault.detail))


def _member(unit: Unit, member: Member, read: Callable[[], bytes]) -> Input:
    name = member.name.removeprefix("./")
    shown = (
        printable(f"{unit.path}!{name}" + (f"#{member.repeat + 1}" if member.repeat else "")),
        printable(name if unit.named else f"{unit.key}!{name}"),
        printable(folder_name(name) or stem(unit.path)),
    )
    try:
        return Input(*shown, read())
    except UnreadableError as error:
        return Input(*shown, b"", error.reason, printable(error.detail))


def _whole_archive(unit: Unit, fault: Refusal) -> Input:
    folder = folder_name(full_path(unit, unit.path))
    return Input(printable(unit.path), printable(unit.key), printable(folder), b"", fault[0], printable(fault[1]))
