import io
import random
import struct
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.beam_pipelines.inputs.errors import UnreadableError
from ostinato.beam_pipelines.inputs.zips import list_members, read_member
from tests.archives import make_zip

RANDOM = random.Random(0)
SONGS = [(f"songs/{number}.mid", bytes([number]) + bytes(range(number, 90))) for number in range(5)]
LIMIT = 1 << 20


def read_all(data, *, max_bytes=LIMIT):
    """Returns {name: bytes or reason}, and the reason of the archive itself."""
    file = io.BytesIO(data)
    members, error = list_members(file)
    found = {}
    for member in members:
        try:
            found[member.name] = read_member(file, member, max_bytes=max_bytes)
        except UnreadableError as unreadable:
            found[member.name] = unreadable.reason
    return found, error and error.reason


def patched(data, offset, layout, value):
    return data[:offset] + struct.pack(layout, value) + data[offset + struct.calcsize(layout) :]


def in_directory(data, name):
    """Offset of a member's entry in the central directory."""
    return data.rindex(name.encode()) - 46


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_members_are_read_as_they_were_written(compression):
    assert read_all(make_zip(SONGS, compression=compression)) == (dict(SONGS), None)
    assert read_all(b"#!/bin/sh\n" + make_zip(SONGS, compression=compression)) == (dict(SONGS), None)
    assert read_all(make_zip([])) == ({}, None)


def test_unknown_compression_and_encryption_are_reasons():
    assert read_all(make_zip(SONGS[:1], compression=zipfile.ZIP_LZMA)) == ({"songs/0.mid": "unreadable"}, None)
    data = make_zip(SONGS[:2])
    data = patched(data, in_directory(data, "songs/1.mid") + 8, "<H", 1)
    assert read_all(data) == ({"songs/0.mid": SONGS[0][1], "songs/1.mid": "encrypted"}, None)


def test_links_are_not_followed():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("link.mid")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/dev/zero")
    assert read_all(file.getvalue()) == ({"link.mid": "not_a_file"}, None)


def test_a_member_above_the_limit_is_not_inflated():
    assert read_all(make_zip([("a.mid", bytes(2000))]), max_bytes=1999) == ({"a.mid": "too_large"}, None)


def test_a_bomb_is_not_inflated():
    assert read_all(make_zip([("a.mid", bytes(8 << 20))]), max_bytes=1 << 30) == ({"a.mid": "archive_bomb"}, None)


@pytest.mark.parametrize("claimed", [0, 10, 99_999])
def test_a_member_that_is_not_as_long_as_it_says_is_damaged(claimed):
    data = make_zip([("a.mid", bytes(50_000)), SONGS[0]])
    data = patched(data, in_directory(data, "a.mid") + 24, "<L", claimed)
    assert read_all(data) == ({"a.mid": "damaged_member", SONGS[0][0]: SONGS[0][1]}, None)


def test_a_wrong_checksum_is_found():
    data = make_zip(SONGS, compression=zipfile.ZIP_STORED)
    at = data.index(SONGS[2][1]) + 5
    found, error = read_all(data[:at] + b"!" + data[at + 1 :])
    assert error is None
    assert found == {**dict(SONGS), SONGS[2][0]: "damaged_member"}


def test_members_that_overlap_are_a_bomb():
    one = make_zip([("a.mid", RANDOM.randbytes(5000))])
    entry = one[in_directory(one, "a.mid") : one.rindex(b"PK\5\6")]
    start = len(one) - len(entry) - 22
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 100, 100, 100 * len(entry), start, 0)
    assert read_all(one[:start] + 100 * entry + end) == ({}, "archive_bomb")


@pytest.mark.parametrize("ending", ["no directory", "cut directory", "lost end", "wrong offset", "junk"])
def test_members_are_found_without_the_list_at_the_end(ending):
    data = make_zip(SONGS)
    directory, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    damaged = {
        "no directory": data[:directory],
        "cut directory": data[: directory + 60],
        "lost end": data[:end],
        "wrong offset": patched(data, end + 16, "<L", len(data) + 10_000),
        "junk": data[:directory] + RANDOM.randbytes(len(data) - directory),
    }[ending]
    assert read_all(damaged) == (dict(SONGS), "damaged_archive")


@pytest.mark.parametrize("force_zip64", [False, True])
def test_members_of_a_stream_are_found_without_the_list(force_zip64):
    # A program that writes to a pipe does not know sizes and checksums until a member has passed.
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = b""

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in SONGS:
            with archive.open(name, "w", force_zip64=force_zip64) as member:
                member.write(content)
    assert read_all(pipe.data) == (dict(SONGS), None)
    directory = pipe.data.index(b"PK\1\2")
    assert read_all(pipe.data[:directory]) == (dict(SONGS), "damaged_archive")
    cut = pipe.data[: pipe.data.index(b"songs/4.mid") + 20]
    assert read_all(cut) == (dict(SONGS[:4]), "damaged_archive")


def test_a_download_that_was_cut_yields_what_has_arrived():
    data = make_zip([(name, RANDOM.randbytes(3000)) for name, _ in SONGS])
    whole, _ = read_all(data)
    found, error = read_all(data[:10_000])
    assert error == "damaged_archive"
    assert found == {**{name: whole[name] for name, _ in SONGS[:3]}, "songs/3.mid": "damaged_member"}


def test_members_of_an_archive_in_the_archive_are_not_found():
    inner = make_zip(SONGS)
    data = make_zip([("inner.zip", inner), SONGS[0]], compression=zipfile.ZIP_STORED)
    (directory,) = struct.unpack("<L", data[-6:-2])
    assert read_all(data[:directory]) == ({"inner.zip": inner, SONGS[0][0]: SONGS[0][1]}, "damaged_archive")


def test_what_is_no_archive_is_damaged():
    for data in (b"", b"PK", b"MThd" * 100, b"PK\3\4" * 100, RANDOM.randbytes(10_000)):
        assert read_all(data)[1] == "damaged_archive"


def raw_zip(name, *, flags=0):
    """An archive with a name in bytes."""
    data, crc = b"MThd", zlib.crc32(b"MThd")
    rest = struct.pack("<5H3L2H", 20, flags, 0, 0, 33, crc, 4, 4, len(name), 0)
    local = b"PK\3\4" + rest + name + data
    entry = b"PK\1\2" + struct.pack("<H", 20) + rest + struct.pack("<3H2L", 0, 0, 0, 0, 0) + name
    return local + entry + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)


@pytest.mark.parametrize(
    ("name", "flags", "text", "reason"),
    [
        ("Füße.mid".encode("cp437"), 0, "Füße.mid", None),
        ("Füße.mid".encode(), 0x800, "Füße.mid", None),
        ("Füße.mid".encode(), 0, "Füße.mid", None),
        ("Füße.mid".encode("latin-1"), 0, "F\u207f\u2580e.mid", None),
        ("Füße.mid".encode("latin-1"), 0x800, "F\u207f\u2580e.mid", "damaged_archive"),
        (b"../../etc/x\n.mid", 0, "../../etc/x\n.mid", None),
        (b"/etc/x.mid", 0, "/etc/x.mid", None),
    ],
)
def test_names_survive_in_any_encoding(name, flags, text, reason):
    assert read_all(raw_zip(name, flags=flags)) == ({text: b"MThd"}, reason)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_raises_anything_else(data):
    content = bytearray(make_zip(SONGS[:3]))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 30]))
    found, _ = read_all(bytes(content[:cut]))
    assert all(isinstance(value, bytes | str) for value in found.values())
