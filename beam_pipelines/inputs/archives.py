"""Members of zip and tar archives: listed, then read where they lie, or read from front to back. Nothing is unpacked.

`zipfile` lists. It can read a member only after it has read the whole list, which each worker would have to do again: a
member is read here. `tarfile` parses headers. Its TarFile takes a damaged header for the end, believes sizes below zero
and extensions of any length: the way from header to header is ours.
"""

import bz2
import contextlib
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Literal, NamedTuple

from ostinato.beam_pipelines.inputs.errors import ReadReason, StorageError, UnreadableError

MAX_EXPANSION = 200
"""MIDI files expand 2 to 20 times; zeros expand 1000 times."""
FREE_MEMBER_BYTES = 1 << 20
"""A member of a zip archive may expand to so many bytes as it likes."""

_ZIP_HEADER_BYTES = 30
_ZIP_END_BYTES = 22
_BLOCK_BYTES = 512
_STEP_BYTES = 1 << 16
_MAX_MEMBER_BYTES = 1 << 60
_MAX_EXTENSION_BYTES = 1 << 20


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


Listed = tuple[list[Member], UnreadableError | None]
"""Members, and what is wrong with the rest of the archive."""


def list_members(file: BinaryIO, kind: Literal["zip", "tar"]) -> Listed:
    """Returns the members of an archive that can be sought in."""
    if kind == "zip":
        return _list_zip(file)
    members: list[Member] = []
    try:
        for member, _ in walk_tar(file, wanted=lambda member: False):
            members.append(member)  # an error must not lose those before it
    except UnreadableError as error:
        return members, error
    return members, None


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


def _list_zip(file: BinaryIO) -> Listed:
    archive_bytes = file.seek(0, 2)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
        file.seek(-_ZIP_END_BYTES - len(archive.comment), 2)
        if not file.read(4) == b"PK\5\6":
            # zipfile takes the last list that it finds, which may be that of an archive in the archive.
            raise zipfile.BadZipFile("does not end with it")
    except StorageError:
        raise
    except Exception as error:  # of numbers that make no sense, it raises whatever they lead to
        return [], UnreadableError("damaged_archive", f"its list of members cannot be read ({error})")
    members = [_zip_member(info, archive_bytes) for info in infos]
    stored_bytes = sum(member.stored for member in members if not member.refusal)
    if stored_bytes > archive_bytes:
        detail = f"members that overlap: {stored_bytes} compressed bytes in an archive of {archive_bytes}"
        return [], UnreadableError("archive_bomb", detail)
    return members, None


def _zip_member(info: zipfile.ZipInfo, archive_bytes: int) -> Member:
    name, refusal = info.filename, None
    if not info.flag_bits & 0x800:  # many programs write UTF-8 without saying so; the others write what DOS had
        with contextlib.suppress(UnicodeDecodeError):
            name = name.encode("cp437", "replace").decode()
    if info.external_attr >> 28 == 0o12:
        refusal = "not_a_file", "a link"
    elif info.flag_bits & 1:
        refusal = "encrypted", "needs a password"
    elif not 0 <= info.header_offset <= archive_bytes - _ZIP_HEADER_BYTES - info.compress_size:
        refusal = "damaged_member", f"{info.compress_size} bytes at byte {info.header_offset}: behind the end"
    return Member(
        name, info.header_offset, info.file_size, refusal, 0, info.compress_size, info.CRC, info.compress_type
    )


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


_NO_FILES = {
    tarfile.LNKTYPE: "a link to {}",
    tarfile.SYMTYPE: "a link to {}",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


def walk_tar(file: BinaryIO, *, wanted: Callable[[Member], bool]) -> Iterator[tuple[Member, bytes]]:
    """Yields each member with its bytes where it is wanted; fewer bytes than its size where the archive is cut.

    Args:
        file: at its beginning; if it cannot be sought in, it is only read forwards.
        wanted: asked once for each regular file.

    Raises:
        UnreadableError: the archive is damaged from here on.
    """
    end = file.seek(0, 2) if file.seekable() else None
    if end:
        file.seek(0)
    position = 0
    extended: dict[str, str] = {}
    while (header := file.read(_BLOCK_BYTES)) != bytes(_BLOCK_BYTES):
        position += len(header)
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            detail = f"no header of a member before byte {position}: {error}"
            raise UnreadableError("damaged_archive", detail) from error
        extension = _EXTENSIONS.get(info.type)
        size = info.size if extension else int(extended.get("size", info.size))
        if not 0 <= size <= (_MAX_EXTENSION_BYTES if extension else _MAX_MEMBER_BYTES):
            raise UnreadableError("damaged_archive", f"a member of {size} bytes at byte {position}")
        padded = -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
        if extension:
            extended |= extension(file.read(padded)[:size])
            position += padded
            continue
        is_continued = info.type == tarfile.GNUTYPE_SPARSE and header[482]
        while is_continued:
            is_continued = file.read(_BLOCK_BYTES)[504:505] not in (b"\0", b"")
            position += _BLOCK_BYTES
        kind = _NO_FILES.get(info.type, "").format(extended.get("linkpath", info.linkname))
        member = Member(extended.get("path", info.name), position, size, ("not_a_file", kind) if kind else None)
        extended = {}
        data = file.read(size) if not kind and wanted(member) else b""
        yield member, data
        if not info.isreg() and info.type in tarfile.SUPPORTED_TYPES:
            padded = 0  # what is no file has no bytes, whatever its size
        position += padded
        if end is not None:
            file.seek(min(position, end))  # how far a file system lets one seek differs
        else:
            _pass_over(file, padded - len(data))


def _read_pax(content: bytes) -> dict[str, str]:
    """Returns path, linkpath and size of an extended header, where it has them."""
    found = {}
    while content:
        digits, _, _ = content.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        key, _, value = content[len(digits) + 1 : length - 1].partition(b"=")
        is_size = key == b"size"
        if not 0 < length <= len(content) or (is_size and not (value.isdigit() and len(value) < 20)):
            raise UnreadableError("damaged_archive", "an extended header that makes no sense")
        if is_size or key in (b"path", b"linkpath"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        content = content[length:]
    return found


def _text(content: bytes) -> str:
    return content.partition(b"\0")[0].decode("utf-8", "surrogateescape")


_EXTENSIONS: dict[bytes, Callable[[bytes], dict[str, str]]] = {
    tarfile.XHDTYPE: _read_pax,
    tarfile.SOLARIS_XHDTYPE: _read_pax,
    tarfile.XGLTYPE: lambda content: {},
    tarfile.GNUTYPE_LONGNAME: lambda content: {"path": _text(content)},
    tarfile.GNUTYPE_LONGLINK: lambda content: {"linkpath": _text(content)},
}


def _pass_over(file: BinaryIO, length: int) -> None:
    while length > 0 and (passed := len(file.read(min(length, _STEP_BYTES)))):
        length -= passed
