import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ostinato.music.piece import DRUMS
from ostinato.sample.output.audio import (
    MAX_AUDIO_S,
    TAIL_S,
    default_soundfont,
    measure_audio,
    render_audio,
    write_audio,
)
from ostinato.sample.output.audio import SAMPLE_RATE as RATE
from tests.midi_files import piece_of


def rms(audio: np.ndarray, start_s: float, end_s: float) -> float:
    part = audio[:, round(start_s * RATE) : round(end_s * RATE)]
    return float(np.sqrt(np.square(part, dtype=np.float64).mean()))


@pytest.mark.parametrize("program", [0, 19, 48, 73, DRUMS])
def test_a_note_sounds_when_it_should_and_then_dies_away(program: int) -> None:
    pitch = 38 if program == DRUMS else 67
    audio = render_audio(piece_of((960, 480, pitch, 90, program)))  # from 1 s to 1.5 s
    assert audio.dtype == np.float32
    assert audio.shape == (2, round((1.5 + TAIL_S) * RATE))
    assert np.abs(audio[:, :RATE]).max() < 1e-6
    loudness = np.abs(audio).max(axis=0)
    onset_s = np.argmax(loudness > 0.05 * loudness.max()) / RATE
    assert 1.0 <= onset_s < 1.03
    assert rms(audio, 3.0, 3.5) < 0.01 * rms(audio, 1.0, 1.5)


def test_the_tempo_map_decides_when_a_note_sounds() -> None:
    audio = render_audio(piece_of((480, 480, 67, 90, 0), us_per_quarter=1_500_000))
    assert rms(audio, 0, 1.49) < 1e-6 < rms(audio, 1.5, 1.55)


@pytest.mark.parametrize(("program", "pitch"), [(40, 60), (40, 69), (71, 57), (73, 76), (48, 62)])
def test_a_note_has_its_pitch(program: int, pitch: int) -> None:
    audio = render_audio(piece_of((0, 1920, pitch, 90, program)))
    steady = audio.mean(axis=0)[RATE // 4 : 7 * RATE // 4]
    spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady)), 1 << 18))
    hertz = np.fft.rfftfreq(1 << 18, 1 / RATE)
    expected = 440 * 2 ** ((pitch - 69) / 12)
    near = (hertz > expected / 2**0.5) & (hertz < expected * 2**0.5)
    assert hertz[near][np.argmax(spectrum[near])] == pytest.approx(expected, rel=2 ** (30 / 1200) - 1)  # 30 cents
    assert spectrum[near].max() > 0.05 * spectrum.max()


def test_a_louder_velocity_is_louder() -> None:
    audio = render_audio(piece_of((0, 480, 67, 40, 19), (1920, 480, 67, 120, 19)))
    assert rms(audio, 2.0, 2.5) / rms(audio, 0, 0.5) == pytest.approx((120 / 40) ** 2, rel=0.1)


def test_a_held_note_sounds_as_long_as_it_is_held() -> None:
    audio = render_audio(piece_of((0, 9600, 60, 90, 19)))  # 10 s, longer than the sample
    assert rms(audio, 9.0, 9.9) > 0.7 * rms(audio, 1.0, 2.0)
    assert rms(audio, 11.5, 12.0) < 0.01 * rms(audio, 1.0, 2.0)


def test_every_program_has_a_sound() -> None:
    rows = [(480 * i, 240, 60, 100, program) for i, program in enumerate([*range(128), DRUMS])]
    audio = render_audio(piece_of(*rows))
    loud = np.abs(audio).max(axis=0)[: 129 * 4000].reshape(129, 4000).max(axis=1)
    assert loud.min() > 0.01


def test_the_wav_holds_the_levels_that_are_returned(tmp_path: Path) -> None:
    piece = piece_of((0, 480, 60, 80, 73), (480, 480, 64, 80, 71))
    path = tmp_path / "piece.wav"
    levels = write_audio(piece, path)
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).T / 32767
    assert measure_audio(samples, RATE) == pytest.approx(levels, abs=0.03)
    assert levels.peak_dbfs == pytest.approx(-1, abs=0.001)
    assert -25 < levels.rms_dbfs < -10
    assert levels.silent_share < TAIL_S / (1.0 + TAIL_S)
    assert levels.duration_s == pytest.approx(1.0 + TAIL_S)
    assert [child.name for child in tmp_path.iterdir()] == ["piece.wav"]  # nothing temporary stays
    first = path.read_bytes()
    write_audio(piece, path)
    assert path.read_bytes() == first


@pytest.mark.parametrize(("suffix", "largest_share", "error"), [(".flac", 0.75, 0), (".ogg", 0.25, 1000)])
def test_other_formats_hold_the_same_sound_in_fewer_and_equal_bytes(
    tmp_path: Path, suffix: str, largest_share: float, error: int
) -> None:
    piece = piece_of(*[(240 * i, 480, 60 + i % 12, 80, 73) for i in range(60)])
    write_audio(piece, tmp_path / "piece.wav")
    for name in ("one", "two"):
        write_audio(piece, tmp_path / f"{name}{suffix}")
    path = tmp_path / f"one{suffix}"
    assert path.read_bytes() == (tmp_path / f"two{suffix}").read_bytes()
    assert path.stat().st_size < largest_share * (tmp_path / "piece.wav").stat().st_size
    wav, rate = soundfile.read(tmp_path / "piece.wav", dtype="int16")
    other, other_rate = soundfile.read(path, dtype="int16")
    assert (rate, other_rate) == (RATE, RATE)
    assert wav.shape == other.shape
    assert np.sqrt(np.square(wav.astype(float) - other).mean()) <= error


def test_a_piece_without_notes_is_silence() -> None:
    audio = render_audio(piece_of())
    assert audio.shape == (2, round(TAIL_S * RATE))
    assert not audio.any()


def test_levels_are_those_of_hand_worked_signals() -> None:
    half = np.r_[0.5 * np.sin(2 * np.pi * 100 * np.arange(1000) / 1000), np.zeros(1000)][np.newaxis]
    levels = measure_audio(half, 1000)
    assert levels.peak_dbfs == pytest.approx(-6.0206, abs=0.5)  # the sine's top falls between samples
    assert levels.rms_dbfs == pytest.approx(20 * np.log10(0.5 / 2), abs=1e-6)  # half of the time, half of the power
    assert levels.silent_share == pytest.approx(0.5)
    assert levels.duration_s == 2.0
    assert measure_audio(np.zeros((2, 70)), 1000) == (-np.inf, -np.inf, 1.0, 0.07)
    assert measure_audio(np.zeros((2, 0)), 1000) == (-np.inf, -np.inf, 1.0, 0.0)


def test_a_piece_that_is_too_long_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(ValueError, match=f"at most {MAX_AUDIO_S:.0f} s"):
        render_audio(piece_of((10**9, 480, 60, 80, 0)))


def test_a_file_that_is_no_soundfont_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.sf2"
    for data in (b"", b"RIFF\0\0\0\0sfbk", default_soundfont().read_bytes()[:5_800_000]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"broken\.sf2: not a SoundFont that can be used"):
            render_audio(piece_of((0, 480, 60, 80, 0)), soundfont=path)


def test_drums_are_struck_not_held() -> None:
    drum, piano = (render_audio(piece_of((0, 1920, 38, 90, program))) for program in (DRUMS, 0))
    assert rms(drum, 1.0, 2.0) < 0.01 * rms(drum, 0, 0.25)
    assert rms(piano, 1.0, 2.0) > 0.1 * rms(piano, 0, 0.25)
