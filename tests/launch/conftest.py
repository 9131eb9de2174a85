"""A command that must be refused."""

from collections.abc import Callable

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs commands that the user has to mend, and returns the one line that says how."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == ExitCode.USAGE
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("ostinato: ")
        return line

    return run
