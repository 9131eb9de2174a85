import io

import pytest

from ostinato.beam_pipelines.inputs import listing
from ostinato.beam_pipelines.inputs.archives import Member
from ostinato.beam_pipelines.isolation import Limits
from tests.archive_bombs import KINDS, read_all, zip_entry, zip_of
from tests.archives import make_tar, make_zip
from tests.misbehaviour import do

pytestmark = pytest.mark.usefixtures("children_import_tests")

GIVEN_UP = {
    "zip without directory": "damaged_archive",
    "zip of extra fields": "archive_bomb",
    "zip in a tar": "archive_bomb",
    "tar of pax records": "archive_bomb",
    "tar of pax paths": "archive_bomb",
    "tar.gz of pax records": "archive_bomb",
    "abc of empty tunes": "too_large",
}
"""What would take the square of its size."""


@pytest.mark.parametrize("kind", GIVEN_UP)
def test_what_would_take_the_square_of_its_size_is_given_up(tmp_path, kind):
    ending, make = KINDS[kind]
    (tmp_path / f"x{ending}").write_bytes(make(300_000))
    assert read_all(str(tmp_path / f"x{ending}")) == (1, GIVEN_UP[kind])


def test_a_book_whose_head_is_larger_than_its_tunes_is_given_up(tmp_path):
    (tmp_path / "x.abc").write_bytes(b"%" * 2_000_000 + b"\nX:\n" * 1000)
    assert read_all(str(tmp_path / "x.abc")) == (1, "archive_bomb")
    (tmp_path / "x.abc").write_bytes(b"%" * 1000 + b"\nX:1\nK:C\nC|\n" * 1000)
    assert read_all(str(tmp_path / "x.abc")) == (1000, "")


def test_lists_of_any_size_are_the_same_whoever_makes_them(tmp_path, monkeypatch):
    songs = [(f"ä {number}.mid", b"MThd" * number) for number in range(2000)]
    (tmp_path / "x.zip").write_bytes(b"before" + make_zip(songs))
    (tmp_path / "x.tar").write_bytes(make_tar(songs))
    found = []
    for free_bytes in (0, 1 << 30):
        monkeypatch.setattr(listing, "FREE_BYTES", free_bytes)
        with (tmp_path / "x.zip").open("rb") as file:
            found.append((listing.list_zip(file), listing.list_tar(str(tmp_path / "x.tar"))))
    assert found[0] == found[1]
    for members, fault in found[0]:
        assert [(member.name, member.size) for member in members] == [(name, len(data)) for name, data in songs]
        assert fault is None
        assert all(isinstance(member, Member) for member in members)


@pytest.mark.parametrize("deed", ["loop in C", "allocate", "abort"])
def test_a_list_that_costs_its_child_costs_nothing_else(deed):
    members, fault = listing.in_child(do, deed, Limits(memory_mb=256, cpu_s=1, wall_s=20))
    assert members == []
    assert fault
    assert fault[0] == "archive_bomb"


def test_a_directory_that_lies_about_its_place_is_not_believed():
    data = bytearray(zip_of([zip_entry(b"a.mid")] * 3))
    data[-10:-6] = (2**32 - 1).to_bytes(4, "little")
    assert listing.list_zip(io.BytesIO(bytes(data)))[1][0] == "damaged_archive"
    assert listing.size_class_mb(1) == 1
    assert listing.size_class_mb((8 << 20) + 1) == 64
