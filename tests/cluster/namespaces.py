"""Two network namespaces as two hosts, each with an address, a name and a hosts file of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

ADDRESSES = ("192.0.2.1", "192.0.2.2")


def ip(*words: str) -> None:
    """Runs `ip`."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@contextmanager
def two_hosts() -> Iterator[list[str]]:
    """Yields the names of two hosts with a cable between them, which `cut_cable` cuts; skips where that cannot be."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("two hosts in network namespaces need root, ip and unshare")
    names = [f"ostinato-{os.getpid()}-{i}" for i in range(2)]
    cables = list(map(_cable, names))
    lines = [f"{address} {name}\n" for address, name in zip(ADDRESSES, names, strict=True)]
    with ExitStack() as stack:
        for name in names:
            added = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
            if added.returncode != 0:
                pytest.skip(f"network namespaces are not permitted here: {added.stderr.strip()}")
            stack.callback(ip, "netns", "delete", name)
            folder = Path("/etc/netns", name)  # what lies here is the host's own in /etc
            folder.mkdir(parents=True)
            stack.callback(shutil.rmtree, folder)
            (folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
        ip("link", "add", cables[0], "netns", names[0], "type", "veth", "peer", "name", cables[1], "netns", names[1])
        for name, cable, address in zip(names, cables, ADDRESSES, strict=True):
            ip("-netns", name, "address", "add", f"{address}/24", "dev", cable)
            for device in (cable, "lo"):
                ip("-netns", name, "link", "set", device, "up")
        yield names


def cut_cable(name: str) -> None:
    """Lets a host of `two_hosts` reach the other no more."""
    ip("-netns", name, "link", "set", _cable(name), "down")


def _cable(name: str) -> str:
    return f"o{name[-12:]}"  # at most 15 letters
