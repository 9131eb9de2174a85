import io
import random
from collections import Counter

import pytest

from ostinato.beam_pipelines.inputs import endings, seven_zip
from ostinato.beam_pipelines.inputs.sources import find_units, read_unit
from ostinato.beam_pipelines.isolation import Limits
from tests.archives import make_zip

py7zr = pytest.importorskip("py7zr", reason="the extra 7z is not installed")

RANDOM = random.Random(0)
SONGS = [(f"songs/{number}.mid", RANDOM.randbytes(2000 * number)) for number in range(5)]
MAX_BYTES = 1 << 20


def make_7z(*blocks, **options):
    """Returns an archive with a block for each list of (name, bytes)."""
    file = io.BytesIO()
    for number, members in enumerate(blocks):
        file.seek(0)
        with py7zr.SevenZipFile(file, "a" if number else "w", **options) as archive:
            for name, data in members:
                archive.writestr(data, name)
    return file.getvalue()


def read(path, data, *, max_bytes=MAX_BYTES, **options):
    """Returns {name in the archive: bytes or reason}, and how many members are not read, by their endings."""
    path.write_bytes(data)
    not_read = Counter()
    found = {}
    for unit in find_units([str(path)], not_read=not_read, **options):
        inputs = list(read_unit(unit, max_bytes=max_bytes))
        assert unit.num_inputs in (None, len(inputs))
        found |= {one.name.removeprefix(f"{path}!").removeprefix(str(path)): one.reason or one.data for one in inputs}
    return found, not_read


@pytest.mark.parametrize("inputs_per_unit", [1, 2, 1024])
def test_members_of_all_blocks_are_read(tmp_path, monkeypatch, inputs_per_unit):
    monkeypatch.setattr("py7zr.py7zr.check_archive_path", lambda name: True)  # or it would not write the last name
    other = [("cover.jpg", b"jpg"), ("a/b/7.mid", b"MThd"), ("../../up.mid", b"up")]
    found, not_read = read(tmp_path / "a.7z", make_7z(SONGS, other), inputs_per_unit=inputs_per_unit)
    assert found == dict(SONGS) | {"a/b/7.mid": b"MThd", "../../up.mid": b"up"}
    assert not_read == {".jpg": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.7z"]


def test_a_zip_and_a_tune_book_in_it_are_opened(tmp_path):
    book = b"X:1\nK:C\nC|\nX:2\nK:C\nD|\n"
    found, _ = read(tmp_path / "a.7z", make_7z([("z.zip", make_zip(SONGS)), ("book.abc", book)]))
    assert found == {f"z.zip!{name}": data for name, data in SONGS} | {
        "book.abc#1": b"X:1\nK:C\nC|\n",
        "book.abc#2": b"X:2\nK:C\nD|\n",
    }


@pytest.mark.parametrize("header_encryption", [False, True])
def test_what_needs_a_password_says_so(tmp_path, header_encryption):
    data = make_7z(SONGS[1:3], password="secret", header_encryption=header_encryption)
    found, _ = read(tmp_path / "a.7z", data)
    assert found == ({"": "encrypted"} if header_encryption else {name: "encrypted" for name, _ in SONGS[1:3]})


def test_links_are_not_followed(tmp_path):
    (tmp_path / "secret.mid").write_bytes(b"secret")
    (tmp_path / "link.mid").symlink_to("secret.mid")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as archive:
        archive.write(tmp_path / "link.mid", "link.mid")
    found, _ = read(tmp_path / "a.7z", (tmp_path / "a.7z").read_bytes())
    assert found == {"link.mid": "not_a_file"}


def test_a_damaged_block_costs_its_own_members_alone(tmp_path):
    data = bytearray(make_7z(SONGS[1:3], SONGS[3:]))
    data[32 + 1000] ^= 1  # in what is packed of the first song
    found, _ = read(tmp_path / "a.7z", bytes(data))
    assert found["songs/1.mid"] == "damaged_member"
    assert {name: found[name] for name, _ in SONGS[3:]} == dict(SONGS[3:])


def test_an_archive_that_is_cut_or_none_is_one_reject(tmp_path):
    whole = make_7z(SONGS)
    for data in (whole[:-20], whole[:40], b"", b"7z\xbc\xaf\x27\x1c" + bytes(60), RANDOM.randbytes(1000)):
        found, _ = read(tmp_path / "a.7z", data)
        assert found == {"": "damaged_archive"}
    assert read(tmp_path / "a.7z", whole)[0] == dict(SONGS)


def test_whatever_byte_is_wrong_all_members_are_accounted_for_or_the_archive_is(tmp_path):
    whole = make_7z(SONGS[:2], SONGS[2:])
    for position in RANDOM.sample(range(len(whole)), 25):
        data = bytearray(whole)
        data[position] ^= 1 << RANDOM.randrange(8)
        found, _ = read(tmp_path / "a.7z", bytes(data))
        assert found == {"": "damaged_archive"} or len(found) == len(SONGS)


def test_few_bytes_that_become_absurdly_many_are_a_bomb(tmp_path):
    members = [(f"{number}.mid", bytes(17 << 20)) for number in range(4)]
    found, _ = read(tmp_path / "a.7z", make_7z(members, filters=[{"id": py7zr.FILTER_ZSTD, "level": 1}]))
    assert found == {"": "archive_bomb"}


def test_a_member_that_is_too_large_is_refused_and_the_others_are_read(tmp_path):
    found, _ = read(tmp_path / "a.7z", make_7z(SONGS), max_bytes=5000)
    assert found == dict(SONGS[:3]) | {"songs/3.mid": "too_large", "songs/4.mid": "too_large"}


@pytest.mark.slow
def test_what_takes_more_memory_than_it_may_is_a_bomb_and_the_next_share_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(seven_zip, "LIMITS", Limits(memory_mb=80))
    monkeypatch.setattr(seven_zip, "SHARE_BYTES", 10)
    data = make_7z([("large.mid", bytes(60 << 20))], [("small.mid", b"small")], filters=[{"id": py7zr.FILTER_COPY}])
    found, _ = read(tmp_path / "a.7z", data, max_bytes=100 << 20)
    assert found == {"large.mid": "archive_bomb", "small.mid": b"small"}


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(endings.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "songs.mid").write_bytes(b"")
    (tmp_path / "a.7z").write_bytes(make_7z(SONGS))
    not_read = Counter()
    find_units([str(tmp_path)], not_read=not_read)
    assert "; .7z: pip install 'ostinato[7z]' reads it" in endings.describe_not_read(not_read)
    (unit,) = find_units([str(tmp_path / "a.7z")])
    (found,) = read_unit(unit, max_bytes=MAX_BYTES)
    assert (found.reason, found.detail) == ("unreadable", "needs py7zr: pip install 'ostinato[7z]'")
