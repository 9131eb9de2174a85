"""The system's Chromium, driven by Playwright: what tests look at pages with."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--mute-audio",
)  # fmt: skip
ABORTED = ("net::ERR_ABORTED", "NS_BINDING_ABORTED")
"""What browsers say of a request that the page no longer needs."""
INK_OF = """canvas => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let ink = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [red, green, blue] = [data[i], data[i + 1], data[i + 2]];
    if (Math.max(red, green, blue) - Math.min(red, green, blue) > 60) ink++; // notes have colours
  }
  return ink;
}"""
"""JavaScript that returns how many pixels of a piano roll belong to notes."""
IN_BOTH_BROWSERS = pytest.mark.parametrize("browser", ["chromium", "firefox"], indirect=True)
"""Of a test that looks at its pages by the fixture `browser`, or by others that use it."""


def find_browser() -> str | None:
    """Returns the browser that OSTINATO_CHROMIUM names or that is installed (Debian: apt-get install chromium)."""
    named = os.environ.get("OSTINATO_CHROMIUM")
    return named or next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def open_browser() -> Iterator[Any]:
    """Yields a browser that ends with the block; skips the test where there is none."""
    executable = find_browser()
    if executable is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium; or name one in OSTINATO_CHROMIUM)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def open_file(browser: Any, path: Path, *, width: int, dark: bool) -> Iterator[Any]:
    """Yields a page of the disk, in light or dark colours; holds that nothing goes wrong and nothing is fetched."""
    scheme = "dark" if dark else "light"
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, is_mobile=width < 600)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type in ("error", "warning") else None)
    # A player breaks off what it does not need of a sound.
    page.on("requestfailed", lambda one: None if one.failure in ABORTED else errors.append(one.url))
    page.on("request", lambda one: None if one.url.startswith(("file:", "data:")) else errors.append(one.url))
    page.goto(path.absolute().as_uri())
    yield page
    page.close()
    assert not errors, errors
