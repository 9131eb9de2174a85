"""`ostinato studio RUN`: opens the studio on an address; the first page is there while the model is still compiled."""

import hashlib
import os
import webbrowser
from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp

from ostinato.configs.studio import StudioConfig
from ostinato.listen.web.hosts import is_loopback
from ostinato.listen.web.serving import serve_app
from ostinato.train.checkpoint import LoadedRun
from ostinato.train.folders import is_model_folder


def serve(app: ASGIApp, config: StudioConfig, *, what: str, announce: Callable[[str], None] = print) -> None:
    """Serves the studio until Ctrl-C or SIGTERM.

    Args:
        app: of one model or of several.
        config: where it is to be reached.
        what: names the model, or says that there are several.
        announce: takes what is to be known once it can be reached.

    Raises:
        UserError: the port is taken.
    """

    def announce_port(port: int) -> None:
        host, path = config.host, f"{config.prefix.rstrip('/')}/"
        shown = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{port}{path}"
        announce(f"{address} is the studio of {what}; Ctrl-C ends it")
        if config.show and not webbrowser.open(address):
            announce("no browser can be started here; open the page by hand")
        if not is_loopback(host):
            announce("whoever reaches this machine can use it, hear the pieces and delete them: there is no password")

    options = {"backlog": 128, "lifespan": "on", "timeout_graceful_shutdown": 2}
    serve_app(app, config.host, config.port, announce=announce_port, **options)


def choose_folder(workdir: Path, run: LoadedRun, cache_folder: Path) -> Path:
    """Returns where the studio keeps what it makes: in the run, or in the user's cache where that cannot be written.

    A model folder stays as it is.
    """
    name = workdir.resolve().name
    if is_model_folder(workdir):
        return cache_folder / "studio" / f"{name}-{run.params_sha256[:8]}"
    if os.access(workdir, os.W_OK):
        return workdir / "studio"
    place = hashlib.sha256(str(workdir.resolve()).encode()).hexdigest()[:8]
    return cache_folder / "studio" / f"{name}-{run.params_sha256[:8]}-{place}"
