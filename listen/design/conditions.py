"""Who wrote the music: people, trained models, Markov chains, rules; and nobody, for the broken clip.

Each goes on from the same prompts, without picking: the first attempt counts.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ostinato.configs.schema import SampleConfig
from ostinato.data.ngram_files import NgramCounts
from ostinato.data.records import Dataset
from ostinato.evaluation.baselines.markov import NgramModel
from ostinato.evaluation.baselines.rules import RuleComposer
from ostinato.evaluation.baselines.simple import MARKOV, make_baseline
from ostinato.listen.design.order import choose
from ostinato.listen.design.plan import BROKEN, HUMAN
from ostinato.listen.design.prompts import Prompt
from ostinato.listen.design.study import StudyError
from ostinato.music.piece import DRUMS, Piece, make_piece
from ostinato.sample.generate import generate
from ostinato.train.checkpoint import LoadedRun, load_params

RULES = "rules"

_NOTES_PER_SECOND = 8
"""Asked of what can only count notes; doubled until the music is long enough."""

_MOST_DOUBLINGS = 6

_LOWEST, _HIGHEST = 36, 96


class Condition(NamedTuple):
    """One way in which music came to be."""

    name: str
    """Unique within the study."""
    source: str
    """`human`, the name of a baseline, or the folder of a run."""


def parse_models(models: Sequence[str]) -> list[Condition]:
    """Returns the conditions of a study: the human one, then those of `--model`, each SOURCE or NAME=SOURCE.

    Raises:
        StudyError: none is given, two have the same name, or a name is taken.
    """
    found = [Condition(HUMAN, HUMAN)]
    for model in models:
        name, equals, source = model.partition("=")
        if not equals:
            source = model
            name = model if source in (*MARKOV, RULES) else Path(model).resolve().name
        if not name or not source:
            raise StudyError(
                f"--model {model!r} is not a run's folder, markov:1 to markov:4, rules, or NAME=one of them"
            )
        found.append(Condition(name, source))
    names = [condition.name for condition in found]
    twice = sorted({name for name in names if names.count(name) > 1 or name == BROKEN})
    if twice:
        raise StudyError(f"condition {twice[0]!r} is there twice, or its name is taken; give it another: NAME=SOURCE")
    if len(found) < 2:
        raise StudyError("--model is needed at least once: a run's folder, markov:1 to markov:4, or rules")
    return found


def continue_prompts(
    condition: Condition,
    dataset: Dataset,
    prompts: Sequence[Prompt],
    *,
    clip_s: float,
    temperature: float,
    seed: int,
    counts: Callable[[], NgramCounts],
) -> tuple[list[Piece], dict[str, Any]]:
    """Returns how a condition goes on from each prompt, at least as far as the clip, and what is to be known of it.

    Args:
        condition: which.
        dataset: whose training split the baselines know.
        prompts: of the same dataset.
        clip_s: length of a clip.
        temperature: of trained models.
        seed: of the study.
        counts: returns those of the training split; asked for Markov chains only.

    Raises:
        StudyError: a run has another codec than the dataset.
    """
    if condition.source == HUMAN:
        return [prompt.piece for prompt in prompts], {"dataset": dataset.fingerprint}
    own_seed = choose(2**31, seed, condition.name)
    if condition.source == RULES:
        composer = RuleComposer.of_split(dataset.source("train"))
        pieces = [_by_rules(composer, prompt, [own_seed, i], clip_s) for i, prompt in enumerate(prompts)]
        return pieces, {"seed": own_seed, "dataset": dataset.fingerprint}
    if condition.source in MARKOV:
        chain = make_baseline(condition.source, counts(), dataset.codec)
        assert isinstance(chain, NgramModel)
        pieces = [_by_chain(chain, prompt, [own_seed, i], clip_s) for i, prompt in enumerate(prompts)]
        return pieces, {"seed": own_seed, "dataset": dataset.fingerprint}
    run = load_params(Path(condition.source))
    if run.codec.to_json() != dataset.codec.to_json():
        raise StudyError(f"{condition.source}: was trained with another codec than {dataset.path} was prepared with")
    pieces = _by_run(run, prompts, clip_s=clip_s, temperature=temperature, seed=own_seed)
    trained_on = run.description.get("dataset", {}).get("fingerprint", "")
    return pieces, {
        "seed": own_seed,
        "temperature": temperature,
        "step": run.step,
        "params_sha256": run.params_sha256,
        "dataset": trained_on,
        "other_dataset": trained_on != dataset.fingerprint,
    }


def broken_piece(prompt: Prompt, length_s: float, *, seed: int) -> Piece:
    """Returns as many notes as the beginning of a piece has, as long and as loud, of random pitch at random times."""
    rng = np.random.default_rng(seed)
    piece = prompt.piece
    notes = piece.notes
    kept = piece.seconds(notes.onset) < length_s
    last = int(notes.onset[kept].max())
    pitch = rng.integers(_LOWEST, _HIGHEST + 1, kept.sum())
    return make_piece(
        onset=rng.integers(0, last + 1, kept.sum()),
        duration=notes.duration[kept],
        pitch=np.where(notes.program[kept] == DRUMS, notes.pitch[kept], pitch),
        velocity=notes.velocity[kept],
        program=notes.program[kept],
        tempos=piece.tempos,
        meters=piece.meters,
        ticks_per_quarter=piece.ticks_per_quarter,
    )


def _by_run(run: LoadedRun, prompts: Sequence[Prompt], *, clip_s: float, temperature: float, seed: int) -> list[Piece]:
    config = SampleConfig(num_pieces=len(prompts), num_seconds=clip_s, temperature=temperature, seed=seed)
    written = generate(run.model, run.params, run.codec, config, [prompt.rows for prompt in prompts])
    return [run.codec.decode(piece.steps) for piece in written]


def _by_chain(chain: NgramModel, prompt: Prompt, seed: list[int], clip_s: float) -> Piece:
    def write(num_notes: int) -> Piece:
        return chain.codec.decode(chain.generate(seed, num_notes, prompt.rows))

    return _long_enough(write, clip_s)


def _by_rules(composer: RuleComposer, prompt: Prompt, seed: list[int], clip_s: float) -> Piece:
    def write(num_notes: int) -> Piece:
        rows = composer.continue_piece(seed, num_notes, prompt.piece, prompt.num_beats, prompt.style)
        return composer.codec.decode(rows)

    return _long_enough(write, clip_s)


def _long_enough(write: Callable[[int], Piece], clip_s: float) -> Piece:
    """Returns a piece that lasts at least so long: the same seed with more notes begins with the same notes."""
    num_notes = round(_NOTES_PER_SECOND * clip_s)
    piece = write(num_notes)
    for _ in range(_MOST_DOUBLINGS):
        if piece.duration_s >= clip_s:
            break
        num_notes *= 2
        piece = write(num_notes)
    return piece
