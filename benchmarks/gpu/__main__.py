"""All that a GPU is needed for, in one run of some minutes: whether it is right on it, and how fast.

    python -m ostinato.benchmarks.gpu --output FOLDER [--budget-s 480] [--smoke] [--music SECONDS --recipe NAME]

Each stage is a process of its own with a time of its own; what goes wrong in one costs that one. What is found is
written at once, a line of JSON each, to FOLDER/results.jsonl, and FOLDER/report.md is made again after every stage.
FOLDER/log.txt has what the processes said. It needs no network, and no installed package: in a plain checkout say
`PYTHONPATH=.types python -m ostinato.benchmarks.gpu`. Where torch is missing, its column stays empty.

`--smoke` runs all of it on tiny networks, also on a CPU. docs/gpu.md has the command for a lent machine.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from ostinato.benchmarks.gpu.report import write_report
from ostinato.benchmarks.gpu.results import append, read

SHARES_S = {
    "machine": 35, "equality": 75, "speed": 160, "resume": 60, "sampling": 40, "feeding": 35, "planning": 30,
    "sharing": 45,
}  # fmt: skip
"""The stages, the most telling first, and the seconds of each in a run of 480: what one leaves, the next may take."""
BUDGET_S = 480.0
ENVIRONMENT = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # torch needs its part of the card
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "PYTHONUNBUFFERED": "1",
}
QUICK_TO_COMPILE = "--xla_backend_optimization_level=0"
"""For smoke tests, in which compiling takes nearly all of the time."""
PART = "15M"
"""Files that are brought back from a lent machine may be no larger than 16."""
SMOKE_S = 1200.0
"""Nothing is measured in a smoke test, and the machine may be busy."""


@dataclass(frozen=True, kw_only=True)
class Options:
    output: Path
    """A folder that is made, or that an earlier run has left: stages that are done there are not run again."""
    budget_s: float = BUDGET_S
    """All stages together end within so many seconds."""
    stages: tuple[str, ...] = tuple(SHARES_S)
    """Only these, in this order."""
    music: float = 0.0
    """After them, seconds in which a model is trained on the music of --dataset; its run is FOLDER/music.tar.00 and so
    on: cat music.tar.* | tar -x."""
    dataset: Path | None = None
    """A folder that `ostinato prepare` wrote, for --music."""
    recipe: str = "chorales"
    """The preset, for --music."""
    smoke: bool = False
    """Tiny networks, to see that it runs."""


def main(options: Options) -> None:
    """Runs the stages one after the other; an exit code other than 0 means that one did not end well."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # its stage, too, leaves the card
    options.output.mkdir(parents=True, exist_ok=True)
    begin_s = time.time()
    end_s = begin_s + (SMOKE_S if options.smoke else options.budget_s)
    scale = 1.0 if options.smoke else options.budget_s / BUDGET_S
    ended = {one["name"] for one in read(options.output) if one["kind"] == "ended" and one["code"] == 0}
    wanted = [name for name in options.stages if name not in ended]
    failed = []
    with tempfile.TemporaryDirectory(prefix="ostinato-gpu-compiled-") as cache:
        for number, name in enumerate(wanted):
            later_s = scale * sum(SHARES_S[other] for other in wanted[number + 1 :])
            if not run_stage(options, name, cache, end_s - later_s):
                failed.append(name)
            write_report(options.output)
    if options.music:
        train_music(options)
    print((options.output / "report.md").read_text())
    if failed:
        sys.exit(f"stages that did not end well: {', '.join(failed)}; see {options.output / 'log.txt'}")


def run_stage(options: Options, name: str, cache: str, end_s: float) -> bool:
    """Runs a stage until it ends or its time is up, again if it crashed in the middle of the speeds."""
    arguments = [name, str(options.output), str(end_s), *(["smoke"] if options.smoke else [])]
    code, tries = -1, 4 if name == "speed" else 1
    for _ in range(tries):
        left_s = end_s - time.time()
        if left_s < 5:
            break
        code = run_until([sys.executable, "-m", "ostinato.benchmarks.gpu.stages", *arguments], options, cache, left_s)
        seconds = left_s - (end_s - time.time())
        append(options.output, {"stage": name, "kind": "ended", "name": name, "code": code, "seconds": seconds})
        if code >= 0 and code != 1:
            break
    return code == 0


def run_until(command: list[str], options: Options, cache: str, left_s: float) -> int:
    """Returns the exit code of a command, whose processes are all killed when the time is up."""
    environment = {**ENVIRONMENT, **({"XLA_FLAGS": QUICK_TO_COMPILE} if options.smoke else {}), **os.environ}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    with open(options.output / "log.txt", "a") as log:
        print(f"\n{'=' * 20} {' '.join(command)}", file=log, flush=True)
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            process.wait(timeout=left_s)
        except subprocess.TimeoutExpired:
            print(f"{'=' * 20} its time is up", file=log)
        finally:
            with contextlib.suppress(ProcessLookupError):  # they have all ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return process.returncode


def train_music(options: Options) -> None:
    """Trains until the time is up, and packs the run.

    Raises:
        SystemExit: there is no dataset to train on.
    """
    if options.dataset is None:
        sys.exit("--music needs --dataset, a folder that `ostinato prepare` wrote")
    run = Path(os.environ.get("TMPDIR", "/tmp"), f"ostinato-music-{os.getpid()}")
    command = [
        sys.executable, "-m", "ostinato.launch.cli", "train", "--dataset", str(options.dataset), "--workdir", str(run),
        options.recipe, "--keep-checkpoints", "1", *(["--num-steps", "4"] if options.smoke else []),
    ]  # fmt: skip
    with open(options.output / "log.txt", "a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            process.wait(timeout=options.music)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)  # it saves the step
            process.wait(timeout=60)
    packed, parts = ["tar", "-c", "-C", str(run.parent), run.name], str(options.output / "music.tar.")
    with subprocess.Popen(packed, stdout=subprocess.PIPE) as tar:
        subprocess.run(["split", "-b", PART, "-d", "-", parts], stdin=tar.stdout, check=True)
    append(options.output, {"stage": "music", "kind": "music", "code": process.returncode, "recipe": options.recipe})
    write_report(options.output)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
