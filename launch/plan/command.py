"""`ostinato plan PRESET --on v5e:4x4 --on h100:8`: what a run will need and cost on machines that are not here.

The step is traced and compiled for each target, in a process of its own (`child.py`); the rest is arithmetic
(`costs.py`, `roofline.py`) with the figures of `machines.py`. A small model takes seconds a target, the largest preset
one to four minutes of a core; targets are compiled side by side on the cores that there are.
"""

import dataclasses
import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ostinato.configs.errors import UserError
from ostinato.configs.preparation import CodecConfig
from ostinato.configs.schema import TrainConfig
from ostinato.data.records import Dataset
from ostinato.launch.plan.machines import Target, find_target, usable_cores
from ostinato.launch.plan.report import Music
from ostinato.music.score_codec import ScoreCodec

logger = logging.getLogger(__name__)

_ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
"""Of a target's process: no device is needed, and looking for one takes time."""
_ENVIRONMENTS = {
    "cpu": {},
    "tpu": {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"},  # its lock is for devices; none is used
    "gpu": {"XLA_FLAGS": "--xla_gpu_autotune_level=0"},  # tuning would run kernels
}


def plan(
    config: TrainConfig, on: Sequence[str], *, dataset: Path | None = None, num_notes: int = 10**9, search: bool = True
) -> dict[str, Any]:
    """Returns the plan as JSON can hold it: `music`, `config`, and for each target, such as v5e:4x4, its report.

    The sizes of the codec's fields and the length of an epoch come from the dataset; without one, an epoch has
    `num_notes`. To `search` for the largest batch that fits takes some more compilations.

    Raises:
        UserError: no target, an unknown one, or an extra is not installed.
    """
    if not on:
        raise UserError("name a machine to plan for, such as --on cpu, --on v5e:4x4 or --on h100:8")
    targets = [find_target(text) for text in on]
    for target in targets:
        if config.data.batch_size % target.num_devices:
            raise UserError(
                f"--on {target.text}: batch_size {config.data.batch_size} cannot be split over {target.num_devices} "
                f"devices; choose a multiple of {target.num_devices}"
            )
        check_extra(target)
    music = music_of(config, dataset, num_notes)
    request = {"config": dataclasses.asdict(config), "music": music, "search": search}
    # This machine is measured before compilers keep it busy.
    found = {target.text: _report(target, config, request) for target in targets if target.machine.platform == "cpu"}
    others = [target for target in targets if target.text not in found]
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        for report in pool.map(lambda target: _report(target, config, request), others):
            found[report["target"]] = report
    return {"music": music._asdict(), "config": request["config"], "targets": [found[text] for text in on]}


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
    platform, missing = target.machine.platform, False
    if platform == "tpu":
        missing = not _is_installed("libtpu")
    if platform == "gpu":
        missing = not _is_installed("jax_plugins.xla_cuda12")
        missing |= not (_is_installed("nvidia.cuda_nvcc") or shutil.which("ptxas"))
    if missing:
        extra = {"tpu": "plan-tpu", "gpu": "plan-cuda"}[platform]
        raise UserError(
            f"--on {target.text}: the compiler for {target.machine.device} is not installed; "
            f"run: pip install 'ostinato[{extra}]'"
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there either
        return False


def _report(target: Target, config: TrainConfig, request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the target's process says; if it ended without an answer, a report that says so."""
    report = {
        "target": target.text,
        "num_devices": target.num_devices,
        "batch_size": config.data.batch_size,
        "compiles": False,
        "fits": False,
        "memory_limit": target.machine.usable_bytes,
    }
    with tempfile.TemporaryDirectory() as folder:
        question, answer, errors = (Path(folder) / name for name in ("request.json", "response.json", "stderr"))
        question.write_text(json.dumps({**request, "target": target.text}))
        command = [sys.executable, "-m", "ostinato.launch.plan.child", str(question), str(answer)]
        environment = {**os.environ, **_ENVIRONMENT, **_ENVIRONMENTS[target.machine.platform]}
        with (
            open(errors, "wb") as stderr,
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                logger.info("%s: %s", target.text, line.rstrip())
        if process.returncode == 0:
            return {**report, **json.loads(answer.read_text())}
        said = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    reason = f"the compiler's process ended with exit code {process.returncode}: {' '.join(said[-3:])[-600:]}"
    return {**report, "reason": reason, "largest_batch": None, "versions": {}}
