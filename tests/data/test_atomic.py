import pytest

from ostinato.data.atomic import atomic_file, atomic_folder, write_atomically


def _fail_midway(path):
    with atomic_file(path) as file:
        file.write(b"half of the new")
        raise KeyboardInterrupt


def _fail_midway_in_a_folder(path):
    with atomic_folder(path) as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt


def test_a_file_is_there_whole_or_as_it_was_before(tmp_path):
    path = tmp_path / "notes.json"
    write_atomically(path, b"old")
    with pytest.raises(KeyboardInterrupt):
        _fail_midway(path)
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_there_whole_or_as_it_was_before(tmp_path):
    path = tmp_path / "deep" / "part"
    for content in ("old", "new"):
        with atomic_folder(path) as folder:
            (folder / content).touch()
    with pytest.raises(KeyboardInterrupt):
        _fail_midway_in_a_folder(path)
    assert [found.name for found in path.iterdir()] == ["new"]
    assert list(path.parent.iterdir()) == [path]
