"""Stages that run the real `ostinato train` in processes of its own, on music that is made up here.

resume: killed in the middle of a save, a run goes on to the same bits.
feeding: how long training waits for its batches.
sharing: several processes on one card. NCCL refuses two ranks on one GPU, and what it says is written down; the same
command is then run with the processes on CPUs, where they add up by gloo.
"""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ostinato.benchmarks.gpu.context import Context, Shape
from ostinato.benchmarks.gpu.speed import Way, train_config
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Record
from ostinato.music.piece import Meters, Notes, Piece, Tempos
from ostinato.music.score_codec import ScoreCodec
from ostinato.train.runs import show

MADE_UP = (400, 500)
"""Pieces, and notes in each of them."""
DETERMINISTIC = {"XLA_FLAGS": "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"}


def make_dataset(folder: Path, num_pieces: int, num_notes: int) -> Path:
    """Writes melodies that walk up and down at random."""
    rng, codec, pieces = np.random.default_rng(0), ScoreCodec(), []
    for number in range(num_pieces):
        steps = rng.integers(1, 5, num_notes) * 120
        pitch = 48 + np.abs(np.cumsum(rng.integers(-3, 4, num_notes)) % 48 - 24)
        notes = Notes(
            np.cumsum(steps), steps, pitch, rng.integers(50, 100, num_notes), np.full(num_notes, number % 4 * 24)
        )
        one = Piece(notes, Tempos(np.array([0]), np.array([500_000])), Meters(*np.array([[0], [4], [4]])), 480)
        pieces.append(Record(f"{number:064}", "", codec.encode(one)))
    few = max(1, num_pieces // 50)
    write_dataset(folder, {"train": pieces[few:], "validation": pieces[:few]}, codec, for_tfds=False)
    return folder


def run_resume(context: Context) -> None:
    """Writes whether a run that was killed in a save computes what one does that was not."""
    steps, units = (6, 16) if context.smoke else (40, 512)
    with tempfile.TemporaryDirectory(prefix="ostinato-gpu-") as name:
        work = Path(name)
        dataset = make_dataset(work / "data", *((8, 60) if context.smoke else (100, 300)))
        command = _train(
            dataset, "--num-steps", steps, "--evaluate-every", steps, "--checkpoint-every", 2, "--log-every", 1,
            "--data.batch-size", 8, "--data.sequence-length", 16 if context.smoke else 64, "--patience", 0,
            "--model.hidden-size", units, "--model.num-layers", 2, "--model.no-copy",
        )  # fmt: skip
        environments: list[Mapping[str, str]] = [{}] if context.smoke else [{}, DETERMINISTIC]
        for number, environment in enumerate(environments):
            environment = {"XDG_CACHE_HOME": str(work / f"cache-{number}"), **environment}
            runs = {one: work / f"{one}-{number}" for one in ("straight", "killed")}
            _finish(context, [*command, "--workdir", str(runs["straight"])], environment)
            killed = _kill_in_save([*command, "--workdir", str(runs["killed"])], runs["killed"], environment, context)
            _finish(context, [*command, "--workdir", str(runs["killed"])], environment)
            equal = _digest(runs["straight"]) == _digest(runs["killed"])
            context.write("resume", equal=equal, killed=killed, environment=environment.get("XLA_FLAGS", ""))
            if equal:
                return


def _kill_in_save(command: list[str], workdir: Path, environment: Mapping[str, str], context: Context) -> str:
    """Kills a run as soon as a checkpoint that is not whole yet lies in its folder, and says which."""
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=sys.stderr)
    try:
        while process.poll() is None and context.left_s > 0:
            names = [path.name for path in (workdir / "checkpoints").glob("*")]
            unfinished = [name for name in names if not name.isdigit()]
            if unfinished and any(name.isdigit() for name in names):  # one to go back to, and another on its way
                process.send_signal(signal.SIGKILL)
                return unfinished[0]
            time.sleep(0.0005)
        return "it ended before it was seen to save"
    finally:
        process.kill()
        process.wait()


def _digest(workdir: Path) -> Any:
    shown = show(workdir)
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    losses = [(line["split"], line["step"], line["loss"]) for line in lines]
    return shown["step"], shown["params_sha256"], losses


def run_feeding(context: Context) -> None:
    """Writes the share of its time that training waits for batches, for the network with the quickest step first."""
    shapes = (Shape(1, 16, 4, 8),) if context.smoke else (Shape(2, 512, 256, 128), Shape(3, 1024, 64, 128))
    num_steps = 20 if context.smoke else 100
    with tempfile.TemporaryDirectory(prefix="ostinato-gpu-") as name:
        dataset = make_dataset(Path(name, "data"), *((8, 60) if context.smoke else MADE_UP))
        for number, shape in enumerate(shapes):
            config = train_config(shape, Way("lstm", None, "bf16"))
            data = dataclasses.replace(config.data, max_transpose=5, max_tempo_change=10, max_velocity_change=10)
            config = dataclasses.replace(config, data=data, num_steps=num_steps, evaluate_every=10**9)
            command = [
                sys.executable, "-m", "ostinato.benchmarks.probe", str(dataset), str(Path(name, f"run-{number}")),
                json.dumps(dataclasses.asdict(config)),
            ]  # fmt: skip
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=context.left_s)
            found = json.loads(said.stdout.splitlines()[-1])
            context.write("feeding", shape=shape, steps=num_steps, share=found["wait_s"] / found["loop_s"], **found)


def run_sharing(context: Context) -> None:
    """Writes how two and four processes of one run get on, first on the device of this machine, then on its CPU."""
    platforms = ["cpu"] if jax.default_backend() == "cpu" else ["", "cpu"]
    with tempfile.TemporaryDirectory(prefix="ostinato-gpu-") as name:
        dataset = make_dataset(Path(name, "data"), 8, 60)
        for count in (2,) if context.smoke else (2, 4):
            for platform in platforms:
                workdir = Path(name, f"{platform}{count}")
                found = _share(context, dataset, workdir, count, platform)
                context.write("sharing", platform=platform or jax.default_backend(), processes=count, **found)


def _share(context: Context, dataset: Path, workdir: Path, count: int, platform: str) -> dict[str, Any]:
    command = _train(
        dataset, "--workdir", workdir, "--num-steps", 4, "--evaluate-every", 4, "--data.batch-size", 8,
        "--data.sequence-length", 16, "--start-timeout-s", 60, "--num-processes", count,
        "--coordinator", f"localhost:{_free_port()}",
    )  # fmt: skip
    environment = {**os.environ, "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.8 / count:.2f}", "NCCL_DEBUG": "WARN"}
    if platform:
        environment["JAX_PLATFORMS"] = platform
    begin_s, limit_s = time.perf_counter(), 600.0 if context.smoke else 25.0
    processes = [
        subprocess.Popen(
            [*command, "--process-id", str(number)], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for number in range(count)
    ]  # fmt: skip
    said = []
    for process in processes:
        try:
            said.append(process.communicate(timeout=max(1.0, min(context.left_s - 3, limit_s)))[0])
        except subprocess.TimeoutExpired:
            process.kill()
            said.append(process.communicate()[0] + "\nended here: it did not get on")
    codes = [process.returncode for process in processes]
    telling = [
        line[:300]
        for one in said
        for line in one.splitlines()
        if any(word in line for word in ("Duplicate GPU", "NCCL", "ostinato:", "Error:", "ended here"))
    ]
    sums = {} if any(codes) else {"params_sha256": show(workdir)["params_sha256"]}
    return {"codes": codes, "said": telling[:4], "seconds": time.perf_counter() - begin_s, **sums}


def _train(dataset: Path, *options: object) -> list[str]:
    words = ["train", "--dataset", dataset, *_split(options), "debug", *_rest(options)]
    return [sys.executable, "-m", "ostinato.launch.cli", *map(str, words)]


_OF_COMMAND = ("--workdir", "--start-timeout-s", "--num-processes", "--coordinator")


def _split(options: tuple[object, ...]) -> list[object]:
    """Returns the options of the command, which come before the preset."""
    return [word for k, word in enumerate(options) if _owner(options, k) in _OF_COMMAND]


def _rest(options: tuple[object, ...]) -> list[object]:
    return [word for k, word in enumerate(options) if _owner(options, k) not in _OF_COMMAND]


def _owner(options: tuple[object, ...], k: int) -> object:
    """Returns the option that a word is, or is the value of."""
    return options[k] if str(options[k]).startswith("--") else options[k - 1]


def _finish(context: Context, command: list[str], environment: Mapping[str, str]) -> None:
    subprocess.run(
        command, env={**os.environ, **environment}, check=True, stdout=sys.stderr, timeout=max(1.0, context.left_s)
    )


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]
