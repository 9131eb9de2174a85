"""What stands before every page of ours: where a request may come from, how many, how long, and what answers carry.

Listeners have no account, so an address is all that tells strangers apart, and a whole school may share one. So a
listener who has begun has an allowance of her own, and only requests without a session count for the address.
"""

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_FORM_BYTES = 32 * 1024
"""The longest comment in percent-encoded UTF-8, and room for the other fields."""
MAX_FIELDS = 16
BODY_TIMEOUT_S = 30.0
MAX_ADDRESSES = 20_000
"""Remembered by a limit; the one that came longest ago is forgotten first."""

HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-robots-tag": "noindex, nofollow",
}


class Limit(NamedTuple):
    """How many requests may come at once, and how many more each second."""

    burst: float
    per_s: float


class Allowance:
    """Counts requests by who sends them (a token bucket for each)."""

    def __init__(self, limit: Limit, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock_s = limit, clock_s
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()
        """What each has left, and when that was so."""

    def take(self, who: object) -> None:
        """Counts one request.

        Raises:
            HTTPException: 429, there have been too many.
        """
        now_s = self._clock_s()
        left, since_s = self._left.pop(who, (self._limit.burst, now_s))
        left = min(self._limit.burst, left + (now_s - since_s) * self._limit.per_s)
        self._left[who] = (max(0.0, left - 1) if left >= 1 else left, now_s)
        if len(self._left) > MAX_ADDRESSES:
            self._left.popitem(last=False)
        if left < 1:
            wait_s = math.ceil((1 - left) / self._limit.per_s)
            raise HTTPException(429, headers={"retry-after": str(wait_s)})


def address_of(scope: Scope) -> str:
    """Returns whose allowance a request without a session uses: an IPv4 address, or the 64 bits of an IPv6 network."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address), 64), strict=False).network_address)
    return str(getattr(address, "ipv4_mapped", None) or address)


def check_origin(headers: Headers) -> None:
    """Refuses forms that another site sends.

    Browsers say where a form comes from: in Sec-Fetch-Site, or, without TLS and in old ones, in Origin. What says
    neither is no browser, and nobody's cookies go with it.

    Raises:
        HTTPException: 403.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    hosts = headers.get("host"), headers.get("x-forwarded-host")
    is_ours = origin is None or origin.partition("://")[2] in hosts if site is None else site in ("same-origin", "none")
    if not is_ours:
        raise HTTPException(403, "This form was sent by another site.")


async def read_form(request: Request) -> dict[str, str]:
    """Returns the fields of a form, each of which comes once.

    Raises:
        HTTPException: 400, or as `receiving`.
    """
    async with receiving(request, ("application/x-www-form-urlencoded",), MAX_FORM_BYTES) as ours:
        pairs = (await ours.form(max_fields=MAX_FIELDS, max_part_size=MAX_FORM_BYTES)).multi_items()
    fields = {name: str(value) for name, value in pairs}
    if len(fields) < len(pairs):
        raise HTTPException(400, "A field of the form comes twice.")
    return fields


@asynccontextmanager
async def receiving(request: Request, media_types: Collection[str], max_bytes: int) -> AsyncIterator[Request]:
    """Yields the request, if it is of a page of ours, to be read.

    Raises:
        HTTPException: 400, 403, 408, 413 or 415; cut off, another site's, too slow, too long, or of another type.
    """
    check_origin(request.headers)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in media_types:
        raise HTTPException(415, f"What is sent must be of the type {' or '.join(media_types)}.")
    left = max_bytes

    async def receive() -> Message:
        nonlocal left
        message = await request.receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, f"What was sent is longer than {max_bytes:,} bytes.")
        return message

    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            yield Request(request.scope, receive)
    except TimeoutError:
        raise HTTPException(408, "What was sent took too long to arrive.") from None
    except ClientDisconnect:
        raise HTTPException(400, "What was sent did not arrive whole.") from None


class Guard:
    """Takes the prefix off the paths, refuses forms of other sites, and gives every answer the same headers."""

    def __init__(self, app: ASGIApp, *, prefix: str, policy: str) -> None:
        """Guards an application; `policy` is its content security policy."""
        self._app, self._prefix = app, prefix
        self._headers = HEADERS | {"content-security-policy": f"{policy}; frame-ancestors 'none'"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1000})

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        path = scope["path"]
        if self._prefix and path == self._prefix:
            return await RedirectResponse(f"{self._prefix}/", 308)(scope, receive, send_guarded)
        if path.startswith(f"{self._prefix}/"):  # else the proxy has taken the prefix off already
            path = path[len(self._prefix) :]
        return await self._app({**scope, "path": path, "root_path": ""}, receive, send_guarded)
