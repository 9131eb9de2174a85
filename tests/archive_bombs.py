"""Archives made to take their reader's time: each kind at any size, and what reading them takes.

    python -m tests.archive_bombs [KIND...]

prints the CPU time and the memory of finding and reading each kind alone, in processes of their own, at 0.1 to 10 MB.
"""

import bz2
import gzip
import lzma
import os
import random
import resource
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import zstandard

from tests.archives import make_tar, make_zip

SIZES_MB = (0.1, 0.3, 1, 3, 10)
MAX_BYTES = 16 << 20
_TUNE = b"MThd"


def zip_entry(name: bytes, *, extra: bytes = b"", comment: bytes = b"", offset: int = 0) -> bytes:
    """Returns an entry of a zip's directory, of a member without bytes."""
    numbers = (20, 20, 0x800, 0, 0, 33, 0, 0, 0, len(name), len(extra), len(comment), 0, 0, 0, offset)
    return b"PK\1\2" + struct.pack("<6H3L5H2L", *numbers) + name + extra + comment


def zip_end(count: int, size: int, offset: int, comment: bytes = b"") -> bytes:
    """Returns the end of a zip, which says where its directory is."""
    count = min(count, 65535)
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, offset, len(comment)) + comment


def zip_of(entries: list[bytes]) -> bytes:
    """Returns a zip of one local header and a directory."""
    local = b"PK\3\4" + struct.pack("<5H3L2H", 20, 0x800, 0, 0, 33, 0, 0, 0, 5, 0) + b"a.mid"
    directory = b"".join(entries)
    return local + directory + zip_end(len(entries), len(directory), len(local))


def tar_header(kind: bytes, size: int, name: str = "h") -> bytes:
    """Returns a header of a tar, of any kind and size."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)[-512:]


def tar_extension(kind: bytes, content: bytes) -> bytes:
    """Returns a header with its content, padded, such as a pax header."""
    return tar_header(kind, len(content)) + content + bytes(-len(content) % 512)


_EXTRA = zip_entry(b"a.mid", extra=bytes(65532))
_MEMBER = make_tar([("a.mid", _TUNE)])[:1024]
_END = bytes(1024)
_HALF = (1 << 19) - 1024


def _times(part: bytes, size: int) -> bytes:
    return part * max(size // len(part), 1)


def _pax(record: bytes, size: int) -> bytes:
    """One pax header of at most a megabyte of records after the other."""
    parts = [tar_extension(tarfile.XHDTYPE, _times(record, min(left, 1 << 20))) for left in range(size, 0, -(1 << 20))]
    return b"".join(part + _MEMBER for part in parts) + _END


def _cut_zip(size: int) -> bytes:
    one = make_zip([("a.mid", _TUNE)])
    return _times(one[: one.index(b"PK\1\2")], size)


def _nested_zips(size: int) -> bytes:
    data = make_zip([("a.mid", _TUNE)])
    while len(data) < size:
        data = make_zip([(f"{number}.zip", data[-30_000_000:]) for number in range(3)], compression=0)
    return make_tar([("in.zip", data[:size])])


def _book(size: int) -> bytes:
    return b"%" * (size // 2) + b"\nX:\n" + b"X:\n" * (size // 6)


def _random_tar(size: int) -> bytes:
    return make_tar([("a.bin", random.Random(0).randbytes(size))])


def _empty_gzip(extra: bytes = b"") -> bytes:
    flags, field = (4, struct.pack("<H", len(extra)) + extra) if extra else (0, b"")
    return b"\x1f\x8b\x08" + bytes((flags,)) + bytes(6) + field + b"\3\0" + bytes(8)


KINDS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "zip without directory": (".zip", _cut_zip),
    "zip of ends": (".zip", lambda size: _times(zip_end(0, 0, 0), size)),
    "zip of cut ends": (".zip", lambda size: _times(b"PK\5\6", size)),
    "zip of extra fields": (".zip", lambda size: zip_of([_EXTRA] * (size // len(_EXTRA) + 1))),
    "zip of empty members": (".zip", lambda size: zip_of([zip_entry(b"")] * (size // 46))),
    "zip of one name": (".zip", lambda size: zip_of([zip_entry(b"a.mid")] * (size // 51))),
    "zip of long names": (".zip", lambda size: zip_of([zip_entry(b"/" * 65000 + b".mid")] * (size // 65050 + 1))),
    "zip of comments": (".zip", lambda size: zip_of([zip_entry(b"a.mid", comment=bytes(65535))] * (size // 65586 + 1))),
    "zip in a tar": (".tar", lambda size: make_tar([("in.zip", zip_of([_EXTRA] * (size // len(_EXTRA) + 1)))])),
    "zips in zips": (".tar", _nested_zips),
    "tar of headers": (".tar", lambda size: _times(tar_header(tarfile.REGTYPE, 0, "a.mid"), size) + _END),
    "tar of folders": (".tar", lambda size: _times(tar_header(tarfile.DIRTYPE, 0), size) + _END),
    "tar of pax records": (".tar", lambda size: _pax(b"5 =\n ", size)),
    "tar of pax paths": (".tar", lambda size: _pax(b"8 path=\n", size)),
    "tar of long names": (
        ".tar", lambda size: _times(tar_extension(b"L", b"n/" * _HALF + b".mid\0") + _MEMBER, size) + _END),
    "tar of pax headers": (
        ".tar", lambda size: _times(tar_extension(tarfile.XHDTYPE, b"9 path=a\n"), size) + _MEMBER + _END),
    "tar of sparse blocks": (
        ".tar", lambda size: tar_header(b"S", 0)[:482] + b"\1" + bytes(29) + _times(b"\1" * 512, size)),
    "tar.gz of pax records": (".tar.gz", lambda size: gzip.compress(_pax(b"5 =\n ", 200 * size), 9)),
    "tar.gz of headers": (
        ".tar.gz", lambda size: gzip.compress(_times(tar_header(tarfile.REGTYPE, 0, "a.txt"), 100 * size) + _END)),
    "tar.gz of empty streams": (".tar.gz", lambda size: _times(_empty_gzip(), size)),
    "tar.gz of extra fields": (".tar.gz", lambda size: _times(_empty_gzip(bytes(65535)), size)),
    "tar.gz of a name": (".tar.gz", lambda size: b"\x1f\x8b\x08\x18" + bytes(6) + b"n" * size),
    "tar.gz of headers' checksums": (".tar.gz", lambda size: b"\x1f\x8b\x08\x02" + bytes(6) + bytes(size)),
    "tar.bz2 of empty streams": (".tar.bz2", lambda size: _times(bz2.compress(b""), size)),
    "tar.xz of empty streams": (".tar.xz", lambda size: _times(lzma.compress(b""), size)),
    "tar.zst of empty frames": (".tar.zst", lambda size: _times(zstandard.ZstdCompressor().compress(b""), size)),
    "tar.zst of skipped frames": (".tar.zst", lambda size: _times(b"\x50\x2a\x4d\x18" + bytes(4), size)),
    "tar.gz of bytes": (".tar.gz", lambda size: gzip.compress(_random_tar(size), 1)),
    "tar.bz2 of bytes": (".tar.bz2", lambda size: bz2.compress(_random_tar(size), 1)),
    "tar.xz of bytes": (".tar.xz", lambda size: lzma.compress(_random_tar(size), preset=0)),
    "gz of empty streams": (".mid.gz", lambda size: _times(_empty_gzip(), size)),
    "bz2 of empty streams": (".mid.bz2", lambda size: _times(bz2.compress(b""), size)),
    "xz of empty streams": (".mid.xz", lambda size: _times(lzma.compress(b""), size)),
    "abc of empty tunes": (".abc", _book),
    "7z of zeros": (".7z", lambda size: b"7z\xbc\xaf\x27\x1c\0\4" + bytes(size)),
    "7z of files": (".7z", lambda size: _seven_zip_of_files(size)),
}  # fmt: skip
"""The ending, and what makes so many bytes."""


def _seven_zip_of_files(size: int) -> bytes:
    """An archive whose header names so many empty files, each by a name of no character."""
    count = size // 2
    names = b"\x11" + _seven_zip_number(1 + 2 * count) + b"\0" + bytes(2 * count)
    header = b"\1\5" + _seven_zip_number(count) + names + b"\0\0"
    start = struct.pack("<QQL", 0, len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<L", zlib.crc32(start)) + start + header


def _seven_zip_number(value: int) -> bytes:
    return b"\xff" + struct.pack("<Q", value)


def read_all(path: str) -> tuple[int, str]:
    """Returns how many inputs were found in an archive, and the reason of the last of them that has one."""
    from ostinato.beam_pipelines.inputs.sources import find_units, read_unit

    inputs, reason = 0, ""
    for unit in find_units([path]):
        for one in read_unit(unit, max_bytes=MAX_BYTES):
            inputs, reason = inputs + 1, one.reason or reason
    return inputs, reason


def measure(path: str) -> None:
    """Prints the CPU time and memory of `read_all` in this process and its children."""
    import ostinato.beam_pipelines.inputs.sources  # noqa: F401

    before = time.process_time()
    try:
        inputs, reason = read_all(path)
    except Exception as error:
        inputs, reason = -1, f"{type(error).__name__}: {str(error)[:60]}"
    cpu_s = time.process_time() - before
    children: dict[int, tuple[float, int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                children[int(process.name)] = (int(fields[11]) + int(fields[12])) / 100, _peak_kb(process)
        except (OSError, StopIteration):
            continue
    peak_mb = _peak_kb(Path("/proc/self")) / 1024  # ru_maxrss begins with that of the process that started this one
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    children_s = sum(seconds for seconds, _ in children.values()) + ended.ru_utime + ended.ru_stime
    child_mb = max((peak for _, peak in children.values()), default=0) / 1024
    print(f"{cpu_s:6.2f} s + {children_s:5.2f} s {peak_mb:5.0f} MB, {child_mb:4.0f} MB  {inputs:8} {reason}")


def _peak_kb(process: Path) -> int:
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2])
        return
    for kind in sys.argv[1:] or KINDS:
        ending, make = KINDS[kind]
        for size_mb in SIZES_MB:
            with tempfile.NamedTemporaryFile(suffix=ending) as file:
                data = make(int(size_mb * 1e6))
                file.write(data)
                file.flush()
                command = [sys.executable, "-m", "tests.archive_bombs", "--measure", file.name]
                try:
                    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
                    found = ran.stdout.strip() or ran.stderr.strip().splitlines()[-1]
                except subprocess.TimeoutExpired:
                    found = "not done after 60 s"
            print(f"{kind:28} {len(data) / 1e6:6.2f} MB  {found}", flush=True)
            if "not done" in found:
                break


if __name__ == "__main__":
    main()
