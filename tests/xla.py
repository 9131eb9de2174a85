"""Flags of XLA for tests: compiling is what costs, and what is compiled runs for moments."""

QUICK_TO_COMPILE = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
)
"""A third of the time. All processes whose results are compared have them, or none has."""


def flags(num_devices: int) -> str:
    """Returns what XLA_FLAGS is in a process that sees so many CPU devices."""
    return f"--xla_force_host_platform_device_count={num_devices} {QUICK_TO_COMPILE}"
