"""What the servers of `ostinato listen` and `ostinato studio` share: their address, their path, their own files."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from ostinato.configs.errors import UserError
from ostinato.listen.web.screens import version_of
from ostinato.report.terminal import PlainFormatter

LOG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"default": {"()": PlainFormatter, "fmt": "%(levelname)s: %(message)s"}},
    "handlers": {"default": {"class": "logging.StreamHandler", "formatter": "default"}},
    "loggers": {"uvicorn": {"handlers": ["default"], "level": "WARNING", "propagate": False}},
}
"""What a server says of requests, which anybody may send."""

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


class Static(StaticFiles):
    """A folder of style sheets, scripts and pictures: kept for good under their version, else checked each time."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Returns a file, or that it has not changed."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        is_version = QueryParams(scope["query_string"]).get("v") == version_of(Path(full_path))
        answer.headers["cache-control"] = "public, max-age=31536000, immutable" if is_version else "no-cache"
        return answer


def check_prefix(prefix: str, *, example: str) -> str:
    """Returns the path below which a reverse proxy shows the pages, without a slash at its end; empty for none.

    Raises:
        UserError: it is no such path.
    """
    shown = prefix.rstrip("/")
    if not _PREFIX.fullmatch(shown) or {".", ".."} & set(shown.split("/")):
        raise UserError(
            f"--prefix {prefix!r} must be a path such as {example}: letters, digits and . _ ~ - after slashes"
        )
    return shown


def serve_app(
    app: ASGIApp, host: str, port: int, *, announce: Callable[[int], None], backlog: int, **options: object
) -> None:
    """Serves an application until Ctrl-C or SIGTERM; `announce` takes the port, once it can be reached.

    Raises:
        UserError: the address is not of this machine, or the port is taken or not one.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(backlog)
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(f"cannot listen on {host}, port {port}: {error}") from error
    announce(listener.getsockname()[1])
    config = uvicorn.Config(
        app,
        access_log=False,  # it would hold listeners' addresses
        log_level="warning",
        log_config=LOG,
        server_header=False,
        timeout_keep_alive=20,
        backlog=backlog,
        ws="none",
        proxy_headers=False,  # `Proxies` reads them
        **options,  # pyright: ignore[reportArgumentType]
    )
    uvicorn.Server(config).run(sockets=[listener])
