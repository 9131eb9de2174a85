"""A piece as sound: rendered with a SoundFont by midirenderer (the synthesizer rustysynth), at an even level.

Axes: c channels (left, right), t samples.
"""

import importlib.util
import io
import wave
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int16
from numpy.typing import ArrayLike

from ostinato.configs.errors import UserError
from ostinato.data.atomic import write_atomically
from ostinato.music import midi
from ostinato.music.piece import DEFAULT_TEMPO_US, Piece, Tempos
from ostinato.sample.output.ogg import with_serial_number

SAMPLE_RATE = 48_000
"""Samples per second; midirenderer has no other."""

PEAK_DBFS = -1.0
"""The loudest sample of every rendering."""

TAIL_S = 2.0
"""Sound kept after the end of the last note, while it dies away."""

MAX_AUDIO_S = 1800.0
"""A longer piece is refused: half an hour of stereo float32 is 691 MB."""

SILENCE_DBFS = -60.0
"""Windows below this level are silence to `measure_audio`."""

AudioFormat = Literal["wav", "flac", "ogg"]
"""16-bit WAV, the same without loss at less than half of the size, and Vorbis at a tenth."""

_SUBTYPES = {".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}

_WINDOW_S = 0.05


class AudioLevels(NamedTuple):
    """How loud a recording is; decibels relative to full scale, -inf for silence."""

    peak_dbfs: float
    rms_dbfs: float
    silent_share: float
    """Share of windows of 50 ms whose RMS is below SILENCE_DBFS, 0 to 1."""
    duration_s: float


def render_audio(piece: Piece, *, soundfont: Path | None = None) -> Float32[np.ndarray, "2 t"]:
    """Returns the piece as stereo sound with its loudest sample at PEAK_DBFS and TAIL_S after its last note.

    Args:
        piece: a piece without notes gives TAIL_S of silence.
        soundfont: an .sf2 file; without it TimGM6mb.sf2, which pretty_midi brings.

    Raises:
        UserError: the piece is longer than MAX_AUDIO_S, or the SoundFont cannot be used.
    """
    if piece.duration_s > MAX_AUDIO_S:
        raise UserError(f"the piece lasts {piece.duration_s:.0f} s, at most {MAX_AUDIO_S:.0f} s are rendered")
    import midirenderer  # whoever writes no sound needs no package for it

    path = soundfont or default_soundfont()
    try:
        data = midirenderer.render_wave_from(path.read_bytes(), midi.write(_with_tail(piece)))
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: not a SoundFont that can be used ({error})") from error
    with wave.open(io.BytesIO(data)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    audio = np.ascontiguousarray(samples.T, np.float32)
    peak = np.abs(audio).max(initial=0)
    return audio * np.float32(10 ** (PEAK_DBFS / 20) / max(peak, 1))


def write_audio(piece: Piece, path: Path, *, soundfont: Path | None = None) -> AudioLevels:
    """Writes the piece as stereo sound, whole or not at all, and returns its levels; see `render_audio`.

    The suffix of the path says how: .wav, .flac (both 16 bits) or .ogg (Vorbis). The same piece gives the same bytes.
    """
    audio = render_audio(piece, soundfont=soundfont)
    samples = np.rint(audio.T * 32767).astype("<i2")
    data = _wav_bytes(samples) if path.suffix == ".wav" else _compressed_bytes(samples, *_SUBTYPES[path.suffix])
    write_atomically(path, data)
    return measure_audio(audio, SAMPLE_RATE)


def _wav_bytes(samples: Int16[np.ndarray, "t 2"]) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def _compressed_bytes(samples: Int16[np.ndarray, "t 2"], container: str, subtype: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", SAMPLE_RATE, 2, subtype, format=container) as file:
        for first in range(0, len(samples), SAMPLE_RATE):  # libsndfile's Vorbis overflows its stack on long ones
            file.write(samples[first : first + SAMPLE_RATE])
    data = buffer.getvalue()
    return with_serial_number(data, 0) if container == "OGG" else data


def measure_audio(samples: Float[np.ndarray, "c t"], sample_rate: int) -> AudioLevels:
    """Returns the levels of a recording whose full scale is 1; that of no samples is silent."""
    channels, length = samples.shape
    window = round(_WINDOW_S * sample_rate)
    power = np.zeros(-(-length // window) * window)
    power[:length] = np.square(samples, dtype=np.float64).mean(axis=0) if channels else 0
    window_length = np.minimum(window, length - np.arange(0, length, window))  # the last one may be short
    window_dbfs = _decibels(np.sqrt(power.reshape(-1, window).sum(axis=1) / window_length))
    return AudioLevels(
        peak_dbfs=float(_decibels(np.abs(samples).max(initial=0))),
        rms_dbfs=float(_decibels(np.sqrt(power.sum() / max(length, 1)))),
        silent_share=float(np.mean(window_dbfs < SILENCE_DBFS)) if length else 1.0,
        duration_s=length / sample_rate,
    )


def _decibels(amplitude: ArrayLike) -> Float[np.ndarray, "..."]:
    with np.errstate(divide="ignore"):  # silence is -inf
        return np.asarray(20 * np.log10(np.asarray(amplitude, np.float64)))


def default_soundfont() -> Path:
    """Returns the path of TimGM6mb.sf2, which pretty_midi brings, without importing pretty_midi.

    Raises:
        UserError: it is not there.
    """
    spec = importlib.util.find_spec("pretty_midi")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "TimGM6mb.sf2")
        if path.is_file():
            return path
    raise UserError("no SoundFont found: TimGM6mb.sf2 comes with pretty_midi (pip install pretty_midi), or name one")


def _with_tail(piece: Piece) -> Piece:
    """Returns the piece with one more tempo event TAIL_S after its end: the renderer stops at the last event."""
    tick, us_per_quarter = piece.tempos
    at_end = us_per_quarter[tick <= piece.end_tick][-1:]
    last_us = int(at_end[0]) if len(at_end) else DEFAULT_TEMPO_US
    tail_tick = piece.end_tick + round(TAIL_S * 1e6 / last_us * piece.ticks_per_quarter)
    before = tick <= piece.end_tick
    tempos = Tempos(np.append(tick[before], tail_tick), np.append(us_per_quarter[before], last_us))
    return Piece(piece.notes, tempos, piece.meters, piece.ticks_per_quarter)
