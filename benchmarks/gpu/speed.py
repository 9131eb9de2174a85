"""Notes per second of the training step, of each cell, way to compute it and precision, beside torch.nn.LSTM.

The whole step (forward, backward, clipping, Adam) of the same network on made-up rows that lie on the device. Ours are
compiled side by side in this process, torch's are processes of their own; then all take turns. A shape that was begun
is not begun again: whoever starts this stage anew after a crash gets the others.
"""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax
import numpy as np

from ostinato.benchmarks.gpu.context import CELLS, FIELD_SIZES, PRECISIONS, Context, Shape, matmuls, model_config, short
from ostinato.benchmarks.processes import find_python
from ostinato.benchmarks.turns import Variant, Worker, started
from ostinato.configs.schema import CellName, DataConfig, OptimizerConfig, TrainConfig
from ostinato.launch.plan.calibration import made_up
from ostinato.launch.plan.costs import read_jaxpr
from ostinato.launch.plan.step import Traced, trace_step
from ostinato.model.backend import platform
from ostinato.model.kernels import Kernel, possible_kernels

LENGTH = 128
SHAPES = [
    Shape(layers, units, rows, LENGTH)
    for rows in (64, 8, 256, 1024)
    for layers, units in ((3, 1024), (3, 2048), (2, 512))
]
"""The most telling first."""
SMOKE_SHAPES = [Shape(1, 16, 4, 8)]
EMBEDDING_SIZE = HEAD_SIZE = 128
GRAPHS = {"xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,WHILE,CONDITIONAL"}
"""XLA hands whole loops to the GPU as a CUDA graph, instead of starting kernel after kernel."""
THREADS = 8
"""Programs that are compiled at the same time."""
WARM_S = 20.0
"""A shape takes about so long before its first number."""
TORCH = "torch.nn.LSTM"


class Way(NamedTuple):
    """A cell and how it is computed."""

    cell: CellName
    kernel: Kernel | None
    precision: str
    graphs: bool = False

    @property
    def label(self) -> str:
        how = str(self.kernel or "the rule") + (", as a CUDA graph" if self.graphs else "")
        return f"{self.cell}, {how}, {self.precision}"


class Compiled(NamedTuple):
    """A step that is ready to run."""

    step: Any
    state: Any
    batch: Any
    facts: dict[str, Any]


def run(context: Context) -> None:
    """Writes a line for each way and shape, as far as the time goes."""
    torch_python, reason = find_python("torch")
    if not torch_python:
        context.write("note", text=f"torch is left out: {reason}")
    begun = {tuple(one["shape"]) for one in context.read("begun")}
    rounds, round_s = (1, 0.02) if context.smoke else (3, 0.25)
    for shape in SMOKE_SHAPES if context.smoke else SHAPES:
        if tuple(shape) in begun:
            continue
        if context.left_s < (0 if context.smoke else WARM_S + 5):
            context.write("note", text=f"no time was left for {shape} and what comes after it")
            return
        context.write("begun", shape=shape)
        with ExitStack() as stack:
            workers = dict(_torch_workers(context, shape, torch_python, stack)) if torch_python else {}
            _measure(context, shape, workers, rounds, round_s)


def _measure(context: Context, shape: Shape, workers: dict[str, Worker], rounds: int, round_s: float) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        warm = {label: pool.submit(worker.run, 2) for label, worker in workers.items()}
        jobs = {way: pool.submit(_compile, shape, way) for way in _ways(context, shape)}
        ready: dict[str, Any] = {}
        for label, job in {**warm, **{way.label: job for way, job in jobs.items()}}.items():
            try:
                found = job.result()
                ready[label] = workers[label] if label in workers else _prepared(found, shape)
            except Exception as error:  # of one way; the others go on
                context.write("step", shape=shape, label=label, error=short(error))
    seconds: dict[str, list[float]] = {label: [] for label in ready}
    counts: dict[str, int] = {}
    for number in range(rounds + 1):
        for label in list(ready):
            if number and context.left_s < 2:
                break
            try:
                one_s = _run(ready[label], counts.get(label, 2))
            except Exception as error:  # it may need more memory than there is
                context.write("step", shape=shape, label=label, error=short(error))
                del ready[label]
                continue
            counts[label] = max(1, min(1000, round(round_s / one_s)))
            if number:
                seconds[label].append(one_s)
    rows = shape.batch_size * shape.length
    for label, ran in ready.items():
        if times := seconds[label]:
            facts = ran.facts if isinstance(ran, Compiled) else {}
            context.write(
                "step", shape=shape, label=label, step_s=median(times), all_s=times, rows_per_s=rows / median(times),
                **facts,
            )  # fmt: skip


def _run(ran: Any, count: int) -> float:
    """Returns the seconds of one of so many steps."""
    if isinstance(ran, Worker):
        return ran.run(count)["wall_s"] / count
    begin_s, metrics = time.perf_counter(), None
    state = ran.state[0]
    for _ in range(count):
        state, metrics = ran.step(state, ran.batch)
    jax.block_until_ready((state, metrics))
    ran.state[0] = state
    return (time.perf_counter() - begin_s) / count


def _compile(shape: Shape, way: Way) -> tuple[Traced, Any, dict[str, Any]]:
    """Returns the traced and the compiled step, and what is known of it before it runs."""
    begin_s = time.perf_counter()
    with matmuls(way.precision):
        traced = trace_step(train_config(shape, way), FIELD_SIZES, jax.devices()[:1], shape.batch_size, way.kernel)
        step: Any = traced.step
        stages = step.trace(traced.state, traced.batch)
        compiled = stages.lower().compile(compiler_options=GRAPHS if way.graphs else None)
    facts = {"compile_s": time.perf_counter() - begin_s, "temporaries": _temporaries(compiled)}
    if way.kernel is None or way.kernel.backend == "scan":  # what cuDNN does is not seen from outside
        program = read_jaxpr(stages.jaxpr)
        facts |= {"flops": program.total("matmul_flops"), "bytes": program.total("num_bytes")}
    return traced, compiled, facts


def _prepared(found: tuple[Traced, Any, dict[str, Any]], shape: Shape) -> Compiled:
    traced, compiled, facts = found
    state, batch = made_up(traced, FIELD_SIZES)
    return Compiled(compiled, [state], batch, facts)


def _temporaries(compiled: Any) -> int | None:
    analysis = compiled.memory_analysis()
    return None if analysis is None else analysis.temp_size_in_bytes


def train_config(shape: Shape, way: Way) -> TrainConfig:
    """Returns a run of this shape."""
    model = model_config(
        way.precision, cell=way.cell, hidden_size=shape.hidden_size, num_layers=shape.num_layers,
        embedding_size=EMBEDDING_SIZE, head_size=HEAD_SIZE,
    )  # fmt: skip
    data = DataConfig(batch_size=shape.batch_size, sequence_length=shape.length)
    return TrainConfig(model=model, data=data, optimizer=OptimizerConfig(schedule="constant", warmup_steps=0))


def _ways(context: Context, shape: Shape) -> list[Way]:
    """Returns what is measured: of the LSTM all that it can be, of other parallel cells the rule, the rest once."""
    gpu = platform() == "gpu"
    ways = []
    for precision in PRECISIONS:
        kernels = possible_kernels(model_config(precision), shape.length)
        cudnn = [kernel for kernel in kernels if kernel.backend == "cudnn" and precision != "bf16"]
        unrolls = (1, 4, 8) if shape.batch_size == 64 and not context.smoke else (4,)
        scans = [Kernel("scan", unroll=unroll) for unroll in unrolls]
        ways += [Way("lstm", kernel, precision) for kernel in (*cudnn, *(scans if precision != "float32" else ()))]
        if gpu and precision == "bf16":
            ways.append(Way("lstm", Kernel("scan", unroll=1), precision, graphs=True))
        others: list[CellName] = [cell for cell in CELLS if cell not in ("lstm", "gru", "rnn")]
        ways += [Way(cell, None, precision) for cell in others]
    if shape == SHAPES[0]:
        ways.append(Way("gru", None, "bf16"))
    return ways


def _torch_workers(context: Context, shape: Shape, python: str, stack: ExitStack) -> Iterator[tuple[str, Worker]]:
    """Yields the processes of torch by their labels; they end with the stack."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ostinato-gpu-")))
    rng, sizes = np.random.default_rng(0), (1, shape.batch_size, shape.length)
    columns: dict[str, Any] = {
        name: np.stack([rng.integers(size, size=sizes) for size in FIELD_SIZES], axis=-1).astype(np.int32)
        for name in ("inputs", "targets")
    }
    np.savez(folder / "batches.npz", **columns, weights=np.ones(sizes, np.float32))
    request = {
        "batches": str(folder / "batches.npz"), "field_sizes": FIELD_SIZES, "hidden_size": shape.hidden_size,
        "num_layers": shape.num_layers, "embedding_size": EMBEDDING_SIZE, "head_size": HEAD_SIZE,
        "learning_rate": 1e-3, "device": "cuda" if platform() == "gpu" else "cpu",
    }  # fmt: skip
    for precision in ("float32",) if context.smoke else PRECISIONS:
        variant = Variant("step_torch.py", {**request, "precision": precision}, python, threads=2)
        yield f"{TORCH}, {precision}", stack.enter_context(started(precision, variant))
