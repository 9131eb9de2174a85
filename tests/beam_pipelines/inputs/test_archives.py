import io
import random
import struct
import tarfile
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.beam_pipelines.inputs import archives, compression
from ostinato.beam_pipelines.inputs.archives import Member, read_member
from ostinato.beam_pipelines.inputs.compression import Inflated
from ostinato.beam_pipelines.inputs.endings import tar_method
from ostinato.beam_pipelines.inputs.errors import UnreadableError
from ostinato.beam_pipelines.inputs.tars import list_tar, walk_tar
from tests.archives import compress, make_tar, make_zip, special

RANDOM = random.Random(0)
SONGS = [(f"songs/{number}.mid", bytes([number]) + RANDOM.randbytes(90_000 * number)) for number in range(5)]
SMALL = [(f"songs/{number}.mid", bytes([number]) + bytes(range(number, 90))) for number in range(5)]
ENDINGS = [".tar", ".tar.gz", ".tar.zst"]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def read_zip(data, *, max_bytes=1 << 20):
    """Returns {name: bytes or reason}, and the reason of the archive itself."""
    file = io.BytesIO(data)
    members, refusal = directly_listed(file)
    found = {}
    for member in members:
        try:
            found[member.name] = read_member(file, "zip", member, max_bytes=max_bytes)
        except UnreadableError as unreadable:
            found[member.name] = unreadable.reason
    return found, refusal and refusal[0]


def directly_listed(file):
    """Returns the members of a zip as a child lists them, and what is wrong with it."""
    try:
        return archives.list_zip(archives.read_directory(file))
    except UnreadableError as error:
        return [], (error.reason, error.detail)


def open_tar(data, ending):
    """Returns the archive as it is read from front to back, and where its fault will stand."""
    if ending == ".tar":
        return io.BytesIO(data), None
    inflated = Inflated(io.BytesIO(data), method=tar_method(ending))
    return io.BufferedReader(inflated, 1000), inflated


def read_tar(data, ending=".tar", wanted=lambda member: True):
    """Returns [(name, bytes or kind)] as they come, and the reason of the archive itself."""
    file, inflated = open_tar(data, ending)
    found = []
    try:
        for member, content in walk_tar(file, wanted=wanted):
            found.append((member.name, member.refusal[1] if member.refusal else content))
    except UnreadableError as error:
        return found, ((inflated and inflated.fault) or error).reason
    while file.read(1 << 20):
        pass
    return found, inflated.fault.reason if inflated and inflated.fault else None


def patched(data, offset, layout, value):
    return data[:offset] + struct.pack(layout, value) + data[offset + struct.calcsize(layout) :]


def in_directory(data, name):
    """Offset of a member's entry in the list at the end of a zip archive."""
    return data.rindex(name.encode()) - 46


def with_header(data, **fields):
    """Returns a tar archive whose first header has other bytes in some fields, and the right checksum."""
    header = bytearray(data[:512])
    for name, value in fields.items():
        start = {"size": 124, "kind": 156}[name]
        header[start : start + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_members_of_a_zip_are_read_as_they_were_written(compression):
    assert read_zip(make_zip(SMALL, compression=compression)) == (dict(SMALL), None)
    assert read_zip(b"#!/bin/sh\n" + make_zip(SMALL, compression=compression)) == (dict(SMALL), None)
    assert read_zip(make_zip([])) == ({}, None)


def test_members_of_a_zip_that_are_not_read_have_a_reason():
    assert read_zip(make_zip(SMALL[:1], compression=zipfile.ZIP_LZMA)) == ({"songs/0.mid": "unreadable"}, None)
    data = make_zip(SMALL[:2])
    data = patched(data, in_directory(data, "songs/1.mid") + 8, "<H", 1)
    assert read_zip(data) == ({"songs/0.mid": SMALL[0][1], "songs/1.mid": "encrypted"}, None)
    data = make_zip([("link.mid", b"/dev/zero"), SMALL[0]])
    data = patched(data, in_directory(data, "link.mid") + 38, "<L", 0o120777 << 16)
    assert read_zip(data) == ({"link.mid": "not_a_file", **dict(SMALL[:1])}, None)
    assert read_zip(make_zip([("a.mid", bytes(2000))]), max_bytes=1999) == ({"a.mid": "too_large"}, None)
    data = make_zip(SMALL, compression=zipfile.ZIP_STORED)
    data = patched(data, data.index(SMALL[2][1]) + 5, "B", 255)
    assert read_zip(data) == ({**dict(SMALL), SMALL[2][0]: "damaged_member"}, None)


@pytest.mark.parametrize(
    ("field", "layout", "value"),
    [(24, "<L", 0), (24, "<L", 10), (24, "<L", 99_999), (20, "<L", 2**31), (42, "<L", 2**31), (42, "<L", 3)],
    ids=["size 0", "size too small", "size too large", "stored too large", "offset behind the end", "offset wrong"],
)
def test_numbers_of_a_zip_that_are_not_true_cost_their_member(field, layout, value):
    data = make_zip([("a.mid", bytes(50_000)), SMALL[0]])
    data = patched(data, in_directory(data, "a.mid") + field, layout, value)
    assert read_zip(data) == ({"a.mid": "damaged_member", SMALL[0][0]: SMALL[0][1]}, None)


def raw_zip(name=b"a.mid", *, flags=0, numbers=()):
    """An archive of one member, its name in bytes; size, stored size and offset may be written in 64 bits."""
    data = b"MThd"
    extra = struct.pack("<2H3Q", 1, 24, *numbers) if numbers else b""
    sizes, offset = ((2**32 - 1,) * 2, 2**32 - 1) if numbers else ((4, 4), 0)
    local = b"PK\3\4" + struct.pack("<5H3L2H", 20, flags, 0, 0, 33, zlib.crc32(data), 4, 4, len(name), 0) + name + data
    entry = struct.pack("<6H3L2H", 20, 20, flags, 0, 0, 33, zlib.crc32(data), *sizes, len(name), len(extra))
    listed = b"PK\1\2" + entry + struct.pack("<3H2L", 0, 0, 0, 0, offset) + name + extra
    return local + listed + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(listed), len(local), 0)


@pytest.mark.parametrize("number", [2**64 - 1, 2**63, 2**63 - 1, 2**62, 2**40])
def test_numbers_of_64_bits_cost_their_member(number):
    assert read_zip(raw_zip(numbers=(4, 4, 0))) == ({"a.mid": b"MThd"}, None)
    assert read_zip(raw_zip(numbers=(number, 4, 0))) == ({"a.mid": "too_large"}, None)
    assert read_zip(raw_zip(numbers=(4, number, 0))) == ({"a.mid": "damaged_member"}, None)
    assert read_zip(raw_zip(numbers=(4, 4, number))) == ({"a.mid": "damaged_member"}, None)


@pytest.mark.parametrize(
    ("name", "flags", "text"),
    [
        ("Füße.mid".encode("cp437"), 0, "Füße.mid"),
        ("Füße.mid".encode(), 0x800, "Füße.mid"),
        ("Füße.mid".encode(), 0, "Füße.mid"),
        ("Füße.mid".encode("latin-1"), 0, "F\u207f\u2580e.mid"),
        (b"../../etc/x\n.mid", 0, "../../etc/x\n.mid"),
        (b"/etc/x.mid", 0, "/etc/x.mid"),
    ],
)
def test_names_in_a_zip_survive_in_any_encoding(name, flags, text):
    assert read_zip(raw_zip(name, flags=flags)) == ({text: b"MThd"}, None)


def test_a_zip_that_expands_absurdly_is_not_inflated():
    assert read_zip(make_zip([("a.mid", bytes(8 << 20))]), max_bytes=1 << 30) == ({"a.mid": "archive_bomb"}, None)
    one = make_zip([("a.mid", RANDOM.randbytes(5000))])
    entry = one[in_directory(one, "a.mid") : one.rindex(b"PK\5\6")]
    start = len(one) - len(entry) - 22
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 100, 100, 100 * len(entry), start, 0)
    assert read_zip(one[:start] + 100 * entry + end) == ({}, "archive_bomb")


def test_a_zip_that_is_cut_or_none_is_damaged():
    data = make_zip([("inner.zip", make_zip(SMALL)), *SMALL], compression=zipfile.ZIP_STORED)
    (directory,) = struct.unpack("<L", data[-6:-2])
    unknown_name = raw_zip("Füße.mid".encode("latin-1"), flags=0x800)
    for broken in (
        data[:directory],
        data[: directory + 60],
        data[:-22],
        data[: len(data) // 2],
        unknown_name,
    ):
        assert read_zip(broken) == ({}, "damaged_archive")
    for nothing in (b"", b"PK", b"MThd" * 100, b"PK\3\4" * 100, RANDOM.randbytes(10_000)):
        assert read_zip(nothing) == ({}, "damaged_archive")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("format", FORMATS)
def test_members_of_a_tar_are_read_as_they_were_written(format, ending):
    assert read_tar(compress(make_tar(SONGS, format=format), ending), ending) == (SONGS, None)
    assert read_tar(compress(make_tar([], format=format), ending), ending) == ([], None)
    only_one = [(name, data if name == SONGS[3][0] else b"") for name, data in SONGS]
    data = compress(make_tar(SONGS, format=format), ending)
    assert read_tar(data, ending, wanted=lambda member: member.name == SONGS[3][0]) == (only_one, None)


@pytest.mark.parametrize("format", FORMATS[1:])
def test_long_and_odd_names_survive(format):
    names = ["a" * 90 + "/" + "b" * 200 + ".mid", "n\n.mid", "../x.mid", "/x.mid", "ä.mid", "\udce4.mid", "./x.mid"]
    members = [(name, name.encode("utf-8", "surrogateescape")) for name in names]
    assert read_tar(make_tar(members, format=format)) == (members, None)


def test_everything_but_regular_files_has_a_kind():
    members = [
        special("soft.mid", tarfile.SYMTYPE, "/dev/zero"),
        special("hard.mid", tarfile.LNKTYPE, "../" * 60 + "x.mid"),
        special("device.mid", tarfile.CHRTYPE),
        special("disk.mid", tarfile.BLKTYPE),
        special("fifo.mid", tarfile.FIFOTYPE),
        special("folder.mid", tarfile.DIRTYPE),
    ]
    for member in members:
        member.size = 700  # which they have no use for
    found, error = read_tar(make_tar([*members, SONGS[1]]))
    assert error is None
    assert [(name.rstrip("/"), kind) for name, kind in found[:-1]] == [
        ("soft.mid", "a link to /dev/zero"),
        ("hard.mid", "a link to " + "../" * 60 + "x.mid"),
        ("device.mid", "a device"),
        ("disk.mid", "a device"),
        ("fifo.mid", "a FIFO"),
        ("folder.mid", "a folder"),
    ]
    assert found[-1] == SONGS[1]


def test_listed_members_of_a_tar_are_read_where_they_lie(tmp_path):
    file = io.BytesIO(make_tar(SONGS))
    (tmp_path / "x.tar").write_bytes(file.getvalue())
    members, refusal = list_tar(str(tmp_path / "x.tar"))
    assert refusal is None
    for member, (name, data) in reversed(list(zip(members, SONGS, strict=True))):
        assert (member.name, member.size) == (name, len(data))
        assert read_member(file, "tar", member, max_bytes=1 << 20) == data
    for member, reason in (
        (members[4], "too_large"),
        (Member("x", 0, 0, ("not_a_file", "a link to y")), "not_a_file"),
        (Member("x", 500_000, 90_000), "damaged_member"),
    ):
        with pytest.raises(UnreadableError, match=reason):
            read_member(file, "tar", member._replace(offset=len(file.getvalue()) - 500), max_bytes=100_000)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_tar_that_is_cut_yields_what_has_arrived(ending, share):
    data = compress(make_tar(SONGS), ending)
    found, error = read_tar(data[: int(share * len(data))], ending)
    assert error == "damaged_archive"
    assert found[:-1] == SONGS[: len(found) - 1]
    assert SONGS[len(found) - 1][1].startswith(found[-1][1])
    assert len(found) >= 2 or share < 0.5


def test_a_stream_that_is_cut_says_so_even_behind_the_last_member():
    inflated = Inflated(io.BytesIO(compress(make_tar(SONGS), ".tar.gz")[:-3]), method="gz")
    assert inflated.read() == make_tar(SONGS)
    assert inflated.fault
    assert inflated.fault.reason == "damaged_archive"


@pytest.mark.parametrize("ending", ENDINGS[1:])
def test_every_reader_of_a_damaged_stream_sees_the_same(ending):
    members = [(str(number), RANDOM.randbytes(50_000)) for number in range(20)]
    data = compress(make_tar(members), ending)
    data = data[:600_000] + RANDOM.randbytes(50) + data[600_050:900_000]
    seen = []
    for wanted in (lambda number: True, lambda number: False, lambda number: number % 3 == 0):
        found, error = read_tar(data, ending, wanted=lambda member, wanted=wanted: wanted(int(member.name)))
        assert error == "damaged_archive"
        seen.append([name for name, _ in found])
    assert seen[0] == seen[1] == seen[2]
    assert 2 < len(seen[0]) < 20


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_no_tar_is_damaged(ending):
    nothing = (b"", b"MThd", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", RANDOM.randbytes(3000), compress(b"MThd" * 500, ending))
    assert [read_tar(data, ending) for data in nothing] == [([], "damaged_archive")] * len(nothing)


@pytest.mark.parametrize("ending", ENDINGS[1:])
def test_a_bomb_is_stopped(ending, monkeypatch):
    monkeypatch.setattr(compression, "FREE_STREAM_BYTES", 1 << 20)
    data = compress(make_tar([("a.mid", b"MThd"), ("zeros.bin", bytes(20 << 20)), ("b.mid", b"MThd")]), ending)
    found, error = read_tar(data, ending)
    assert error == "archive_bomb"
    assert [name for name, _ in found] == ["a.mid", "zeros.bin"]
    assert len(found[1][1]) < 5 << 20


def test_compressed_files_may_follow_each_other():
    data = make_tar(SONGS)
    for ending in ENDINGS[1:]:
        parts = compress(data[:1500], ending) + compress(b"", ending) + compress(data[1500:], ending)
        assert read_tar(parts, ending) == (SONGS, None)
    assert read_tar(compress(data, ".gz") + bytes(100), ".gz") == (SONGS, None)


@pytest.mark.parametrize(
    "size",
    [
        b"\xff" * 12,
        b"\xff" * 11 + b"\0",
        b"\x80" + b"\xff" * 11,
        b"\x80\0\0\0\x80" + b"\0" * 7,
        b"\x80\0\0\0\x7f" + b"\xff" * 7,
    ],
    ids=["-1", "-256", "2**88", "2**63", "2**63 - 1"],
)
def test_absurd_sizes_in_a_tar_are_damage(size, tmp_path):
    data = make_tar(SMALL[:1])
    assert read_tar(with_header(data, size=size)) == ([], "damaged_archive")
    found, error = read_tar(with_header(data, size=b"\x80" + b"\0" * 4 + b"\x7f" + b"\0" * 6))  # 2**55
    assert (found[0][0], error) == (SMALL[0][0], "damaged_archive")
    (tmp_path / "x.tar").write_bytes(with_header(data, size=b"\x80" + b"\0" * 3 + b"\x0f" + b"\xff" * 7))  # 2**60 - 1
    members, refusal = list_tar(str(tmp_path / "x.tar"))
    assert [member.size for member in members] == [2**60 - 1]
    assert refusal
    assert refusal[0] == "damaged_archive"
    long_name = with_header(make_tar([("n" * 300, b"")]), size=b"77777777777\0")
    assert read_tar(long_name) == ([], "damaged_archive")


@pytest.mark.parametrize(
    "record",
    [b"9" * 5000 + b" path=x\n", b"-5 path=x\n", b"0 path=x\n", b"99 path=x\n", b"path=x\n", b"12 size=-1\n\n"]
    + [b"%d size=%s\n" % (len(number) + 10, number) for number in (b"9" * 4989, b"9" * 20, b"9223372036854775808")],
)
def test_absurd_extensions_of_a_tar_are_damage(record):
    block = record + bytes(-len(record) % 512)
    header = with_header(make_tar([("h", b"")]), kind=tarfile.XHDTYPE, size=b"%011o\0" % len(record))[:512]
    data = make_tar(SMALL[:1])[:1024] + header + block + make_tar(SMALL[1:])
    assert read_tar(data) == (SMALL[:1], "damaged_archive")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_raises_anything_else(data):
    ending = data.draw(st.sampled_from([*ENDINGS, ".zip"]))
    members = [("a.mid", b"MThd"), ("b" * 80 + "/ä.mid", b"x"), *SMALL[:1]]
    whole = make_zip(members) if ending == ".zip" else make_tar(members, format=data.draw(st.sampled_from(FORMATS)))
    content = bytearray(compress(whole, ending))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 30]))])
    found, reason = read_zip(cut) if ending == ".zip" else read_tar(cut, ending)
    assert len(found) <= 8
    assert reason in (None, "damaged_archive", "archive_bomb")
