"""`import ostinato` and `python -m ostinato`."""

import importlib
import inspect
import subprocess
import sys

import pytest

import ostinato
from ostinato.configs.errors import ExitCode


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


def test_the_package_is_the_command():
    done = run("-m", "ostinato", "frob")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith("ostinato: unknown word 'frob': choose one of ")
