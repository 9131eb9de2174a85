"""Joins the processes of a run, from one laptop to many hosts: `initialize()` before anything asks JAX for its devices.

Instead of JAX's aborts there are messages of one line where a process is missing, clashes, or cannot be reached.
"""

import logging
import os
import platform
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from ostinato.configs.errors import UserError
from ostinato.configs.versions import package_version
from ostinato.train.hosts.place import Settings, find_place, split_address
from ostinato.train.hosts.rendezvous import Member, join_members, this_process, wait_for_members

logger = logging.getLogger(__name__)

PACKAGES = ("ostinato", "jax", "jaxlib", "numpy")
"""Processes of one run have the same versions: they compile the same program, each for itself."""
JAX_TIMEOUT_S = 100
"""JAX aborts the others when a process has been silent for so long."""


def initialize(settings: Settings | None = None, *, same: Mapping[str, str] | None = None) -> tuple[Member, ...]:
    """Joins the other processes of the run; does nothing where there is only one, or where JAX has been told already.

    Args:
        settings: what the command line says.
        same: what has to be the same in all processes, such as a digest of the configuration.

    Returns:
        All processes by number, with their hosts; none if there is only this one.

    Raises:
        UserError: the settings are incomplete, or processes clash; the message says how.
        PeerLostError: a process did not come in time.
    """
    settings = settings or Settings()
    place = None if jax.distributed.is_initialized() else find_place(settings, os.environ)
    if place is None:
        return ()
    host, port = split_address(place.coordinator)
    versions = {package: package_version(package) for package in PACKAGES}
    versions["python"] = ".".join(platform.python_version_tuple()[:2])
    me = this_process(place.process_id, place.num_processes, versions | dict(same or {}))
    if me.process_id == 0:
        members = wait_for_members(me, port, timeout_s=settings.start_timeout_s)
    else:
        members = join_members(me, host, port, timeout_s=settings.start_timeout_s)
        logging.getLogger("ostinato").setLevel(logging.WARNING)  # process 0 tells how the run goes
    # gRPC would go through http_proxy to the next host. JAX only warns, also when this is seen to.
    os.environ.setdefault("no_grpc_proxy", host)
    jax.config.update("jax_check_proxy_envs", False)
    jax.distributed.initialize(
        place.coordinator,
        place.num_processes,
        place.process_id,
        local_device_ids=place.local_devices,
        cluster_detection_method="deactivate",
        initialization_timeout=max(1, round(settings.start_timeout_s)),
        heartbeat_timeout_seconds=JAX_TIMEOUT_S,
    )
    if jax.default_backend() == "cpu":
        check_addresses(members)
    _connect_devices()
    hosts = list(dict.fromkeys(member.host for member in members))
    named = ", ".join(hosts[:4]) + (f" and {len(hosts) - 4} more" if len(hosts) > 4 else "")
    logger.info("%d processes on %s, %d devices", len(members), named, jax.device_count())
    return members


def check_addresses(members: tuple[Member, ...]) -> None:
    """Checks that gloo, which adds up on CPUs, can reach every host under its name.

    Raises:
        UserError: there are several hosts, and the name of one leads to itself or nowhere.
    """
    if len({member.host for member in members}) == 1:
        return
    for member in members:
        if not member.address or member.address.startswith("127."):
            raise UserError(
                f"{member}: on its host the name '{member.host}' leads to {member.address or 'no address'}, which the "
                f"other hosts cannot reach; give it the address of its network there, in /etc/hosts"
            )


def _connect_devices() -> None:
    """Lets all devices add up a number while all processes are here.

    gloo connects at the first sum over a group of devices, and gives up when the others come half a minute later, which
    they do when one compiles and the other finds the program in its cache.
    """
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
    ones = np.ones(jax.local_device_count(), np.float32)
    total = jax.jit(jnp.sum, out_shardings=everywhere)(
        jax.make_array_from_process_local_data(rows, ones, (jax.device_count(),))
    )
    assert float(total) == jax.device_count(), total
    multihost_utils.sync_global_devices("ostinato starts")  # that sums over one device of each process
