"""The flags of `ostinato studio`: mistakes are one line."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from ostinato.pretrained import models
from tests.sample.runs import untrained, write_run


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("studio") / "run", untrained())


def test_a_folder_without_a_model_is_named(tmp_path, refused):
    assert f"{tmp_path}: no checkpoint here" in refused("studio", tmp_path)


def test_a_port_that_is_taken_is_named(workdir, refused):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"cannot listen on 127.0.0.1, port {port}" in refused("studio", workdir, "--port", port)
    assert "cannot listen on 127.0.0.1, port 70000" in refused("studio", workdir, "--port", 70000)


@pytest.mark.slow
def test_the_page_is_opened_in_the_browser(workdir, tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "ostinato.launch.cli", "studio", str(workdir), "--port", "0", "--show"]
    environment = {**os.environ, "BROWSER": f"{browser} %s"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[0]
            deadline_s = time.monotonic() + 60
            while not (tmp_path / "opened").is_file() or not (tmp_path / "opened").read_text():
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGTERM)
    assert (tmp_path / "opened").read_text().strip() == address


def test_a_prefix_that_is_no_path_is_named(workdir, refused):
    assert "--prefix 'a b' must be a path" in refused("studio", workdir, "--prefix", "a b")


def test_a_folder_that_cannot_be_made_is_named(workdir, tmp_path, refused):
    (tmp_path / "file").touch()
    assert f"{tmp_path}/file/pieces: Not a directory" in refused(
        "studio", workdir, "--folder", tmp_path / "file/pieces"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_named(workdir, tmp_path, refused):
    tmp_path.chmod(0o500)
    assert f"{tmp_path}: cannot be written to" in refused("studio", workdir, "--folder", tmp_path)


def test_a_soundfont_that_is_not_there_is_named(workdir, tmp_path, refused):
    assert "x.sf2: no such file" in refused("studio", workdir, "--soundfont", tmp_path / "x.sf2")


def test_without_a_run_and_without_a_model_it_says_where_to_get_one(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(models, "BOX", tmp_path)
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "cache"))
    assert "no model is on this machine: name a run" in refused("studio")
    assert "no model of this name, only none at all" in refused("studio", "chorale")
