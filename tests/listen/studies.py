"""Small studies with short tones as clips."""

import functools
import io
import secrets
from pathlib import Path

import numpy as np
import soundfile

from ostinato.listen.design.order import HUMAN, Sheet, draw_sheets
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
    is_heard: bool = True,
    secret: str = "",
) -> Study:
    """Returns a study of tones, each clip another one; the same for all where nobody listens, which is quicker."""
    secret = secret or secrets.token_hex(32)
    num_sheets = num_prompts // (num_comparisons + num_ratings)
    sheets = draw_sheets(
        conditions, num_sheets=num_sheets, num_comparisons=num_comparisons, num_ratings=num_ratings, secret=secret
    )
    (folder / "audio").mkdir(parents=True)
    clips, made, heard = {}, {}, []
    for sheet in sheets:
        heard.append({kind: [] for kind in Sheet._fields})
        for item in sheet:
            heard[-1][item.kind].append([secrets.token_hex(8) for _ in item.conditions])
            for clip_id, name in zip(heard[-1][item.kind][-1], item.conditions, strict=True):
                files = {kind: f"audio/{clip_id}{suffix}" for kind, suffix in SUFFIXES.items()}
                for kind, file in files.items():
                    (folder / file).write_bytes(_tone(kind, clip_s, len(clips) if is_heard else 0))
                clips[clip_id] = Clip(clip_id, files, clip_s)
                made[clip_id] = {"condition": name, "prompt": item.prompt}
    private = Private(
        seed=0,
        secret=secret,
        sheets=heard,
        conditions=[{"name": name} for name in conditions],
        prompts=[{"record": f"test-{prompt}"} for prompt in range(len(made))],
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


@functools.cache
def _tone(kind: str, clip_s: float, number: int) -> bytes:
    container, subtype = {"opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III")}[kind]
    time_s = np.arange(round(clip_s * SAMPLE_RATE)) / SAMPLE_RATE
    tone = 0.1 * np.sin(2 * np.pi * 220 * 2 ** (number / 12) * time_s).astype(np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, tone, SAMPLE_RATE, subtype, format=container)
    return buffer.getvalue()
