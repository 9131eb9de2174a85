"""What the machine is: the card, the versions, and the rates that all other stages are compared with."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp

from ostinato.benchmarks.gpu.context import PRECISIONS, Context, matmuls
from ostinato.launch.plan.calibration import operation_s

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "torch", "jax-cuda13-plugin")
_QUERY = "name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit,compute_mode"


def run(context: Context) -> None:
    """Writes what the machine is, then its rates."""
    device = jax.devices()[0]
    context.write(
        "machine",
        device_kind=device.device_kind,
        platform=device.platform,
        num_devices=jax.device_count(),
        platform_version=" ".join(device.client.platform_version.split()),
        memory=device.memory_stats(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        versions={package: _version(package) for package in PACKAGES},
        nvidia_smi=_nvidia_smi(),
    )
    side, num_bytes = (256, 2**22) if context.smoke else (8192, 2**32)
    keys = jax.random.split(jax.random.key(0))
    for precision in PRECISIONS:
        dtype = jnp.bfloat16 if precision == "bf16" else jnp.float32
        a, b = (jax.random.normal(key, (side, side), dtype) for key in keys)
        with matmuls(precision):
            seconds = seconds_of(jax.jit(jnp.matmul), a, b)
        context.write("rate", name=f"matmul {precision}", value=2 * side**3 / seconds, unit="FLOP/s")
    x = jax.random.normal(keys[0], (num_bytes // 4,))
    seconds = seconds_of(jax.jit(lambda x: x + 1.0), x)
    context.write("rate", name="memory", value=2 * num_bytes / seconds, unit="bytes/s read and written")
    context.write("rate", name="operation", value=operation_s(), unit="s to start an operation in a loop")


def seconds_of(function: Callable[..., Any], *arguments: Any, rounds: int = 5, count: int = 10) -> float:
    """Returns the seconds of a call: the median of some rounds of several, dispatched one behind the other."""
    jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(rounds):
        begin_s, out = time.perf_counter(), None
        for _ in range(count):
            out = function(*arguments)
        jax.block_until_ready(out)
        seconds.append((time.perf_counter() - begin_s) / count)
    return median(seconds)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _nvidia_smi() -> str | None:
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.strip()
