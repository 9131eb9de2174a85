"""Builds a study: draws prompts, lets every condition continue them, renders the clips and writes the description."""

import dataclasses
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ostinato.configs.listen import StudyConfig
from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset
from ostinato.listen.design.conditions import check_piece, continue_prompts, parse_models
from ostinato.listen.design.order import CHECK, HUMAN, pairs_of
from ostinato.listen.design.prompts import draw_prompts, human_split
from ostinato.listen.design.render import render_clips
from ostinato.listen.design.study import Private, Study, StudyError
from ostinato.music.piece import Piece

logger = logging.getLogger(__name__)

DEFAULT_PROMPTS = 20
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
    wanted = 1 + (config.prompts or max(DEFAULT_PROMPTS, needed))
    *prompts, of_checks = drawn = draw_prompts(dataset, split, wanted, config, least=1 + (config.prompts or needed))

    made: list[tuple[Piece, str, int]] = []
    described: list[dict[str, Any]] = []
    for number, (name, source) in enumerate(conditions.items()):
        watch("composing", number, len(conditions))
        written, facts = continue_prompts(name, source, dataset, prompts, config, counts)
        made += [(piece, name, prompt) for prompt, piece in enumerate(written)]
        described.append({"name": name, "source": source, **facts})
        if facts.get("other_dataset"):
            logger.warning(
                "%s was trained on another dataset than the human music is from: it may know these very pieces",
                source,
            )
    check = check_piece(of_checks, config.clip_seconds, seed=config.seed)
    made += [(of_checks.piece, HUMAN, len(prompts)), (check, CHECK, len(prompts))]

    clips, lufs = render_clips(
        [piece for piece, _, _ in made],
        folder,
        clip_s=config.clip_seconds,
        soundfont=soundfont,
        watch=lambda done: watch("rendering", done, len(made)),
    )
    private = Private(
        seed=config.seed,
        order_seed=secrets.randbits(48),
        conditions=described,
        prompts=[prompt.describe(split) for prompt in drawn],
        clips={
            clip.id: {"condition": name, "prompt": prompt} for clip, (_, name, prompt) in zip(clips, made, strict=True)
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
    num_pairs = len(pairs_of(num_conditions))
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
