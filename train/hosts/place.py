"""Which process of a run this one is: from flags, variables of the environment, or the launcher's own.

Who is who comes from the flags, from OSTINATO_COORDINATOR, OSTINATO_NUM_PROCESSES and OSTINATO_PROCESS_ID (which
`ostinato launch local` and the manifests in launch/ set), or from Slurm, Open MPI or a TPU pod. Of these JAX knows
Slurm, Open MPI 4 and TPUs; what is added is Open MPI 5, the bare numbers of Kubernetes and MPICH, and a fair share of
the GPUs of a host.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jax._src.clusters import ClusterEnv, GceTpuCluster, GkeTpuCluster, OmpiCluster, SlurmCluster

from ostinato.configs.errors import UserError

COORDINATOR = "OSTINATO_COORDINATOR"
NUM_PROCESSES = "OSTINATO_NUM_PROCESSES"
PROCESS_ID = "OSTINATO_PROCESS_ID"

# JAX's detection without that of Kubernetes, which needs another package, rights on the API server, and one Job.
# There is no public way to ask it without joining, and JAX aborts where a process is missing.
_DETECTORS: tuple[type[ClusterEnv], ...] = (OmpiCluster, SlurmCluster, GkeTpuCluster, GceTpuCluster)

# Variables that hold a process's number and their count, of launchers that say no more than that.
_NUMBERS = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("JOB_COMPLETION_INDEX", ""),  # an Indexed Job of Kubernetes, as in a JobSet
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the processes of a run find each other; what is not given comes from the environment."""

    coordinator: str = ""
    """HOST:PORT of process 0."""
    num_processes: int = 0
    process_id: int = -1
    start_timeout_s: float = 300.0
    """A process that has not come by then is given up."""


class Place(NamedTuple):
    """The place of this process among the others."""

    coordinator: str
    """HOST:PORT"""
    num_processes: int
    process_id: int
    local_devices: tuple[int, ...] | None
    """The GPUs of this host that are for this process, as indices of those that it sees; None is all."""


def find_place(settings: Settings, environ: Mapping[str, str]) -> Place | None:
    """Returns the place of this process; None if it is the only one.

    Raises:
        UserError: something is missing or does not fit together.
    """
    coordinator = settings.coordinator or environ.get(COORDINATOR, "")
    num_processes = settings.num_processes or _whole_number(environ, NUM_PROCESSES)
    process_id = settings.process_id if settings.process_id >= 0 else _whole_number(environ, PROCESS_ID, default=-1)
    if not coordinator and not num_processes and process_id < 0:
        return _open_mpi_5(environ) or _detected(environ, settings.start_timeout_s)
    for rank, size in _NUMBERS:
        if rank in environ:
            process_id = process_id if process_id >= 0 else _whole_number(environ, rank)
            num_processes = num_processes or _whole_number(environ, size)
            break
    if num_processes == 1 and process_id <= 0:
        return None
    for is_given, flag, variable in (
        (coordinator != "", "--coordinator", COORDINATOR),
        (num_processes > 0, "--num-processes", NUM_PROCESSES),
        (process_id >= 0, "--process-id", PROCESS_ID),
    ):
        if not is_given:
            raise UserError(
                f"{flag} (or {variable}) is missing; coordinator, number of processes and process id belong together"
            )
    if process_id >= num_processes:
        raise UserError(
            f"process id {process_id} must be below the number of processes {num_processes}; the first is 0"
        )
    split_address(coordinator)
    return Place(coordinator, num_processes, process_id, None)


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of HOST:PORT; an IPv6 address stands in brackets.

    Raises:
        UserError: it is not of that form.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise UserError(f"coordinator '{address}' must be HOST:PORT, such as node1:7733")
    return host.removeprefix("[").removesuffix("]"), int(port)


def share_of_devices(local_id: int, num_local: int, environ: Mapping[str, str]) -> tuple[int, ...] | None:
    """Returns which GPUs process `local_id` of `num_local` on a host takes; None is all that it sees.

    JAX takes the one with the number of the process, which leaves seven idle where a host of eight has one process, and
    does not exist where Slurm lets each process see only its own.

    Raises:
        UserError: they cannot be divided.
    """
    visible = environ.get("CUDA_VISIBLE_DEVICES", "")
    num_visible = len(visible.split(",")) if visible else 0
    if num_local == 1 or num_visible == 1 or "SLURM_GPUS_PER_TASK" in environ:
        return None
    if num_visible == 0:
        return (local_id,)  # as JAX does; means nothing where there are no GPUs
    if num_visible % num_local:
        raise UserError(f"{num_visible} GPUs cannot be divided among the {num_local} processes of this host")
    share = num_visible // num_local
    return tuple(range(local_id * share, (local_id + 1) * share))


def slurm_tasks_per_node(text: str) -> list[int]:
    """Returns the numbers that Slurm writes as `2(x3),1`: here 2, 2, 2, 1."""
    counts = []
    for part in text.split(","):
        count, _, times = part.removesuffix(")").partition("(x")
        counts += [int(count)] * int(times or 1)
    return counts


def _open_mpi_5(environ: Mapping[str, str]) -> Place | None:
    """JAX looks for a variable of Open MPI 4; in 5 the name of the job holds the host and the pid of mpirun."""
    job = re.fullmatch(r"prterun-(.+)-(\d+)@\d+", environ.get("PMIX_NAMESPACE", ""))
    rank, size = (_whole_number(environ, f"OMPI_COMM_WORLD_{name}") for name in ("RANK", "SIZE"))
    if not job or size <= 1:
        return None
    port = 61_440 + int(job[2]) % 4096  # above the ports that Linux gives to clients
    return Place(f"{job[1]}:{port}", size, rank, _share_on_this_host(environ))


def _detected(environ: Mapping[str, str], timeout_s: float) -> Place | None:
    """Asks JAX, whose detectors read the variables of this process themselves."""
    if environ.get("SLURM_STEP_NUM_TASKS") == "1":  # a shell inside an allocation for several tasks
        return None
    for cluster in _DETECTORS:
        if cluster.is_env_present():
            num_processes = cluster.get_process_count()
            if num_processes == 1:
                return None
            port = environ.get("JAX_COORDINATOR_PORT")
            address = cluster.get_coordinator_address(timeout_secs=round(timeout_s), override_coordinator_port=port)
            return Place(address, num_processes, cluster.get_process_id(), _share_on_this_host(environ))
    return None


def _share_on_this_host(environ: Mapping[str, str]) -> tuple[int, ...] | None:
    """Returns the GPUs for this process under Slurm and Open MPI; all elsewhere."""
    if "OMPI_COMM_WORLD_LOCAL_SIZE" in environ:
        local_id, num_local = (_whole_number(environ, f"OMPI_COMM_WORLD_LOCAL_{name}") for name in ("RANK", "SIZE"))
    elif "SLURM_STEP_TASKS_PER_NODE" in environ:
        tasks = slurm_tasks_per_node(environ["SLURM_STEP_TASKS_PER_NODE"])
        local_id, num_local = _whole_number(environ, "SLURM_LOCALID"), tasks[_whole_number(environ, "SLURM_NODEID")]
    else:
        return None
    return share_of_devices(local_id, num_local, environ)


def _whole_number(environ: Mapping[str, str], name: str, *, default: int = 0) -> int:
    """Returns the value of a variable, or the default where it is absent or empty."""
    text = environ.get(name, "")
    if text and not text.isdecimal():
        raise UserError(f"the environment variable {name} is '{text}'; it must be a whole number")
    return int(text) if text else default
