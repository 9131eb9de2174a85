"""How a batch is divided over devices and in parts."""

import logging
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from ostinato.train.checkpoint import load_params
from ostinato.train.devices import divide_batch, idle_devices, parts_for
from tests.train.conftest import read_metrics
from tests.xla import flags


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "rows_at_once", "num_devices", "parts"),
    [
        (64, 1, 8, 8, 1),
        (64, 1, 8, 4, 2),
        (64, 1, 8, 1, 8),
        (64, 4, 8, 8, 4),  # as the user wishes
        (64, 1, 8, 3, 4),  # three devices do not divide it: two of them take 8 rows each
        (12, 1, 5, 2, 2),
        (7, 1, 3, 2, 7),
    ],
)
def test_fewer_devices_compute_a_batch_in_more_parts(batch_size, accumulate, rows_at_once, num_devices, parts):
    assert parts_for(batch_size, accumulate, rows_at_once, num_devices=num_devices) == parts


def test_a_batch_that_leaves_devices_idle_is_reported_with_the_sizes_that_use_all(caplog):
    assert jax.device_count() == 4
    with caplog.at_level(logging.WARNING):
        assert divide_batch(8, 2, None)[0].size == 4
        assert not caplog.messages
        assert divide_batch(10, 1, None)[0].size == 2
    assert caplog.messages == [
        "batch_size 10 uses only 2 of 4 devices, the most that divide it; a batch size of 8 or 12 uses all of them"
    ]
    assert "100 uses only 5 of 8" in idle_devices(100, 1, num_used=5, num_devices=8)
    assert idle_devices(100, 1, num_used=5, num_devices=8).endswith("a batch size of 96 or 104 uses all of them")
    assert idle_devices(6, 2, num_used=3, num_devices=4).startswith("batch_size 6 in 2 parts uses only 3 of 4 devices")
    assert idle_devices(6, 2, num_used=3, num_devices=4).endswith("a batch size of 8 uses all of them")


@pytest.mark.slow
def test_an_mlstm_learns_on_eight_devices_what_it_learns_on_one(dataset, tmp_path):
    command = [sys.executable, "-m", "ostinato.launch.cli", "train", "--dataset", str(dataset.path), "debug"]
    command += ["--model.cell", "mlstm", "--model.no-copy", "--data.batch-size", "8", "--data.sequence-length", "24"]
    command += ["--num-steps", "5", "--evaluate-every", "5", "--log-every", "1"]
    losses, params = [], []
    for count in (1, 8):
        workdir = tmp_path / str(count)
        environment = {**os.environ, "XLA_FLAGS": flags(count)}
        ran = subprocess.run([*command, "--workdir", str(workdir)], env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        losses.append([line["loss"] for line in read_metrics(workdir, "train")])
        run = load_params(workdir, "latest")
        assert run.description["devices"]["devices"] == count
        params.append(run.params)
    assert len(losses[0]) == 5
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *params)
