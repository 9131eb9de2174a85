"""Strategies that write the headers of files: most fields are true, some are any number that a field can hold.

What reads them has to find members, or say why not; see `tests/test_headers.py`.
"""

import gzip
import struct
import tarfile
import zlib
from collections.abc import Callable

from hypothesis import strategies as st

from ostinato.data import tfrecord
from ostinato.music.midi_bytes import number_bytes

_NAMES = st.sampled_from(
    [
        b"a.mid",
        b"b/c.mid",
        b"in.zip",
        b"x.abc",
        b"d.mid.gz",
        b"note.txt",
        b"",
        b"\xff\xe9.mid",
        "é\n\u202e.mid".encode(),
    ]
)
_DATA = st.sampled_from([b"", b"MThd", b"MThd" * 100, b"X:1\nK:C\nC|\nX:2\nK:C\nD|\n", b"PK\5\6" + bytes(18)])
_FEW_BYTES = st.binary(max_size=12)


def _numbers(true: int, bits: int) -> st.SearchStrategy[int]:
    """A field of so many bits, mostly true."""
    edges = [0, 1, true + 1, true - 1, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1, 2**bits - 2, 2 ** (bits // 2)]
    return st.sampled_from([true] * 30 + edges).map(lambda number: number % 2**bits)


def _one_of(draw: st.DrawFn, *values: bytes) -> bytes:
    """Mostly the first."""
    return draw(st.sampled_from([values[0]] * 8 + list(values)))


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    """Local headers, a directory, extra fields, the end, and what ZIP64 has beside them."""
    archive, directory = bytearray(draw(st.sampled_from([b"", b"", b"#!/bin/sh\n"]))), bytearray()
    count = draw(st.integers(0, 3))
    for _ in range(count):
        name, data = draw(_NAMES), draw(_DATA)
        method = draw(_numbers(8, 16))
        deflate = zlib.compressobj(wbits=-15)
        stored = deflate.compress(data) + deflate.flush() if method == 8 else data
        flags = draw(st.sampled_from([0, 0, 0x800, 8, 1, 0xFFFF]))
        offset = len(archive)
        archive += _one_of(draw, b"PK\3\4", b"PK\1\2") + struct.pack(
            "<5H3L2H", 20, flags, method, 0, 33, draw(_numbers(zlib.crc32(data), 32)), draw(_numbers(len(stored), 32)),
            draw(_numbers(len(data), 32)), draw(_numbers(len(name), 16)), draw(_numbers(0, 16)),
        ) + name + stored  # fmt: skip
        sizes = [len(data), len(stored), offset]
        extra = b""
        if draw(st.booleans()):
            large = [struct.pack("<Q", draw(_numbers(number, 64))) for number in sizes]
            content = b"".join(large[: draw(st.sampled_from([3, 3, 3, 0, 1, 2]))]) + draw(st.just(b"") | _FEW_BYTES)
            extra = struct.pack("<2H", draw(_numbers(1, 16)), draw(_numbers(len(content), 16))) + content
            sizes = [2**32 - 1] * 3
        extra += bytes(4) * draw(st.sampled_from([0, 0, 0, 1, 1500, 16000]))
        comment = draw(st.just(b"") | _FEW_BYTES)
        directory += _one_of(draw, b"PK\1\2", b"PK\5\6") + struct.pack(
            "<6H3L5H2L", 20, draw(_numbers(20, 16)), flags, method, 0, 33, draw(_numbers(zlib.crc32(data), 32)),
            draw(_numbers(sizes[1], 32)), draw(_numbers(sizes[0], 32)), draw(_numbers(len(name), 16)),
            draw(_numbers(len(extra) % 65536, 16)), draw(_numbers(len(comment), 16)), draw(_numbers(0, 16)), 0,
            draw(_numbers(0o100644 << 16, 32)), draw(_numbers(sizes[2], 32)),
        ) + name + extra + comment  # fmt: skip
    start, size = len(archive), len(directory)
    archive += directory
    if draw(st.booleans()):
        at = len(archive)
        numbers = [draw(_numbers(number, 64)) for number in (44, count, count, size, start)]
        archive += _one_of(draw, b"PK\6\6", b"PK\6\7") + struct.pack("<Q2H2L4Q", numbers[0], 45, 45, 0, 0, *numbers[1:])
        archive += b"PK\6\7" + struct.pack("<LQL", draw(_numbers(0, 32)), draw(_numbers(at, 64)), draw(_numbers(1, 32)))
    comment = draw(st.just(b"") | st.sampled_from([b"PK\5\6", b"PK\5\6" + bytes(18), bytes(70_000)]) | _FEW_BYTES)
    counts = [draw(_numbers(number, 16)) for number in (0, 0, count, count)]
    places = draw(_numbers(size, 32)), draw(_numbers(start, 32)), draw(_numbers(len(comment) % 65536, 16))
    archive += b"PK\5\6" + struct.pack("<4H2LH", *counts, *places) + comment
    return bytes(archive[: draw(_numbers(len(archive), 17))])


_DIGITS = st.sampled_from(
    [b"9" * 5000, b"0" * 5000, b"9223372036854775807", b"9223372036854775808", b"-1", b"", b"1e9", b"4"]
)


@st.composite
def pax_records(draw: st.DrawFn) -> bytes:
    """Records of an extended header, whose lengths are mostly true."""
    content = b""
    for _ in range(draw(st.integers(0, 4))):
        key = draw(
            st.sampled_from([b"path", b"size", b"linkpath", b"mtime", b"GNU.sparse.size", b"hdrcharset", b"", b"\xff"])
        )
        record = b" " + key + _one_of(draw, b"=", b"") + draw(_DIGITS | _NAMES | _FEW_BYTES) + b"\n"
        length = len(record) + 1
        while len(b"%d" % length) + len(record) != length:
            length += 1
        content += draw(st.sampled_from([b"%d" % length] * 8) | _DIGITS) + record
    return content * draw(st.sampled_from([1, 1, 1, 1, 400]))


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """Headers of all kinds, sizes in octal and in base 256, long names and extended headers."""
    archive = b""
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(
            st.sampled_from([b"0", b"0", b"\0", b"1", b"2", b"5", b"7", b"S", b"L", b"K", b"x", b"X", b"g", b"Z"])
        )
        content = draw(
            pax_records() if kind in b"xXg" else _NAMES.map(lambda name: name + b"\0") if kind in b"LK" else _DATA
        )
        size = draw(
            st.sampled_from([len(content)] * 8) | _numbers(len(content), 64) | st.sampled_from([2**60, 2**87, 2**95])
        )
        header = bytearray(tarfile.TarInfo("h").tobuf(tarfile.GNU_FORMAT))
        header[:100] = draw(_NAMES).ljust(100, b"\0")
        octal = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(12, "big")[1:]
        header[124:136] = _one_of(draw, octal, b"\xff" * 12, b"\x80" + bytes(11), b"-0000000001\0", b"99999999999\0")
        header[156:157] = kind
        header[157:165] = draw(_FEW_BYTES).ljust(8, b"\0")[:8]
        header[257:265] = _one_of(draw, b"ustar  \0", b"ustar\x0000", bytes(8))
        header[482:483] = draw(st.sampled_from([b"\0", b"\1"]))
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % draw(_numbers(sum(header), 18))
        archive += bytes(header) + content + bytes(-len(content) % 512)
    archive += bytes(1024)
    return archive[: draw(_numbers(len(archive), 17))]


@st.composite
def gzips(draw: st.DrawFn, payload: st.SearchStrategy[bytes]) -> bytes:
    """Members with extra fields, names, comments and checksums of the header."""
    archive = b""
    for _ in range(draw(st.integers(0, 3))):
        data = draw(payload)
        deflate = zlib.compressobj(wbits=-15)
        flags = draw(_numbers(0, 8) | st.integers(0, 31))
        archive += _one_of(draw, b"\x1f\x8b", b"\x1f\x8c") + bytes((draw(_numbers(8, 8)), flags)) + bytes(6)
        if flags & 4:
            extra = draw(_FEW_BYTES)
            archive += struct.pack("<H", draw(_numbers(len(extra), 16))) + extra
        archive += draw(_NAMES) + b"\0" if flags & 8 else b""
        archive += draw(_NAMES) + _one_of(draw, b"\0", b"") if flags & 16 else b""
        archive += draw(st.binary(min_size=2, max_size=2)) if flags & 2 else b""
        stored = deflate.compress(data) + deflate.flush()
        archive += draw(st.sampled_from([stored] * 8) | st.binary(max_size=40))
        archive += struct.pack("<2L", draw(_numbers(zlib.crc32(data), 32)), draw(_numbers(len(data), 32)))
    return archive + _one_of(draw, b"", bytes(100), b"x", gzip.compress(b"")[:15])


@st.composite
def examples(draw: st.DrawFn) -> bytes:
    """Messages in messages as a record has them, with lengths that are mostly true."""

    def message(number: int, payload: bytes) -> bytes:
        kind = draw(_numbers(2, 3))
        length = number_bytes_little(draw(_numbers(len(payload), 64)))
        return bytes([number << 3 | kind]) + draw(st.sampled_from([length] * 8) | st.just(b"\xff" * 3000)) + payload

    entries = b""
    for name in draw(st.lists(st.sampled_from([b"id", b"steps", b"style", b"\xff"]), max_size=4)):
        value = draw(st.sampled_from([b"", b"a", b"\xff", bytes(16), bytes(17)]))
        values = message(1, value) * draw(st.sampled_from([1, 1, 1, 0, 2]))
        entries += message(1, message(1, name) + message(2, message(1, values)))
    return message(1, entries)


def number_bytes_little(value: int) -> bytes:
    """Returns a number as protobuf writes it, the last seven bits first."""
    digits = [value & 127]
    while value := value >> 7:
        digits[-1] |= 128
        digits.append(value & 127)
    return bytes(digits)


@st.composite
def tfrecords(draw: st.DrawFn) -> bytes:
    """A record whose length, checksums and message are mostly true."""
    data = draw(examples())
    length = struct.pack("<Q", draw(_numbers(len(data), 64)))
    sums = [tfrecord.frame(part)[-4:] for part in (length, data)]
    return length + _one_of(draw, sums[0], bytes(4)) + data + _one_of(draw, sums[1], bytes(4), b"")


_EVENTS = st.sampled_from(
    [
        b"\x90\x3c\x40", b"\x80\x3c\x00", b"\x3c\x00", b"\xc0\x05", b"\xff\x51\x03\x07\xa1\x20", b"\xff\x2f\x00",
        b"\xf7\x01", b"\xf0\x02\x01\xf7", b"\xff\x58\x04\x04\x02\x18\x08", b"\xff\x03\x01x", b"\xf4", b"\xff",
        b"\x90\xff\xff",
    ]
)  # fmt: skip


@st.composite
def midi_files(draw: st.DrawFn) -> bytes:
    """A header, chunks and events, with lengths and waits that are mostly true."""
    chunks = b""
    count = draw(st.integers(0, 4))
    for _ in range(count):
        events = b""
        for event in draw(st.lists(_EVENTS, max_size=12)):
            wait = draw(_numbers(96, 28) | st.integers(0, 500))
            events += draw(st.sampled_from([number_bytes(wait)] * 8 + [b"\xff" * 6, b"\x80" * 5 + b"\0"])) + event
            if event[:1] == b"\xff" and draw(st.sampled_from([False] * 8 + [True])):
                events = events[: -len(event) + 2] + number_bytes(draw(_numbers(3, 35))) + event[3:]
        events += _one_of(draw, b"\0\xff\x2f\0", b"")
        chunks += _one_of(draw, b"MTrk", b"XFIH", b"MThd") + struct.pack(">L", draw(_numbers(len(events), 32))) + events
    numbers = draw(_numbers(6, 32)), draw(_numbers(1, 16)), draw(_numbers(count, 16)), draw(_numbers(96, 16))
    file = b"MThd" + struct.pack(">L3H", *numbers) + chunks
    if draw(st.sampled_from([False] * 4 + [True])):
        file = b"RIFF" + struct.pack("<L", draw(_numbers(len(file) + 12, 32))) + b"RMIDdata" + struct.pack(
            "<L", draw(_numbers(len(file), 32))) + file  # fmt: skip
    return file[: draw(_numbers(len(file), 17))]


ARCHIVES: dict[str, Callable[[], st.SearchStrategy[bytes]]] = {
    ".zip": zips,
    ".mxl": zips,
    ".tar": tars,
    ".tar.gz": lambda: gzips(tars()),
    ".mid.gz": lambda: gzips(midi_files()),
    ".mid": midi_files,
}
"""By the ending by which they are read."""
