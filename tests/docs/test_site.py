"""The site: built without a warning, complete without a network, and usable on a phone."""

import contextlib
import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.chromium import open_browser

ROOT = Path(__file__).parents[2]
WIDER = "() => document.scrollingElement.scrollWidth > document.documentElement.clientWidth"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (extra docs)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env={"NO_MKDOCS_2_WARNING": "1", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture
def address(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Quiet(*given, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever).start()
        with contextlib.ExitStack() as stack:
            stack.callback(server.shutdown)
            yield f"http://127.0.0.1:{server.server_address[1]}/"


def test_the_reference_is_made_from_the_code(site):
    assert "--repeat-strength" in (site / "commands.html").read_text()
    assert "log_likelihood" in (site / "api.html").read_text()
    assert "<td>SIGTERM came" in re.sub(r"\s*\n\s*", "", (site / "exit-codes.html").read_text())
    assert "launch/slurm/train.sbatch" in (site / "machines.html").read_text()
    assert "cff-version" in (site / "cite.html").read_text()


def test_every_page_opens_on_a_phone_without_the_network_and_search_finds(site, address):
    asked, wrong = [], []
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
        for path in sorted(site.glob("*.html")):
            page.goto(address + path.name)
            assert not page.evaluate(WIDER), path.name
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(address)
        page.get_by_placeholder("Search").click()
        page.get_by_placeholder("Search").press_sequentially("rubato")
        page.locator(".md-search-result__link").first.wait_for()
        assert "performances" in page.locator(".md-search-result__link").first.get_attribute("href")
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert wrong == []
