"""What there is on this machine, what is missing, and how to mend it: `ostinato doctor`."""

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from ostinato.launch.cache import cache_folder
from ostinato.launch.plan.machines import usable_cores

PACKAGE = "ostinato"
SHOWN = ("ostinato", "jax", "jaxlib", "flax", "orbax-checkpoint", "numpy", "apache-beam", "symusic")
NEEDED_FOR = {
    "live": "sample --stream port:NAME",
    "demo": "make demo, ostinato demo without --midi",
    "notation": "MusicXML and kern, and scores of pieces",
    "7z": ".7z archives",
    "listen": "studio, listen serve and results",
    "cuda": "NVIDIA GPUs",
    "tpu": "TPUs",
    "plan-cuda": "plan --on a GPU",
    "plan-tpu": "plan --on a TPU",
    "gcp": "gs:// and Dataflow",
    "aws": "s3://",
    "dask": "prepare on Dask",
    "tf": "as_dataset() of tfds",
    "hub": "hub:USER/NAME",
    "wandb": "train --track wandb",
    "mlflow": "train --track mlflow",
}
"""What users need an extra for; those of developers are not looked at."""

LEAST_FREE_GB = 2.0


class Finding(NamedTuple):
    """One thing that was looked at."""

    name: str
    found: str
    mend: str = ""
    """How to mend it; empty where all is well."""
    is_needed: bool = False
    """Nothing works as it should before it is mended."""


def examine() -> Iterator[Finding]:
    """Yields what is found, the quick things first. Devices and sound take seconds."""
    yield Finding("system", f"{platform.platform()}, Python {platform.python_version()}")
    yield Finding("versions", ", ".join(f"{name} {_version(name) or 'missing'}" for name in SHOWN))
    yield _packages()
    yield from _extras()
    yield Finding("processors", f"{usable_cores()} cores")
    yield from _memory()
    for name, folder in (("here", Path()), ("cache", cache_folder()), ("temporary files", Path(tempfile.gettempdir()))):
        yield _disk(name, folder)
    yield _devices()
    yield _sound()


def missing_requirements(package: str, extra: str = "") -> list[str]:
    """Returns what a package, or one of its extras, requires and is not installed or in another version.

    Extras of others, such as jax[cuda12], are looked into.
    """
    missing = []
    for text in importlib.metadata.requires(package) or ():
        requirement = Requirement(text)
        needs_extra = "extra" in str(requirement.marker or "")
        if needs_extra != bool(extra) or not (
            requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        ):
            continue
        version = _version(requirement.name)
        if version is None:
            missing.append(requirement.name)
        elif not requirement.specifier.contains(version, prereleases=True):
            missing.append(f"{requirement.name}{requirement.specifier} (there is {version})")
        else:
            missing += [name for inner in requirement.extras for name in missing_requirements(requirement.name, inner)]
    return missing


def _packages() -> Finding:
    if missing := missing_requirements(PACKAGE):
        return Finding("packages", f"missing: {', '.join(missing)}", f"pip install --upgrade {PACKAGE}", is_needed=True)
    return Finding("packages", "all that are required")


def _extras() -> Iterator[Finding]:
    for extra in sorted(set(importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or ()) & set(NEEDED_FOR)):
        missing = missing_requirements(PACKAGE, extra)
        found = f"for {NEEDED_FOR[extra]}: " + (f"missing {_few(missing)}" if missing else "there")
        yield Finding(f"extra {extra}", found, f"pip install '{PACKAGE}[{extra}]'" if missing else "")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _memory() -> Iterator[Finding]:
    file = Path("/proc/meminfo")
    if file.is_file():  # Linux alone has it
        kb = {line.split(":")[0]: int(line.split()[1]) for line in file.read_text().splitlines()}
        yield Finding("memory", f"{kb['MemAvailable'] / 2**20:.1f} GB free of {kb['MemTotal'] / 2**20:.1f}")


def _disk(name: str, folder: Path) -> Finding:
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free_gb = shutil.disk_usage(there).free / 2**30
    found = f"{folder.absolute()}: {free_gb:.1f} GB free"
    if not os.access(there, os.W_OK):
        return Finding(
            f"disk, {name}", f"{found}, but it cannot be written", f"give yourself the right to write {there}"
        )
    mend = f"make room: less than {LEAST_FREE_GB:.0f} GB are soon full" if free_gb < LEAST_FREE_GB else ""
    return Finding(f"disk, {name}", found, mend)


def _devices() -> Finding:
    """Computes something on each device."""
    try:
        import jax

        devices = jax.local_devices()
        for device in devices:
            jax.device_put(1.0, device).block_until_ready()
    except Exception as error:  # whatever a driver or a plugin raises
        return Finding("devices", f"JAX cannot use any ({error})", "see the installation guide of JAX", is_needed=True)
    found = f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"
    if devices[0].platform == "cpu" and any(Path("/dev").glob("nvidia[0-9]*")):
        return Finding(
            "devices", f"{found}; there is an NVIDIA GPU that JAX does not use", "pip install 'ostinato[cuda]'"
        )
    return Finding("devices", found)


def _sound() -> Finding:
    """Renders a note."""
    try:
        from ostinato.music.piece import make_piece
        from ostinato.sample.output.audio import default_soundfont, measure_audio, render_audio

        note = make_piece(onset=[0], duration=[1], pitch=[60], velocity=[90], program=[0], ticks_per_quarter=2)
        levels = measure_audio(render_audio(note), 48_000)
        if levels.rms_dbfs > -60:
            return Finding("sound", f"rendered with {default_soundfont()}")
        found = "what is rendered is silent"
    except Exception as error:  # a library that does not load, a SoundFont that is gone
        found = f"cannot be rendered ({error})"
    return Finding("sound", found, "pip install --force-reinstall midirenderer pretty_midi soundfile", is_needed=True)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
