"""Builds a study: draws prompts, lets every condition continue them, renders the clips and writes the description."""

import dataclasses
import logging
import math
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ostinato.configs.listen import StudyConfig
from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset
from ostinato.listen.design.conditions import check_piece, continue_prompts, parse_models
from ostinato.listen.design.order import CHECK, CHECKS_EACH, Sheet, choose, draw_sheets
from ostinato.listen.design.prompts import draw_prompts, human_split
from ostinato.listen.design.render import render_clips
from ostinato.listen.design.study import Private, Study, StudyError
from ostinato.music.piece import Piece
from ostinato.report.text import printable

logger = logging.getLogger(__name__)

MOST_SHEETS = 4
"""By default, if the split has beginnings for so many."""
FEWEST_COMPARISONS, MOST_COMPARISONS = 6, 12
FEWEST_RATINGS = 6


def create_study(
    folder: Path,
    dataset: Dataset,
    models: Sequence[str],
    config: StudyConfig,
    *,
    counts: Callable[[], NgramCounts],
    soundfont: Path | None = None,
    watch: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Study:
    """Returns a new study of a dataset's held-out music and of `models` (see `parse_models`).

    `counts` are those of the dataset's training split; `watch` is called with what is being done, and how many of how
    many are done.

    Raises:
        StudyError: the folder exists, or the models, the dataset and the options do not go together.
    """
    if folder.exists():
        raise StudyError(f"{folder}: is there already; a study is never overwritten, give another --out")
    about = _read_about(config)
    conditions = parse_models(models)
    num_comparisons, num_ratings = tasks_per_listener(len(conditions), config)
    needed = num_comparisons + num_ratings
    if config.prompts and config.prompts < needed:
        raise StudyError(
            f"--prompts {config.prompts}: each listener hears {needed} of them, so at least as many are needed"
        )
    split = human_split(dataset, config.split)
    each = needed + CHECKS_EACH
    num_sheets = config.prompts // needed or MOST_SHEETS
    found = draw_prompts(dataset, split, num_sheets * each, config, least=(num_sheets if config.prompts else 1) * each)
    num_sheets = len(found) // each
    prompts = found[: num_sheets * each]
    secret = secrets.token_hex(32)
    sheets = draw_sheets(
        tuple(conditions),
        num_sheets=num_sheets,
        num_comparisons=num_comparisons,
        num_ratings=num_ratings,
        secret=secret,
    )

    # All conditions continue all prompts, so that the same seed gives the same music whatever the secret is.
    music: dict[str, list[Piece]] = {}
    described: list[dict[str, Any]] = []
    for number, (name, source) in enumerate(conditions.items()):
        watch("composing", number, len(conditions))
        music[name], facts = continue_prompts(name, source, dataset, prompts, config, counts)
        described.append({"name": name, "source": source, **facts})
        if facts.get("other_dataset"):
            logger.warning(
                "%s was trained on another dataset than the human music is from: it may know these very pieces",
                printable(source),
            )
    music[CHECK] = [
        check_piece(prompt, config.clip_seconds, seed=choose(2**31, config.seed, CHECK, number))
        for number, prompt in enumerate(prompts)
    ]
    heard = [(item, name) for sheet in sheets for item in sheet for name in item.conditions]

    clips, lufs = render_clips(
        [music[name][item.prompt] for item, name in heard],
        folder,
        clip_s=config.clip_seconds,
        soundfont=soundfont,
        watch=lambda done: watch("rendering", done, len(heard)),
    )
    ids = iter([clip.id for clip in clips])
    private = Private(
        seed=config.seed,
        secret=secret,
        sheets=[
            {
                kind: [[next(ids) for _ in item.conditions] for item in sheet if item.kind == kind]
                for kind in Sheet._fields
            }
            for sheet in sheets
        ],
        conditions=described,
        prompts=[prompt.describe(split) for prompt in prompts],
        clips={
            clip.id: {"condition": name, "prompt": item.prompt} for clip, (item, name) in zip(clips, heard, strict=True)
        },
        num_comparisons=num_comparisons,
        num_ratings=num_ratings,
        config={**dataclasses.asdict(config), "lufs": lufs, "dataset": dataset.fingerprint},
    )
    study = Study(
        folder=folder,
        id=secrets.token_hex(8),
        title=config.title,
        about=about,
        contact=config.contact,
        created=datetime.now(UTC).date().isoformat(),
        clip_s=config.clip_seconds,
        prompt_s=config.prompt_seconds,
        clips={clip.id: clip for clip in clips},
        private=private,
    )
    return study.write()


def tasks_per_listener(num_conditions: int, config: StudyConfig) -> tuple[int, int]:
    """Returns how many comparisons and ratings each listener makes, without checks."""
    num_pairs = math.comb(num_conditions, 2)
    comparisons = min(max(FEWEST_COMPARISONS, num_pairs), MOST_COMPARISONS)
    ratings = -(-FEWEST_RATINGS // num_conditions) * num_conditions
    return config.comparisons or comparisons, config.ratings or ratings


def _read_about(config: StudyConfig) -> str:
    if not config.about:
        return (
            f"You will hear short pieces of music, each {config.clip_seconds:g} seconds long, all played by the same "
            "synthesizer. They came about in different ways.\n\n"
            "First you compare two pieces at a time, which begin alike, and say which you like better. Then you rate "
            "one piece at a time. There are no wrong answers: we want to know what you hear."
        )
    try:
        return Path(config.about).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"--about {config.about}: not a text file that can be read ({error})") from error
