"""Hands the flags of train, sample and others over to their stages and says how it went."""

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import jax
from rich.console import Console

from ostinato.configs.errors import ExitCode, StoppedError, UserError
from ostinato.configs.schema import SampleConfig, TrainConfig
from ostinato.data.records import Dataset, write_atomically
from ostinato.launch.cache import cache_folder
from ostinato.train.checkpoint import LoadedRun, load_params
from ostinato.train.hosts.distributed import Settings, initialize
from ostinato.train.hosts.preemption import StopSignal
from ostinato.train.loop import Result, train
from ostinato.train.profiling import steps_to_profile

if TYPE_CHECKING:
    from ostinato.sample.generate import Generated
    from ostinato.sample.output.audio import AudioFormat


logger = logging.getLogger(__name__)


def cache_compilations() -> None:
    """Keeps compiled functions in the user's cache folder, so that the next run of the same shapes starts at once."""
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
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
    init_from: Path | None = None,
    old_dataset: Path | None = None,
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
        result = train(
            config,
            opened,
            workdir,
            should_stop=should_stop,
            from_step=from_step,
            profile=profiled,
            init_from=init_from,
            old_dataset=None if old_dataset is None else Dataset.open(old_dataset),
        )
    if not result.finished:
        raise StoppedError(
            f"{workdir}: asked to stop, step {result.step} is saved; the same command goes on",
            exit_code=ExitCode.PREEMPTED,
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
    inputs: Mapping[str, str],
    checkpoint: Literal["best", "latest"],
    audio: "AudioFormat | None",
    soundfont: Path | None,
) -> list[Path]:
    """Writes new pieces."""
    from ostinato.sample.output.provenance import describe_origin
    from ostinato.sample.output.write import write_pieces

    cache_compilations()
    run = load_params(workdir, checkpoint)
    pieces = dict(enumerate(_sample(run, config, inputs)))
    origins = {number: describe_origin(run, config, inputs, piece=number) for number in pieces}
    paths = write_pieces(
        pieces, run.codec, output, origins=origins, found=_found(workdir, inputs), audio=audio, soundfont=soundfont
    )
    kinds = "MIDI, sound and piano roll" if audio else "MIDI and piano roll"
    Console().print(
        f"{output / 'index.html'}: {len(paths)} pieces to hear and see ({kinds} of each)",
        highlight=False,
        soft_wrap=True,
    )
    return paths


def run_sampling_again(
    file: Path,
    output: Path | None,
    *,
    workdir: Path | None,
    inputs: Mapping[str, str],
    audio: "AudioFormat | None",
    soundfont: Path | None,
) -> Path:
    """Makes one piece again, to the same bytes, from its MIDI file or the JSON beside it; returns the new MIDI file.

    Raises:
        ProvenanceError: the file does not say how, the model or an input is missing or another, or the bytes differ.
    """
    from ostinato.sample.output.provenance import (
        check_bytes,
        config_of,
        find_inputs,
        find_workdir,
        load_run,
        read_recipe,
    )
    from ostinato.sample.output.write import midi_bytes, write_pieces

    cache_compilations()
    recipe = read_recipe(file)
    config = config_of(recipe)
    inputs = find_inputs(recipe, inputs)
    workdir = find_workdir(recipe, workdir)
    run = load_run(recipe, workdir)
    # Of the pieces of that call only this one is needed, but the primers were drawn for all of them.
    piece = _sample(run, config, inputs, num_pieces=recipe.piece + 1)[recipe.piece]
    check_bytes(recipe, midi_bytes(run.codec.decode(piece.steps), recipe.origin))
    output = output or file.parent / "again"
    (path,) = write_pieces(
        {recipe.piece: piece},
        run.codec,
        output,
        origins={recipe.piece: recipe.origin},
        found=_found(workdir, inputs),
        audio=audio,
        soundfont=soundfont,
    )
    Console().print(f"{path}: the same bytes as {file} says", highlight=False, soft_wrap=True)
    return path


def _sample(
    run: LoadedRun, config: SampleConfig, inputs: Mapping[str, str], *, num_pieces: int | None = None
) -> "list[Generated]":
    """Returns the pieces that the options ask for, or only the first few of them.

    Args:
        run: the trained model.
        config: all options.
        inputs: files by the name of their option: at most one of `primer`, `harmonise` and `fill`.
        num_pieces: how many are needed. Primers are drawn for all, and filled bars are the best of all.

    Raises:
        UserError: an input cannot be read, or the options do not fit it or the model.
    """
    from ostinato.sample.generate import generate
    from ostinato.sample.infill import fill, harmonise
    from ostinato.sample.primers import load_primers, read_piece
    from ostinato.sample.rank import make_score

    needed = dataclasses.replace(config, num_pieces=num_pieces or config.num_pieces)
    network = run.model, run.params, run.codec
    if inputs.get("harmonise"):
        return harmonise(*network, needed, read_piece(Path(inputs["harmonise"])))
    if inputs.get("fill"):
        return fill(*network, config, read_piece(Path(inputs["fill"])))
    primers = load_primers(inputs.get("primer", ""), run.codec, config)
    return generate(*network, needed, primers, score=make_score(run, config.best_by))


def _found(workdir: Path, inputs: Mapping[str, str]) -> dict[str, str]:
    """Returns where the run and the inputs are, whatever folder is looked from."""
    return {name: str(Path(path).absolute()) for name, path in {"workdir": workdir, **inputs}.items() if path}


def run_rolls_benchmark(
    data: Path,
    output: Path,
    *,
    datasets: Sequence[str],
    columns: Sequence[str],
    num_seeds: int,
    smoke: bool,
) -> None:
    """Trains and measures the models of the piano-roll benchmark that are asked for, all by default.

    Raises:
        UserError: a file is missing, or nothing is asked for.
    """
    from ostinato.benchmarks.rolls.bench import bench_rolls
    from ostinato.benchmarks.rolls.recipes import RECIPES, SMOKE
    from ostinato.train.memory import keep_freed_memory

    if num_seeds < 1:
        raise UserError(f"--seeds {num_seeds} must be at least 1")
    recipes = {
        key: recipe
        for key, recipe in (SMOKE if smoke else RECIPES).items()
        if (not datasets or key[0] in datasets) and (not columns or key[1] in columns)
    }
    if not recipes:
        raise UserError("--smoke trains on jsb only; leave --datasets out")
    keep_freed_memory()
    cache_compilations()
    options = [f"--data {data.name}", f"--seeds {num_seeds}"]
    options += [f"--datasets {' '.join(datasets)}"] if datasets else []
    options += [f"--columns {' '.join(columns)}"] if columns else []
    options += ["--smoke"] if smoke else []
    command = f"ostinato bench rolls {' '.join(options)}"
    bench_rolls(data, output, recipes, range(num_seeds), command=command)
    Console().print((output / "rolls.md").read_text(), markup=False, highlight=False, soft_wrap=True)


def run_export(workdir: Path, output: Path, *, checkpoint: Literal["best", "latest"]) -> None:
    """Writes a trained model for other programs."""
    from ostinato.sample.export.exchange import PARAMETERS, write_parameters
    from ostinato.sample.export.step_export import BEGIN, STEP, write_step

    cache_compilations()
    run = load_params(workdir, checkpoint)
    output.mkdir(parents=True, exist_ok=True)
    description = write_parameters(run, output / PARAMETERS)
    description["sampling_step"] = write_step(run, output)
    write_atomically(output / "description.json", (json.dumps(description, indent=1) + "\n").encode())
    Console().print(
        f"{output}: {PARAMETERS} (in torch.nn's layout), {STEP} with {BEGIN}, and description.json", highlight=False
    )


def run_import(file: Path, workdir: Path) -> None:
    """Makes a run out of an exported model."""
    from ostinato.sample.export.exchange import PARAMETERS, import_run

    file = file / PARAMETERS if file.is_dir() else file
    num_parameters = import_run(file, workdir)
    Console().print(
        f"{workdir}: {num_parameters:,} parameters; 'ostinato sample' and 'ostinato train' take it", highlight=False
    )


def run_stream(
    config: SampleConfig,
    workdir: Path,
    target: str,
    *,
    inputs: Mapping[str, str],
    checkpoint: Literal["best", "latest"],
) -> int:
    """Plays piece after piece to a file, a pipe or a port until nobody wants more; returns the number of notes."""
    from ostinato.sample.primers import load_primers
    from ostinato.sample.stream import endless_rows, open_sink, play

    cache_compilations()
    run = load_params(workdir, checkpoint)
    primers = load_primers(inputs.get("primer", ""), run.codec, config)
    rows = endless_rows(run.model, run.params, run.codec, config, primers[0] if primers else None)
    sink = open_sink(target, run.codec)
    # Standard output may be where the music goes.
    logger.info("%s: music without end; Ctrl-C ends it", target)
    num_notes = play(run.codec, rows, sink)
    logger.info("%s: %d notes", target, num_notes)
    return num_notes
