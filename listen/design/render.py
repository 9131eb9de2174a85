"""Pieces as clips: one renderer, one length, one loudness, one size; and names that say nothing. Axes: t samples."""

import itertools
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ostinato.data.atomic import make_folder, write_atomically
from ostinato.listen.design.encode import encode_mp3, encode_opus, equal_sizes
from ostinato.listen.design.loudness import integrated_lufs, true_peak_dbtp
from ostinato.listen.design.prompts import first_seconds
from ostinato.listen.design.study import AUDIO_FOLDER, SUFFIXES, Clip, StudyError
from ostinato.music.piece import Piece
from ostinato.sample.output.audio import SAMPLE_RATE, render_audio

TARGET_LUFS = -18.0
"""Loudness of all clips, where the peaks of all allow it."""
MAX_PEAK_DBTP = -1.0
FADE_S = 1.0
"""At the end of every clip."""


def render_clip(piece: Piece, clip_s: float, *, soundfont: Path | None = None) -> Float32[np.ndarray, "2 t"]:
    """Returns the beginning of a piece as stereo sound of exactly `clip_s`, faded out over the last second."""
    audio = render_audio(first_seconds(piece, clip_s), soundfont=soundfont)[:, : round(clip_s * SAMPLE_RATE)]
    clip = np.zeros((2, round(clip_s * SAMPLE_RATE)), np.float32)
    clip[:, : audio.shape[1]] = audio
    fade = round(FADE_S * SAMPLE_RATE)
    clip[:, -fade:] *= np.cos(np.linspace(0, np.pi / 2, fade, dtype=np.float32)) ** 2
    return clip


def common_lufs(levels: Sequence[tuple[float, float]]) -> float:
    """Returns the loudness of all clips, given that (LUFS) and the peak (dBTP) of each: less where peaks are high.

    Raises:
        StudyError: a clip is silent.
    """
    if any(np.isneginf(lufs) for lufs, _ in levels):
        raise StudyError("a clip is silent; give another --seed or --temperature")
    return min(TARGET_LUFS, *(lufs + MAX_PEAK_DBTP - peak_dbtp for lufs, peak_dbtp in levels))


def render_clips(
    pieces: Sequence[Piece],
    folder: Path,
    *,
    clip_s: float,
    soundfont: Path | None = None,
    watch: Callable[[int], None] = lambda done: None,
) -> tuple[list[Clip], float]:
    """Writes all clips of a study into its audio folder, which must not be there yet; returns them and their loudness.

    `watch` is called with the number of clips done, from any thread.
    """

    def measure(piece: Piece) -> tuple[float, float]:
        clip = render_clip(piece, clip_s, soundfont=soundfont)
        return integrated_lufs(clip), true_peak_dbtp(clip)

    def encode(piece: Piece, level: tuple[float, float]) -> tuple[bytes, bytes]:
        gain = np.float32(10 ** ((lufs - level[0]) / 20))
        clip = render_clip(piece, clip_s, soundfont=soundfont) * gain
        encoded = encode_opus(clip), encode_mp3(clip)
        watch(next(count))
        return encoded

    count = itertools.count(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        levels = list(pool.map(measure, pieces))
        lufs = common_lufs(levels)
        opus, mp3 = zip(*pool.map(encode, pieces, levels), strict=True)
    clips = [
        Clip(name, {kind: f"{AUDIO_FOLDER}/{name}{suffix}" for kind, suffix in SUFFIXES.items()}, clip_s)
        for name in (secrets.token_hex(8) for _ in pieces)
    ]
    data = {
        file: content
        for clip, *contents in zip(clips, equal_sizes(opus), mp3, strict=True)
        for file, content in zip(clip.files.values(), contents, strict=True)
    }
    make_folder(folder / AUDIO_FOLDER)
    midnight_s = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    for file in sorted(data):  # in the order of their random names, all with the same time: neither tells conditions
        write_atomically(folder / file, data[file])
        os.utime(folder / file, (midnight_s, midnight_s))
    return clips, lufs
