"""Small studies with short tones as clips."""

import secrets
from pathlib import Path

import numpy as np
import soundfile

from ostinato.listen.design.order import CHECK, HUMAN
from ostinato.listen.design.study import SUFFIXES, Clip, Private, Study

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
    wanted += [(HUMAN, num_prompts), (CHECK, num_prompts)]
    (folder / "audio").mkdir(parents=True)
    clips, made = {}, {}
    for number, (name, prompt) in enumerate(wanted):
        clip_id = secrets.token_hex(8)
        time_s = np.arange(round(clip_s * SAMPLE_RATE)) / SAMPLE_RATE
        tone = 0.1 * np.sin(2 * np.pi * 220 * 2 ** (number / 12) * time_s).astype(np.float32)
        files = {kind: f"audio/{clip_id}{suffix}" for kind, suffix in SUFFIXES.items()}
        for kind, container, subtype in (("opus", "OGG", "OPUS"), ("mp3", "MP3", "MPEG_LAYER_III")):
            soundfile.write(folder / files[kind], tone, SAMPLE_RATE, subtype, format=container)
        clips[clip_id] = Clip(clip_id, files, clip_s)
        made[clip_id] = {"condition": name, "prompt": prompt}
    private = Private(
        seed=0,
        order_seed=7,
        conditions=[{"name": name} for name in conditions],
        prompts=[{"record": f"test-{prompt}"} for prompt in range(num_prompts + 1)],
        clips=made,
        num_comparisons=num_comparisons,
        num_ratings=num_ratings,
        config={},
    )
    study = Study(
        folder=folder,
        private=private,
        clips=clips,
        id=secrets.token_hex(8),
        title="A small study",
        about=about,
        contact="study@example.org",
        created="2026-11-23",
        clip_s=clip_s,
        prompt_s=0.1,
    )
    return study.write()
