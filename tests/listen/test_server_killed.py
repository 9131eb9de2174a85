"""An answer that a page has thanked for is on disk, whatever happens to the server next."""

import contextlib
import os
import signal
import subprocess
import sys

import httpx2 as httpx
import pytest

from ostinato.listen.web.answers import Answers
from tests.listen.studies import make_study
from tests.listen.visitors import answer_to, begin, words

NUM_KILLS = 50

# Each server is a process of its own; that it is forked from one that has imported everything saves a minute.
SERVERS = """
import os, sys
from ostinato.configs.listen import ServeConfig
from ostinato.listen.web.server import serve
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        serve(sys.argv[1], ServeConfig(port=0), announce=lambda address: print(os.getpid(), address, flush=True))
    print(os.waitpid(child, 0)[1], flush=True)
"""


@contextlib.contextmanager
def _servers(folder):
    """Yields a function that starts a server and returns its number and address, and one that returns how it ended."""
    servers = subprocess.Popen(
        [sys.executable, "-c", SERVERS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip

    def start():
        print(file=servers.stdin, flush=True)
        pid, address = servers.stdout.readline().split()
        return int(pid), address

    try:
        yield start, lambda: int(servers.stdout.readline())
    finally:
        os.killpg(servers.pid, signal.SIGKILL)
        servers.communicate()


@pytest.mark.slow
def test_no_answer_is_lost_when_the_server_is_killed_fifty_times(tmp_path):
    study = make_study(tmp_path / "study", clip_s=0.1)
    said = []
    with _servers(study.folder) as (start, end):
        for kill in range(NUM_KILLS):
            place = kill % study.num_tasks
            if place == 0:  # the next listener
                token = {}
                said.append([])
            pid, address = start()
            with httpx.Client(base_url=address, cookies=token, timeout=60, verify=False) as client:
                client.follow_redirects = True
                page = client.get("/") if token else begin(client)
                token = dict(client.cookies)
                # What was said to be stored before the kill is there: this is the task after it.
                assert f"{place + 1} of {study.num_tasks}" in words(page.text)
                form = answer_to(page.text, comment=f"said before kill {kill}")
                client.follow_redirects = False
                answered = client.post("/task", data=form)
                os.kill(pid, signal.SIGKILL)
                assert answered.status_code == 303
                said[-1].append(form)
            assert end() == signal.SIGKILL
    answers = Answers.open(study)
    found = [listener.answers.values() for listener in answers.listeners()]
    answers.close()
    assert len(found) == len(said)
    for forms, stored in zip(said, found, strict=True):
        assert [answer.comment for answer in stored] == [form["comment"] for form in forms]
        chosen = [answer.choice for answer in stored if hasattr(answer, "choice")]
        assert chosen == [form["choice"] for form in forms if "choice" in form]
