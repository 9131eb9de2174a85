"""Members of tar archives, read from front to back; links are not followed and nothing is unpacked."""

import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from ostinato.beam_pipelines.inputs.errors import UnreadableError

_BLOCK_BYTES = 512
_MAX_EXTENSION_BYTES = 1 << 20
_MAX_MEMBER_BYTES = 1 << 60
_KINDS = {
    tarfile.LNKTYPE: "a link to {}",
    tarfile.SYMTYPE: "a link to {}",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


class TarMember(NamedTuple):
    """One member of a tar archive."""

    name: str
    offset: int
    """Of its first byte in the (inflated) archive."""
    size: int
    kind: str = ""
    """What it is, where it is not a regular file."""


def walk(file: BinaryIO, *, wanted: Callable[[TarMember], bool]) -> Iterator[tuple[TarMember, bytes]]:
    """Yields each member with its bytes where it is wanted; fewer bytes than its size where the archive is cut.

    Args:
        file: at its beginning; is only read forwards.
        wanted: asked once for each regular file.

    Raises:
        UnreadableError: the archive is damaged from here on.
    """
    position = 0
    extended: dict[str, str] = {}
    while True:
        header = file.read(_BLOCK_BYTES)
        if header == bytes(_BLOCK_BYTES):
            return
        info = _parse_header(header, position)
        position += _BLOCK_BYTES
        padded = -(-info.size // _BLOCK_BYTES) * _BLOCK_BYTES
        extension = _EXTENSIONS.get(info.type)
        if extension:
            if info.size > _MAX_EXTENSION_BYTES:
                raise UnreadableError("damaged_archive", f"a name of {info.size} bytes at byte {position}")
            extended |= extension(file.read(padded)[: info.size])
            position += padded
            continue
        if info.type == tarfile.XGLTYPE:
            _skip(file, padded)
            position += padded
            continue
        if info.type == tarfile.GNUTYPE_SPARSE:
            more = header[482]
            while more:
                more = (file.read(_BLOCK_BYTES) or bytes(_BLOCK_BYTES))[504:505] != b"\0"
                position += _BLOCK_BYTES
        if "size" in extended:
            padded = -(-int(extended["size"]) // _BLOCK_BYTES) * _BLOCK_BYTES
        member = TarMember(
            extended.get("path", info.name),
            position,
            int(extended.get("size", info.size)),
            _KINDS.get(info.type, "").format(extended.get("linkpath", info.linkname)),
        )
        extended = {}
        data = file.read(member.size) if not member.kind and wanted(member) else b""
        yield member, data
        if not info.isreg() and info.type in tarfile.SUPPORTED_TYPES:
            padded = 0  # what is no file has no bytes, whatever its size
        _skip(file, padded - len(data))
        position += padded


def list_members(file: BinaryIO) -> tuple[list[TarMember], UnreadableError | None]:
    """Returns the members of a tar archive, and what is wrong with the rest of it; skips their bytes."""
    members: list[TarMember] = []
    try:
        for member, _ in walk(file, wanted=lambda member: False):
            members.append(member)  # an error must not lose those before it
    except UnreadableError as error:
        return members, error
    return members, None


def read_member(file: BinaryIO, member: TarMember, *, max_bytes: int) -> bytes:
    """Returns the bytes of a listed member.

    Raises:
        UnreadableError: says why not.
    """
    data = b""
    if not member.kind and member.size <= max_bytes:
        file.seek(member.offset)
        data = file.read(member.size)
    return check_member(member, data, max_bytes=max_bytes)


def check_member(member: TarMember, data: bytes, *, max_bytes: int) -> bytes:
    """Returns the bytes that were read of a member.

    Raises:
        UnreadableError: it is no regular file, is too large, or is cut.
    """
    if member.kind:
        raise UnreadableError("not_a_file", member.kind)
    if member.size > max_bytes:
        raise UnreadableError("too_large", f"{member.size} bytes, at most {max_bytes} are allowed")
    if len(data) < member.size:
        raise UnreadableError("damaged_member", f"the archive is cut: {len(data)} of {member.size} bytes")
    return data


def _parse_header(header: bytes, position: int) -> tarfile.TarInfo:
    if len(header) < _BLOCK_BYTES:
        raise UnreadableError("damaged_archive", f"is cut: ends after {position + len(header)} bytes, no end mark")
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise UnreadableError("damaged_archive", f"no header of a member at byte {position}: {error}") from error
    if not 0 <= info.size < _MAX_MEMBER_BYTES:
        raise UnreadableError("damaged_archive", f"a member of {info.size} bytes at byte {position}")
    return info


def _pax(content: bytes) -> dict[str, str]:
    """Returns path, linkpath and size of an extended header, where it has them."""
    found = {}
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(content):
            break
        key, _, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
        if key in (b"path", b"linkpath") or (key == b"size" and value.isdigit() and len(value) < 20):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        content = content[int(length) :]
    return found


def _text(content: bytes) -> str:
    return content.partition(b"\0")[0].decode("utf-8", "surrogateescape")


_EXTENSIONS: dict[bytes, Callable[[bytes], dict[str, str]]] = {
    tarfile.XHDTYPE: _pax,
    tarfile.SOLARIS_XHDTYPE: _pax,
    tarfile.GNUTYPE_LONGNAME: lambda content: {"path": _text(content)},
    tarfile.GNUTYPE_LONGLINK: lambda content: {"linkpath": _text(content)},
}


def _skip(file: BinaryIO, length: int) -> None:
    if file.seekable():
        file.seek(length, 1)
        return
    while length > 0:
        passed = len(file.read(min(length, 1 << 20)))
        if not passed:
            return
        length -= passed
