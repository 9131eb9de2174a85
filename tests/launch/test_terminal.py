"""Names from outside that steer terminals: the real commands write them out, in tables, lines, logs and errors."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main
from tests.archives import make_tar, make_zip
from tests.midi_files import write_tunes

READABLE = "ä漢字 שלום مرحبا"
NAME = (
    f"{READABLE}\x1b[31m\x1b]0;owned\x07\x1b[2J\u202egnp\u202c\u2066x\u2069"
    "\u200b\u200f\u2028\u2029\x85\x9b31m\x7f\b\r\nFAKE"
)
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
OF_RICH = re.compile(r"\x1b\[[0-9;?]*[A-HJKhlm]|\r")
BASE = (
    "import sys; from ostinato.launch.cli import main; import json; [main(words) for words in json.loads(sys.argv[1])]"
)


def check(output, *, has_name=True):
    """Checks what a command has written, as text."""
    assert not STEERING.search(output), output
    assert not any(line.lstrip("│ ").startswith("FAKE") for line in output.splitlines()), output
    assert not has_name or READABLE in output, output


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "--midi", "{}", "--output", "{}/out"],
        ["inspect", "{}"],
        ["train", "debug", "--dataset", "{}", "--workdir", "{}/run"],
        ["runs", "list", "{}"],
        ["runs", "show", "{}"],
        ["runs", "config", "{}"],
        ["models", "show", "{}"],
        ["sample", "--model", "{}", "--output", "{}/out"],
        ["evaluate", "{}"],
        ["export", "torch", "{}", "{}/out"],
        ["listen", "serve", "{}"],
        ["listen", "results", "{}"],
        ["studio", "{}"],
        ["import", "{}", "{}/run"],
        ["{}"],
        ["inspect", "x", "--{}"],
    ],
)
def test_names_in_errors_do_not_steer_the_terminal(tmp_path, monkeypatch, capfd, words):
    monkeypatch.chdir(tmp_path)
    assert main([word.format(NAME) for word in words]) in (ExitCode.USAGE, ExitCode.FAILED)
    out, err = capfd.readouterr()
    check(out + err)


def test_streams_are_plain_for_whatever_is_written_while_a_command_runs(monkeypatch, capfd):
    def write(words, commands):
        print(NAME)
        sys.stderr.writelines([NAME, "\udce9\n"])
        raise KeyboardInterrupt

    monkeypatch.setattr("ostinato.launch.cli.parse", write)
    assert main(["inspect"]) == ExitCode.INTERRUPTED
    out, err = capfd.readouterr()
    assert READABLE in out
    assert READABLE in err
    assert not STEERING.search(out + err)


@pytest.mark.parametrize("raised", ["KeyError(name)", "OSError(2, name, name)", "RuntimeError(name)"])
def test_a_log_line_is_one_line_and_what_nobody_foresaw_is_printed_plainly(raised):
    code = f"""
import logging, sys
from ostinato.launch import cli
name = sys.argv[1]
def fail(*_):
    logging.getLogger("ostinato").warning("%s", name)
    logging.getLogger("other").error(name)
    raise {raised}
cli.parse = fail
sys.exit(cli.main(["inspect"]))
"""
    ran = subprocess.run([sys.executable, "-c", code, NAME], capture_output=True, check=False)
    assert ran.returncode == 1
    logged, found, trace = ran.stderr.decode().partition("Traceback")
    assert found
    check(logged)
    assert len(logged.splitlines()) == 2
    assert not STEERING.search(trace)


def _collection(folder):
    """Makes a folder of tunes with names that steer, in styles, archives and files that cannot be read."""
    style = folder / f"style {NAME}"
    write_tunes(style, 12)
    (style / f"{NAME}.mid").write_bytes(b"none")
    tune = next(style.glob("*.mid")).read_bytes()
    (folder / f"{NAME}.zip").write_bytes(make_zip([(f"{NAME}/in.mid", tune[:-9]), (f"{NAME}.mid", b"none")]))
    (folder / f"{NAME}.tar").write_bytes(make_tar([(f"{NAME}.mid", b"none")])[:700])
    (folder / f"x.{NAME[-8:]}").write_bytes(b"")
    return folder


@pytest.mark.slow
def test_commands_do_not_pass_on_what_steers_a_terminal(tmp_path):
    """Prepares and shows a hostile collection, once into pipes and once on a terminal."""
    folder = _collection(tmp_path / NAME)
    words = [
        ["prepare", "--midi", str(folder), "--output", f"{tmp_path}/{NAME} out{{}}", "--codec.style", "folder"],
        ["inspect", f"{tmp_path}/{NAME} out{{}}"],
        ["prepare", "--midi", str(folder / f"{NAME}.tar"), "--output", f"{tmp_path}/none"],
        ["runs", str(tmp_path)],
    ]

    def command(number):
        return [
            sys.executable,
            "-c",
            BASE,
            json.dumps([[word.replace("{}", number) for word in line] for line in words]),
        ]

    ran = subprocess.run(command("1"), capture_output=True, check=False, cwd=tmp_path)
    for stream in (ran.stdout, ran.stderr):
        check(stream.decode())
    assert ran.returncode == 0, ran.stderr
    ours, theirs = pty.openpty()
    with subprocess.Popen(command("2"), stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path) as process:
        os.close(theirs)
        output = b""
        try:
            while piece := os.read(ours, 1 << 16):
                output += piece
        except OSError:  # how Linux says that nobody writes any more
            pass
        os.close(ours)
    assert process.returncode == 0, output
    check(OF_RICH.sub("", output.decode()))
    assert "\\x1b[31m\\x1b]0;owned" in output.decode().replace("\r\n", "")
