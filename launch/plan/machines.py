"""The machines that `ostinato plan` knows: what they hold, how fast they are, and how they are linked.

Figures are the makers' for one device (a chip, a GPU), dense, without sparsity; `reached` is our assumption of what a
real program gets of them, and is printed with every plan.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ostinato.configs.errors import UserError
from ostinato.launch.plan.roofline import Hosts, Interconnect, Speeds, Torus

GIB = 2**30


class Machine(NamedTuple):
    """One kind of device."""

    name: str
    platform: str
    """tpu or gpu."""
    device: str
    memory_bytes: float
    usable: float
    """Share of the memory that a JAX program gets."""
    peak: Speeds
    reached: tuple[float, float]
    """Shares of the peak that matmuls and memory traffic reach."""
    interconnect: Interconnect
    clock_hz: float
    """Of the units whose cycles the compiler estimates; 0 if it does not."""
    sources: str
    notes: str
    gpu: Mapping[str, Any] = {}
    """What XLA has to know of a GPU in order to compile for it."""

    @property
    def speeds(self) -> Speeds:
        matmuls, traffic = self.reached
        return self.peak._replace(
            matmul_flops={dtype: matmuls * value for dtype, value in self.peak.matmul_flops.items()},
            memory=traffic * self.peak.memory,
            cache=traffic * self.peak.cache,
        )


class Target(NamedTuple):
    """A machine and how many of it."""

    text: str
    machine: Machine
    num_devices: int
    topology: str
    """As `get_topology_desc` wants it."""


_SLICES_2D = {
    1: (1, 1),
    2: (1, 2),
    4: (2, 2),
    8: (2, 4),
    16: (4, 4),
    32: (4, 8),
    64: (8, 8),
    128: (8, 16),
    256: (16, 16),
}
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
_TPU_NOTES = (
    "float32 matmuls run as one bfloat16 pass (JAX's default precision); starting an operation 1 us, on fewer than "
    "1 KiB nothing; what the compiler places in VMEM moves 20 times as fast as in HBM; 1 us for each hop between chips"
)
_GPU_NOTES = (
    "float32 matmuls run as TF32 (JAX's default precision); starting a kernel 3 us; a loop whose weights and "
    "intermediates fit in 70 % of the L2 cache reads them from there; beyond 8 GPUs one network card for each GPU; "
    "10 us for each doubling of a collective's devices"
)


def _tpu(
    name: str, device: str, *, memory_gib: float, bf16: float, hbm: float, link: float, axes: int, clock_hz: float
) -> Machine:
    peak = Speeds(
        matmul_flops={"bf16": bf16, "f32": bf16},
        elementwise=bf16 / 30,
        transcendentals=bf16 / 120,
        memory=hbm,
        cache_bytes=0,
        cache=20 * hbm,
        operation_s=1e-6,
        free_bytes=1024,
    )
    return Machine(
        name=name,
        platform="tpu",
        device=device,
        memory_bytes=memory_gib * GIB,
        usable=0.98,  # the compiler keeps a little: 15.75 of 16 GiB
        peak=peak,
        reached=(0.8, 0.85),
        interconnect=Torus(link, _SLICES_2D, 16, 1e-6) if axes == 2 else Torus(link, _SLICES_3D, 4, 1e-6),
        clock_hz=clock_hz,
        sources=f"Google Cloud's page of TPU {name}; 'How to Scale Your Model' (links, VMEM)",
        notes=_TPU_NOTES,
    )


def _gpu(
    name: str, device: str, *, memory_bytes: int, bf16: float, hbm: float, l2_bytes: int, l2: float, vector: float,
    link: float, network: float, sources: str, **gpu: Any,
) -> Machine:  # fmt: skip
    peak = Speeds(
        matmul_flops={"bf16": bf16, "f16": bf16, "f32": bf16 / 2, "tf32": bf16 / 2},
        elementwise=vector / 2,
        transcendentals=vector / 16,
        memory=hbm,
        cache_bytes=0.7 * l2_bytes,
        cache=l2,
        operation_s=3e-6,
    )
    return Machine(
        name=name,
        platform="gpu",
        device=device,
        memory_bytes=memory_bytes,
        usable=0.75,  # XLA_PYTHON_CLIENT_MEM_FRACTION's default
        peak=peak,
        reached=(0.7, 0.85),
        interconnect=Hosts(8, link, network, 10e-6),
        clock_hz=0.0,
        sources=sources,
        notes=_GPU_NOTES,
        gpu={
            **_NVIDIA,
            "device_memory_size": memory_bytes,
            "memory_bandwidth": int(hbm),
            "l2_cache_size": l2_bytes,
            **gpu,
        },
    )


MACHINES: dict[str, Machine] = {
    machine.name: machine
    for machine in (
        _tpu("v5e", "TPU v5e chip", memory_gib=16, bf16=197e12, hbm=819e9, link=45e9, axes=2, clock_hz=1.5e9),
        _tpu("v5p", "TPU v5p chip", memory_gib=95, bf16=459e12, hbm=2765e9, link=90e9, axes=3, clock_hz=1.75e9),
        _tpu("v6e", "TPU v6e chip", memory_gib=32, bf16=918e12, hbm=1640e9, link=90e9, axes=2, clock_hz=1.75e9),
        _gpu(
            "h100", "NVIDIA H100 80GB HBM3", memory_bytes=84_942_979_072, bf16=989e12, hbm=3352e9, l2_bytes=50 * 2**20,
            l2=5.5e12, vector=67e12, link=450e9, network=50e9,
            sources="NVIDIA's data sheet of the H100 SXM (dense); NVLink 4; one 400 Gbit/s card for each GPU",
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
    """Returns what a spelling such as v5e:4x4 or h100:8 names.

    Raises:
        UserError: no such machine, or a number of devices that it is not built with.
    """
    name, _, size = text.partition(":")
    machine = MACHINES.get(name)
    if machine is None:
        raise UserError(f"--on {text}: no such machine; known are cpu, {', '.join(MACHINES)}")
    if machine.platform == "tpu":
        assert isinstance(machine.interconnect, Torus)
        slices = {grid: chips for chips, grid in machine.interconnect.slices.items()}
        grid = tuple(int(part) for part in size.split("x")) if re.fullmatch(r"\d+(x\d+)+", size) else ()
        if grid not in slices:
            known = ", ".join("x".join(map(str, grid)) for grid in slices if max(grid) > 1)
            raise UserError(f"--on {text}: write the slice after the colon, one of {known}")
        return Target(text, machine, slices[grid], text)
    if not size.isdigit() or not (0 < int(size) <= 8 or int(size) % 8 == 0 < int(size)):
        raise UserError(
            f"--on {text}: write the number of GPUs after the colon, 1 to 8 or a multiple of 8 (hosts of 8)"
        )
    count = int(size)
    return Target(text, machine, count, f"1x{max(1, count // 8)}x{min(count, 8)}")


def target_config(machine: Machine) -> str:
    """Returns XLA's GpuTargetConfig as a text proto: the GPU that a program is compiled for."""
    lines = []
    for key, value in machine.gpu.items():
        if key == "cuda_compute_capability":
            lines.append(f"  {key} {{ major: {value[0]} minor: {value[1]} }}")
        else:
            lines.append(f'  {key}: "{value}"' if isinstance(value, str) else f"  {key}: {value}")
    major, minor, patch = _NVIDIA["dnn_version"].split(".")
    return "\n".join(
        [
            "gpu_device_info {",
            *lines,
            "}",
            'platform_name: "CUDA"',
            f"dnn_version_info {{ major: {major} minor: {minor} patch: {patch} }}",
            f'device_description_str: "{machine.device}"',
        ]
    )
