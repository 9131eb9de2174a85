"""`ostinato studio RUN`: opens the studio on an address; the first page is there while the model is still compiled."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from ostinato.configs.studio import StudioConfig
from ostinato.listen.web.serving import serve_app
from ostinato.studio.app import application
from ostinato.studio.hosts import is_loopback
from ostinato.train.checkpoint import LoadedRun


def serve(
    run: LoadedRun, workdir: Path, folder: Path, config: StudioConfig, *, announce: Callable[[str], None] = print
) -> None:
    """Serves the studio until Ctrl-C or SIGTERM; `announce` takes what is to be known once it can be reached.

    Raises:
        UserError: the prefix is no path, or the port is taken.
    """

    def announce_port(port: int) -> None:
        host, path = config.host, f"{config.prefix.rstrip('/')}/"
        shown = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
        announce(f"http://{shown}:{port}{path} is the studio of {workdir}; Ctrl-C ends it")
        if not is_loopback(host):
            announce("whoever reaches this machine can use it, hear the pieces and delete them: there is no password")

    app = application(run, workdir, folder, config)
    options = {"backlog": 128, "lifespan": "on", "timeout_graceful_shutdown": 2}
    serve_app(app, config.host, config.port, announce=announce_port, **options)


def choose_folder(workdir: Path, run: LoadedRun, cache_folder: Path) -> Path:
    """Returns where the studio keeps what it makes: in the run, or the user's cache where that cannot be written."""
    if os.access(workdir, os.W_OK):
        return workdir / "studio"
    name = hashlib.sha256(str(workdir.resolve()).encode()).hexdigest()[:8]
    return cache_folder / "studio" / f"{workdir.resolve().name}-{run.params_sha256[:8]}-{name}"
