"""The machines that `ostinato plan` knows: what they hold, how fast they are, and how they are linked.

Figures are the makers' for one device (a chip, a GPU), dense, without sparsity; `reached` is our assumption of what a
real program gets of them, and is printed with every plan. The speeds of this machine are measured instead.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ostinato.configs.errors import UserError
from ostinato.launch.plan.roofline import Hosts, Interconnect, Speeds, Torus

GIB = 2**30


class Machine(NamedTuple):
    """One kind of device, tpu, gpu or cpu; a program gets the share `usable` of its memory.

    Matmuls and memory traffic reach shares of the peak. `clock_hz` is that of the units whose cycles the compiler
    estimates, 0 if it does not; `gpu` is what XLA has to know of a GPU in order to compile for it.
    """

    name: str
    platform: str
    device: str
    memory_bytes: float
    usable: float
    peak: Speeds
    reached: tuple[float, float] = (1.0, 1.0)
    interconnect: Interconnect | None = None
    clock_hz: float = 0.0
    notes: tuple[str, ...] = ()
    gpu: Mapping[str, Any] = {}

    @property
    def speeds(self) -> Speeds:
        """As a program reaches them."""
        matmuls, traffic = self.reached
        return self.peak._replace(
            matmul_flops={dtype: matmuls * value for dtype, value in self.peak.matmul_flops.items()},
            memory=traffic * self.peak.memory,
            cache=traffic * self.peak.cache,
        )

    @property
    def usable_bytes(self) -> int:
        return int(self.usable * self.memory_bytes)

    @property
    def assumptions(self) -> list[str]:
        """What a plan rests on, in words."""
        peak, (matmuls, traffic) = self.peak, self.reached
        return [
            f"{self.device}: {peak.matmul_flops['bfloat16'] / 1e12:,.0f} TFLOP/s in bfloat16, "
            f"{peak.matmul_flops['float32'] / 1e12:,.0f} for float32, of which {matmuls:.0%} are reached; "
            f"{peak.memory / 1e9:,.0f} GB/s of memory traffic, {traffic:.0%} reached; "
            f"{self.usable_bytes / GIB:.1f} of {self.memory_bytes / GIB:.1f} GiB are usable",
            *self.notes,
        ]


class Target(NamedTuple):
    """A machine and how many of it; `topology` is spelled as `get_topology_desc` wants it.

    Of this machine, only `cores` are used; 0 is all of them.
    """

    text: str
    machine: Machine
    num_devices: int
    topology: str = ""
    cores: int = 0


_SLICES_2D = {
    1: (1, 1), 2: (1, 2), 4: (2, 2), 8: (2, 4), 16: (4, 4), 32: (4, 8), 64: (8, 8), 128: (8, 16), 256: (16, 16),
}  # fmt: skip
_SLICES_3D = {
    1: (1, 1, 1), 2: (1, 1, 2), 4: (2, 2, 1), 8: (2, 2, 2), 16: (2, 2, 4), 32: (2, 4, 4), 64: (4, 4, 4),
    128: (4, 4, 8), 256: (4, 8, 8),
}  # fmt: skip
_NVIDIA = {
    "threads_per_block_limit": 1024, "threads_per_warp": 32, "shared_memory_per_block": 49152,
    "threads_per_core_limit": 2048, "registers_per_core_limit": 65536, "registers_per_block_limit": 65536,
    "block_dim_limit_x": 2147483647, "block_dim_limit_y": 65535, "block_dim_limit_z": 65535,
    "thread_dim_limit_x": 1024, "thread_dim_limit_y": 1024, "thread_dim_limit_z": 64,
    "driver_version": "12.8.0", "runtime_version": "12.8.0", "compile_time_toolkit_version": "12.8.0",
    "dnn_version": "9.10.0",
}  # fmt: skip
_CACHE_SHARE = 0.7


def _tpu(name: str, gib: float, bf16: float, hbm: float, link: float, slices: Any, wraps: int, ghz: float) -> Machine:
    flops = {"bfloat16": bf16, "float32": bf16}
    vmem_bytes = 128 * 2**20  # of a chip: jax/_src/pallas/mosaic/tpu_info.py, for v5e, v5p (two cores) and v6e
    peak = Speeds(flops, bf16 / 30, bf16 / 120, hbm, _CACHE_SHARE * vmem_bytes, 20 * hbm, 1e-6, free_bytes=1024)
    notes = (
        f"links: {link / 1e9:.0f} GB/s for each link and direction, a grid; an axis whose length is a multiple of "
        f"{wraps} is a ring",
        f"sources: Google Cloud's page of TPU {name}; 'How to Scale Your Model' (links, VMEM)",
        "float32 matmuls run as one bfloat16 pass (JAX's default precision); starting an operation 1 us, on fewer than "
        "1 KiB nothing; a loop whose weights and intermediates fit in 70 % of VMEM keeps them there, where they move "
        "20 times as fast as in HBM; 1 us for each hop between chips",
    )
    links = Torus(link, slices, wraps, 1e-6)
    # The compiler keeps a little of the memory: 15.75 of 16 GiB.
    return Machine(name, "tpu", f"TPU {name} chip", gib * GIB, 0.98, peak, (0.8, 0.85), links, ghz * 1e9, notes)


def _gpu(
    name: str, device: str, memory_bytes: int, bf16: float, hbm: float, l2_bytes: int, l2: float, vector: float,
    link: float, network: float, sources: str, **gpu: Any,
) -> Machine:  # fmt: skip
    flops = {"bfloat16": bf16, "float16": bf16, "float32": bf16 / 2}
    peak = Speeds(flops, vector / 2, vector / 16, hbm, _CACHE_SHARE * l2_bytes, l2, 3e-6)
    notes = (
        f"links: {link / 1e9:.0f} GB/s for each device and direction inside a host of 8, {network / 1e9:.0f} between "
        "hosts",
        f"sources: {sources}",
        "float32 matmuls run as TF32 (JAX's default precision); starting a kernel 3 us; a loop whose weights and "
        "intermediates fit in 70 % of the L2 cache reads them from there; beyond 8 GPUs one network card for each GPU; "
        "10 us for each doubling of a collective's devices",
    )
    gpu |= {"device_memory_size": memory_bytes, "memory_bandwidth": int(hbm), "l2_cache_size": l2_bytes, **_NVIDIA}
    links = Hosts(8, link, network, 10e-6)
    # 0.75 is the default of XLA_PYTHON_CLIENT_MEM_FRACTION.
    return Machine(name, "gpu", device, memory_bytes, 0.75, peak, (0.7, 0.85), links, notes=notes, gpu=gpu)


MACHINES: dict[str, Machine] = {
    machine.name: machine
    for machine in (
        _tpu("v5e", gib=16, bf16=197e12, hbm=819e9, link=45e9, slices=_SLICES_2D, wraps=16, ghz=1.5),
        _tpu("v5p", gib=95, bf16=459e12, hbm=2765e9, link=90e9, slices=_SLICES_3D, wraps=4, ghz=1.75),
        _tpu("v6e", gib=32, bf16=918e12, hbm=1640e9, link=90e9, slices=_SLICES_2D, wraps=16, ghz=1.75),
        _gpu(
            "h100", "NVIDIA H100 80GB HBM3", memory_bytes=84_942_979_072, bf16=989e12, hbm=3352e9, l2_bytes=50 * 2**20,
            l2=5.5e12, vector=67e12, link=450e9, network=50e9,
            sources="NVIDIA's data sheet of the H100 SXM (dense); NVLink 4; one 400 Gbit/s card for each GPU",
            core_count=132, fpus_per_core=128, clock_rate_ghz=1.98, shared_memory_per_core=233472,
            shared_memory_per_block_optin=232448, cuda_compute_capability=(9, 0),
        ),
        _gpu(
            "h200", "NVIDIA H200", memory_bytes=150_754_820_096, bf16=989e12, hbm=4800e9, l2_bytes=60 * 2**20,
            l2=5.5e12, vector=67e12, link=450e9, network=50e9,
            sources="NVIDIA's data sheet of the H200 SXM (dense); memory and L2 as the driver says; NVLink 4; one 400 "
            "Gbit/s card for each GPU; of the L2 cache's speed nothing is known but the H100's",
            core_count=132, fpus_per_core=128, clock_rate_ghz=1.98, shared_memory_per_core=233472,
            shared_memory_per_block_optin=232448, cuda_compute_capability=(9, 0),
        ),
        _gpu(
            "a100", "NVIDIA A100-SXM4-80GB", memory_bytes=85_100_068_864, bf16=312e12, hbm=2039e9, l2_bytes=40 * 2**20,
            l2=4.0e12, vector=19.5e12, link=300e9, network=25e9,
            sources="NVIDIA's data sheet of the A100 80GB SXM (dense); NVLink 3; one 200 Gbit/s card for each GPU",
            core_count=108, fpus_per_core=64, clock_rate_ghz=1.41, shared_memory_per_core=167936,
            shared_memory_per_block_optin=166912, cuda_compute_capability=(8, 0),
        ),
    )
}  # fmt: skip


def find_target(text: str) -> Target:
    """Returns what a spelling such as v5e:4x4, h100:8, cpu or cpu:1 (one core of this machine) names.

    Raises:
        UserError: no such machine, or a number of devices that it is not built with.
    """
    name, _, size = text.partition(":")
    if re.fullmatch(r"cpu(:[1-9]\d*)?", text):
        if size and not hasattr(os, "sched_setaffinity"):
            raise UserError(f"--on {text}: this system cannot keep a process to some of its cores; plan for --on cpu")
        memory_bytes, unknown = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), Speeds({}, 0, 0, 0, 0, 0, 0)
        return Target(text, Machine(name, name, "this machine", memory_bytes, 0.8, unknown), 1, cores=int(size or 0))
    machine = MACHINES.get(name)
    if machine is None:
        raise UserError(f"--on {text}: no such machine; known are cpu, {', '.join(MACHINES)}")
    if isinstance(machine.interconnect, Torus):
        slices = {"x".join(map(str, grid)): chips for chips, grid in machine.interconnect.slices.items()}
        if size not in slices:
            known = ", ".join(grid for grid, chips in slices.items() if chips > 1)
            raise UserError(f"--on {text}: write the slice after the colon, one of {known}")
        return Target(text, machine, slices[size], text)
    count = int(size) if size.isdigit() else 0
    if count == 0 or (count > 8 and count % 8):
        raise UserError(
            f"--on {text}: write the number of GPUs after the colon, 1 to 8 or a multiple of 8 (hosts of 8)"
        )
    return Target(text, machine, count, f"1x{max(1, count // 8)}x{min(count, 8)}")


def target_config(machine: Machine) -> str:
    """Returns XLA's GpuTargetConfig as a text proto: the GPU that a program is compiled for."""

    def line(key: str, value: Any) -> str:
        if isinstance(value, tuple):
            return f"{key} {{ major: {value[0]} minor: {value[1]} }}"
        return f'{key}: "{value}"' if isinstance(value, str) else f"{key}: {value}"

    major, minor, patch = _NVIDIA["dnn_version"].split(".")
    return (
        f"gpu_device_info {{ {' '.join(line(*item) for item in machine.gpu.items())} }} "
        f'platform_name: "CUDA" dnn_version_info {{ major: {major} minor: {minor} patch: {patch} }} '
        f'device_description_str: "{machine.device}"'
    )


def cache_bytes() -> int:
    """Returns the size of the last cache of the first core; 8 MiB where the system does not say."""
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    units = {"K": 2**10, "M": 2**20}
    return max((int(size[:-1]) * units[size[-1]] for size in sizes if size[-1:] in units), default=8 * 2**20)


def usable_cores() -> int:
    """Returns the cores that this process may use; only Linux and some others can keep it to a part of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
