"""An answer is on disk before the server acknowledges it: seen from the system calls of the server."""

import os
import re
import shutil
import signal
import subprocess
import sys

import httpx2 as httpx
import pytest

from ostinato.listen.web import answers as module
from tests.listen.studies import make_study
from tests.listen.visitors import SERVE, answer_to, begin

CALLS = "fsync,fdatasync,pwrite64,pwritev,write,writev,sendto,sendmsg"


def late_acknowledgements(trace: str) -> tuple[int, int]:
    """Returns how many answers of 303 a trace of strace holds, and before how many of them a write was not flushed."""
    unflushed: set[str] = set()
    acknowledged = late = 0
    started: dict[str, str] = {}
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            started[thread] = call.removesuffix("<unfinished ...>")
            if not call.startswith(("fsync", "fdatasync")):
                call = started[thread]  # what is begun may have been done
            else:
                continue
        elif call.startswith("<... "):
            call = started.pop(thread, "") + call.partition(">")[2]
            if not call.startswith(("fsync", "fdatasync")):
                continue
        if found := re.match(r"(\w+)\(\d+<([^>]*answers\.sqlite(?:-wal|-journal)?)>", call):
            name, file = found.groups()
            if name.startswith("pw") or name == "write":
                unflushed.add(file)
            elif call.endswith("= 0"):
                unflushed.discard(file)
        elif re.match(r"(write|writev|sendto|sendmsg)\(\d+<[^>]*(socket|TCP)", call) and "HTTP/1.1 303" in call:
            acknowledged += 1
            late += bool(unflushed)
    return acknowledged, late


def _traced(folder, synchronous):
    """Serves a study under strace, with SQLite's setting, while one listener answers; returns the trace."""
    code = SERVE.replace(
        "from ostinato.listen.web.server",
        "from ostinato.listen.web import answers\n"
        f"answers._SCHEMA = answers._SCHEMA.replace('synchronous = FULL', 'synchronous = {synchronous}')\n"
        "from ostinato.listen.web.server",
    )
    trace = folder / "trace"
    command = ["strace", "-f", "-y", "-s", "40", "-e", f"trace={CALLS}", "-o", trace, sys.executable, "-c", code]
    server = subprocess.Popen([*command, folder, "", ""], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        with httpx.Client(base_url=server.stdout.readline().strip(), timeout=120, follow_redirects=True) as client:
            page = begin(client)
            while 'name="task"' in page.text:
                page = client.post("/task", data=answer_to(page.text)).raise_for_status()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.communicate()
    return trace.read_text()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_an_answer_is_flushed_before_it_is_acknowledged_and_the_test_sees_where_it_is_not(tmp_path):
    assert "synchronous = FULL" in module._SCHEMA
    for setting, is_late in (("FULL", False), ("OFF", True)):
        study = make_study(tmp_path / setting, num_comparisons=1, num_ratings=1, is_heard=False)
        acknowledged, late = late_acknowledgements(_traced(study.folder, setting))
        assert acknowledged == study.num_tasks + 3  # consent, training, the answers; and the way to the last page
        assert (late > 0) == is_late, f"{late} of {acknowledged} before the answer was on disk"
