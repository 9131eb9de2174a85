"""`ostinato listen serve`: puts the listening test's application on an address."""

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from ostinato.listen.web.address import listen_on
from ostinato.listen.web.application import application


def serve(
    study_folder: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    prefix: str = "",
    trusted_proxies: str = "127.0.0.1,::1",
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serves a study until Ctrl-C or SIGTERM.

    Args:
        study_folder: what `ostinato listen create` made.
        host: the address to listen on; 0.0.0.0 for all of this machine.
        port: 0 takes any that is free.
        prefix: the path below which a reverse proxy shows the study, such as "/listen".
        trusted_proxies: addresses or networks, separated by commas, whose X-Forwarded-For and X-Forwarded-Proto count.
        announce: is told where the study is, once it can be reached; by default the line is printed.

    Raises:
        ValueError: the folder is no study, the prefix no path, or the port is taken.
    """
    app = application(study_folder, prefix=prefix)
    listener = listen_on(host, port, backlog=2048)
    for line in _addresses(host, listener.getsockname()[1], prefix):
        (announce or _print)(line)
    config = uvicorn.Config(
        app,
        access_log=False,  # it would hold listeners' addresses
        log_level="warning",
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=trusted_proxies,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=5,
        backlog=2048,
        ws="none",
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[listener])


def _print(line: str) -> None:
    print(line, flush=True)


def _addresses(host: str, port: int, prefix: str) -> list[str]:
    """Returns the addresses at which listeners find the study."""
    path = f"{prefix.rstrip('/')}/"
    if host not in ("0.0.0.0", "::"):
        return [f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"]
    found = [f"http://127.0.0.1:{port}{path}"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which of our addresses would be used
            found.append(f"http://{probe.getsockname()[0]}:{port}{path}")
        except OSError:
            pass  # no network: this machine only
    return found
