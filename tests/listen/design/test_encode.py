import io

import numpy as np
import pytest
import soundfile

from ostinato.listen.design.encode import encode_mp3, encode_opus, equal_sizes
from ostinato.sample.output.ogg import split_pages

RATE = 48_000


@pytest.fixture(scope="module")
def sounds():
    """Very different ones: silence, a tone, noise."""
    rng = np.random.default_rng(0)
    tone = np.tile(0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE), (2, 1)).astype(np.float32)
    noise = (0.3 * rng.standard_normal((2, 2 * RATE))).astype(np.float32)
    return [np.zeros((2, 2 * RATE), np.float32), tone, noise]


def _decoded(data):
    return soundfile.read(io.BytesIO(data), dtype="float32")[0]


def test_opus_files_of_one_study_have_one_size_and_the_same_sound_as_before(sounds):
    before = [encode_opus(sound) for sound in sounds]
    assert len({len(data) for data in before}) > 1
    after = equal_sizes(before)
    assert len({len(data) for data in after}) == 1
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(_decoded(one), _decoded(other))


def test_sizes_that_differ_by_much_are_made_equal_too(sounds):
    files = [encode_opus(sound) for sound in (sounds[2], sounds[2][:, : RATE // 10], sounds[1][:, :RATE])]
    assert len({len(data) for data in equal_sizes(files)}) == 1


def test_opus_files_hold_no_metadata_and_no_time(sounds):
    first, second = equal_sizes([encode_opus(sounds[1]), encode_opus(sounds[1])])
    assert first == second
    assert b"OpusTags" + bytes(8) in first
    assert b"ncoder" not in first
    assert b"libsnd" not in first


def test_mp3_files_of_one_length_have_one_size_and_no_tags(sounds):
    files = [encode_mp3(sound) for sound in sounds]
    assert len({len(data) for data in files}) == 1
    assert not any(data.startswith(b"ID3") or data[-128:].startswith(b"TAG") for data in files)
    assert all(abs(len(_decoded(data)) - 2 * RATE) < RATE // 10 for data in files)


def test_pages_are_numbered_from_0(sounds):
    (data,) = equal_sizes([encode_opus(sounds[2])])
    pages = split_pages(data)
    assert [int.from_bytes(page[18:22], "little") for page in pages] == list(range(len(pages)))
