import contextlib
import io
import random
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.beam_pipelines.inputs import inflate
from ostinato.beam_pipelines.inputs.errors import UnreadableError
from ostinato.beam_pipelines.inputs.inflate import Inflated
from ostinato.beam_pipelines.inputs.tars import TarMember, list_members, read_member, walk
from tests.archives import compress, make_tar, special

RANDOM = random.Random(0)
SONGS = [(f"songs/{number}.mid", bytes([number]) + RANDOM.randbytes(90_000 * number)) for number in range(5)]
ENDINGS = [".tar", ".tar.gz", ".tar.zst"]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def open_stream(data, ending):
    """Returns the archive as it is read from front to back, and where its fault will stand."""
    if ending == ".tar":
        return io.BytesIO(data), None
    inflated = Inflated(io.BytesIO(data), zstd=ending.endswith("zst"))
    return io.BufferedReader(inflated, 1000), inflated


def read_all(data, ending=".tar"):
    """Returns [(name, bytes or kind)] as they come, and the reason of the archive itself."""
    file, inflated = open_stream(data, ending)
    found = []
    try:
        for member, content in walk(file, wanted=lambda member: True):
            found.append((member.name, member.kind or content))
    except UnreadableError as error:
        fault = inflated.fault if inflated else None
        return found, (fault or error).reason
    while file.read(1 << 20):
        pass
    return found, inflated.fault.reason if inflated and inflated.fault else None


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("format", FORMATS)
def test_members_are_read_as_they_were_written(format, ending):
    assert read_all(compress(make_tar(SONGS, format=format), ending), ending) == (SONGS, None)
    assert read_all(compress(make_tar([], format=format), ending), ending) == ([], None)


@pytest.mark.parametrize("format", FORMATS[1:])
def test_long_and_odd_names_survive(format):
    names = ["a" * 90 + "/" + "b" * 200 + ".mid", "n\n.mid", "../x.mid", "/x.mid", "ä.mid", "\udce4.mid", "./x.mid"]
    members = [(name, name.encode("utf-8", "surrogateescape")) for name in names]
    assert read_all(make_tar(members, format=format)) == (members, None)


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
    found, error = read_all(make_tar([*members, SONGS[1]]))
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


def test_listed_members_are_read_where_they_lie():
    file = io.BytesIO(make_tar(SONGS))
    members, error = list_members(file)
    assert error is None
    for member, (name, data) in reversed(list(zip(members, SONGS, strict=True))):
        assert (member.name, member.size) == (name, len(data))
        assert read_member(file, member, max_bytes=1 << 20) == data
    for member, reason in (
        (members[4], "too_large"),
        (TarMember("x", 0, 0, "a link to y"), "not_a_file"),
        (TarMember("x", 500_000, 1 << 20), "damaged_member"),
    ):
        with pytest.raises(UnreadableError, match=reason):
            read_member(file, member, max_bytes=100_000 if reason == "too_large" else 1 << 20)


@pytest.mark.parametrize("ending", ENDINGS)
def test_only_what_is_wanted_is_read(ending):
    file, _ = open_stream(compress(make_tar(SONGS), ending), ending)
    found = [content for _, content in walk(file, wanted=lambda member: member.name == SONGS[3][0])]
    assert found == [b"", b"", b"", SONGS[3][1], b""]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_an_archive_that_is_cut_yields_what_has_arrived(ending, share):
    data = compress(make_tar(SONGS), ending)
    data = data[: int(share * len(data))]
    found, error = read_all(data, ending)
    assert error == "damaged_archive"
    assert found[:-1] == SONGS[: len(found) - 1]
    assert SONGS[len(found) - 1][1].startswith(found[-1][1])
    assert len(found) >= 2 or share < 0.5


@pytest.mark.parametrize("ending", ENDINGS[1:])
def test_what_follows_damage_in_a_compressed_stream_is_given_up(ending):
    members = [(str(number), RANDOM.randbytes(200_000)) for number in range(5)]
    data = bytearray(compress(make_tar(members), ending))
    data[len(data) // 2 : len(data) // 2 + 40] = RANDOM.randbytes(40)
    found, error = read_all(bytes(data), ending)
    # Bytes that are stored as they were can be damaged without a trace; the checksum stands at the end.
    assert error == "damaged_archive"
    assert found[:2] == members[:2]
    assert found != members


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_no_archive_is_damaged(ending):
    for data in (
        b"",
        b"MThd",
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd",
        RANDOM.randbytes(3000),
        compress(b"MThd" * 500, ending),
    ):
        assert read_all(data, ending) == ([], "damaged_archive")


@pytest.mark.parametrize("ending", ENDINGS[1:])
def test_a_bomb_is_stopped(ending, monkeypatch):
    monkeypatch.setattr(inflate, "FREE_BYTES", 1 << 20)
    data = compress(make_tar([("a.mid", b"MThd"), ("zeros.bin", bytes(20 << 20)), ("b.mid", b"MThd")]), ending)
    found, error = read_all(data, ending)
    assert error == "archive_bomb"
    assert [name for name, _ in found] == ["a.mid", "zeros.bin"]
    assert len(found[1][1]) < 5 << 20


def test_compressed_files_may_follow_each_other():
    data = make_tar(SONGS)
    for ending in ENDINGS[1:]:
        parts = compress(data[:1500], ending) + compress(b"", ending) + compress(data[1500:], ending)
        assert read_all(parts, ending) == (SONGS, None)
    assert read_all(compress(data, ".gz") + bytes(100), ".gz") == (SONGS, None)


@pytest.mark.parametrize("ending", ENDINGS[1:])
def test_every_reader_of_a_damaged_stream_sees_the_same(ending):
    data = compress(make_tar([(str(number), RANDOM.randbytes(50_000)) for number in range(20)]), ending)
    data = data[:600_000] + RANDOM.randbytes(50) + data[600_050:900_000]

    def names(wanted):
        file, _ = open_stream(data, ending)
        found = []
        with contextlib.suppress(UnreadableError):
            for member, _ in walk(file, wanted=lambda member: wanted(int(member.name))):
                found.append(member.name)
        assert 2 < len(found) < 20
        return found

    seen = {tuple(names(wanted)) for wanted in (lambda i: True, lambda i: False, lambda i: i % 3 == 0)}
    assert len(seen) == 1


def test_a_stream_that_is_cut_says_so_even_behind_the_last_member():
    data = compress(make_tar(SONGS), ".tar.gz")
    inflated = Inflated(io.BytesIO(data[:-3]), zstd=False)
    assert inflated.read() == make_tar(SONGS)
    assert inflated.fault
    assert inflated.fault.detail == "the compressed stream is cut"


def test_absurd_headers_are_damage():
    data = make_tar(SONGS[:1])

    def with_size(field):
        header = bytearray(data[:512])
        header[124:136] = field
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + data[512:]

    assert read_all(with_size(b"\xff" * 12)) == ([], "damaged_archive")
    found, error = read_all(with_size(b"\x80" + b"\0" * 4 + b"\x7f" + b"\0" * 6))
    assert (found[0][0], error) == ("songs/0.mid", "damaged_archive")
    long_name = bytearray(make_tar([("n" * 300, b"")]))
    long_name[124:136] = b"77777777777\0"
    long_name[148:156] = b" " * 8
    long_name[148:156] = b"%06o\0 " % sum(long_name[:512])
    assert read_all(bytes(long_name)) == ([], "damaged_archive")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_raises_anything_else(data):
    format = data.draw(st.sampled_from(FORMATS))
    ending = data.draw(st.sampled_from(ENDINGS))
    content = bytearray(compress(make_tar([("a.mid", b"MThd"), ("b" * 80 + "/ä.mid", b"x")], format=format), ending))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 30]))
    found, reason = read_all(bytes(content[:cut]), ending)
    assert len(found) <= 8
    assert reason in (None, "damaged_archive", "archive_bomb")
