"""Whom a request comes from, where a reverse proxy hands it on.

Anybody can write that they are somebody else, or many, so only proxies that the operator names are believed, and from
requests of all others such headers are taken off before anything reads them. Of our own rather than uvicorn's
middleware: that leaves the headers of others where they are, believes this machine unasked, and takes what is no
address for one.
"""

import ipaddress
import logging
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_logger = logging.getLogger(__name__)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORWARDED = (b"forwarded", b"x-forwarded-", b"x-real-ip")
"""How the names of such headers begin."""
_READ = {b"x-forwarded-host"}
"""Those of them that others than this module may read (`guard.check_origin`)."""


class Proxies:
    """Says of each request from where it comes and whether it came by TLS, as proxies that are named say it."""

    def __init__(self, app: ASGIApp, named: Sequence[_Network]) -> None:
        self._app, self._named, self._has_warned = app, named, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands one request on."""
        if scope["type"] == "http":
            scope = self._resolve(scope)
        await self._app(scope, receive, send)

    def _resolve(self, scope: Scope) -> Scope:
        sent = Headers(scope=scope)
        peer = _address(scope["client"][0]) if scope.get("client") else None
        named = peer if peer is not None and self._is_named(peer) else None
        kept = _READ if named else set()
        headers = [(name, value) for name, value in scope["headers"] if name in kept or not name.startswith(_FORWARDED)]
        if named:
            client = self._first_stranger(",".join(sent.getlist("x-forwarded-for")).split(","), named)
            scheme = sent.get("x-forwarded-proto", "").strip().lower()
            scheme = scheme if scheme in ("http", "https") else scope["scheme"]
            return {**scope, "headers": headers, "client": (str(client), 0), "scheme": scheme}
        if "x-forwarded-for" in sent and not self._has_warned:
            self._has_warned = True
            _logger.warning(
                "requests from %s say whom they come from, which is not believed: --trusted-proxies does not name it",
                peer,
            )
        return {**scope, "headers": headers}

    def _first_stranger(self, hops: Sequence[str], peer: _Address) -> _Address:
        """Returns the last hop that is no proxy of ours: what stands before it is only what that one says."""
        client = peer
        for hop in reversed(hops):
            address = _address(hop)
            if address is None:
                break
            client = address
            if not self._is_named(address):
                break
        return client

    def _is_named(self, address: _Address) -> bool:
        return any(address in network for network in self._named)


def _address(text: str) -> _Address | None:
    """Returns an address that may have a port, or None where there is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
