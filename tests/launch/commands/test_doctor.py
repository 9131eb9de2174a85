"""`ostinato doctor` on this machine, and where something is missing."""

import json
import os
import subprocess
import sys

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main
from ostinato.launch.doctor import missing_requirements


def distribution(folder, name, *requires):
    """Makes a folder look as if a package were installed in it."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", "Provides-Extra: more", "Provides-Extra: live"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {text}" for text in requires)]) + "\n")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    distribution(tmp_path, "inner-one", "nowhere-two; extra == 'more'", "numpy")
    distribution(
        tmp_path, "outer-one", "numpy>=1", "numpy<1", "nowhere-one", "elsewhere-one; python_version < '3'",
        "inner-one[more]; extra == 'live'", "nowhere-three>=2; extra == 'live'",
    )  # fmt: skip


def test_what_is_missing_is_named_also_of_the_extras_of_others(installed):
    found = missing_requirements("outer-one")
    assert [name.split("<")[0] for name in found] == ["numpy", "nowhere-one"]
    assert found[0].startswith("numpy<1 (there is ")
    assert missing_requirements("outer-one", "live") == ["nowhere-two", "nowhere-three"]
    assert missing_requirements("inner-one") == []


def test_here_all_that_is_needed_is_there(capsys):
    assert main(["doctor", "--json"]) == ExitCode.FINISHED
    findings = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert {"system", "versions", "packages", "processors", "disk, here", "devices", "sound"} <= set(findings)
    assert findings["devices"]["found"] == "4 x cpu (cpu)"
    assert findings["sound"]["found"].endswith("TimGM6mb.sf2")
    assert not any(finding["is_needed"] for finding in findings.values())
    assert main(["doctor"]) == ExitCode.FINISHED
    assert "✓ sound" in capsys.readouterr().out


def test_what_is_needed_and_missing_makes_another_exit_code(tmp_path):
    distribution(tmp_path, "ostinato", "nowhere-one", "nowhere-two; extra == 'live'")
    done = subprocess.run(
        [sys.executable, "-m", "ostinato", "doctor"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == ExitCode.USAGE
    assert "✗ packages               missing: nowhere-one\n" in done.stdout
    assert "pip install --upgrade ostinato\n" in done.stdout
    assert "for sample --stream port:NAME: missing nowhere-two\n" in done.stdout
    assert "pip install 'ostinato[live]'\n" in done.stdout
