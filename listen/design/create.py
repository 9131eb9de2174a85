"""Builds a study: draws prompts, lets every condition go on from them, renders the clips and writes the description."""

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
from ostinato.listen.design.conditions import Condition, broken_piece, continue_prompts, parse_models
from ostinato.listen.design.order import pairs_of
from ostinato.listen.design.plan import BROKEN, HUMAN, Private
from ostinato.listen.design.prompts import Prompt, draw_prompts, held_out_split
from ostinato.listen.design.render import render_clips
from ostinato.listen.design.study import Study, StudyError, write_study
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
    watch: Callable[[str, int, int], None] | None = None,
) -> Study:
    """Returns a new study.

    Args:
        folder: for the study; must not exist yet.
        dataset: held-out human music is taken from it, and baselines learn from its training split.
        models: see `parse_models`.
        config: the options.
        counts: returns those of the training split; asked for Markov chains only.
        soundfont: an .sf2 file; without it that of `sample.audio`.
        watch: called with what is being done, and how many of how many are done.

    Raises:
        StudyError: the folder exists, or the models, the dataset and the options do not go together.
    """
    if folder.exists():
        raise StudyError(f"{folder}: is there already; a study is never overwritten, give another --out")
    tell = watch or (lambda stage, done, total: None)
    about = _read_about(config)
    conditions = parse_models(models)
    num_comparisons, num_ratings = tasks_per_listener(len(conditions), config)
    needed = num_comparisons + num_ratings
    if config.prompts and config.prompts < needed:
        raise StudyError(
            f"--prompts {config.prompts}: each listener hears {needed} of them, so at least as many are needed"
        )
    split = held_out_split(dataset, config.split)
    drawn = draw_prompts(
        dataset,
        split,
        1 + (config.prompts or max(DEFAULT_PROMPTS, needed)),
        least=1 + (config.prompts or needed),
        clip_s=config.clip_seconds,
        prompt_s=config.prompt_seconds,
        seed=config.seed,
    )
    prompts, kept_for_checks = drawn[:-1], drawn[-1]

    pieces: list[Piece] = []
    made: list[dict[str, Any]] = []
    described: list[dict[str, Any]] = []
    for number, condition in enumerate(conditions):
        tell("composing", number, len(conditions))
        written, facts = continue_prompts(
            condition,
            dataset,
            prompts,
            clip_s=config.clip_seconds,
            temperature=config.temperature,
            seed=config.seed,
            counts=counts,
        )
        pieces += written
        made += [{"condition": condition.name, "prompt": prompt} for prompt in range(len(prompts))]
        described.append({**condition._asdict(), **facts})
        _warn(condition, facts)
    pieces += [kept_for_checks.piece, broken_piece(kept_for_checks, config.clip_seconds, seed=config.seed)]
    made += [{"condition": name, "prompt": len(prompts)} for name in (HUMAN, BROKEN)]

    rendered = render_clips(
        pieces,
        folder,
        clip_s=config.clip_seconds,
        soundfont=soundfont,
        watch=lambda done: tell("rendering", done, len(pieces)),
    )
    private = Private(
        seed=config.seed,
        order_seed=secrets.randbits(48),
        conditions=tuple(described),
        prompts=tuple(_describe(prompt, split) for prompt in drawn),
        clips=dict(zip(rendered.names, made, strict=True)),
        num_comparisons=num_comparisons,
        num_ratings=num_ratings,
        config={**dataclasses.asdict(config), "lufs": rendered.lufs, "dataset": dataset.fingerprint},
    )
    return write_study(
        folder,
        private,
        rendered.clips,
        study_id=secrets.token_hex(8),
        title=config.title,
        about=about,
        contact=config.contact,
        created=datetime.now(UTC).date().isoformat(),
        clip_s=config.clip_seconds,
        prompt_s=config.prompt_seconds,
    )


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


def _warn(condition: Condition, facts: dict[str, Any]) -> None:
    if facts.get("other_dataset"):
        logger.warning(
            "%s was trained on another dataset than the human music is from: it may know these very pieces",
            condition.source,
        )


def _describe(prompt: Prompt, split: str) -> dict[str, Any]:
    return {
        "record": prompt.record_id,
        "split": split,
        "number": prompt.record,
        "bars": prompt.num_bars,
        "seconds": round(prompt.end_s, 3),
    }
