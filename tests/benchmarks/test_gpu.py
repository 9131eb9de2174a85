"""All stages of `benchmarks.gpu`, in processes of their own on tiny networks; its report where results are missing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ostinato.benchmarks.gpu.__main__ import SHARES_S
from ostinato.benchmarks.gpu.equality import Found, compare
from ostinato.benchmarks.gpu.report import write_report
from ostinato.benchmarks.gpu.results import FILE, append, read


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_smoke_run_goes_through_all_stages(tmp_path):
    command = [sys.executable, "-m", "ostinato.benchmarks.gpu", "--smoke", "--output", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    assert ran.returncode == 0, ran.stdout + ran.stderr + (tmp_path / "log.txt").read_text()[-4000:]
    found = read(tmp_path)
    assert [(one["name"], one["code"]) for one in found if one["kind"] == "ended"] == [(name, 0) for name in SHARES_S]
    of = {kind: [one for one in found if one["kind"] == kind] for kind in {one["kind"] for one in found}}
    assert all(one["equal"] for one in of["equality"])
    assert {one["cell"] for one in of["equality"]} >= {"lstm", "gru"}
    assert all(one["rows_per_s"] > 0 for one in of["step"])
    assert of["resume"][0]["equal"]
    assert all(set(one["codes"]) == {0} for one in of["sharing"])
    assert {"plan", "sampling", "feeding", "rate"} <= of.keys()
    assert "Nothing was found" not in (tmp_path / "report.md").read_text().partition("## Remarks")[0]


@pytest.mark.skipif(not Path("/proc/thread-self/children").exists(), reason="finds processes in /proc")
def test_what_is_ended_leaves_no_process_on_the_card(tmp_path):
    command = [sys.executable, "-m", "ostinato.benchmarks.gpu", "--smoke", "--output", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "JAX_PLATFORMS": "cpu"}) as running:
        while not (tmp_path / FILE).exists() and running.poll() is None:  # the first stage has found something
            time.sleep(0.01)
        (stage,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        running.terminate()
        assert running.wait() == 1
    assert not Path("/proc", stage).exists()


def test_the_report_is_readable_whatever_is_missing(tmp_path):
    write_report(tmp_path)
    assert (tmp_path / "report.md").read_text().count("Nothing was found") > 5
    append(tmp_path, {"stage": "machine", "kind": "rate", "name": "matmul tf32", "value": 1e9, "unit": "FLOP/s"})
    common = {"stage": "speed", "kind": "step", "shape": [2, 512, 8, 128]}
    append(tmp_path, {**common, "label": "torch.nn.LSTM, tf32", "step_s": 0.2, "rows_per_s": 5120.0})
    append(tmp_path, {**common, "label": "lstm, cuDNN, tf32", "step_s": 0.1, "rows_per_s": 10240.0, "compile_s": 3.0})
    append(tmp_path, {**common, "label": "lstm, the rule, bf16", "error": "OutOfMemory"})
    with open(tmp_path / FILE, "a") as file:
        file.write(json.dumps({"kind": "step"})[:9])  # the machine was taken away
    write_report(tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert "| lstm, cuDNN, tf32 | 10,240 | 100.00 |  |  | 3 | 2.00 |" in report
    assert "| lstm, the rule, bf16 | did not run | OutOfMemory |" in report


def test_what_is_far_from_the_reference_or_not_a_number_is_not_equal():
    reference = Found(np.array([2.0, 1.5]), {"kernel": np.ones(4)}, np.ones(3))
    assert compare(reference, reference, "float32")["equal"]
    for worse in (
        reference._replace(losses=np.array([2.0, 1.51])),
        reference._replace(gradients={"kernel": np.array([1.0, 1.0, 1.0, 1.01])}),
        reference._replace(carry=np.array([1.0, np.nan, 1.0])),
    ):
        assert not compare(worse, reference, "float32")["equal"]
    assert compare(reference._replace(gradients={"kernel": np.full(4, 1.01)}), reference, "bf16")["equal"]
