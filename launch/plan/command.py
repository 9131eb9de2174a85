"""`ostinato plan PRESET --on v5e:4x4 --on h100:8`: what a run will need and cost on machines that are not here.

The step is compiled for each target (`compiled_step.py`, in a process of its own: `child.py`); the rest is arithmetic
(`roofline.py`) with the figures of `machines.py`. A small model takes seconds a target, the largest preset one to four
minutes of a core; targets are compiled side by side on the cores that there are.
"""

import dataclasses
import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.configs.schema import CodecConfig, TrainConfig
from ostinato.data.records import Dataset
from ostinato.launch.plan.hlo_costs import Matmul
from ostinato.launch.plan.machines import GIB, Target, find_target, target_config
from ostinato.launch.plan.report import Hardware, Music, report_failure, report_target
from ostinato.launch.plan.roofline import Hosts, Interconnect, Speeds
from ostinato.music.score_codec import ScoreCodec

logger = logging.getLogger(__name__)

CPU = re.compile(r"cpu(?::([1-9]\d*))?")
"""cpu is all cores of this machine; cpu:1 is one, measured in CPU time, which other processes disturb less."""


def plan(
    config: TrainConfig,
    targets: Sequence[str],
    *,
    dataset: Path | None = None,
    num_notes: int = 10**9,
    search: bool = True,
    shard_optimizer: bool = False,
) -> dict[str, Any]:
    """Returns the plan as JSON can hold it: `music`, `config`, and what `report_target` says of each target.

    Args:
        config: the run.
        targets: such as v5e:4x4, h100:8, cpu.
        dataset: for the sizes of the codec's fields and the length of an epoch.
        num_notes: the length of an epoch where there is no dataset.
        search: look for the largest batch that fits, which takes some more compilations.
        shard_optimizer: plan for a step that the training loop does not know, `with_sharded_optimizer`.

    Raises:
        UserError: no target, an unknown one, or an extra is not installed.
    """
    if not targets:
        raise UserError("name a machine to plan for, such as --on cpu, --on v5e:4x4 or --on h100:8")
    found = {text: None if CPU.fullmatch(text) else find_target(text) for text in targets}
    for target in found.values():
        if target is not None:
            _check_split(config, target)
            check_extra(target)
    music = music_of(config, dataset, num_notes)
    request = {
        "config": dataclasses.asdict(config),
        "field_sizes": music.field_sizes,
        "search": search,
        "shard_optimizer": shard_optimizer,
    }
    # This machine is measured before compilers keep it busy.
    reports = {text: _plan_cpu(text, config, music, request) for text, target in found.items() if target is None}
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        others = {text: target for text, target in found.items() if target is not None}
        planned = pool.map(lambda target: _plan_target(target, config, music, request), others.values())
        reports |= dict(zip(others, planned, strict=True))
    return {
        "music": music._asdict(),
        "config": dataclasses.asdict(config),
        "targets": [reports[text] for text in found],
    }


def music_of(config: TrainConfig, dataset: Path | None, num_notes: int) -> Music:
    """Returns what a run is trained on; without a dataset, as many notes as are said."""
    if dataset is not None:
        opened = Dataset.open(dataset)
        split = opened.manifest["splits"]["train"]
        sizes = tuple(field.size for field in opened.codec.fields)
        return Music(sizes, split["steps"], split["notes"] / max(1, split["steps"]), str(dataset))
    if num_notes < 1:
        raise UserError(f"num_notes {num_notes} must be at least 1")
    if config.model.inputs == "normalized":  # the paper's network, on its notes
        largest = CodecConfig(name="notes").max_vocabulary
        return Music((largest,), num_notes, 1.0, f"{num_notes:,} notes, {largest} different ones; no dataset given")
    sizes = tuple(field.size for field in ScoreCodec().fields)
    return Music(sizes, num_notes, 1.0, f"{num_notes:,} notes of the score codec; no dataset given")


def check_extra(target: Target) -> None:
    """Refuses a target whose compiler is not installed.

    Raises:
        UserError: says which extra to install.
    """
    if target.machine.platform == "tpu":
        missing, extra = importlib.util.find_spec("libtpu") is None, "plan-tpu"
    else:
        missing, extra = not (_is_installed("jax_plugins.xla_cuda12") and _find_ptxas()), "plan-cuda"
    if missing:
        raise UserError(
            f"--on {target.text}: the compiler for {target.machine.device} is not installed; "
            f"run: pip install 'ostinato[{extra}]'"
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there either
        return False


def _find_ptxas() -> bool:
    return shutil.which("ptxas") is not None or _is_installed("nvidia.cuda_nvcc")


def _environment(platform: str) -> dict[str, str]:
    """Returns the environment of a target's process."""
    kept = {name: value for name, value in os.environ.items() if name not in ("JAX_PLATFORMS", "XLA_FLAGS")}
    kept["JAX_PLATFORMS"] = "cpu"  # no device is needed, and looking for one takes time
    if platform == "tpu":
        kept["TPU_SKIP_MDS_QUERY"] = "1"
        kept["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # its lock is for devices, and none is used
    if platform == "gpu":
        kept["XLA_FLAGS"] = "--xla_gpu_autotune_level=0"  # tuning would run kernels
    return kept


def _ask(request: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Returns the answer of a target's process; if it ended without one, an answer that says so."""
    with tempfile.TemporaryDirectory() as folder:
        question, answer, errors = (Path(folder) / name for name in ("request.json", "response.json", "stderr"))
        question.write_text(json.dumps(request))
        command = [sys.executable, "-m", "ostinato.launch.plan.child", str(question), str(answer)]
        environment = _environment(request["platform"])
        with (
            open(errors, "wb") as stderr,
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                logger.info("%s: %s", text, line.rstrip())
        if process.returncode == 0:
            return json.loads(answer.read_text())
        said = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    reason = f"the compiler's process ended with exit code {process.returncode}: {' '.join(said[-3:])[-600:]}"
    return {"reason": reason, "plans": [], "largest_batch": None, "versions": {}}


def _plan_target(target: Target, config: TrainConfig, music: Music, request: Mapping[str, Any]) -> dict[str, Any]:
    machine, peak = target.machine, target.machine.peak
    memory_bytes = int(machine.usable * machine.memory_bytes)
    details = {
        "platform": machine.platform,
        "topology": target.topology,
        "target_config": target_config(machine) if machine.platform == "gpu" else "",
        "memory_bytes": memory_bytes,
    }
    answer = _ask({**request, **details}, target.text)
    hardware = Hardware(
        speeds=machine.speeds,
        peak=peak,
        interconnect=machine.interconnect,
        num_devices=target.num_devices,
        memory_bytes=memory_bytes,
        clock_hz=machine.clock_hz,
    )
    matmuls, traffic = machine.reached
    assumptions = [
        f"{machine.device}: {peak.matmul_flops['bf16'] / 1e12:,.0f} TFLOP/s in bfloat16, "
        f"{peak.matmul_flops['f32'] / 1e12:,.0f} for float32, of which {matmuls:.0%} are reached; "
        f"{peak.memory / 1e9:,.0f} GB/s of memory traffic, {traffic:.0%} reached; "
        f"{memory_bytes / GIB:.1f} of {machine.memory_bytes / GIB:.1f} GiB are usable",
        f"links: {_describe(machine.interconnect)}",
        f"sources: {machine.sources}",
        machine.notes,
    ]
    return {**report_target(target.text, answer, config, music, hardware), "assumptions": assumptions}


def _plan_cpu(text: str, config: TrainConfig, music: Music, request: Mapping[str, Any]) -> dict[str, Any]:
    found = CPU.fullmatch(text)
    assert found
    cores = int(found[1] or 0)
    memory_bytes = int(0.8 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    details = {
        "platform": "cpu",
        "memory_bytes": memory_bytes,
        "cache_bytes": _cache_bytes() // 2,  # the other half is someone else's
        "cores": cores,
    }
    answer = _ask({**request, **details}, text)
    if answer["reason"]:
        return report_failure(text, answer, config, num_devices=1, memory_bytes=memory_bytes)
    values, measured_s = answer["speeds"], answer["measured_s"]
    shapes = {Matmul(*shape): flops for *shape, flops in values.pop("matmul_shapes")}
    speeds = Speeds(**values)._replace(matmul_shapes=shapes)
    assumptions = [
        f"measured here on {f'{cores} of the' if cores else 'all'} cores: "
        f"{speeds.matmul_flops['f32'] / 1e9:.0f} GFLOP/s in a large matmul, "
        f"{min(shapes.values()) / 1e9:.0f} to {max(shapes.values()) / 1e9:.0f} in those of the step; "
        f"{speeds.memory / 1e9:.0f} GB/s of memory traffic, {speeds.cache / 1e9:.0f} from the cache; "
        f"{speeds.elementwise / 1e9:.1f} G additions and {speeds.transcendentals / 1e9:.1f} G exponentials a second; "
        f"{speeds.operation_s * 1e6:.1f} us to start an operation",
    ]
    hardware = Hardware(speeds, speeds, None, 1, memory_bytes, 0.0)
    report = report_target(text, answer, config, music, hardware)
    ratio = report["step_s"] / measured_s if measured_s else None
    return {**report, "measured_s": measured_s, "predicted_over_measured": ratio, "assumptions": assumptions}


def _check_split(config: TrainConfig, target: Target) -> None:
    if config.data.batch_size % target.num_devices:
        raise UserError(
            f"--on {target.text}: batch_size {config.data.batch_size} cannot be split over {target.num_devices} "
            f"devices; choose a multiple of {target.num_devices}"
        )


def _cache_bytes() -> int:
    """Returns the size of the last cache of the first core; 8 MiB where the system does not say."""
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    units = {"K": 2**10, "M": 2**20}
    return max((int(size[:-1]) * units[size[-1]] for size in sizes if size[-1:] in units), default=8 * 2**20)


def _describe(links: Interconnect) -> str:
    if isinstance(links, Hosts):
        return (
            f"{links.link / 1e9:.0f} GB/s for each device and direction inside a host of {links.per_host}, "
            f"{links.network / 1e9:.0f} between hosts"
        )
    return (
        f"{links.link / 1e9:.0f} GB/s for each link and direction, a grid; an axis whose length is a multiple of "
        f"{links.wraps} is a ring"
    )
