"""The pure functions of training, jitted over a mesh of devices: a training step and an evaluation step.

Parameters and optimizer are replicated, batches and the memory (carry) are split over the axis "data".
Axes: b batch, t time step, f field, v values of a field.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ostinato.model.network import Carry, MusicModel, init_params, initial_carry, nll
from ostinato.train.data import Batch

Params = Any
"""A nested dictionary of arrays, as flax makes it."""


class TrainState(NamedTuple):
    """All that changes while training."""

    step: Int[Array, ""]
    params: Params
    opt_state: optax.OptState
    carry: Carry
    """The memory of each row of the batch after the last step."""


class Totals(NamedTuple):
    """Sums over the real steps of one or more batches, so that means over batches of different weight are exact."""

    nll_f: Float[Array, " f"] | Float[np.ndarray, " f"]
    """Cross-entropy of each field in nats."""
    correct_f: Float[Array, " f"] | Float[np.ndarray, " f"]
    """Steps at which the likeliest value of the field was right."""
    all_correct: Float[Array, ""] | Float[np.ndarray, ""]
    """Steps at which that holds for all fields."""
    weight: Float[Array, ""] | Float[np.ndarray, ""]
    """Real steps."""


class StepMetrics(NamedTuple):
    """What a training step tells about itself."""

    loss: Float[Array, ""]
    """Nats per step, summed over the fields: the mean over the real steps of the batch."""
    totals: Totals
    grad_norm: Float[Array, ""]
    """Before clipping."""


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]]
EvalStep = Callable[[Params, Carry, Batch], tuple[Carry, Totals]]


def make_mesh(batch_size: int) -> Mesh:
    """Returns a mesh with the one axis "data".

    A single process takes the largest number of its devices that divides batch_size. Several processes use all devices.

    Raises:
        ValueError: with several processes, batch_size cannot be split over all devices.
    """
    num_devices = jax.device_count()
    if jax.process_count() == 1:
        num_devices = max(n for n in range(1, num_devices + 1) if batch_size % n == 0)
    elif batch_size % num_devices:
        raise ValueError(
            f"batch_size {batch_size} cannot be split over {num_devices} devices of {jax.process_count()} processes; "
            f"choose a multiple of {num_devices}"
        )
    return jax.make_mesh(
        (num_devices,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:num_devices]
    )


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def split_rows(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec("data"))


def state_shardings(mesh: Mesh) -> TrainState:
    """Returns where each part of the state lives, as a prefix of the state's tree."""
    return TrainState(replicated(mesh), replicated(mesh), replicated(mesh), split_rows(mesh))  # pyright: ignore[reportArgumentType]


def rows_of_this_host(mesh: Mesh, batch_size: int) -> slice:
    """Returns the rows of a batch that the devices of this process hold."""
    slices = split_rows(mesh).addressable_devices_indices_map((batch_size,)).values()
    bounds = [index[0].indices(batch_size)[:2] for index in slices if index is not None]
    rows = slice(min(begin for begin, _ in bounds), max(end for _, end in bounds))
    assert rows.stop - rows.start == sum(end - begin for begin, end in bounds), "a host's rows are contiguous"
    return rows


def place(batch: Batch, mesh: Mesh, batch_size: int) -> Batch:
    """Returns the batch on the devices of the mesh, put together from the rows that each host has read."""
    return Batch(
        *(
            jax.make_array_from_process_local_data(split_rows(mesh), column, (batch_size, *column.shape[1:]))
            for column in batch
        )
    )


def make_state_init(
    model: MusicModel, optimizer: optax.GradientTransformation, batch_size: int
) -> Callable[[PRNGKeyArray], TrainState]:
    """Returns the function from a key to the state before the first step."""

    def init(key: PRNGKeyArray) -> TrainState:
        params = init_params(model, key)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=optimizer.init(params),
            carry=initial_carry(model.config, batch_size),
        )

    return init


def make_train_step(
    model: MusicModel, optimizer: optax.GradientTransformation, mesh: Mesh, dropout_key: PRNGKeyArray
) -> TrainStep:
    """Returns the jitted step `(state, batch) -> (state, metrics)`. The state that goes in is donated.

    The loss is the sum over the fields of the cross-entropy of each, in nats, as the mean over real steps. Dropout at
    step s draws from `fold_in(dropout_key, s)`.
    """

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        rngs = {"dropout": jax.random.fold_in(dropout_key, state.step)}

        def loss_and_rest(params: Params) -> tuple[Float[Array, ""], tuple[Totals, Carry]]:
            outputs: Any = model.apply(
                {"params": params},
                batch.inputs,
                batch.targets,
                batch.starts,
                state.carry,
                deterministic=False,
                rngs=rngs,
            )
            logits, carry = outputs
            totals = count(logits, batch.targets, batch.weights)
            return jnp.sum(totals.nll_f) / jnp.maximum(totals.weight, 1.0), (totals, carry)

        (loss, (totals, carry)), gradients = jax.value_and_grad(loss_and_rest, has_aux=True)(state.params)
        with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction is a Python float to the power of an int32
            updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = StepMetrics(loss=loss, totals=totals, grad_norm=optax.tree.norm(gradients))
        return TrainState(state.step + 1, params, opt_state, carry), metrics

    return jax.jit(
        train_step,
        donate_argnums=0,
        in_shardings=(state_shardings(mesh), split_rows(mesh)),
        out_shardings=(state_shardings(mesh), replicated(mesh)),
    )


def make_eval_step(model: MusicModel, mesh: Mesh) -> EvalStep:
    """Returns the jitted step `(params, carry, batch) -> (carry, totals)`, without dropout."""

    def eval_step(params: Params, carry: Carry, batch: Batch) -> tuple[Carry, Totals]:
        outputs: Any = model.apply({"params": params}, batch.inputs, batch.targets, batch.starts, carry)
        logits, carry = outputs
        return carry, count(logits, batch.targets, batch.weights)

    return jax.jit(
        eval_step,
        in_shardings=(replicated(mesh), split_rows(mesh), split_rows(mesh)),
        out_shardings=(split_rows(mesh), replicated(mesh)),
    )


def count(
    logits: list[Float[Array, "b t _"]],
    targets_btf: Int[Array | np.ndarray, "b t f"],
    weights_bt: Float[Array | np.ndarray, "b t"],
) -> Totals:
    """Returns the sums of likelihood and of right guesses over the steps, each times its weight."""
    right_btf = jnp.stack([jnp.argmax(x, -1) == targets_btf[..., f] for f, x in enumerate(logits)], axis=-1)
    weights_bt1 = weights_bt[..., None]
    return Totals(
        nll_f=jnp.sum(nll(logits, jnp.asarray(targets_btf)) * weights_bt1, axis=(0, 1)),
        correct_f=jnp.sum(jnp.where(right_btf, weights_bt1, 0.0), axis=(0, 1)),
        all_correct=jnp.sum(jnp.where(jnp.all(right_btf, axis=-1), weights_bt, 0.0)),
        weight=jnp.sum(weights_bt),
    )


def evaluate(
    eval_step: EvalStep, params: Params, model: MusicModel, batches: Any, *, mesh: Mesh, batch_size: int
) -> Totals:
    """Returns the totals over evaluation batches, added in float64."""
    carry = jax.device_put(initial_carry(model.config, batch_size), split_rows(mesh))
    sums = []
    for batch in batches:
        carry, totals = eval_step(params, carry, place(batch, mesh, batch_size))
        sums.append(totals)
    return jax.tree.map(lambda *leaves: np.sum([np.asarray(leaf, np.float64) for leaf in leaves], axis=0), *sums)


def means(totals: Totals, field_names: tuple[str, ...]) -> dict[str, float]:
    """Returns what the logs show: loss in nats per step, its share of each field, perplexity, and accuracies.

    Perplexity is exp(loss). `accuracy` is the share of steps at which every field is right.
    """
    weight = max(1.0, float(totals.weight))
    nll_f, correct_f = np.asarray(totals.nll_f, np.float64) / weight, np.asarray(totals.correct_f, np.float64) / weight
    loss = float(nll_f.sum())
    return {
        "loss": loss,
        "perplexity": float(np.exp(min(loss, 700.0))),  # exp(710) is no longer a float64
        "accuracy": float(totals.all_correct) / weight,
        **{f"loss/{name}": float(value) for name, value in zip(field_names, nll_f, strict=True)},
        **{f"accuracy/{name}": float(value) for name, value in zip(field_names, correct_f, strict=True)},
    }
