"""From a request to pieces: what `ostinato sample` and the Python API have in common."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from ostinato.configs.errors import UserError
from ostinato.configs.schema import SampleConfig
from ostinato.sample.diversity import choose_unlike
from ostinato.sample.generate import Generated, generate, generate_candidates
from ostinato.sample.infill import fill, harmonise
from ostinato.sample.primers import load_primers, read_piece
from ostinato.sample.rank import make_score, new_music
from ostinato.train.checkpoint import LoadedRun


class Watch:
    """Sees how the work goes; to be derived from."""

    def rows(self, numbers: list[int], rows: Int[np.ndarray, "p t f"]) -> None:
        """Takes the numbers of pieces and the next rows of each, as `generate` shows them."""

    def share(self, share: float) -> None:
        """Takes the share of what stands around given notes that is written: no row is settled before the end."""


def check_inputs(config: SampleConfig, inputs: Mapping[str, Any]) -> None:
    """Refuses options that do not go with what is given; before the model is loaded.

    Raises:
        UserError: `without_primer` is asked for, and there is none; a judge without `best_by judge`, or where there are
            no candidates to choose from.
    """
    if "judge" in inputs and (config.best_by != "judge" or config.best_of < 2 or {"harmonise", "fill"} & set(inputs)):
        raise UserError("--judge goes with --best-of (2 or more) and --best-by judge, not with --harmonise or --fill")
    if config.without_primer and "primer" not in inputs:
        raise UserError("--without-primer leaves out what --primer gives; give both")


def make_pieces(
    run: LoadedRun,
    config: SampleConfig,
    inputs: Mapping[str, str],
    *,
    num_pieces: int | None = None,
    watch: Watch | None = None,
) -> list[Generated]:
    """Returns the pieces that the options ask for, or only the first few of them.

    Args:
        run: the trained model.
        config: all options.
        inputs: files by the name of their option: at most one of `primer`, `harmonise` and `fill`; and `judge`.
        num_pieces: how many are needed. Primers are drawn for all, and filled bars are the best of all.
        watch: sees how the work goes. What it raises ends it.

    Raises:
        UserError: the file cannot be read, or the model cannot write what is asked for.
    """
    needed = dataclasses.replace(config, num_pieces=num_pieces or config.num_pieces)
    network = run.model, run.params, run.codec
    watch = watch or Watch()
    if "harmonise" in inputs:
        return harmonise(*network, needed, read_piece(Path(inputs["harmonise"])), watch=watch.share)
    if "fill" in inputs:
        return fill(*network, config, read_piece(Path(inputs["fill"])), watch=watch.share)
    primers = load_primers(inputs.get("primer", ""), run.codec, config)
    score = make_score(run, config.best_by, Path(inputs["judge"]) if "judge" in inputs else None)
    if not config.diverse:
        return generate(*network, needed, primers, score=score, watch=watch.rows)
    candidates = generate_candidates(*network, needed, primers, watch=watch.rows)
    return choose_unlike(candidates, score, lambda one: new_music(one, run.codec))
