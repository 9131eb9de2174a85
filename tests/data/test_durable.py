"""What is published is on disk: whatever is lost that was not synced, the new is there, or the old, and each whole."""

import errno
import os

import pytest

from ostinato.data import durable
from ostinato.data.atomic import atomic_folder, filled_folder, make_folder, write_atomically
from tests.faults.power import each_image

AT_THE_END = 16


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def fill(folder, text):
    (folder / "deep").mkdir()
    (folder / "deep" / "values").write_text(text * 100)
    (folder / "list").write_text(text)


def content(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_that_was_written_stays(root, tmp_path):
    write_atomically(root / "file", b"old")
    with each_image(root, tmp_path / "images") as images:
        write_atomically(root / "file", b"new" * 100)
    found = [(image / "file").read_text() for image in images]
    assert set(found) <= {"old", "new" * 100}
    assert set(found[-AT_THE_END:]) == {"new" * 100}


def test_a_folder_that_was_made_stays(root, tmp_path):
    with each_image(root, tmp_path / "images") as images:
        make_folder(root / "one" / "two")
    assert all((image / "one" / "two").is_dir() for image in images[-AT_THE_END:])


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_is_replaced_by_one_that_is_whole_and_the_old_one_goes_after_that(
    root, tmp_path, monkeypatch, exchanges
):
    """Where two names cannot be exchanged, neither may have the name for a moment; both are there."""
    if not exchanges:
        monkeypatch.setattr(durable, "_exchange", lambda *_: False)
    with atomic_folder(root / "folder") as partial:
        fill(partial, "old")
    old = content(root / "folder")
    with each_image(root, tmp_path / "images") as images, atomic_folder(root / "folder") as partial:
        fill(partial, "new")
    new = content(root / "folder")
    for number, image in enumerate(images):
        folders = [content(path) for path in image.iterdir()]
        named = content(image / "folder")
        assert named in (old, new) or (not exchanges and not named)
        assert old in folders or named == new
        if number >= len(images) - AT_THE_END:
            assert named == new


def test_a_folder_is_published_when_all_in_it_is_on_disk(root, tmp_path):
    partial = root / "partial"
    partial.mkdir()
    with each_image(root, tmp_path / "images") as images:
        fill(partial, "new")
        durable.publish(partial, root / "folder")
    whole = content(root / "folder")
    found = [content(image / "folder") if (image / "folder").exists() else None for image in images]
    assert all(one in (None, whole) for one in found)
    assert found[-AT_THE_END:] == [whole] * AT_THE_END


def test_a_filled_folder_has_its_list_only_when_all_of_it_is_there_and_the_new_is_on_disk_before_the_old_goes(
    root, tmp_path
):
    folder = root / "folder"
    folder.mkdir()
    (folder / "foreign").write_text("stays")
    with filled_folder(folder, last="list") as partial:
        fill(partial, "old")
    with each_image(root, tmp_path / "images") as images, filled_folder(folder, last="list") as partial:
        fill(partial, "new")
    assert content(folder) == {"foreign": "stays", "deep/values": "new" * 100, "list": "new"}
    for number, image in enumerate(images):
        found = content(image / "folder")
        assert found["foreign"] == "stays"
        if "list" in found:
            assert found["deep/values"] == found["list"] * 100
        else:  # the old list went when the new files were on disk
            assert "new" * 100 in found.values()
        if number >= len(images) - AT_THE_END:
            assert found["list"] == "new"


def test_a_file_system_that_cannot_sync_folders_is_published_on_and_another_error_is_one(root, monkeypatch):
    fsync = os.fsync

    def refuse(file):
        if os.path.isdir(f"/proc/self/fd/{file}"):
            raise OSError(number, os.strerror(number))
        fsync(file)

    monkeypatch.setattr(os, "fsync", refuse)
    number = errno.EINVAL
    write_atomically(root / "file", b"new")
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        durable.sync_folder(root)
