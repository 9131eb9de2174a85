"""`ostinato studio RUN`: opens the studio on an address; half a minute of compiling goes on behind the first page."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import uvicorn

from ostinato.listen.web.address import check_prefix, listen_on
from ostinato.studio.app import application
from ostinato.studio.hosts import is_loopback
from ostinato.train.checkpoint import LoadedRun


def serve(
    run: LoadedRun,
    workdir: Path,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8001,
    prefix: str = "",
    names: tuple[str, ...] = (),
    soundfont: Path | None = None,
    announce: Callable[[str], None] = print,
) -> None:
    """Serves the studio until Ctrl-C or SIGTERM.

    Args:
        run: the model.
        workdir: where it was loaded from.
        folder: where pieces, uploads and sound are kept.
        host: the address to listen on; 0.0.0.0 for all of this machine.
        port: 0 takes any that is free.
        prefix: the path below which a reverse proxy shows it, such as "/studio".
        names: host names beside those of this machine by which it may be called.
        soundfont: for the sound; None is the default one.
        announce: is told where the studio is, once it can be reached.

    Raises:
        ValueError: the prefix is no path, or the port is taken.
    """
    prefix = check_prefix(prefix, example="/studio")
    is_local = is_loopback(host)
    app = application(run, workdir, folder, prefix=prefix, is_local=is_local, names=names, soundfont=soundfont)
    listener = listen_on(host, port, backlog=128)
    shown = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
    announce(f"http://{shown}:{listener.getsockname()[1]}{prefix}/ is the studio of {workdir}; Ctrl-C ends it")
    if not is_local:
        announce("whoever reaches this machine can use it, hear the pieces and delete them: there is no password")
    config = uvicorn.Config(
        app, access_log=False, log_level="warning", server_header=False, ws="none", lifespan="on",
        timeout_keep_alive=20, timeout_graceful_shutdown=2,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


def choose_folder(workdir: Path, run: LoadedRun, cache_folder: Path) -> Path:
    """Returns where the studio keeps what is written: in the run, or the user's cache where that cannot be written."""
    if os.access(workdir, os.W_OK):
        return workdir / "studio"
    name = hashlib.sha256(str(workdir.resolve()).encode()).hexdigest()[:8]
    return cache_folder / "studio" / f"{workdir.resolve().name}-{run.params_sha256[:8]}-{name}"
