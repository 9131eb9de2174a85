"""Readers beside a process that saves and removes checkpoints as fast as it can."""

import shutil
import subprocess
import sys
import time

import pytest

from ostinato.train.checkpoint import load_params, look
from ostinato.train.fingerprint import tree_sha256
from ostinato.train.folders import CheckpointError, DamagedError
from ostinato.train.recovery import list_steps
from ostinato.train.runs import show, summarise_run
from tests.faults.command import DEADLINE_S, ROOT
from tests.faults.conftest import flip, train

pytestmark = pytest.mark.slow

LOADS, REPLACED = 40, 15
SAVE = """
import json, sys
from pathlib import Path
import numpy as np
import jax
from ostinato.train.checkpoint import Checkpoints, load_params
from ostinato.train.recovery import list_steps
from ostinato.train.step import TrainState

workdir = Path(sys.argv[1])
step = list_steps(workdir)[-1]
with Checkpoints(workdir, keep=1) as checkpoints:
    description = checkpoints.describe(step)
    params = load_params(workdir, "latest").params
    description = {name: value for name, value in description.items() if not name.endswith("sha256")}
    while not Path(sys.argv[2]).exists():
        step += 1
        moved = jax.tree.map(lambda leaf: leaf + np.float32(1 / step), params)
        carry = {"step": np.int32(step)}
        checkpoints.save(TrainState(np.int32(step), moved, carry, carry), description, validation_loss=1 / step)
"""


@pytest.fixture
def writing(forker, data, tmp_path):
    """The folder of a run whose checkpoints another process replaces, each by a better one."""
    workdir, stop = tmp_path / "run", tmp_path / "stop"
    ended = forker.run(*train(data, workdir, "--num-steps", 3))
    assert ended.code() == 0, ended.said
    with subprocess.Popen([sys.executable, "-c", SAVE, workdir, stop], cwd=ROOT) as process:
        try:
            while list_steps(workdir)[-1] < 6:
                assert process.poll() is None
                time.sleep(0.05)
            yield workdir
            stop.touch()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()  # where the test has failed; else it has ended


def test_readers_beside_a_run_that_replaces_its_checkpoints_find_whole_ones(writing):
    """Sampling, evaluating, exporting and the studio load parameters; `runs` and `runs show` read descriptions."""
    number, begin = 0, list_steps(writing)[-1]
    while number < LOADS or list_steps(writing)[-1] - begin < REPLACED:
        run = load_params(writing, ("best", "latest")[number % 2])
        assert tree_sha256(run.params) == run.params_sha256
        assert show(writing)["step"] >= run.step
        assert summarise_run(writing).saved_step >= run.step
        number += 1


def test_what_stays_damaged_is_called_so_and_nobody_is_told_to_delete_it(straight, tmp_path):
    run = shutil.copytree(straight, tmp_path / "run")
    for path in (run / "checkpoints/24/params").rglob("d/*"):
        flip(path, path.stat().st_size // 2)
    with pytest.raises(DamagedError) as caught:
        load_params(run, "latest")
    assert "delete" not in str(caught.value)
    assert "there is also that of step 21 and 18" in str(caught.value)
    assert look(run, lambda checkpoints: checkpoints.load(21)).step == 21
    shutil.rmtree(run / "checkpoints/21")
    with pytest.raises(CheckpointError, match="there is no checkpoint of step 21 any more, only of 18, 24"):
        load_params(run, 21)
