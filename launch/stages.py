"""Hands the flags of train, sample and evaluate over to their stages and says how it went."""

import dataclasses
import hashlib
import logging
import os
from pathlib import Path
from typing import Any, Literal

import jax
from rich.console import Console

from ostinato.configs.schema import SampleConfig, TrainConfig
from ostinato.launch.show import print_table
from ostinato.music.records import Dataset
from ostinato.train.checkpoint import load_params
from ostinato.train.distributed import Settings, initialize
from ostinato.train.exit_codes import PREEMPTED, StoppedError
from ostinato.train.loop import Result, train
from ostinato.train.preemption import StopSignal
from ostinato.train.profiling import steps_to_profile


def cache_compilations() -> None:
    """Keeps compiled functions in the user's cache folder, so that the next run of the same shapes starts at once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # many small ones take seconds together


def run_training(
    config: TrainConfig,
    dataset: Path,
    workdir: Path,
    *,
    coordinator: str = "",
    num_processes: int = 0,
    process_id: int = -1,
    start_timeout_s: float = 300.0,
    from_step: int | None = None,
    profile: str = "",
) -> Result:
    """Trains, or goes on with the run in `workdir`; with the other processes of the run, if there are any.

    Raises:
        StoppedError: SIGTERM came; a checkpoint is saved.
    """
    profiled = steps_to_profile(profile)
    if not os.environ.get("OSTINATO_TRACEBACK"):
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax logs each error that it raises, at length
    opened = Dataset.open(dataset)
    initialize(
        Settings(
            coordinator=coordinator,
            num_processes=num_processes,
            process_id=process_id,
            start_timeout_s=start_timeout_s,
        ),
        same={
            "configuration": hashlib.sha256(repr(config).encode()).hexdigest()[:12],
            "dataset": opened.fingerprint[:12],
        },
    )
    cache_compilations()
    with StopSignal() as should_stop:
        result = train(config, opened, workdir, should_stop=should_stop, from_step=from_step, profile=profiled)
    if not result.finished:
        raise StoppedError(
            f"{workdir}: asked to stop, step {result.step} is saved; the same command goes on", exit_code=PREEMPTED
        )
    if jax.process_index() != 0:
        return result
    console = Console()
    if result.best_loss is None:
        line = f"{workdir}: {result.step} steps done; no validation split, so the latest checkpoint is the best"
        console.print(line, highlight=False, soft_wrap=True)
    else:
        console.print(
            f"{workdir}: {result.step} steps done; validation loss {result.initial_loss:.4f} at the start, "
            f"{result.best_loss:.4f} at step {result.best_step}, the best",
            highlight=False,
            soft_wrap=True,
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
