"""Tests that can fail: each defence is taken out in turn, and the test that is named for it has to notice."""

import json
import os
import subprocess
import sys
import tomllib

import pytest

from tests.faults.command import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MUTATE = ROOT / "tests/faults/mutate"
MUTANTS = tomllib.loads((ROOT / "tests/faults/mutants.toml").read_text())["mutant"]
FAILED = 1
"""pytest: some tests failed; not that there was none, or that one could not be begun."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant["name"].replace(" ", "-") for mutant in MUTANTS])
def test_a_defence_that_is_taken_out_is_missed_by_the_test_that_is_named_for_it(mutant, tmp_path):
    told = {**mutant, "file": str(ROOT / mutant["file"]), "done": str(tmp_path / "done")}
    path = os.pathsep.join([str(MUTATE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "slow or not slow", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*words, f"--basetemp={tmp_path / 'temporary'}", mutant["test"]],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "OSTINATO_MUTANT": json.dumps(told)},
        capture_output=True,
        text=True,
    )
    assert (tmp_path / "done").exists(), done.stdout
    assert done.returncode == FAILED, done.stdout
    assert "1 failed" in done.stdout, done.stdout
