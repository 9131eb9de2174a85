"""The system's Firefox over WebDriver BiDi, driven by Playwright as Chromium is: the same tests run in both.

Playwright speaks BiDi with any Firefox, but asks each page for a colour scheme by a command that Debian's firefox-esr
does not know. So it starts this module in place of Firefox, which passes on all messages but that one: Firefox has its
colours from a preference.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("firefox-esr", "firefox")
REAL = "OSTINATO_FIREFOX"
_MISSING = "emulation.setMediaFeaturesOverride"
_ADDRESS = re.compile(r"WebDriver BiDi listening on (ws://.*)")


def find_firefox() -> str | None:
    """Returns the browser that OSTINATO_FIREFOX names or that is installed (Debian: apt-get install firefox-esr)."""
    return os.environ.get(REAL) or next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextlib.contextmanager
def open_firefox(folder: Path) -> Iterator[Any]:
    """Yields a Firefox that ends with the block, in light colours; skips the test where there is none.

    The folder is for the program that stands between Playwright and Firefox.
    """
    executable = find_firefox()
    if executable is None:
        pytest.skip("no Firefox is installed (Debian: apt-get install firefox-esr; or name one in OSTINATO_FIREFOX)")
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    between = folder / "firefox"
    root = Path(__file__).parents[1]
    between.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m tests.firefox "$@"\n')
    between.chmod(0o755)
    preferences = {"layout.css.prefers-color-scheme.content-override": 1, "media.volume_scale": "0.0"}
    with playwright.sync_playwright() as driver:
        browser = driver.firefox.launch(
            channel="moz-firefox", executable_path=between, firefox_user_prefs=preferences,
            env={**os.environ, REAL: executable},
        )  # fmt: skip
        yield browser
        browser.close()


async def _stand_between(arguments: list[str]) -> None:
    """Starts Firefox, says an address of its own, and passes on what comes there."""
    from aiohttp import ClientSession, web

    firefox = await asyncio.create_subprocess_exec(os.environ[REAL], *arguments, stderr=asyncio.subprocess.PIPE)
    assert firefox.stderr is not None
    found = None
    while found is None and (line := await firefox.stderr.readline()):
        found = _ADDRESS.search(line.decode())
    if found is None:
        raise SystemExit(f"Firefox ended with {await firefox.wait()} before it listened")

    async def talk(request: web.Request) -> web.WebSocketResponse:
        driver = web.WebSocketResponse(max_msg_size=0)
        await driver.prepare(request)
        async with ClientSession() as session, session.ws_connect(f"{found[1]}/session", max_msg_size=0) as browser:

            async def ask() -> None:
                async for message in driver:
                    asked = json.loads(message.data)
                    if asked["method"] == _MISSING:
                        await driver.send_json({"type": "success", "id": asked["id"], "result": {}})
                    else:
                        await browser.send_str(message.data)

            async def answer() -> None:
                async for message in browser:
                    await driver.send_str(message.data)
                await driver.close()

            await asyncio.gather(ask(), answer())
        return driver

    served = web.Application()
    served.router.add_get("/session", talk)
    runner = web.AppRunner(served)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    print(f"WebDriver BiDi listening on ws://{host}:{port}", file=sys.stderr, flush=True)
    while await firefox.stderr.readline():  # what Firefox says is of no use, but must not fill the pipe
        pass
    await firefox.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_stand_between(sys.argv[1:]))
