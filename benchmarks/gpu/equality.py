"""Whether a training step on this device computes what it computes on the CPU of the same machine.

Three steps of plain gradient descent with resets, dropout and a memory that goes on, for each cell, way to compute it
and precision: the losses, the gradients of the first step, and the memory after the last. What it is compared with is
XLA's CPU in full float32, in the same process; its own gradients are checked in `tests/` against finite differences.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import AxisType, Mesh

from ostinato.benchmarks.gpu.context import CELLS, FIELD_SIZES, PRECISIONS, Context, Shape, matmuls, model_config, short
from ostinato.configs.schema import CellName
from ostinato.model.backend import planned_for
from ostinato.model.kernels import Kernel, possible_kernels
from ostinato.model.network import MusicModel
from ostinato.train.batch import Batch
from ostinato.train.step import make_state_init, make_train_step, place, state_shardings

TOLERANCES = {"float32": (1e-5, 2e-4), "tf32": (2e-3, 2e-2), "bf16": (1e-2, 8e-2)}
"""How far losses, and gradients and memory, may be from the reference's, as a share of them. A number of TF32 has ten
bits behind the leading one, one of bfloat16 seven; errors of the gradients add up over the steps."""

_RATE = 0.1
_NUM_STEPS = 3


class Found(NamedTuple):
    """What some steps computed."""

    losses: np.ndarray
    gradients: dict[str, np.ndarray]
    carry: np.ndarray


def run(context: Context) -> None:
    """Writes a line for each cell, kernel and precision."""
    shape, precisions = Shape(2, 128, 16, 64), PRECISIONS
    if context.smoke:
        shape, precisions = Shape(1, 16, 4, 24), ("bf16",)
    cpu = jax.devices("cpu")[0]
    with ThreadPoolExecutor(len(CELLS) + 4) as pool:
        references = {cell: pool.submit(compute, shape, cell, "float32", None, cpu) for cell in CELLS}
        cases: list[tuple[CellName, Kernel | None, str]] = [
            (cell, kernel, precision) for cell in CELLS for kernel, precision in _variants(cell, shape, precisions)
        ]
        jobs = {case: pool.submit(compute, shape, case[0], case[2], case[1], jax.devices()[0]) for case in cases}
        for (cell, kernel, precision), job in jobs.items():
            named = {"cell": cell, "way": "the rule" if kernel is None else str(kernel), "precision": precision}
            try:
                context.write("equality", **named, **compare(job.result(), references[cell].result(), precision))
            except Exception as error:  # of one case; the others go on
                context.write("equality", **named, equal=False, error=short(error))


def compare(found: Found, reference: Found, precision: str) -> dict[str, Any]:
    """Returns how far they are from each other, as a share of the reference, and whether that is near enough."""
    errors = {name: _distance(found.gradients[name], wanted) for name, wanted in reference.gradients.items()}
    worst = max(errors, key=lambda name: errors[name])
    values = {
        "loss": float(np.max(np.abs(found.losses / reference.losses - 1))),
        "gradient": errors[worst],
        "carry": _distance(found.carry, reference.carry),
    }
    of_loss, of_rest = TOLERANCES[precision]
    equal = values["loss"] <= of_loss and max(values["gradient"], values["carry"]) <= of_rest
    return {"equal": bool(equal), **values, "worst": worst, "tolerances": [of_loss, of_rest]}


def compute(shape: Shape, cell: CellName, precision: str, kernel: Kernel | None, device: Any) -> Found:
    """Returns what some training steps compute on a device."""
    config = model_config(
        precision, cell=cell, hidden_size=shape.hidden_size, num_layers=shape.num_layers, embedding_size=32,
        head_size=32, dropout=0.2,
    )  # fmt: skip
    model, optimizer = MusicModel(config, FIELD_SIZES, kernel), optax.sgd(_RATE)
    mesh = Mesh(np.array([device]), ("data",), axis_types=(AxisType.Auto,))
    here = nullcontext() if device == jax.devices()[0] else planned_for(device.platform)
    with here, matmuls(precision):
        step = make_train_step(model, optimizer, mesh, jax.random.key(1))
        init = make_state_init(model, optimizer, shape.batch_size)
        state = jax.jit(init, out_shardings=state_shardings(mesh))(jax.random.key(0))
        before, losses, gradients = jax.device_get(state.params), [], {}
        for batch in _batches(shape):
            state, metrics = step(state, place(batch, mesh, shape.batch_size))
            losses.append(float(metrics.loss))
            if not gradients:
                moved = jax.tree.map(lambda old, new: (old - np.asarray(new)) / _RATE, before, state.params)
                gradients = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(moved)}
        carry = np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(state.carry)])
    return Found(np.array(losses), gradients, carry)


def _batches(shape: Shape) -> Iterator[Batch]:
    """Yields made-up batches. One row begins anew at every step, others now and then."""
    rng = np.random.default_rng(0)
    for _ in range(_NUM_STEPS):
        sizes = (shape.batch_size, shape.length + 1)
        rows = np.stack([rng.integers(size, size=sizes) for size in FIELD_SIZES], axis=-1).astype(np.int32)
        starts = rng.random((shape.batch_size, shape.length)) < 0.05
        starts[0] = True
        weights = (rng.random(starts.shape) < 0.95).astype(np.float32)
        yield Batch(rows[:, :-1], rows[:, 1:], starts, weights)


def _variants(cell: CellName, shape: Shape, precisions: Sequence[str]) -> Iterator[tuple[Kernel | None, str]]:
    """Yields what a cell is computed by: the rule, and what it may be that the rule does not choose."""
    for precision in precisions:
        kernels = possible_kernels(model_config(precision, cell=cell), shape.length)
        yield None, precision
        if cell == "lstm":
            plain = (one for one in kernels if one.backend == "cudnn" or (one.unroll == 8 and not one.feature_major))
            yield from ((kernel, precision) for kernel in plain)


def _distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Returns the length of the difference as a share of the length; infinite if something is not a number."""
    size = float(np.linalg.norm(np.asarray(wanted, np.float64)))
    distance = float(np.linalg.norm(np.asarray(found, np.float64) - wanted)) / max(size, 1e-30)
    return distance if np.isfinite(distance) else float("inf")
