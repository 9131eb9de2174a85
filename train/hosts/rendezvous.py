"""The processes of a run find each other before JAX does.

JAX's own start aborts with a stack trace when a process is missing, and two processes with the same number go on or
hang by chance. So process 0 first listens on the coordinator's port until each process has said who it is, in one line
of JSON over TCP, and answers with all of them. Then JAX starts on the same port.
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, NamedTuple, TypedDict

from msgspec import Meta

from ostinato.configs.documents import Count, parse_document
from ostinato.configs.errors import PeerLostError, UserError

RETRY_S = 0.2
ONE_TRY_S = 5.0
LATECOMERS_S = 5.0
"""So long does process 0 stay to tell those who are about to come that it is no use."""
MAX_LINE_BYTES = 1 << 16
MAX_ANSWER_BYTES = 64 << 20
"""Of thousands of processes."""
HELLO = "ostinato"


class Member(NamedTuple):
    """Who a process says it is."""

    process_id: Count
    num_processes: Count
    """How many it was told that there are."""
    host: str
    address: str
    """To which its host's name leads on that host; gloo gives it to the others. Empty if it leads nowhere."""
    pid: Count
    versions: dict[str, str]
    """What has to be the same everywhere, such as the version of JAX."""

    def __str__(self) -> str:
        return f"process {self.process_id} ({self.host}, pid {self.pid})"


class Hello(TypedDict):
    """What a process says to process 0."""

    ostinato: Member


class Answer(TypedDict, total=False):
    """What process 0 answers: one of these."""

    mistake: str
    lost: str
    members: Annotated[list[Member], Meta(min_length=1)]


def this_process(process_id: int, num_processes: int, versions: dict[str, str]) -> Member:
    """Returns what this process says about itself."""
    host, address = socket.gethostname(), ""
    with suppress(OSError):
        address = socket.gethostbyname(host)
    return Member(process_id, num_processes, host, address, os.getpid(), versions)


def wait_for_members(me: Member, port: int, *, timeout_s: float) -> tuple[Member, ...]:
    """Process 0: waits until all processes are there and returns them, by number.

    Raises:
        UserError: the port is taken; two processes have the same number; processes differ in what they were told.
        PeerLostError: a process did not come in time. Those that did are told, too.
    """
    assert me.process_id == 0, me
    return asyncio.run(_Rendezvous(me, port).run(timeout_s))


def join_members(me: Member, host: str, port: int, *, timeout_s: float) -> tuple[Member, ...]:
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
                said = connection.makefile("rb").read(MAX_ANSWER_BYTES)
                answer = parse_document(said, Answer, where=f"{host}:{port}") if said else None
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


class _Rendezvous:
    """The port of process 0 and the processes that wait there for its answer."""

    def __init__(self, me: Member, port: int) -> None:
        self._me = me
        self._port = port
        self._waiting: dict[asyncio.StreamWriter, Member] = {}
        self._num_answered = 0

    async def run(self, timeout_s: float) -> tuple[Member, ...]:
        self._answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(self._receive, sock=_listen(self._port), limit=MAX_LINE_BYTES)
        await asyncio.wait([self._answer], timeout=timeout_s)
        if not self._answer.done():
            self._answer.set_result({"lost": self._who_is_missing(timeout_s)})
        answer, end = self._answer.result(), time.monotonic() + LATECOMERS_S
        while time.monotonic() < end and (
            self._waiting or ("mistake" in answer and self._num_answered < self._me.num_processes - 1)
        ):
            await asyncio.sleep(0.01)
        server.close()
        return _members(answer)

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # It may hang up, or say too much: a port scanner, a health check. What still waits at the end is cancelled.
        with suppress(OSError, ValueError, asyncio.CancelledError):
            member = _parse(await reader.readline())
            if member is not None:
                self._enter(member)
                self._waiting[writer] = member
                hangs_up = asyncio.create_task(reader.read())
                await asyncio.wait([self._answer, hangs_up], return_when=asyncio.FIRST_COMPLETED)
                if self._answer.done():
                    writer.write(_line(self._answer.result()))
                    writer.write_eof()
                    await asyncio.wait_for(writer.drain(), ONE_TRY_S)
                    self._num_answered += 1
        self._waiting.pop(writer, None)
        writer.close()

    def _enter(self, member: Member) -> None:
        """Answers all if this member does not fit to the others, or is the last one."""
        members = (self._me, *self._waiting.values())
        mistake = _mistake(self._me, member, members)
        if mistake and not self._answer.done():
            self._answer.set_result({"mistake": mistake})
        elif len(members) + 1 == self._me.num_processes and not self._answer.done():
            self._answer.set_result({"members": sorted((*members, member))})

    def _who_is_missing(self, timeout_s: float) -> str:
        present = {member.process_id for member in self._waiting.values()}
        missing = sorted(set(range(1, self._me.num_processes)) - present)
        names = ", ".join(map(str, missing[:8])) + (", …" if len(missing) > 8 else "")
        return (
            f"{self._me} waited {timeout_s:g} s on port {self._port}, and {len(missing)} of {self._me.num_processes} "
            f"processes did not come: {names}; were they started, and can they reach this host?"
        )


def _members(answer: Answer) -> tuple[Member, ...]:
    if "mistake" in answer:
        raise UserError(answer["mistake"])
    if "lost" in answer:
        raise PeerLostError(answer["lost"])
    return tuple(Member(*member) for member in answer.get("members", ()))


def _mistake(me: Member, caller: Member, present: tuple[Member, ...]) -> str | None:
    if caller.num_processes != me.num_processes:
        return (
            f"{caller} was told that there are {caller.num_processes} processes, {me} that there are {me.num_processes}"
        )
    for member in present:
        if member.process_id == caller.process_id:
            return (
                f"two processes have the number {caller.process_id}: {member.host}, pid {member.pid}, and "
                f"{caller.host}, pid {caller.pid}; each needs its own, from 0 to {me.num_processes - 1}"
            )
    names = sorted(n for n in me.versions | caller.versions if me.versions.get(n) != caller.versions.get(n))
    found = ", ".join(f"{name} {caller.versions.get(name)} and {me.versions.get(name)}" for name in names)
    return f"{caller} and {me} do not run the same: {found}" if names else None


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


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _parse(line: bytes) -> Member | None:
    try:
        return Member(*parse_document(line, Hello, where="a process")[HELLO]) if line.endswith(b"\n") else None
    except UserError:
        return None
