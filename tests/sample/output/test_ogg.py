import io

import numpy as np
import pytest
import soundfile

from ostinato.sample.output.ogg import with_serial_number


def _vorbis() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, (48_000, 2))
    with soundfile.SoundFile(buffer, "w", 48_000, 2, "VORBIS", format="OGG") as file:
        file.write(noise)
    return buffer.getvalue()


def test_the_checksums_are_those_that_libsndfile_writes():
    data = _vorbis()
    assert with_serial_number(data, int.from_bytes(data[14:18], "little")) == data


def test_another_serial_number_is_the_same_sound():
    data = _vorbis()
    other = with_serial_number(data, 7)
    assert other != data
    assert other[14:18] == b"\x07\0\0\0"
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(other))[0], soundfile.read(io.BytesIO(data))[0])


def test_what_is_no_ogg_is_refused():
    with pytest.raises(ValueError, match="no page of Ogg at byte 0"):
        with_serial_number(b"RIFF" * 20, 0)
