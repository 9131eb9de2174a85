"""Small studies with short tones as clips, and simulated listeners."""

import secrets
from pathlib import Path

import numpy as np
import soundfile

from ostinato.listen.design.plan import BROKEN, HUMAN, Private
from ostinato.listen.design.study import Clip, Study, write_study

SAMPLE_RATE = 48_000


def make_study(
    folder: Path,
    *,
    conditions: tuple[str, ...] = (HUMAN, "lstm", "markov:3"),
    num_prompts: int = 6,
    num_comparisons: int = 3,
    num_ratings: int = 3,
    clip_s: float = 0.5,
    about: str = "Which music do you like?",
) -> Study:
    """Returns a study of tones, each clip another one."""
    wanted = [(name, prompt) for prompt in range(num_prompts) for name in conditions]
    wanted += [(HUMAN, num_prompts), (BROKEN, num_prompts)]
    (folder / "audio").mkdir(parents=True)
    clips, made = {}, {}
    for number, (name, prompt) in enumerate(wanted):
        clip_id = secrets.token_hex(8)
        time_s = np.arange(round(clip_s * SAMPLE_RATE)) / SAMPLE_RATE
        tone = 0.1 * np.sin(2 * np.pi * 220 * 2 ** (number / 12) * time_s).astype(np.float32)
        files = {}
        for audio_format, suffix, container, subtype in (
            ("opus", ".ogg", "OGG", "OPUS"),
            ("mp3", ".mp3", "MP3", "MPEG_LAYER_III"),
        ):
            files[audio_format] = f"audio/{clip_id}{suffix}"
            soundfile.write(folder / files[audio_format], tone, SAMPLE_RATE, subtype, format=container)
        clips[clip_id] = Clip(clip_id, files, clip_s)
        made[clip_id] = {"condition": name, "prompt": prompt}
    private = Private(
        seed=0,
        order_seed=7,
        conditions=tuple({"name": name} for name in conditions),
        prompts=tuple({"record": f"test-{prompt}"} for prompt in range(num_prompts + 1)),
        clips=made,
        num_comparisons=num_comparisons,
        num_ratings=num_ratings,
        config={},
    )
    return write_study(
        folder,
        private,
        clips,
        study_id=secrets.token_hex(8),
        title="A small study",
        about=about,
        contact="study@example.org",
        created="2026-11-23",
        clip_s=clip_s,
        prompt_s=0.1,
    )
