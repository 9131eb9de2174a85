"""How loud a recording is to people: ITU-R BS.1770-4, which EBU R 128 uses. Axes: c channels, t samples, b blocks.

Of our own rather than pyloudnorm 0.2: that is up to 0.4 dB off (its filters are not those of the recommendation), and
has no true peak.
"""

import numpy as np
from jaxtyping import Float
from scipy import signal

from ostinato.sample.output.audio import SAMPLE_RATE

_SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585)
_HIGH_PASS = (1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621)
"""Tables 1 and 2 of the recommendation, for 48 kHz; the numerator first."""

assert SAMPLE_RATE == 48_000, "the filters are for 48 kHz"
_BLOCK, _STEP = round(0.4 * SAMPLE_RATE), round(0.1 * SAMPLE_RATE)
_ABSOLUTE_GATE_LUFS, _RELATIVE_GATE_LU = -70.0, -10.0
_OFFSET_DB, _OVERSAMPLING = -0.691, 4


def integrated_lufs(samples: Float[np.ndarray, "c t"]) -> float:
    """Returns the loudness of a recording at 48 kHz, one or two channels, in LUFS.

    -inf where all of it is below the absolute gate, or it is shorter than one block of 0.4 s.
    """
    weighted = signal.sosfilt(np.array([_SHELF, _HIGH_PASS]), samples.astype(np.float64), axis=1)
    total = np.concatenate([[0.0], np.cumsum(np.square(weighted).sum(axis=0))])
    first = np.arange(0, samples.shape[1] - _BLOCK + 1, _STEP)
    power = (total[first + _BLOCK] - total[first]) / _BLOCK
    loud = power[_lufs(power) > _ABSOLUTE_GATE_LUFS]
    if not len(loud):
        return -np.inf
    gated = loud[_lufs(loud) > _lufs(loud.mean()) + _RELATIVE_GATE_LU]
    return float(_lufs(gated.mean()))


def true_peak_dbtp(samples: Float[np.ndarray, "c t"]) -> float:
    """Returns the highest peak between the samples too, in decibels relative to full scale; -inf for silence."""
    peak = np.abs(signal.resample_poly(samples, _OVERSAMPLING, 1, axis=1)).max(initial=0)
    with np.errstate(divide="ignore"):
        return float(20 * np.log10(max(float(peak), float(np.abs(samples).max(initial=0)))))


def _lufs(power: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
    with np.errstate(divide="ignore"):  # silence is -inf
        return np.asarray(_OFFSET_DB + 10 * np.log10(power))
