"""A Slurm cluster of two nodes on this machine, from Debian's packages, that leaves nothing behind.

The packages are unpacked in the user's cache and laid over /usr in namespaces of the cluster's own (mounts, processes,
network): nothing is installed, and when the first process of the namespaces ends, the kernel ends all others.
"""

import contextlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.cluster.servers import Servers

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
# Debian chooses these by `update-alternatives`.
ALTERNATIVES = ("slurmctld", "slurmd", "slurmstepd")

START = """
set -eu
mount -t overlay overlay -o lowerdir={packages}/usr:/usr /usr
mount --bind {folder}/hosts /etc/hosts
ip link set lo up
ip address add 192.0.2.1/32 dev lo # one that is not of the loopback, without which slurmctld finds none to listen on
munged --foreground --force --key-file={folder}/munge.key --socket={folder}/munge.socket --pid-file={folder}/munge.pid \
    --log-file={folder}/munged.log --seed-file={folder}/munge.seed &
export SLURM_CONF={folder}/slurm.conf
slurmctld -D -c &
slurmd -D -N node1 &
slurmd -D -N node2 &
sleep infinity
"""
# A requeued job waits until the credential of its last life has expired, two minutes by default.
CONFIG = """
ClusterName=ostinato
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MpiDefault=none
ReturnToService=2
KillWait=20
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=2 RealMemory=4000
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=2 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
"""


class Slurm:
    """A running cluster."""

    def __init__(self, servers: Servers) -> None:
        """Starts it and waits until its nodes take jobs; skips the test where that cannot be done."""
        packages = unpacked_packages()
        self._servers = servers
        self.folder = folder = servers.folder / "slurm"
        (folder / "state").mkdir(parents=True)
        host = os.uname().nodename
        (folder / "hosts").write_text(f"127.0.0.1 localhost {host} node1 node2\n")
        (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, host=host))
        # The default looks for the file system of control groups; version 1 does not, where no plugin wants any.
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        start = START.format(folder=folder, packages=packages)
        namespaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--net")
        servers.start("slurm", [*namespaces, "bash", "-c", start])
        servers.wait_until(lambda: self.run("sinfo", "--noheader", "--format=%D %t").stdout.split() == ["2", "idle"])

    def run(self, *command: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command of Slurm's inside the cluster's namespaces."""
        environ = {**os.environ, **(environ or {}), "SLURM_CONF": str(self.folder / "slurm.conf")}
        inside = ["nsenter", f"--target={self._first_process()}", "--mount", "--pid", "--net", "--"]
        return subprocess.run([*inside, *command], capture_output=True, text=True, env=environ, timeout=60)

    def _first_process(self) -> int:
        unshare = self._servers.pid("slurm")
        children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
        if not children:
            raise OSError("the namespaces are not there yet")
        return int(children[0])


def unpacked_packages() -> Path:
    """Returns a folder with Slurm's programs in usr/, from the user's cache; fetched and unpacked by apt and dpkg."""
    for program in ("apt-get", "dpkg-deb", "unshare", "nsenter", "ip"):
        if not shutil.which(program):
            pytest.skip(f"Slurm is tested with Debian's packages; there is no {program} on the PATH")
    if os.geteuid() != 0:
        pytest.skip("a Slurm cluster in namespaces of its own needs root")
    trial = "mount -t overlay overlay -o lowerdir=/etc:/usr /mnt && ip link set lo up"
    allowed = subprocess.run(["unshare", "--mount", "--net", "sh", "-c", trial], capture_output=True, text=True)
    if allowed.returncode != 0:
        pytest.skip(f"a Slurm cluster in namespaces of its own is not permitted here: {allowed.stderr.strip()}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato" / "cluster"
    system = platform.freedesktop_os_release()
    finished = cache / f"slurm-{system['ID']}-{system.get('VERSION_ID', 'rolling')}"
    if not finished.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            folder = Path(temporary)
            fetch(folder)
            for package in folder.glob("*.deb"):
                subprocess.run(["dpkg-deb", "--extract", package, folder / "root"], check=True, timeout=60)
            for name in ALTERNATIVES:
                program = folder / "root/usr/sbin" / name
                if not program.exists():
                    program.symlink_to(f"{name}-wlm")
            with contextlib.suppress(OSError):  # another test run was faster
                (folder / "root").rename(finished)
    return finished


def fetch(folder: Path) -> None:
    """Downloads the packages, and those that they need and this machine has not, with lists of apt's in the folder."""
    for name in ("lists", "archives"):
        (folder / name / "partial").mkdir(parents=True)
    apt = ["apt-get", "--quiet", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}"]
    wanted: list[str] = []
    for words in (
        ["update"],
        ["install", "--simulate", "--reinstall", "--no-install-recommends", *PACKAGES],
        ["download"],
    ):
        environ = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            [*apt, *words, *wanted], cwd=folder, capture_output=True, text=True, env=environ, timeout=200
        )
        if done.returncode != 0 and words == ["update"]:
            pytest.skip(f"Debian's packages cannot be reached: {done.stderr.strip()[-200:]}")
        assert done.returncode == 0, done.stderr[-2000:]
        wanted = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Inst ")]
