"""`import ostinato` and `python -m ostinato`."""

import importlib
import importlib.metadata
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import cloudpickle
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ostinato
from ostinato.configs.errors import ExitCode

ROOT = Path(__file__).parents[1]


def run(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


def test_the_import_configures_nothing_and_brings_no_library():
    code = (
        "import logging, sys; import ostinato; "
        "heavy = {'jax', 'numpy', 'apache_beam', 'matplotlib', 'rich', 'tyro'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "assert not logging.getLogger().handlers and not logging.getLogger('ostinato').handlers"
    )
    done = run("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_all_public_names_are_there_and_are_documented():
    assert set(ostinato.__all__) <= set(dir(ostinato))
    for name in set(ostinato.__all__) - {"__version__"}:
        assert len(getattr(ostinato, name).__doc__) > 40
    assert ostinato.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="has no attribute 'frob'"):
        _ = ostinato.frob


def test_train_is_the_function_and_the_folder():
    assert list(inspect.signature(ostinato.train).parameters)[:3] == ["dataset", "workdir", "preset"]
    importlib.import_module("ostinato.train.schedule")
    assert callable(ostinato.train)
    assert ostinato.train.schedule.__name__ == "ostinato.train.schedule"
    assert cloudpickle.loads(cloudpickle.dumps(ostinato.train)) is ostinato.train


def test_the_package_is_the_command():
    done = run("-m", "ostinato", "frob")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith("ostinato: unknown word 'frob': choose one of ")


def test_the_version_is_told_without_any_library():
    code = "import sys; from ostinato.launch.cli import main; main(['--version'])"
    done = run("-c", f"{code}; assert not {{'jax', 'numpy', 'rich'}} & set(sys.modules)")
    version = importlib.metadata.version
    assert done.stdout == f"ostinato {version('ostinato')}, Python {sys.version.split()[0]}, JAX {version('jax')}\n"
    assert (done.returncode, done.stderr) == (0, "")


def pins(*names):
    lines = [line.split("#")[0].strip() for name in names for line in (ROOT / name).read_text().splitlines()]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def test_the_locks_hold_a_version_of_all_that_pyproject_asks_for():
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, groups = asked["project"], asked["dependency-groups"]
    extras = [project["optional-dependencies"][name] for name in ("demo", "notation", "7z", "hub", "listen")]
    assert groups["dev"][0] == {"include-group": "docs"}
    for texts, locks in (
        (sum(extras, project["dependencies"]), ["requirements.lock"]),
        ([*groups["docs"], *groups["dev"][1:]], ["requirements.lock", "requirements-dev.lock"]),
    ):
        locked = pins(*locks)
        for requirement in map(Requirement, texts):
            version = locked.get(canonicalize_name(requirement.name))
            assert version, f"{requirement} is in none of {locks}"
            assert requirement.specifier.contains(version), f"{requirement} is {version} in {locks}"
