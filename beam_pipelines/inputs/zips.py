"""Members of zip archives: the driver lists them, a worker reads each where it lies, without the list.

Where the list (the "central directory", at the end) is lost, the members that are there are found by their own headers.
"""

import bz2
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ostinato.beam_pipelines.inputs.errors import StorageError, UnreadableError

MAX_EXPANSION = 200
"""A member above FREE_BYTES may become so many times as long as its compressed bytes; MIDI files do 2 to 20 times."""

FREE_BYTES = 1 << 20

_HEADER = struct.Struct("<4s5H3L2H")
_HEADER_MAGIC = b"PK\3\4"
_DESCRIPTOR_MAGIC = b"PK\7\x08"
_END_MAGIC = b"PK\5\6"
_END_BYTES = 22
_DESCRIPTORS = (struct.Struct("<3L"), struct.Struct("<L2Q"))
_ENCRYPTED = 1
_DESCRIBED_BEHIND = 8
_UTF8 = 0x800
_LINK = 0o12
_ZIP64 = 0xFFFFFFFF
"""Stands where a size is written elsewhere, in 64 bits."""

_CHUNK_BYTES = 1 << 20


class _Header(NamedTuple):
    magic: bytes
    version: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    stored: int
    size: int
    name_length: int
    extra_length: int


class ZipMember(NamedTuple):
    """One member of a zip archive."""

    name: str
    offset: int
    """Of its own header."""
    stored: int
    """Compressed bytes."""
    size: int
    crc: int
    method: int
    encrypted: bool
    link: bool


def list_members(file: BinaryIO) -> tuple[list[ZipMember], UnreadableError | None]:
    """Returns the members of a zip archive, and what is wrong with the rest of it."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
        file.seek(-_END_BYTES - len(archive.comment), 2)
        if file.read(len(_END_MAGIC)) != _END_MAGIC:
            # zipfile takes the last list that it finds, which may be that of an archive in the archive.
            raise zipfile.BadZipFile("does not end with it")
        if infos:
            _read_header(file, infos[0].header_offset)
    except StorageError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, struct.error) as error:
        detail = f"its list of members is damaged ({error}); members found without it were read"
        return list(_search_members(file)), UnreadableError("damaged_archive", detail)
    archive_bytes = file.seek(0, 2)
    stored_bytes = sum(info.compress_size for info in infos if info.compress_size <= archive_bytes)
    if stored_bytes > archive_bytes:
        detail = f"members that overlap: {stored_bytes} compressed bytes in an archive of {archive_bytes}"
        return [], UnreadableError("archive_bomb", detail)
    return [_member(info) for info in infos], None


def read_member(file: BinaryIO, member: ZipMember, *, max_bytes: int) -> bytes:
    """Returns the bytes of a listed member.

    Raises:
        UnreadableError: says why not.
    """
    if member.link:
        raise UnreadableError("not_a_file", "a link")
    if member.encrypted:
        raise UnreadableError("encrypted", "needs a password")
    if member.size > max_bytes:
        raise UnreadableError("too_large", f"{member.size} bytes, at most {max_bytes} are allowed")
    if member.size > max(FREE_BYTES, MAX_EXPANSION * member.stored):
        raise UnreadableError("archive_bomb", f"{member.stored} bytes expand to {member.size}")
    header = _read_header(file, member.offset)
    file.seek(header.name_length + header.extra_length, 1)
    # Compressed bytes are hardly ever more than the bytes themselves; a header that says so is not believed.
    stored = file.read(min(member.stored, member.size + member.size // 8 + 1024))
    data = _inflate(stored, member)
    if len(data) != member.size:
        found = f"more than {member.size}" if len(data) > member.size else str(len(data))
        raise UnreadableError("damaged_member", f"{found} bytes, the archive says {member.size}")
    if zlib.crc32(data) != member.crc:
        raise UnreadableError("damaged_member", "the checksum is wrong")
    return data


def _inflate(stored: bytes, member: ZipMember) -> bytes:
    try:
        if member.method == zipfile.ZIP_STORED:
            return stored
        if member.method == zipfile.ZIP_DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored, member.size + 1)
        if member.method == zipfile.ZIP_BZIP2:
            return bz2.BZ2Decompressor().decompress(stored, member.size + 1)
    except (zlib.error, OSError) as error:  # OSError is bz2's
        raise UnreadableError("damaged_member", f"the compressed bytes are damaged ({error})") from error
    raise UnreadableError("unreadable", f"compression method {member.method}; stored, deflate and bzip2 can be read")


def _member(info: zipfile.ZipInfo) -> ZipMember:
    name = info.filename
    if not info.flag_bits & _UTF8:
        name = _decode(name.encode("cp437", "replace"))
    return ZipMember(
        name,
        info.header_offset,
        info.compress_size,
        info.file_size,
        info.CRC,
        info.compress_type,
        bool(info.flag_bits & _ENCRYPTED),
        info.external_attr >> 28 == _LINK,
    )


def _decode(name: bytes) -> str:
    # Many programs write UTF-8 without saying so; the others write what DOS had.
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("cp437")


def _read_header(file: BinaryIO, offset: int) -> _Header:
    if offset >= 0:
        file.seek(offset)
        content = file.read(_HEADER.size)
        if len(content) == _HEADER.size and content.startswith(_HEADER_MAGIC):
            return _Header(*_HEADER.unpack(content))
    raise UnreadableError("damaged_member", f"no header at byte {offset}")


def _search_members(file: BinaryIO) -> Iterator[ZipMember]:
    position = 0
    while (offset := _find(file, _HEADER_MAGIC, position)) >= 0:
        try:
            header = _read_header(file, offset)
        except UnreadableError:
            return  # it is cut
        name = _decode(file.read(header.name_length))
        begin = offset + _HEADER.size + header.name_length + header.extra_length
        if header.flags & _DESCRIBED_BEHIND and header.stored in (0, _ZIP64):
            found = _find_descriptor(file, begin)
            if not found:  # cut, or not a header at all
                position = offset + len(_HEADER_MAGIC)
                continue
            crc, stored, size = found
        else:
            crc, stored, size = header.crc, header.stored, header.size
        encrypted = bool(header.flags & _ENCRYPTED)
        yield ZipMember(name, offset, stored, size, crc, header.method, encrypted, link=False)
        position = begin + stored


def _find_descriptor(file: BinaryIO, begin: int) -> tuple[int, int, int] | None:
    """Returns (crc, compressed bytes, bytes) of a member whose header did not know them, from behind its bytes."""
    position = begin
    while (position := _find(file, _DESCRIPTOR_MAGIC, position)) >= 0:
        file.seek(position + len(_DESCRIPTOR_MAGIC))
        content = file.read(22)
        for layout in _DESCRIPTORS:
            # Sizes of 32 and of 64 bits are told apart by what follows: another header, or nothing.
            if len(content) >= layout.size and content[layout.size : layout.size + 2] in (b"PK", b""):
                crc, stored, size = layout.unpack_from(content)
                if stored == position - begin:
                    return crc, stored, size
        position += 1
    return None


def _find(file: BinaryIO, magic: bytes, start: int) -> int:
    """Returns where the bytes next occur, or -1."""
    tail = b""
    file.seek(start)
    while chunk := file.read(_CHUNK_BYTES):
        at = (tail + chunk).find(magic)
        if at >= 0:
            return start - len(tail) + at
        start += len(chunk)
        tail = (tail + chunk)[-(len(magic) - 1) :]
    return -1
