"""The flags of `ostinato studio`: mistakes are one line."""

import socket

import pytest

from ostinato.launch.cli import main
from tests.sample.runs import untrained, write_run


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("studio") / "run", untrained())


def _refused(capsys, *arguments):
    capsys.readouterr()
    assert main(["studio", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_folder_without_a_model_is_named(tmp_path, capsys):
    assert f"{tmp_path}: no checkpoint here" in _refused(capsys, tmp_path)


def test_a_port_that_is_taken_is_named(workdir, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"cannot listen on 127.0.0.1, port {port}" in _refused(capsys, workdir, "--port", port)
    assert "cannot listen on 127.0.0.1, port 70000" in _refused(capsys, workdir, "--port", 70000)


def test_a_prefix_that_is_no_path_is_named(workdir, capsys):
    assert "--prefix 'a b' must be a path" in _refused(capsys, workdir, "--prefix", "a b")


def test_a_soundfont_that_is_not_there_is_named(workdir, tmp_path, capsys):
    assert "x.sf2: no such file" in _refused(capsys, workdir, "--soundfont", tmp_path / "x.sf2")
