"""The processes of a run find each other before JAX does.

JAX's own start aborts with a stack trace when a process is missing, and two processes with the same number go on or
hang by chance. So process 0 first calls the roll on the coordinator's port: it waits until each process has said who it
is, over plain TCP, one line of JSON each way. Then everybody knows everybody's host, and JAX starts on the same port.
"""

import contextlib
import json
import os
import selectors
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from ostinato.configs.errors import PeerLostError, UserError

RETRY_S = 0.2
ONE_TRY_S = 5.0
LATECOMERS_S = 5.0
"""So long does process 0 stay to tell those who are about to come that it is no use."""
MAX_LINE_BYTES = 1 << 16
HELLO = "ostinato"


class Member(NamedTuple):
    """Who a process says it is."""

    process_id: int
    num_processes: int
    """How many it was told that there are."""
    host: str
    address: str
    """To which its host's name leads on that host; gloo gives it to the others. Empty if it leads nowhere."""
    pid: int
    versions: dict[str, str]
    """What has to be the same everywhere, such as the version of JAX."""

    def __str__(self) -> str:
        return f"process {self.process_id} ({self.host}, pid {self.pid})"


def this_process(process_id: int, num_processes: int, versions: dict[str, str]) -> Member:
    """Returns what this process says about itself."""
    host, address = socket.gethostname(), ""
    with contextlib.suppress(OSError):
        address = socket.gethostbyname(host)
    return Member(process_id, num_processes, host, address, os.getpid(), versions)


def call_roll(me: Member, port: int, *, timeout_s: float) -> tuple[Member, ...]:
    """Process 0: waits until all processes are there and returns them, by number.

    Raises:
        UserError: the port is taken; two processes have the same number; processes differ in what they were told.
        PeerLostError: a process did not come in time. Those that did are told, too.
    """
    with _Roll(me, port) as roll:
        try:
            roll.wait(timeout_s)
        except (ValueError, PeerLostError) as error:
            mistake = isinstance(error, ValueError)
            roll.tell({"error": str(error), "peer_lost": not mistake}, latecomers_s=LATECOMERS_S if mistake else 0)
            raise
        roll.tell({"members": roll.members}, latecomers_s=0)
        return roll.members


def answer_roll(me: Member, host: str, port: int, *, timeout_s: float) -> tuple[Member, ...]:
    """Any other process: tells process 0 that it is there and waits until all are; returns them, by number.

    Raises:
        UserError: process 0 found that the processes do not fit together.
        PeerLostError: process 0 cannot be reached in time, or waited in vain for another.
    """
    end = time.monotonic() + timeout_s
    trouble = "no try was made"
    while (left_s := end - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, port), timeout=min(ONE_TRY_S, left_s)) as connection:
                connection.sendall(_line({HELLO: me}))
                # Process 0 waits as long itself, and answers when it gives up.
                connection.settimeout(left_s + ONE_TRY_S)
                answer = json.loads(b"".join(_received(connection)) or b"null")
        except (OSError, ValueError) as error:
            trouble = str(error)
        else:
            if answer is not None:
                return _members(answer)
            trouble = "it hung up"
        time.sleep(RETRY_S)
    raise PeerLostError(
        f"process {me.process_id}: process 0 was not reached at {host}:{port} within {timeout_s:g} s ({trouble}); "
        "check that it runs, that --coordinator names its host, and that no firewall is between the two"
    )


class _Caller:
    """A connection to process 0, and who is at its other end once that is known."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.line = b""
        self.member: Member | None = None


class _Roll:
    """The port of process 0 and those who have called."""

    def __init__(self, me: Member, port: int) -> None:
        assert me.process_id == 0, me
        self._me = me
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(port)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._callers: list[_Caller] = []

    def __enter__(self) -> "_Roll":
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for caller in self._callers:
            caller.connection.close()
        self._listener.close()

    @property
    def members(self) -> tuple[Member, ...]:
        """Those who are there, by number."""
        return tuple(sorted([self._me, *(caller.member for caller in self._callers if caller.member)]))

    def wait(self, timeout_s: float) -> None:
        """Listens until all are there, two clash, or the time is up."""
        end = time.monotonic() + timeout_s
        while len(self.members) < self._me.num_processes:
            left_s = end - time.monotonic()
            if left_s <= 0:
                raise PeerLostError(_who_is_missing(self._me, self.members, self._port, timeout_s))
            for caller in self._heard(left_s):
                assert caller.member
                _check(self._me, caller.member, tuple(m for m in self.members if m is not caller.member))

    def tell(self, answer: dict[str, Any], *, latecomers_s: float) -> None:
        """Answers all who have called, and for some seconds those who still call."""
        end = time.monotonic() + latecomers_s
        told: list[_Caller] = []
        while True:
            for caller in self._callers:
                if caller.member and caller not in told:
                    told.append(caller)
                    # One that hung up at this moment is noticed by JAX, which comes next.
                    with contextlib.suppress(OSError):
                        caller.connection.settimeout(ONE_TRY_S)
                        caller.connection.sendall(_line(answer))
                        caller.connection.shutdown(socket.SHUT_WR)
            left_s = end - time.monotonic()
            if left_s <= 0 or len(told) >= self._me.num_processes - 1:
                return
            self._heard(left_s)

    def _heard(self, timeout_s: float) -> list[_Caller]:
        """Waits for something to happen, and returns those who have said now who they are."""
        heard = []
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                self._callers.append(_Caller(connection))
                self._selector.register(connection, selectors.EVENT_READ, self._callers[-1])
            elif self._hear(key.data):
                heard.append(key.data)
        return heard

    def _hear(self, caller: _Caller) -> bool:
        """Reads what a caller says; one that hangs up, or is not one of us, is forgotten."""
        try:
            said = caller.connection.recv(MAX_LINE_BYTES)
        except OSError:
            said = b""
        caller.line += said
        if said and not caller.line.endswith(b"\n") and len(caller.line) < MAX_LINE_BYTES:
            return False
        caller.member = _parse(caller.line) if said else None
        if caller.member is None:  # it died; or a port scanner, a health check
            self._selector.unregister(caller.connection)
            caller.connection.close()
            self._callers.remove(caller)
        return caller.member is not None


def _listen(port: int) -> socket.socket:
    """Without SO_REUSEPORT, which JAX's server sets: so a second process 0 on this machine is noticed."""
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"process 0 cannot listen on port {port} ({error.strerror}); if another process of this host uses it, "
            "choose another port in --coordinator"
        ) from error


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _received(connection: socket.socket) -> Iterator[bytes]:
    while part := connection.recv(MAX_LINE_BYTES):
        yield part


def _parse(line: bytes) -> Member | None:
    try:
        member = Member(*json.loads(line)[HELLO])
    except (ValueError, KeyError, TypeError):
        return None
    return member


def _members(answer: dict[str, Any]) -> tuple[Member, ...]:
    if "error" in answer:
        raise PeerLostError(answer["error"]) if answer["peer_lost"] else ValueError(answer["error"])
    return tuple(Member(*member) for member in answer["members"])


def _check(me: Member, caller: Member, present: tuple[Member, ...]) -> None:
    if caller.num_processes != me.num_processes:
        raise UserError(
            f"{caller} was told that there are {caller.num_processes} processes, {me} that there are {me.num_processes}"
        )
    for member in present:
        if member.process_id == caller.process_id:
            raise UserError(
                f"two processes have the number {caller.process_id}: {member.host}, pid {member.pid}, and "
                f"{caller.host}, pid {caller.pid}; each needs its own, from 0 to {me.num_processes - 1}"
            )
    if caller.versions != me.versions:
        differing = sorted(
            name for name in me.versions | caller.versions if me.versions.get(name) != caller.versions.get(name)
        )
        found = ", ".join(f"{name} {caller.versions.get(name)} and {me.versions.get(name)}" for name in differing)
        raise UserError(f"{caller} and {me} do not run the same: {found}")


def _who_is_missing(me: Member, present: tuple[Member, ...], port: int, timeout_s: float) -> str:
    missing = sorted(set(range(me.num_processes)) - {member.process_id for member in present})
    names = ", ".join(map(str, missing[:8])) + (", …" if len(missing) > 8 else "")
    return (
        f"{me} waited {timeout_s:g} s on port {port}, and {len(missing)} of {me.num_processes} processes did not come: "
        f"{names}; were they started, and can they reach this host?"
    )
