"""`ostinato listen serve`: puts the listening test's application on an address."""

import socket
from collections.abc import Callable
from pathlib import Path

from ostinato.configs.listen import ServeConfig
from ostinato.listen.private import owner_only
from ostinato.listen.web.application import application
from ostinato.listen.web.serving import serve_app


def serve(study_folder: str | Path, config: ServeConfig, *, announce: Callable[[str], None] | None = None) -> None:
    """Serves a study until Ctrl-C or SIGTERM. Whatever this process makes, only its owner can read.

    `announce` takes each address of the study, once it can be reached; by default they are printed.

    Raises:
        UserError: the folder is no study, the prefix no path, or the port is taken.
    """

    def announce_all(port: int) -> None:
        for name in _names(config.host):
            line = f"http://{name}:{port}{config.prefix.rstrip('/')}/"
            announce(line) if announce else print(line, flush=True)

    with owner_only():
        app = application(study_folder, config)
        options = {"backlog": 2048, "timeout_graceful_shutdown": 5, "lifespan": "off"}
        serve_app(app, config.host, config.port, announce=announce_all, **options)


def _names(host: str) -> list[str]:
    """Returns the addresses at which listeners find this machine."""
    if host not in ("0.0.0.0", "::"):
        return [f"[{host}]" if ":" in host else host]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which of our addresses would be used
            return ["127.0.0.1", probe.getsockname()[0]]
        except OSError:
            return ["127.0.0.1"]  # no network: this machine only
