"""Two hundred listeners at once: how long each waits for a page, and whether an answer is lost.

    python -m ostinato.benchmarks.listen --study FOLDER [--listeners 200]

FOLDER is what `ostinato listen create` made; its own answers are left alone. The server is a process of its own with
its usual limits; the listeners share another one, begin together, and go from consent to thanks without a pause, each
with one request at a time and with all clips loaded. So the waits are those of the worst second of a lesson in which a
whole school listens, and both processes share the cores. Takes half a minute on two of them.
"""

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import numpy as np
import tyro

from ostinato.launch.commands.show import print_table
from ostinato.listen.design.study import ANSWERS_FILE, Study
from ostinato.listen.web.answer import Comparison
from ostinato.listen.web.answers import Answers

ALLOWED_MEDIAN_S = 1.0
"""What a listener may wait for a page."""

_SERVE = (
    "import sys; from ostinato.configs.listen import ServeConfig; from ostinato.listen.web.server import serve; "
    "serve(sys.argv[1], ServeConfig(port=0))"
)


class Visitor:
    """One listener's connection, kept open as browsers do, with one request at a time."""

    def __init__(self, session: aiohttp.ClientSession, waits_s: dict[str, list[float]]) -> None:
        self._session, self._waits_s = session, waits_s

    async def ask(
        self, what: str, path: str, form: dict[str, str] | None = None, *, status: int | None = None
    ) -> tuple[int, bytes]:
        """Sends a request and returns the status and body of the answer; the wait counts under `what`.

        Raises:
            AssertionError: another status was expected.
        """
        start_s = time.perf_counter()
        method = "GET" if form is None else "POST"
        async with self._session.request(method, path, data=form, allow_redirects=False) as response:
            body = await response.read()
        self._waits_s.setdefault(what, []).append(time.perf_counter() - start_s)
        assert status in (None, response.status), (path, response.status, body[:500])
        return response.status, body


async def listen(visitor: Visitor, number: int) -> dict[str, str]:
    """Takes part once, and returns what was said to be stored: by task, the comment that marks the answer.

    Raises:
        AssertionError: the server refused something.
    """
    _, page = await visitor.ask("first page", "/")
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.decode()):
        await visitor.ask("style, script", path)
    await visitor.ask("consent", "/consent", {"consent": "yes"}, status=303)
    await visitor.ask("training", "/training", status=200)
    training = {"practice": "6-9", "level": "amateur", "playback": "headphones"}
    await visitor.ask("training", "/training", training, status=303)
    stored: dict[str, str] = {}
    while True:
        status, page = await visitor.ask("task page", "/task")
        if status == 303:
            break
        text = page.decode()
        clips = re.findall(r'<source src="([^"]+)" type="audio/ogg', text)
        for clip in clips:
            await visitor.ask("clip", clip, status=200)
        match = re.search(r'name="task" value="(\d+)"', text)
        assert match is not None, text
        form = {"task": match[1], "comment": f"{number} on {match[1]}", "played_ms": " ".join(["20000"] * len(clips))}
        form |= (
            {"choice": "ab"[number % 2]} if len(clips) == 2 else dict.fromkeys(("coherence", "style", "emotion"), "4")
        )
        await visitor.ask("answer", "/task", form, status=303)
        stored[match[1]] = form["comment"]
    _, thanks = await visitor.ask("thanks", "/thanks")
    assert b"Thank you" in thanks, thanks
    return stored


def measure(study_folder: Path, num_listeners: int) -> dict[str, Any]:
    """Returns the waits in seconds by kind of request, the requests a second, and how many answers were lost."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work, "study")
        shutil.copytree(study_folder, folder, ignore=shutil.ignore_patterns(f"{ANSWERS_FILE}*"))
        waits_s: dict[str, list[float]] = {}
        with _server(folder) as address:
            start_s = time.perf_counter()
            told = asyncio.run(_listen_together(address, num_listeners, waits_s))
            took_s = time.perf_counter() - start_s
        # The server was killed: what counts is on disk.
        answers = Answers.open(Study.open(folder))
        found = [listener.answers for listener in answers.listeners() if listener.finished]
        answers.close()
    kept = {answer.comment: answer for said in found for answer in said.values()}
    for comment, answer in kept.items():
        assert not isinstance(answer, Comparison) or answer.choice == "ab"[int(comment.split()[0]) % 2], answer
    num_told = sum(len(stored) for stored in told)
    lost = sum(comment not in kept for stored in told for comment in stored.values())
    return {
        "waits_s": waits_s, "took_s": took_s, "listeners": num_listeners, "finished": len(found), "answers": num_told,
        "lost": lost,
    }  # fmt: skip


async def _listen_together(address: str, count: int, waits_s: dict[str, list[float]]) -> list[dict[str, str]]:
    async with contextlib.AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(_session(address)) for _ in range(count)]
        return await asyncio.gather(*(listen(Visitor(one, waits_s), number) for number, one in enumerate(sessions)))


def _session(address: str) -> aiohttp.ClientSession:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address that is a number
    return aiohttp.ClientSession(address, cookie_jar=jar, connector=aiohttp.TCPConnector(limit=1))


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@dataclass(frozen=True, kw_only=True)
class Options:
    study: Path
    """What `ostinato listen create` made."""
    listeners: int = 200
    """How many begin at once."""


def main(options: Options) -> None:
    """Measures, prints a table and a line of JSON; exit code 1 if an answer was lost or the median is over a second."""
    result = measure(options.study, options.listeners)
    waits_s = result.pop("waits_s")
    waits_s["all"] = [wait_s for some in waits_s.values() for wait_s in some]
    medians_s, rows = {name: median(some) for name, some in waits_s.items()}, []
    for name, some in waits_s.items():
        late_s, longest_s = np.quantile(some, (0.95, 1))
        rows.append((name, f"{len(some):,}", f"{medians_s[name]:.3f}", f"{late_s:.3f}", f"{longest_s:.3f}"))
    took_s = result["took_s"]
    title = f"{options.listeners} listeners at once, {len(waits_s['all']) / took_s:.0f} requests a second"
    print_table(title, ("", "requests", "median s", "95 % s", "longest s"), rows)
    ratios = {"median wait, of the second allowed": round(medians_s["all"] / ALLOWED_MEDIAN_S, 3)}
    print(json.dumps({"ratios": ratios, **result}))
    is_good = not result["lost"] and result["finished"] == options.listeners
    sys.exit(0 if is_good and max(medians_s.values()) < ALLOWED_MEDIAN_S else 1)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
