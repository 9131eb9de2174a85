"""Every test sees four CPU devices, strict dtype promotion and no rank promotion; some see a browser."""

import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.xla import flags

# Before anything imports jax: it reads them once. The test of runs that users have on their disks starts its command
# without them.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags(4)}".strip()

import jax
import pytest
from jax._src.lru_cache import LRUCache

from tests.chromium import ABORTED, open_browser
from tests.firefox import open_firefox


def pytest_configure(config: pytest.Config) -> None:
    # Else each process of a session would compile Ostinato for itself, and each worker the tests.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what runs in the background, and what tests start would not hear Ctrl-C either.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    # Compiling is what costs: the same program is compiled once, also in the next session (`pytest --cache-clear`).
    cache = getattr(config, "cache", None)  # absent under -p no:cacheprovider
    if cache is not None:
        LRUCache.put = _put
        jax.config.update("jax_compilation_cache_dir", str(cache.mkdir("jax")))
        # Else the folder is part of what programs are found by, and each command of a test names one of its own.
        jax.config.update("jax_persistent_cache_enable_xla_caches", "")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        if worker := os.environ.get("PYTEST_XDIST_WORKER"):
            # Of the commands that tests run. JAX writes what it keeps in place: two processes may not share a folder.
            os.environ["XDG_CACHE_HOME"] = str(cache.mkdir(f"home{worker}"))


def _put(cache: LRUCache, key: str, value: bytes) -> None:
    """Keeps a program under its name when it is whole: the workers of a session share the folder."""
    path = Path(str(cache.path), f"{key}-cache")
    beside = path.with_name(f"{key}.{os.getpid()}.{threading.get_ident()}")
    beside.write_bytes(value)
    beside.rename(path)


def pytest_collection_finish() -> None:
    """What was imported stays; looking through it for garbage again and again takes a twelfth of the time."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium, or what a test says that has IN_BOTH_BROWSERS of tests/chromium.py; with Playwright's functions."""
    if getattr(request, "param", "chromium") == "firefox":
        opened = open_firefox(tmp_path_factory.mktemp("firefox"))
    else:
        opened = open_browser()
    with opened as browser:
        yield browser


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of pages are kept: where OSTINATO_SCREENSHOTS says, or for a while."""
    folder = Path(os.environ.get("OSTINATO_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visit(browser: Any) -> Any:
    """Opens a page of a new visitor; nothing may go wrong in it, and nothing be asked for elsewhere.

    Chromium writes a line about each answer that is `refused`; there must be as many. Lines that begin with `ignored`
    do not count.
    """

    @contextlib.contextmanager
    def opened(address: str, *, refused: int = 0, ignored: str | tuple[str, ...] = (), **options: Any) -> Iterator[Any]:
        context = browser.new_context(**options)
        page, wrong = context.new_page(), []
        page.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda sent: None if sent.url.startswith((address, "blob:")) else wrong.append(sent.url))
        # A page that is left asks no longer for its clips or its icon.
        page.on("requestfailed", lambda sent: None if sent.failure in ABORTED else wrong.append(sent.url))
        yield page
        refusals = [line for line in wrong if "the server responded with a status of 422" in line]
        assert len(refusals) == refused
        assert [line for line in wrong if line not in refusals and not line.startswith(ignored)] == []
        context.close()

    return opened
