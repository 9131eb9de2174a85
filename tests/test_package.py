"""`import ostinato` and `python -m ostinato`."""

import importlib
import importlib.metadata
import inspect
import subprocess
import sys

import cloudpickle
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
