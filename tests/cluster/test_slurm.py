"""The Slurm script of launch/ on a real Slurm: a controller, two nodes, one task on each."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.train.runs import show
from tests.cluster.servers import servers_in
from tests.cluster.slurm import Slurm
from tests.train.conftest import TRAIN_LENGTHS, make_dataset
from tests.xla import QUICK_TO_COMPILE

pytestmark = pytest.mark.cluster

SCRIPT = Path(__file__).parents[2] / "launch/slurm/train.sbatch"
NUM_STEPS = 60
TINY = (
    "debug", "--num-steps", NUM_STEPS, "--checkpoint-every", 10, "--log-every", 1, "--data.batch-size", 4,
    "--data.sequence-length", 8, "--model.hidden-size", 16, "--model.embedding-size", 8, "--model.head-size", 8,
    "--peer-timeout-s", 600,  # a busy machine is no stall
)  # fmt: skip


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with servers_in(tmp_path_factory.mktemp("slurm")) as servers:
        yield Slurm(servers)
        servers.kill("slurm")


@pytest.mark.timeout(600)
def test_a_job_that_is_preempted_goes_on_and_ends_like_one_that_was_left_alone(tmp_path: Path, slurm: Slurm):
    make_dataset(tmp_path / "data", TRAIN_LENGTHS)

    def train(name: str) -> str:
        return submit(slurm, tmp_path, name, "--dataset", tmp_path / "data", "--workdir", tmp_path / name, *TINY)

    disturbed, log = train("disturbed"), tmp_path / "disturbed.log"
    wait_for(slurm, disturbed, log, r"step 20 of")
    # What Slurm sends to the tasks before their time is up, and when the job has to make room.
    assert slurm.run("scancel", "--signal=TERM", disturbed).returncode == 0
    undisturbed = train("undisturbed")  # meanwhile
    assert f"step {NUM_STEPS} of" not in wait_for(slurm, disturbed, log, r"exit code 75; the job")
    text = wait_for(slurm, disturbed, log, rf"(?s)requeued 1 times.*: {NUM_STEPS}\s+steps done")
    wait_for(slurm, undisturbed, tmp_path / "undisturbed.log", rf": {NUM_STEPS}\s+steps done")
    for job in (disturbed, undisturbed):
        assert re.search(r"JobState=COMPLETED .*ExitCode=0:0", details_at_end(slurm, job), re.DOTALL)
    assert "2 processes on" in text
    assert "requeued 2 times" not in text
    runs = [show(tmp_path / name) for name in ("disturbed", "undisturbed")]
    assert [run["step"] for run in runs] == [NUM_STEPS] * 2
    assert runs[0]["params_sha256"] == runs[1]["params_sha256"]


# Ends as it is told the first time on each node, and well the second time.
PROGRAM = """#!/usr/bin/env bash
mkdir "$2-$SLURM_PROCID" 2> /dev/null || exit 0
case $SLURM_PROCID in 0) eval "$3" ;; 1) eval "$4" ;; esac
"""


@pytest.mark.timeout(600)
def test_the_job_goes_back_into_the_queue_after_a_loss_and_ends_after_a_mistake(tmp_path: Path, slurm: Slurm):
    (tmp_path / "ostinato").write_text(PROGRAM)  # Slurm is what is tried here
    (tmp_path / "ostinato").chmod(0o755)
    endings = {  # of both nodes, how often the job may be requeued and is, and how it ends
        "lost": ("exit 76", "kill -KILL $$", 100, 1, "COMPLETED", "0:0"),
        "aborted": ("kill -ABRT $$", "exit 76", 100, 1, "COMPLETED", "0:0"),
        "mistaken": ("exit 2", "exit 2", 100, 0, "FAILED", "2:0"),
        "not_a_number": ("exit 77", "exit 77", 100, 0, "FAILED", "77:0"),
        "limited": ("exit 76", "exit 76", 0, 0, "FAILED", "76:0"),
    }
    jobs = {
        name: submit(slurm, tmp_path, name, tmp_path / f"{name}-was-here", *ends, programs=tmp_path, max_requeues=most)
        for name, (*ends, most, _, _, _) in endings.items()
    }
    for name, (*_, requeues, state, code) in endings.items():
        found = details_at_end(slurm, jobs[name])
        assert re.search(rf"JobState={state} .* Restarts={requeues} .* ExitCode={code}", found, re.DOTALL), found


def submit(
    slurm: Slurm, folder: Path, name: str, *arguments: object, programs: Path | None = None, max_requeues: int = 100
) -> str:
    """Submits the script as a user does and returns the number of the job.

    Its `ostinato` is that of the tests, or the one in the folder `programs`.
    """
    options = ("--parsable", "--nodes=2", "--cpus-per-task=1", f"--output={folder}/{name}.log", f"--chdir={folder}")
    path = f"{programs or Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    environ = {"PATH": path, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": QUICK_TO_COMPILE, "MAX_REQUEUES": str(max_requeues)}
    submitted = slurm.run("sbatch", *options, str(SCRIPT), *map(str, arguments), environ=environ)
    assert submitted.returncode == 0, submitted.stderr
    return submitted.stdout.strip()


def details(slurm: Slurm, job: str) -> str:
    return slurm.run("scontrol", "show", "job", job).stdout


def wait_for(slurm: Slurm, job: str, log: Path, pattern: str) -> str:
    """Returns the job's output so far, once the pattern is in it."""
    end = time.monotonic() + 500
    while True:
        state = details(slurm, job)  # before the output, which is whole when the job is over
        text = log.read_text() if log.exists() else ""
        if re.search(pattern, text):
            return text
        is_over = re.search(r"JobState=(FAILED|CANCELLED|COMPLETED|NODE_FAIL)", state)
        assert not is_over, f"{state}\n{text}"
        assert time.monotonic() < end, f"{state}\n{text}"
        time.sleep(0.2)


def details_at_end(slurm: Slurm, job: str) -> str:
    """Returns what Slurm says about a job once it is over."""
    end = time.monotonic() + 200
    while re.search(r"JobState=(RUNNING|COMPLETING|PENDING)", state := details(slurm, job)):
        assert time.monotonic() < end, state
        time.sleep(0.2)
    return state
