"""`ostinato listen serve`: puts the listening test's application on an address."""

import socket
from collections.abc import Callable
from pathlib import Path

from ostinato.listen.web.application import application
from ostinato.listen.web.serving import serve_app


def serve(
    study_folder: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    prefix: str = "",
    trusted_proxies: str = "127.0.0.1,::1",
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serves a study until Ctrl-C or SIGTERM; for the arguments see `ListenServe`.

    `announce` takes each address of the study, once it can be reached; by default they are printed.

    Raises:
        UserError: the folder is no study, the prefix no path, or the port is taken.
    """

    def announce_all(port: int) -> None:
        for name in _names(host):
            line = f"http://{name}:{port}{prefix.rstrip('/')}/"
            announce(line) if announce else print(line, flush=True)

    serve_app(
        application(study_folder, prefix=prefix),
        host,
        port,
        announce=announce_all,
        backlog=2048,
        proxy_headers=True,
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=5,
        lifespan="off",
    )


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
