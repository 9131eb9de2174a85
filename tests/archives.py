"""Archives for tests, made in memory."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterable

import zstandard


def make_zip(members: Iterable[tuple[str, bytes]], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Returns a zip archive; a name may come twice."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)  # without a warning about names that come twice
            info.compress_type = compression
            archive.NameToInfo.pop(name, None)
            archive.writestr(info, data)
    return file.getvalue()


def make_tar(members: Iterable[tuple[str, bytes] | tarfile.TarInfo], *, format: int = tarfile.GNU_FORMAT) -> bytes:
    """Returns a tar archive of files, and of other things by their TarInfo."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format, errors="surrogateescape") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return file.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Returns a member that is not a regular file, such as tarfile.SYMTYPE."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def compress(data: bytes, ending: str) -> bytes:
    """Returns the data as an archive of that ending holds it."""
    if ending.endswith("zst"):
        return zstandard.ZstdCompressor(write_checksum=True).compress(data)  # as the program `zstd` does
    if ending.endswith("xz"):
        return lzma.compress(data)
    if ending.endswith(("bz2", "tbz")):
        return bz2.compress(data)
    return gzip.compress(data, mtime=0) if ending.endswith("gz") else data
