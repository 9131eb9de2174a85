import io
import pickle
import zipfile

import numpy as np
import pytest

from ostinato.configs.errors import UserError
from ostinato.data.arrays import open_array


def _saved(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


GOOD = _saved(np.arange(6).reshape(2, 3))


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_an_array_comes_back_and_cannot_be_written(tmp_path):
    (tmp_path / "a.npy").write_bytes(GOOD)
    found = open_array(tmp_path / "a.npy", (np.int64,), 2)
    np.testing.assert_array_equal(found, [[0, 1, 2], [3, 4, 5]])
    assert not found.flags.writeable
    (tmp_path / "empty.npy").write_bytes(_saved(np.zeros((0, 3), np.int64)))
    assert open_array(tmp_path / "empty.npy", (np.int64,), 2).shape == (0, 3)


@pytest.mark.parametrize("data", [
    b"", b"\x93NUMPY", GOOD[:-1], GOOD[:60], GOOD.replace(b"(2, 3)", b"(2,-3)"), GOOD.replace(b"<i8", b"|O8"),
    GOOD.replace(b"(2, 3), ", b"(2**3,),"), GOOD.replace(b"(2, 3), }", b"(9**9**9"), GOOD.replace(b"{", b"(" * 1),
    GOOD.replace(b"(2, 3), }            ", b"(99999999999999, 3)}"), GOOD.replace(b"False", b"True "),
    _saved(np.zeros(6)), _saved(np.zeros((2, 3))), _saved(np.zeros((2, 3), "<U4")),
    _saved(np.array([[None]], object), allow_pickle=True), b"PK\x03\x04" + bytes(100), b"[1]\n",
])  # fmt: skip
def test_what_is_no_such_array_is_refused_by_name(tmp_path, data):
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.npy: (cannot be read|holds an array)"):
        open_array(tmp_path / "a.npy", (np.int64,), 2)


def test_nothing_in_it_is_executed(tmp_path):
    touch = Touch(str(tmp_path / "ran"))
    (tmp_path / "a.npy").write_bytes(_saved(np.array([touch]), allow_pickle=True))
    (tmp_path / "b.npy").write_bytes(pickle.dumps(touch))
    with zipfile.ZipFile(tmp_path / "c.npy", "w") as archive:
        archive.writestr("arr_0.npy", pickle.dumps(touch))
    for name in "abc":
        with pytest.raises(UserError, match=f"{name}.npy"):
            open_array(tmp_path / f"{name}.npy", (np.int64,), 1)
    assert not (tmp_path / "ran").exists()


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_not(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.npy").write_bytes(GOOD)
    (tmp_path / "folder/out.npy").symlink_to(tmp_path / "a.npy")
    with pytest.raises(UserError, match=r"out\.npy: leads out of"):
        open_array(tmp_path / "folder/out.npy", (np.int64,), 2)
    assert open_array(tmp_path / "folder/out.npy", (np.int64,), 2, folder=tmp_path).shape == (2, 3)
