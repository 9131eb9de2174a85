"""Visitors of the listening test's pages who speak HTTP, and the server as a process of its own."""

import contextlib
import html
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
from starlette.testclient import TestClient

SERVE = """
import sys
from ostinato.configs.listen import ServeConfig
from ostinato.listen.web.server import serve
serve(sys.argv[1], ServeConfig(port=0, prefix=sys.argv[2], trusted_proxies=sys.argv[3]))
"""
TRAINING = {"practice": "6-9", "level": "amateur", "playback": "headphones"}


def visitor(app, **options) -> TestClient:
    """Returns a new visitor of an application, without cookies, who goes where she is sent."""
    return TestClient(app, base_url="http://localhost", **options)


def tasks_shown(page: str) -> str:
    """Returns the id of the task that a page asks for."""
    return re.search(r'name="task" value="(\d+)"', page)[1]


def words(page: str) -> str:
    """Returns what a page says."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def answer_to(page: str, **changed: str) -> dict[str, str]:
    """Returns a form that answers the task of a page; what it says follows from the task, so that it can be checked."""
    task = tasks_shown(page)
    form = {"task": task, "comment": f"about {task}"}
    if 'name="choice"' in page:
        form |= {"choice": "ab"[int(task) % 2], "played_ms": f"{100 + int(task)} 200"}
    else:
        form |= {"coherence": str(1 + int(task) % 5), "style": "3", "emotion": "5", "played_ms": "300"}
    return form | changed


def begin(client: httpx.Client, root: str = "/") -> httpx.Response:
    """Gives consent and says something about training; returns the first task."""
    client.post(f"{root}consent", data={"consent": "yes"}).raise_for_status()
    return client.post(f"{root}training", data=TRAINING).raise_for_status()


def finish(client: httpx.Client, page: httpx.Response, root: str = "/") -> httpx.Response:
    """Answers all tasks from a page on; returns the last page."""
    while 'name="task"' in page.text:
        page = client.post(f"{root}task", data=answer_to(page.text)).raise_for_status()
    return page


@contextlib.contextmanager
def running_server(folder: Path, prefix: str = "", trusted_proxies: str = "") -> Iterator[tuple[subprocess.Popen, str]]:
    """Yields a server process of a study and its address, once it can be reached."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder), prefix, trusted_proxies],
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), address
        yield process, address
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
