"""Every test sees four CPU devices, strict dtype promotion and no rank promotion."""

import os

# Before anything imports jax: it reads them once.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4".strip()

import jax
import pytest


def pytest_configure(config: pytest.Config) -> None:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    # Compiling is what costs: the same program is compiled once, also in the next session (`pytest --cache-clear`).
    cache = getattr(config, "cache", None)  # absent under -p no:cacheprovider
    if cache is not None:
        # JAX writes what it keeps in place, so two processes of a session may not share a folder.
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        jax.config.update("jax_compilation_cache_dir", str(cache.mkdir(f"jax{worker}")))
        if worker:
            os.environ["XDG_CACHE_HOME"] = str(cache.mkdir(f"home{worker}"))  # of the commands that tests run
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
