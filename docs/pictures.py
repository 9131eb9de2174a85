"""The pictures of the pages, taken of the real pages in a real browser.

    ostinato demo                                        # makes the gallery and the report that are shown
    python -m ostinato.docs.pictures --demo demo         # in a checkout, with the group dev and Chromium; writes docs/

The studio is a real one, with a model in the box: it generates a piece while its frames are taken, and plays it.
"""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from PIL import Image

from ostinato.configs.errors import UserError

FOLDER = Path(__file__).resolve().parent
WIDTH, HEIGHT = 1100, 720
SHOWN_WIDTH = 760
FRAME_MS = 120
MAX_FRAMES = 36
"""While the piece is generated, and while it plays, each."""
BLANK_FRAMES = 8
NUM_BARS = 32
"""Long enough that it is seen to grow."""
START_S = 120


@dataclass(frozen=True, kw_only=True)
class Options:
    demo: Path | None = None
    """A folder that `ostinato demo` wrote: its gallery and its report are shown. Without it the studio alone."""
    model: str = "chorales"
    """The model in the studio."""


@contextlib.contextmanager
def open_page(**options: Any) -> Iterator[Any]:
    """Yields a page of the Chromium that OSTINATO_CHROMIUM names or that is installed."""
    from playwright.sync_api import sync_playwright

    executable = os.environ.get("OSTINATO_CHROMIUM") or shutil.which("chromium")
    if executable is None:
        raise UserError("no Chromium: apt-get install chromium, or name one in OSTINATO_CHROMIUM")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox", "--mute-audio"])
        yield browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, **options)
        browser.close()


@contextlib.contextmanager
def serve_studio(model: str, folder: str) -> Iterator[str]:
    """Yields the address of a studio, which ends with the block."""
    command = [sys.executable, "-m", "ostinato", "studio", model, "--port", "0", "--folder", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.send_signal(signal.SIGTERM)


def film_studio(model: str) -> list[Image.Image]:
    """Returns the frames of a piece that is generated and played."""
    frames = []
    with tempfile.TemporaryDirectory() as folder, serve_studio(model, folder) as address, open_page() as page:
        page.set_default_timeout(1000 * START_S)
        page.goto(address)
        page.locator("#status", has_text=re.compile("Ready")).wait_for()
        page.locator("[name=tonic][value=D]").check()
        page.locator("#seed").evaluate("one => { one.value = 1 }")
        page.locator("#length").fill(str(NUM_BARS))
        frames += _take(page, until="true") * BLANK_FRAMES
        page.get_by_role("button", name="Generate", exact=True).click()
        frames += _take(page, until="document.getElementById('stage').getAttribute('aria-busy') !== 'true'")
        page.get_by_role("button", name="Play", exact=True).click()
        frames += _take(page)
    return frames


def _take(page: Any, *, until: str = "false") -> list[Image.Image]:
    """Returns frames until something is so, one at least and MAX_FRAMES at most."""
    frames = []
    page.evaluate("scrollTo(0, 0)")  # a click on what stands below has scrolled to it
    page.mouse.move(0, 0)  # what comes to lie below the pointer looks chosen
    while len(frames) < MAX_FRAMES and not (frames and page.evaluate(until)):
        shot = Image.open(io.BytesIO(page.screenshot()))
        frames.append(
            shot.convert("RGB").resize((SHOWN_WIDTH, SHOWN_WIDTH * HEIGHT // WIDTH), Image.Resampling.LANCZOS)
        )
    return frames


def main(options: Options) -> None:
    """Takes all of them."""
    frames = film_studio(options.model)
    durations = [FRAME_MS] * (len(frames) - 1) + [10 * FRAME_MS]
    first, *others = frames
    first.save(
        FOLDER / "studio.webp", save_all=True, append_images=others, duration=durations, loop=0, quality=55, method=6
    )
    if options.demo is None:
        return
    with open_page(device_scale_factor=1) as page:
        for name, path in (("gallery", "music/index.html"), ("report", "report/report.html")):
            page.goto((options.demo / path).absolute().as_uri())
            page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
