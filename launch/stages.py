"""Hands the flags of train, sample and evaluate over to their stages and says how it went."""

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

import jax
from rich.console import Console

from ostinato.configs.schema import SampleConfig, TrainConfig
from ostinato.launch.show import print_table
from ostinato.music.records import Dataset
from ostinato.train.checkpoint import load_params
from ostinato.train.loop import Result, train


def cache_compilations() -> None:
    """Keeps compiled functions in the user's cache folder, so that the next run of the same shapes starts at once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # many small ones take seconds together


def run_training(config: TrainConfig, dataset: Path, workdir: Path) -> Result:
    """Trains, or goes on with the run in `workdir`."""
    cache_compilations()
    result = train(config, Dataset.open(dataset), workdir)
    console = Console()
    if result.best_loss is None:
        console.print(f"{workdir}: {result.step} steps done; no validation split, so the latest checkpoint is the best")
    else:
        console.print(
            f"{workdir}: {result.step} steps done; validation loss {result.initial_loss:.4f} at the start, "
            f"{result.best_loss:.4f} at step {result.best_step}, the best",
            highlight=False,
        )
    return result


def run_sampling(
    config: SampleConfig,
    workdir: Path,
    output: Path,
    *,
    primer: str,
    checkpoint: Literal["best", "latest"],
    audio: bool,
    soundfont: Path | None,
) -> list[Path]:
    """Writes new pieces."""
    from ostinato.sample.generate import generate
    from ostinato.sample.primers import load_primers
    from ostinato.sample.write import write_pieces

    cache_compilations()
    run = load_params(workdir, checkpoint)
    primers = load_primers(
        primer, run.codec, num_notes=config.primer_notes, num_pieces=config.num_pieces, seed=config.seed
    )
    pieces = generate(run.model, run.params, run.codec, config, primers)
    origin: dict[str, Any] = {
        "params_sha256": run.params_sha256,
        "step": run.step,
        "primer": primer,
        # The batch size is left out: it changes the speed, not the music.
        **{name: value for name, value in dataclasses.asdict(config).items() if name != "batch_size"},
    }
    paths = write_pieces(pieces, run.codec, output, origin=origin, audio=audio, soundfont=soundfont)
    kinds = "MIDI, WAV and piano roll" if audio else "MIDI and piano roll"
    Console().print(f"{output}: {len(paths)} pieces written ({kinds} of each)", highlight=False)
    return paths


def run_evaluation(
    workdir: Path, dataset: Path, output: Path, *, checkpoint: Literal["best", "latest"], batch_size: int
) -> dict[str, Any]:
    """Measures a run and prints the tables."""
    from ostinato.evaluation.report import evaluate_run, paper_rows, score_rows

    cache_compilations()
    report = evaluate_run(workdir, Dataset.open(dataset), output, checkpoint=checkpoint, batch_size=batch_size)
    for split in report["splits"]:
        print_table(f"{split} split", *score_rows(report, split))
    print_table("The paper's table (losses in nats per row)", *paper_rows(report))
    Console().print(f"{output / 'report.html'} holds the whole report", highlight=False)
    return report
