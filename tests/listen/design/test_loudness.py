"""The cases of EBU Tech 3341 (2016) and of ITU-R BS.1770-4, made here."""

import numpy as np
import pytest

from ostinato.listen.design.loudness import integrated_lufs, true_peak_dbtp

RATE = 48_000


def _sine(level_dbfs, duration_s, *, frequency_hz=1000.0, phase=0.0):
    time_s = np.arange(round(duration_s * RATE)) / RATE
    return 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * frequency_hz * time_s + phase)


def _stereo(*parts):
    return np.tile(np.concatenate([_sine(level, duration_s) for level, duration_s in parts]), (2, 1))


def test_a_full_sine_in_one_channel_has_minus_3_01_lufs():
    left = _sine(0, 5, frequency_hz=997)
    assert integrated_lufs(np.stack([left, 0 * left])) == pytest.approx(-3.01, abs=0.005)


@pytest.mark.parametrize(
    ("parts", "lufs"),
    [
        ([(-23, 20)], -23.0),
        ([(-33, 20)], -33.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
)
def test_the_cases_of_the_ebu_are_met(parts, lufs):
    assert integrated_lufs(_stereo(*parts)) == pytest.approx(lufs, abs=0.1)


def test_loudness_goes_with_the_gain():
    noise = 0.05 * np.random.default_rng(0).standard_normal((2, 3 * RATE))
    assert integrated_lufs(2 * noise) - integrated_lufs(noise) == pytest.approx(6.0206, abs=1e-3)


def test_silence_and_what_is_too_short_has_no_loudness():
    assert integrated_lufs(np.zeros((2, RATE))) == -np.inf
    assert integrated_lufs(np.ones((2, 100))) == -np.inf


def test_a_peak_between_the_samples_is_seen():
    # A quarter of the sampling rate, 45 degrees off: every sample is 3 dB below the true peak.
    wave = _sine(-6, 1, frequency_hz=RATE / 4, phase=np.pi / 4)[None]
    assert 20 * np.log10(np.abs(wave).max()) == pytest.approx(-9.01, abs=0.01)
    assert true_peak_dbtp(wave) == pytest.approx(-6, abs=0.3)
    assert true_peak_dbtp(np.zeros((2, 100))) == -np.inf
