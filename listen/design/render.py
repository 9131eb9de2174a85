"""Pieces as clips: one renderer, one length, one loudness, one size; and names that say nothing. Axes: t samples."""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from ostinato.data.records import write_atomically
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


class Level(NamedTuple):
    """How loud a clip is before it is set to the level of the study."""

    lufs: float
    peak_dbtp: float


class Rendered(NamedTuple):
    """The clips of a study."""

    clips: dict[str, Clip]
    names: list[str]
    """The id of each piece's clip."""
    lufs: float
    """Of all of them."""


def render_clip(piece: Piece, clip_s: float, *, soundfont: Path | None = None) -> Float32[np.ndarray, "2 t"]:
    """Returns the beginning of a piece as stereo sound of exactly `clip_s`, faded out over the last second."""
    audio = render_audio(first_seconds(piece, clip_s), soundfont=soundfont)
    length = round(clip_s * SAMPLE_RATE)
    clip = np.zeros((2, length), np.float32)
    heard = min(length, audio.shape[1])
    clip[:, :heard] = audio[:, :heard]
    fade = round(FADE_S * SAMPLE_RATE)
    clip[:, -fade:] *= np.cos(np.linspace(0, np.pi / 2, fade, dtype=np.float32)) ** 2
    return clip


def common_lufs(levels: Sequence[Level]) -> float:
    """Returns the loudness that all clips get: the target, or less where a peak would be too high at it.

    Raises:
        StudyError: a clip is silent.
    """
    if any(np.isneginf(level.lufs) for level in levels):
        raise StudyError("a clip is silent; give another --seed or --temperature")
    return min(TARGET_LUFS, *(level.lufs + MAX_PEAK_DBTP - level.peak_dbtp for level in levels))


def render_clips(
    pieces: Sequence[Piece],
    folder: Path,
    *,
    clip_s: float,
    soundfont: Path | None = None,
    watch: Callable[[int], None] | None = None,
) -> Rendered:
    """Writes all clips of a study into its audio folder.

    Args:
        pieces: any number.
        folder: of the study; `audio/` must not be there yet.
        clip_s: length of every clip.
        soundfont: an .sf2 file; without it that of `sample.audio`.
        watch: called with the number of clips done, from any thread.
    """

    def measure(piece: Piece) -> Level:
        clip = render_clip(piece, clip_s, soundfont=soundfont)
        return Level(integrated_lufs(clip), true_peak_dbtp(clip))

    def encode(piece: Piece, level: Level) -> tuple[bytes, bytes]:
        gain = np.float32(10 ** ((lufs - level.lufs) / 20))
        clip = render_clip(piece, clip_s, soundfont=soundfont) * gain
        encoded = encode_opus(clip), encode_mp3(clip)
        done.append(None)
        if watch:
            watch(len(done))
        return encoded

    done: list[None] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        levels = list(pool.map(measure, pieces))
        lufs = common_lufs(levels)
        encoded = list(pool.map(encode, pieces, levels))
    opus = equal_sizes([data for data, _ in encoded])
    names = [secrets.token_hex(8) for _ in pieces]
    files = {name: {"opus": data, "mp3": mp3} for name, data, (_, mp3) in zip(names, opus, encoded, strict=True)}
    return Rendered(_write(files, folder, clip_s), names, lufs)


def _write(files: Mapping[str, Mapping[str, bytes]], folder: Path, clip_s: float) -> dict[str, Clip]:
    """Writes the files in the order of their random names, all with the same time."""
    (folder / AUDIO_FOLDER).mkdir(parents=True)
    midnight_s = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    clips = {}
    for name in sorted(files):
        paths = {kind: f"{AUDIO_FOLDER}/{name}{SUFFIXES[kind]}" for kind in SUFFIXES}
        for kind, path in paths.items():
            write_atomically(folder / path, files[name][kind])
            os.utime(folder / path, (midnight_s, midnight_s))
        clips[name] = Clip(name, paths, clip_s)
    return clips
