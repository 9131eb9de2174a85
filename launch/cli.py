"""The `ostinato` command: reads the words and runs the command that they name.

A stage is imported only when its command runs, so that `--help` opens without JAX or Beam. The exit codes are explained
in configs/errors.py; OSTINATO_TRACEBACK=1 shows where an error of the user's was found.
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

from ostinato.configs.errors import ExitCode, Lines, StoppedError, UserError
from ostinato.launch import interruption
from ostinato.launch.arguments import parse
from ostinato.launch.commands.bench import Bench
from ostinato.launch.commands.demo import Demo
from ostinato.launch.commands.doctor import Doctor
from ostinato.launch.commands.evaluate import Evaluate
from ostinato.launch.commands.export import Export
from ostinato.launch.commands.import_ import Import
from ostinato.launch.commands.inspect import Inspect
from ostinato.launch.commands.launch import Launch
from ostinato.launch.commands.listen import Listen
from ostinato.launch.commands.models import Models
from ostinato.launch.commands.plan import Plan
from ostinato.launch.commands.prepare import Prepare
from ostinato.launch.commands.runs import Runs
from ostinato.launch.commands.sample import Sample
from ostinato.launch.commands.studio import Studio
from ostinato.launch.commands.train import Train

COMMANDS = {
    "demo": Demo,
    "prepare": Prepare,
    "inspect": Inspect,
    "plan": Plan,
    "train": Train,
    "launch": Launch,
    "runs": Runs,
    "models": Models,
    "sample": Sample,
    "studio": Studio,
    "evaluate": Evaluate,
    "bench": Bench,
    "listen": Listen,
    "export": Export,
    "import": Import,
    "doctor": Doctor,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; an error that nobody foresaw is raised."""
    from ostinato.report.terminal import plain_streams

    _configure_logging()
    sys.excepthook = _print_traceback
    with plain_streams():
        return _main(sys.argv[1:] if arguments is None else arguments)


def _main(words: Sequence[str]) -> int:
    from ostinato.report.terminal import OutputClosedError, discard_output

    code: int
    try:
        code = _run(words)
    except UserError as error:
        code = _report(error, ExitCode.USAGE)
    except StoppedError as error:
        code = _report(error, error.exit_code)
    except FloatingPointError as error:
        code = _report(error, ExitCode.NON_FINITE)
    except KeyboardInterrupt:
        code = _report("interrupted; give the same command again", ExitCode.INTERRUPTED)
    except OutputClosedError:
        discard_output()
        code = ExitCode.OUTPUT_CLOSED
    except Exception:
        if not _has_peers():
            raise
        traceback.print_exc()
        code = ExitCode.FAILED
    # A normal exit waits for the other processes of a run, which it may be in vain to wait for.
    if code not in (ExitCode.FINISHED, ExitCode.PREEMPTED) and _has_peers():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(words: Sequence[str]) -> int:
    """Runs the command, and has all written that it printed."""
    code: int = ExitCode.FINISHED
    try:
        if list(words) == ["--version"]:
            print(_versions())
        else:
            code = parse(words, COMMANDS).run() or code
    except SystemExit:  # after --help
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


def _versions() -> str:
    from ostinato.configs.versions import package_version

    return f"ostinato {package_version('ostinato')}, Python {sys.version.split()[0]}, JAX {package_version('jax')}"


def _configure_logging() -> None:
    # Errors only from others: apache_beam warns at every import about clouds that nobody asked for.
    from ostinato.report.terminal import PlainFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(message)s"))
    logging.basicConfig(level=logging.ERROR, handlers=[handler])
    logging.getLogger("ostinato").setLevel(logging.INFO)
    if not os.environ.get("OSTINATO_TRACEBACK"):
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # it logs each error that it raises, at length


def _report(error: object, code: ExitCode) -> ExitCode:
    """Prints what has happened in one line, or in as many as the error lists, and returns the code."""
    if os.environ.get("OSTINATO_TRACEBACK"):
        traceback.print_exc()
    from ostinato.report.text import printable

    message = next((one for one in getattr(error, "args", ()) if isinstance(one, Lines)), None)
    lines = message.split("\n") if message else [str(error)]
    print("\n  ".join(printable(line) for line in ["ostinato: " + lines[0], *lines[1:]]).rstrip(), file=sys.stderr)
    return code


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Prints what nobody foresaw as Python does, but for what steers a terminal."""
    from ostinato.report.text import printable_lines

    print(printable_lines("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def _has_peers() -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def run() -> None:
    """Runs the command of this process, and ends it."""
    with interruption.heard():
        code = main()
    sys.exit(code)


if __name__ == "__main__":
    run()
