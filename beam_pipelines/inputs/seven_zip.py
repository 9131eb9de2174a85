"""Members of .7z archives, by py7zr (extra `7z`), in a child process: what a header makes it allocate has no bound.

A .7z holds blocks of many members each, which can be read only from their beginning. So members are read in shares,
each in one pass, and nothing is unpacked to disk.
"""

import functools
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from more_itertools import constrained_batches

from ostinato.beam_pipelines.inputs.archives import MAX_EXPANSION, Listed, Member, Refusal
from ostinato.beam_pipelines.inputs.compression import FREE_STREAM_BYTES
from ostinato.beam_pipelines.inputs.contents import max_bytes_of
from ostinato.beam_pipelines.inputs.endings import SEVEN_ZIP_EXTRA, can_read_seven_zip
from ostinato.beam_pipelines.inputs.errors import UnreadableError
from ostinato.beam_pipelines.inputs.listing import in_child, size_class_mb
from ostinato.beam_pipelines.inputs.stores import is_remote
from ostinato.beam_pipelines.isolation import Killed, Limits, shared_pool

LIMITS = Limits(memory_mb=1024, cpu_s=600, wall_s=1200)
"""Of a child, for a list or a share of members of a large archive; a small one gets less time, see `limits_of`."""
SHARE_BYTES = 64 << 20
"""Of the members that a child reads in one pass; a single one may have more."""
SHARE_MEMBERS = 4096

_STEP_BYTES = 1 << 20


class _Share(NamedTuple):
    path: str
    indices: tuple[int, ...]
    """Of the members, ascending."""


def list_members(path: str) -> Listed:
    """Returns the members of an archive on this machine; `offset` is their number."""
    if not can_read_seven_zip():
        return [], ("unreadable", f"needs py7zr: pip install 'ostinato[{SEVEN_ZIP_EXTRA}]'")
    if is_remote(path):
        return [], ("unreadable", "a .7z is read on this machine only; copy it here, or pack a .tar.zst")
    return in_child(_list, path, limits_of(path))


def limits_of(path: str) -> Limits:
    """Returns what a child may use for an archive on this machine: CPU time in proportion to its size."""
    size_mb = size_class_mb(os.path.getsize(path))
    return LIMITS._replace(cpu_s=min(LIMITS.cpu_s, 30 + 20 * size_mb))


def read_members(
    path: str, members: Iterable[Member], *, max_bytes: int
) -> Iterator[tuple[Member, Callable[[], bytes]]]:
    """Yields each of the listed members with what returns its bytes, or raises UnreadableError with the reason."""
    wanted = []
    for member in sorted(members, key=lambda member: member.offset):
        limit = max_bytes_of(member.name, max_bytes)
        if member.refusal:
            yield member, functools.partial(_give, member.refusal)
        elif member.size > limit:
            detail = f"{member.size} bytes, at most {limit} are allowed"
            yield member, functools.partial(_give, ("too_large", detail))
        else:
            wanted.append(member)
    limits = limits_of(path)
    for share in constrained_batches(wanted, SHARE_BYTES, SHARE_MEMBERS, get_len=lambda one: one.size, strict=False):
        (found,) = shared_pool(1, limits).imap(_read, [_Share(path, tuple(member.offset for member in share))])
        for number, member in enumerate(share):
            if isinstance(found, Killed):
                refusal: Refusal = "archive_bomb", f"reading it and those beside it: {found.detail}"
                yield member, functools.partial(_give, refusal)
            else:
                yield member, functools.partial(_give, found[number])


def _give(found: bytes | Refusal) -> bytes:
    if isinstance(found, tuple):
        raise UnreadableError(*found)
    return found


def _list(path: str) -> Listed:
    """Runs in a child."""
    import py7zr
    from py7zr.compressor import SupportedMethods

    try:
        with open(path, "rb") as file, py7zr.SevenZipFile(file) as archive:
            archive_bytes = file.seek(0, 2)
            members = []
            for index, entry in enumerate(getattr(archive, "files", ())):  # an empty archive has none
                refusal: Refusal | None = None
                if entry.is_symlink or entry.is_junction or entry.is_socket:
                    refusal = "not_a_file", "a link or a device"
                elif entry.folder is not None and SupportedMethods.needs_password(entry.folder.coders):
                    refusal = "encrypted", "needs a password"
                if not entry.is_directory:
                    members.append(Member(entry.filename, index, entry.uncompressed, refusal))
    except py7zr.PasswordRequired:
        return [], ("encrypted", "needs a password")
    except MemoryError:
        raise
    except Exception as error:  # of numbers that make no sense, it raises whatever they lead to
        return [], ("damaged_archive", f"its list of members cannot be read ({error or type(error).__name__})")
    total = sum(member.size for member in members)
    if total > max(FREE_STREAM_BYTES, MAX_EXPANSION * archive_bytes):
        detail = f"{archive_bytes} bytes expand to {total}, at most {MAX_EXPANSION} times are allowed"
        return [], ("archive_bomb", detail)
    return members, None


def _read(share: _Share) -> list[bytes | Refusal]:
    """Runs in a child."""
    import py7zr

    wanted = set(share.indices)
    found: dict[int, bytes | Refusal] = dict.fromkeys(share.indices, b"")  # an empty file is in no block
    with open(share.path, "rb") as file, py7zr.SevenZipFile(file) as archive:
        blocks: dict[int, list[tuple[int, Any]]] = {}
        for index, entry in enumerate(archive.files):
            if entry.folder is not None:
                blocks.setdefault(id(entry.folder), []).append((index, entry))
        streams: Any = archive.header.main_streams
        packed = 0
        for folder in streams.unpackinfo.folders if streams else ():
            file.seek(archive.afterheader + streams.packinfo.packpositions[packed])
            packed += len(folder.packed_indices)
            found |= _read_block(file, folder, blocks.get(id(folder), []), wanted)
    return [found[index] for index in share.indices]


def _read_block(
    file: BinaryIO, folder: Any, entries: list[tuple[int, Any]], wanted: set[int]
) -> dict[int, bytes | Refusal]:
    """Returns the wanted members of what 7z calls a folder, which it does not read further than to the last of them."""
    found: dict[int, bytes | Refusal] = {}
    last = max((index for index, _ in entries if index in wanted), default=-1)
    fault: Refusal | None = None
    for index, entry in entries:
        if index > last:
            break
        data = b""
        if not fault:
            try:
                data = _read_entry(file, folder, entry, keep=index in wanted)
            except MemoryError:
                raise
            except Exception as error:  # of whichever of its decompressors
                fault = "damaged_member", f"the compressed bytes are damaged ({error or type(error).__name__})"
        if index in wanted:
            is_wrong = not fault and entry.crc32 is not None and zlib.crc32(data) != entry.crc32
            found[index] = fault or (("damaged_member", "wrong checksum") if is_wrong else data)
    return found


def _read_entry(file: BinaryIO, folder: Any, entry: Any, *, keep: bool) -> bytes:
    pieces: list[bytes] = []
    left = entry.uncompressed
    decompressor = folder.get_decompressor(entry.compressed)
    while left:
        before = file.tell()
        piece = decompressor.decompress(file, min(left, _STEP_BYTES))
        if not piece and file.tell() == before:
            raise EOFError("the block has an end before it")
        left -= len(piece)
        if keep:
            pieces.append(bytes(piece))
    return b"".join(pieces)
