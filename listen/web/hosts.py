"""By which names the pages of this machine may be called.

A page on the web can give its own name the address of this machine (DNS rebinding), and its script would then be of the
same origin as our pages. The browser still says the page's name in `Host`, so unknown names are refused. Addresses are
no names: nobody else's page can be there.
"""

import ipaddress
import socket
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_LOCAL = {"localhost", "localhost.localdomain"}


class HostCheck:
    """Answers requests whose `Host` is known, and no others."""

    def __init__(self, app: ASGIApp, *, is_local: bool, names: Collection[str], refusal: ASGIApp) -> None:
        """Makes the check; if only this machine can reach the server, only its own addresses are right.

        `refusal` answers the others.
        """
        own = socket.gethostname().lower()
        self._app, self._is_local, self._refusal = app, is_local, refusal
        self._names = _LOCAL | {name.lower() for name in names} | (set() if is_local else {own, f"{own}.local"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        is_known = scope["type"] != "http" or self._is_known(Headers(scope=scope).getlist("host"))
        await (self._app if is_known else self._refusal)(scope, receive, send)

    def _is_known(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        name = hosts[0].lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.rpartition(":")[0] or name
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._is_local


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can reach a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in _LOCAL
