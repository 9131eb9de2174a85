"""Who wrote the music: people, trained models, Markov chains, rules; and nobody, for the attention check.

Each continues the same prompts, without picking: the first attempt counts.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.configs.listen import StudyConfig
from ostinato.configs.schema import SampleConfig
from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset
from ostinato.evaluation.baselines.markov import NgramModel
from ostinato.evaluation.baselines.rules import RuleComposer
from ostinato.evaluation.baselines.simple import MARKOV, make_baseline
from ostinato.listen.design.order import CHECK, HUMAN, choose
from ostinato.listen.design.prompts import Prompt
from ostinato.listen.design.study import StudyError
from ostinato.music.piece import DRUMS, Notes, Piece, make_piece
from ostinato.sample.generate import generate
from ostinato.sample.primers import Primer
from ostinato.train.checkpoint import load_params

RULES = "rules"

_NOTES_PER_SECOND = 8
"""Asked of what can only count notes; doubled until the music is long enough."""
_MOST_DOUBLINGS = 6
_LOWEST, _HIGHEST = 36, 96
"""Pitches of the attention check."""


def parse_models(models: Sequence[str]) -> dict[str, str]:
    """Returns the source of each condition by its name: the human one, then those of `--model`, SOURCE or NAME=SOURCE.

    A source is `human`, the name of a baseline, or the folder of a run.

    Raises:
        StudyError: none is given, two have the same name, or a name is taken.
    """
    found = {HUMAN: HUMAN}
    for model in models:
        name, equals, source = model.partition("=")
        if not equals:
            source = model
            name = model if source in (*MARKOV, RULES) else Path(model).resolve().name
        if not name or not source:
            raise StudyError(
                f"--model {model!r} is not a run's folder, markov:1 to markov:4, rules, or NAME=one of them"
            )
        if name in (CHECK, *found):
            raise StudyError(f"condition {name!r} is there twice, or its name is taken; give it another: NAME=SOURCE")
        found[name] = source
    if len(found) < 2:
        raise StudyError("--model is needed at least once: a run's folder, markov:1 to markov:4, or rules")
    return found


def is_folder(source: str) -> bool:
    """Tells whether a source is a run or a model, not a baseline, people or nothing."""
    return source not in ("", HUMAN, RULES, *MARKOV)


def continue_prompts(
    name: str,
    source: str,
    dataset: Dataset,
    prompts: Sequence[Prompt],
    config: StudyConfig,
    counts: Callable[[], NgramCounts],
) -> tuple[list[Piece], dict[str, Any]]:
    """Returns how a condition continues each prompt, at least as far as the clip, and what is to be known of it.

    The baselines know the training split of the dataset; its counts are asked for by Markov chains only.

    Raises:
        StudyError: a run has another codec than the dataset.
    """
    facts: dict[str, Any] = {"dataset": dataset.fingerprint}
    if source == HUMAN:
        return [prompt.piece for prompt in prompts], facts
    facts["seed"] = seed = choose(2**31, config.seed, name)
    if source == RULES:
        composer = RuleComposer.of_split(dataset.source("train"))

        def by_rules(prompt: Prompt, seeds: list[int], num_notes: int) -> Piece:
            rows = composer.continue_piece(seeds, num_notes, prompt.piece, prompt.num_beats, prompt.style)
            return composer.codec.decode(rows)

        return _compose(by_rules, prompts, seed, config.clip_seconds), facts
    if source in MARKOV:
        chain = make_baseline(source, counts(), dataset.codec)
        assert isinstance(chain, NgramModel)

        def by_chain(prompt: Prompt, seeds: list[int], num_notes: int) -> Piece:
            return chain.codec.decode(chain.generate(seeds, num_notes, prompt.rows))

        return _compose(by_chain, prompts, seed, config.clip_seconds), facts
    run = load_params(Path(source))
    if run.codec.to_json() != dataset.codec.to_json():
        raise StudyError(f"{source}: was trained with another codec than {dataset} was prepared with")
    options = SampleConfig(
        num_pieces=len(prompts), num_seconds=config.clip_seconds, temperature=config.temperature, seed=seed
    )
    written = generate(run.model, run.params, run.codec, options, [Primer(prompt.rows) for prompt in prompts])
    trained_on = run.description.get("dataset", {}).get("fingerprint", "")
    return [run.codec.decode(piece.steps) for piece in written], facts | {
        "temperature": config.temperature,
        "step": run.step,
        "params_sha256": run.params_sha256,
        "dataset": trained_on,
        "other_dataset": trained_on != dataset.fingerprint,
    }


def check_piece(prompt: Prompt, length_s: float, *, seed: int) -> Piece:
    """Returns the attention check: it begins as the piece does, and goes on without sense.

    It has as many notes as the piece, as long and loud, but after the prompt at random times and pitches.
    """
    rng = np.random.default_rng(seed)
    piece = prompt.piece
    onset_s = piece.seconds(piece.notes.onset)
    is_heard = onset_s < length_s
    notes = Notes(*(column[is_heard] for column in piece.notes))
    is_free = onset_s[is_heard] >= prompt.end_s
    if not is_free.any():
        is_free[:] = True  # nothing follows the prompt within the clip
    first, last = int(notes.onset[is_free].min()), int(notes.onset.max())
    pitch = rng.integers(_LOWEST, _HIGHEST + 1, len(notes.onset))
    return make_piece(
        onset=np.where(is_free, rng.integers(first, last + 1, len(notes.onset)), notes.onset),
        duration=notes.duration,
        pitch=np.where(is_free & (notes.program != DRUMS), pitch, notes.pitch),
        velocity=notes.velocity,
        program=notes.program,
        tempos=piece.tempos,
        meters=piece.meters,
        ticks_per_quarter=piece.ticks_per_quarter,
    )


def _compose(
    write: Callable[[Prompt, list[int], int], Piece], prompts: Sequence[Prompt], seed: int, clip_s: float
) -> list[Piece]:
    """Returns pieces that last at least as long as a clip: the same seed with more notes begins with the same notes."""
    pieces = []
    for number, prompt in enumerate(prompts):
        fewest = num_notes = round(_NOTES_PER_SECOND * clip_s)
        while (piece := write(prompt, [seed, number], num_notes)).duration_s < clip_s:
            if num_notes >= fewest * 2**_MOST_DOUBLINGS:
                break
            num_notes *= 2
        pieces.append(piece)
    return pieces
