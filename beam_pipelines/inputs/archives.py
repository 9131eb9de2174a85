"""Members of archives, read where they lie, and the list of a zip archive. Nothing is unpacked.

`zipfile` lists. It can read a member only after it has read the whole list, which each worker would have to do again: a
member is read here. It takes time that grows with the square of an extra field: what is absurd is refused before.
`list_zip` runs in child processes, which `listing` starts, and takes time and memory in proportion to its bytes.
"""

import bz2
import contextlib
import io
import struct
import zipfile
import zlib
from typing import BinaryIO, Literal, NamedTuple

from ostinato.beam_pipelines.inputs.errors import ReadReason, UnreadableError

MAX_EXPANSION = 200
"""MIDI files expand 2 to 20 times; zeros expand 1000 times."""
FREE_MEMBER_BYTES = 1 << 20
"""A member of a zip archive may expand to so many bytes as it likes."""

MAX_DIRECTORY_BYTES = 256 << 20
"""Of the list in a zip archive; some millions of members have it."""

_ZIP_HEADER_BYTES = 30
_ZIP_END_BYTES = 22
_ZIP64_END_BYTES = 76
"""Of the record for large archives and of what leads to it, before the end."""
_ZIP_COMMENT_BYTES = (1 << 16) - 1
_ENTRY = struct.Struct("<4s24x3H12x")
"""Of a zip's directory: how long the name, the extra field and the comment behind it are."""
_FREE_EXTRA_BYTES = 4096
_MAX_EXTRA_PARTS = 1024


Refusal = tuple[ReadReason, str]
"""A reason and what was found."""


class Member(NamedTuple):
    """One member of an archive."""

    name: str
    offset: int
    """Of its header in a zip archive; of its first byte in an (inflated) tar archive."""
    size: int
    refusal: Refusal | None = None
    """Why it is not read, whatever its size."""
    repeat: int = 0
    """How many members of the same name stand before it."""
    stored: int = 0
    """Compressed bytes, in a zip archive; so are the next two."""
    crc: int = 0
    method: int = 0


Listed = tuple[list[Member], Refusal | None]
"""Members, and what is wrong with the rest of the archive."""


class Directory(NamedTuple):
    """The list at the end of a zip archive, still in bytes."""

    data: bytes
    """From its first entry to the end of the archive."""
    archive_bytes: int


def read_member(file: BinaryIO, kind: Literal["zip", "tar"], member: Member, *, max_bytes: int) -> bytes:
    """Returns the bytes of a listed member.

    Raises:
        UnreadableError: says why not.
    """
    if kind == "zip":
        _check(member, max_bytes)
        return _read_zip_member(file, member)
    data = b""
    if not member.refusal and member.size <= max_bytes:
        file.seek(member.offset)
        data = file.read(member.size)
    return check_tar_member(member, data, max_bytes=max_bytes)


def check_tar_member(member: Member, data: bytes, *, max_bytes: int) -> bytes:
    """Returns the bytes that were read of a member of a tar archive.

    Raises:
        UnreadableError: it is no regular file, is too large, or is cut.
    """
    _check(member, max_bytes)
    if len(data) < member.size:
        raise UnreadableError("damaged_member", f"the archive is cut: {len(data)} of {member.size} bytes")
    return data


def _check(member: Member, max_bytes: int) -> None:
    if member.refusal:
        raise UnreadableError(*member.refusal)
    if member.size > max_bytes:
        raise UnreadableError("too_large", f"{member.size} bytes, at most {max_bytes} are allowed")


def read_directory(file: BinaryIO) -> Directory:
    """Returns the list of a zip archive, after a check of where it says that it lies.

    Raises:
        UnreadableError: there is none, or it does not lie in the archive.
    """
    archive_bytes = file.seek(0, 2)
    file.seek(max(archive_bytes - _ZIP64_END_BYTES - _ZIP_END_BYTES - _ZIP_COMMENT_BYTES, 0))
    tail = file.read()
    end = len(tail) - _ZIP_END_BYTES
    if end < 0 or not (tail.startswith(b"PK\5\6", end) and tail.endswith(b"\0\0")):
        end = tail.rfind(b"PK\5\6", 0, end + 4)
    # zipfile takes the last list that it finds, which may be that of an archive in the archive.
    if end < 0 or end + _ZIP_END_BYTES + int.from_bytes(tail[end + 20 : end + 22], "little") != len(tail):
        raise UnreadableError("damaged_archive", "does not end with a list of members")
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    large = end - _ZIP64_END_BYTES
    if large >= 0 and tail.startswith(b"PK\6\6", large) and tail.startswith(b"PK\6\7", end - 20):
        size, end = int.from_bytes(tail[large + 40 : large + 48], "little"), large
    before = archive_bytes - len(tail) + end
    if size > before:
        raise UnreadableError("damaged_archive", f"a list of {size} bytes, where {before} are before its end")
    if size > MAX_DIRECTORY_BYTES:
        raise UnreadableError("too_large", f"a list of {size} bytes, at most {MAX_DIRECTORY_BYTES} are allowed")
    file.seek(before - size)
    return Directory(file.read(size + len(tail) - end), archive_bytes)


def list_zip(directory: Directory) -> Listed:
    """Returns the members of a zip archive."""
    try:
        _check_extra_fields(directory.data)
        with zipfile.ZipFile(io.BytesIO(directory.data)) as archive:
            infos = archive.infolist()
    except UnreadableError as error:
        return [], (error.reason, error.detail)
    except Exception as error:  # of numbers that make no sense, it raises whatever they lead to
        if isinstance(error, MemoryError):
            raise
        return [], ("damaged_archive", f"its list of members cannot be read ({error})")
    members = [_zip_member(info, directory) for info in infos]
    stored_bytes = sum(member.stored for member in members if not member.refusal)
    if stored_bytes > directory.archive_bytes:
        detail = f"members that overlap: {stored_bytes} compressed bytes in an archive of {directory.archive_bytes}"
        return [], ("archive_bomb", detail)
    return members, None


def _check_extra_fields(data: bytes) -> None:
    """Refuses extra fields of more parts than any program writes: zipfile copies all that follow, for each part."""
    position = 0
    while data.startswith(b"PK\1\2", position) and position + _ENTRY.size <= len(data):
        _, name_bytes, extra_bytes, comment_bytes = _ENTRY.unpack_from(data, position)
        extra = position + _ENTRY.size + name_bytes
        position = extra + extra_bytes + comment_bytes
        num_parts, end = 0, min(extra + extra_bytes, len(data)) if extra_bytes > _FREE_EXTRA_BYTES else 0
        while extra + 4 <= end:
            extra += 4 + int.from_bytes(data[extra + 2 : extra + 4], "little")
            num_parts += 1
        if num_parts > _MAX_EXTRA_PARTS:
            detail = f"an extra field of {num_parts} parts, at most {_MAX_EXTRA_PARTS} are allowed"
            raise UnreadableError("archive_bomb", detail)


def _zip_member(info: zipfile.ZipInfo, directory: Directory) -> Member:
    name, refusal = info.filename, None
    offset = info.header_offset + directory.archive_bytes - len(directory.data)
    if not (
        info.flag_bits & 0x800 or name.isascii()
    ):  # many programs write UTF-8 without saying so; the others write what DOS had
        with contextlib.suppress(UnicodeDecodeError):
            name = name.encode("cp437", "replace").decode()
    if info.external_attr >> 28 == 0o12:
        refusal = "not_a_file", "a link"
    elif info.flag_bits & 1:
        refusal = "encrypted", "needs a password"
    elif not 0 <= offset <= directory.archive_bytes - _ZIP_HEADER_BYTES - info.compress_size:
        refusal = "damaged_member", f"{info.compress_size} bytes at byte {offset}: behind the end"
    return Member(name, offset, info.file_size, refusal, 0, info.compress_size, info.CRC, info.compress_type)


def _read_zip_member(file: BinaryIO, member: Member) -> bytes:
    if member.size > max(FREE_MEMBER_BYTES, MAX_EXPANSION * member.stored):
        raise UnreadableError("archive_bomb", f"{member.stored} bytes expand to {member.size}")
    file.seek(member.offset)
    header = file.read(_ZIP_HEADER_BYTES)
    if not header.startswith(b"PK\3\4"):
        raise UnreadableError("damaged_member", f"no header at byte {member.offset}")
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    # Compressed bytes are hardly ever more than the bytes themselves; a header that says so is not believed.
    stored = file.read(min(member.stored, member.size + member.size // 8 + 1024))
    try:
        if member.method == zipfile.ZIP_STORED:
            data = stored
        elif member.method == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored, member.size + 1)
        elif member.method == zipfile.ZIP_BZIP2:
            data = bz2.BZ2Decompressor().decompress(stored, member.size + 1)
        else:
            detail = f"compression method {member.method}; stored, deflate and bzip2 can be read"
            raise UnreadableError("unreadable", detail)
    except (zlib.error, OSError) as error:  # OSError is bz2's
        raise UnreadableError("damaged_member", f"the compressed bytes are damaged ({error})") from error
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        detail = f"{len(data)} bytes, the archive says {member.size}" if len(data) != member.size else "wrong checksum"
        raise UnreadableError("damaged_member", detail)
    return data
