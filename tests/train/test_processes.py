"""Training by two processes with two devices each, over gloo on one machine."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.train.conftest import TRAIN_LENGTHS, VALIDATION_LENGTHS, make_dataset, read_metrics

PROCESS = """
import itertools, json, os, sys
from pathlib import Path
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
process, num_processes, port, dataset, workdir = sys.argv[1:]
import jax
if int(num_processes) > 1:
    jax.distributed.initialize(f"localhost:{port}", int(num_processes), int(process))
from ostinato.configs.schema import DataConfig, ModelConfig, TrainConfig
from ostinato.music.records import Dataset
from ostinato.train.loop import train
from ostinato.train.runs import show
model = ModelConfig(embedding_size=8, hidden_size=16, head_size=8)
config = TrainConfig(
    model=model, data=DataConfig(batch_size=4, sequence_length=8), num_steps=6, evaluate_every=3, log_every=1
)
steps = itertools.count(1)
train(config, Dataset.open(dataset), Path(workdir), should_stop=lambda: next(steps) == 4)
result = train(config, Dataset.open(dataset), Path(workdir))
if process == "0":
    show(Path(workdir))  # one process may look alone
print(json.dumps(result))
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROCESS, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.cluster
def test_two_processes_learn_what_one_does_and_resume_together(tmp_path):
    make_dataset(tmp_path / "data", TRAIN_LENGTHS, VALIDATION_LENGTHS)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    results = {}
    for num_processes in (2, 1):
        workdir = tmp_path / str(num_processes)
        processes = [start(i, num_processes, port, tmp_path / "data", workdir) for i in range(num_processes)]
        for process in processes:
            output, errors = process.communicate(timeout=250)
            assert process.returncode == 0, errors
            results.setdefault(num_processes, []).append(json.loads(output.splitlines()[-1]))
    assert results[2][0] == results[2][1]
    np.testing.assert_allclose(results[2][0], results[1][0], rtol=1e-5)
    for split, num_records in (("train", 6), ("validation", 3)):
        two, one = (read_metrics(tmp_path / str(n), split) for n in (2, 1))
        assert len(two) == len(one) == num_records
        np.testing.assert_allclose([r["loss"] for r in two], [r["loss"] for r in one], rtol=1e-5)
