"""Where the pages of Ostinato are: an address of this machine, and a path below it."""

import re
import socket

from ostinato.configs.errors import UserError

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def check_prefix(prefix: str, *, example: str) -> str:
    """Returns the path below which a reverse proxy shows the pages, without a slash at its end.

    Args:
        prefix: as the user wrote it; empty for none.
        example: one for the message.

    Raises:
        UserError: it is no such path.
    """
    shown = prefix.rstrip("/")
    if not _PREFIX.fullmatch(shown) or {".", ".."} & set(shown.split("/")):
        raise UserError(
            f"--prefix {prefix!r} must be a path such as {example}: letters, digits and . _ ~ - after slashes"
        )
    return shown


def listen_on(host: str, port: int, *, backlog: int) -> socket.socket:
    """Returns a socket that takes connections; port 0 is any that is free.

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
    return listener
