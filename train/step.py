"""The pure functions of training, jitted over a mesh of devices: a training step and an evaluation step.

Parameters and optimizer are replicated, batches and the memory (carry) are split over the axis "data".
Axes: b batch, t time step, f field, v values of a field.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from ostinato.configs.errors import UserError
from ostinato.model.network import Carry, MusicModel, init_params, initial_carry
from ostinato.train.adversary import Adversary, AdversaryState, Told
from ostinato.train.batch import Batch
from ostinato.train.loss import Totals, batch_loss

Params = Any
"""A nested dictionary of arrays, as flax makes it."""


class TrainState(NamedTuple):
    """All that changes while training."""

    step: Int[Array, ""]
    params: Params
    opt_state: optax.OptState
    carry: Carry
    """The memory of each row of the batch after the last step."""


class StepMetrics(NamedTuple):
    """What a training step tells about itself."""

    loss: Float[Array, ""]
    """What is minimised: the mean over the real steps of the batch, in nats. A copy gate adds its own."""
    totals: Totals
    grad_norm: Float[Array, ""]
    """Before clipping."""
    told: Told | None = None
    """By an adversary."""


_EVERYWHERE, _ROWS = PartitionSpec(), PartitionSpec("data")

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]]
EvalStep = Callable[[Params, Carry, Batch], tuple[Carry, Totals]]


def make_mesh(batch_size: int) -> Mesh:
    """Returns a mesh with the one axis "data".

    A single process takes the largest number of its devices that divides batch_size. Several processes use all devices.

    Raises:
        UserError: with several processes, batch_size cannot be split over all devices.
    """
    num_devices = jax.device_count()
    if jax.process_count() == 1:
        num_devices = max(n for n in range(1, num_devices + 1) if batch_size % n == 0)
    elif batch_size % num_devices:
        raise UserError(
            f"batch_size {batch_size} cannot be split over {num_devices} devices of {jax.process_count()} processes; "
            f"choose a multiple of {num_devices}"
        )
    return jax.make_mesh(
        (num_devices,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:num_devices]
    )


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, _EVERYWHERE)


def split_rows(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, _ROWS)


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
    return jax.tree.map(
        lambda column: jax.make_array_from_process_local_data(
            split_rows(mesh), column, (batch_size, *column.shape[1:])
        ),
        batch,
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
    model: MusicModel,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    dropout_key: PRNGKeyArray,
    *,
    accumulate: int = 1,
    head_steps: int = 0,
    adversary: Adversary | None = None,
) -> TrainStep:
    """Returns the jitted step `(state, batch) -> (state, metrics)`. The state that goes in is donated.

    The loss is the sum over the fields of the cross-entropy of each, in nats, as the mean over real steps. Dropout in
    row r at step s draws from `fold_in(fold_in(dropout_key, s), r)`, on whichever device the row is. `accumulate` and
    `head_steps` are explained in TrainConfig. With an adversary `optimizer` is what its `with_judge` returns.
    """

    def loss_of_part(
        params: Params, part: Batch, carry: Carry, dropout_keys: Key[Array, " b"], weight: Float[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Totals, Carry]]:
        loss, totals, carry = batch_loss(model, params, part, carry, dropout_keys, head_steps)
        return loss / weight, (totals, carry)

    def gradients_of_rows(
        params: Params, judge: Params, batch: Batch, carry: Carry, key: PRNGKeyArray
    ) -> tuple[Any, Float[Array, ""], Totals, Told | None, Carry]:
        """What each device computes from its rows; of the sums over all rows, all devices get the whole."""
        before, num_rows = carry, len(batch.weights)
        if num_rows % accumulate:
            raise UserError(
                f"batch_size {num_rows * mesh.size} cannot be split into {accumulate} parts over {mesh.size} devices"
            )
        rows = jax.lax.axis_index("data") * num_rows + jnp.arange(num_rows)
        dropout_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
        weight = jnp.maximum(jax.lax.psum(jnp.sum(batch.weights), "data"), 1.0)

        def add_part(gradients: Params, part: Any) -> tuple[Params, Any]:
            values, added = jax.value_and_grad(loss_of_part, has_aux=True)(params, *part, weight)
            return jax.tree.map(jnp.add, gradients, added), values

        if accumulate == 1:
            values, gradients = jax.value_and_grad(loss_of_part, has_aux=True)(
                params, batch, carry, dropout_keys, weight
            )
            loss, (totals, carry) = values
        else:
            parts = jax.tree.map(lambda x: x.reshape(accumulate, -1, *x.shape[1:]), (batch, carry, dropout_keys))
            zeros = jax.tree.map(jnp.zeros_like, params)
            gradients, (losses, (totals, carry)) = jax.lax.scan(add_part, zeros, parts)
            loss, totals = jax.tree.map(lambda x: jnp.sum(x, axis=0), (losses, totals))
            carry = jax.tree.map(lambda x: x.reshape(num_rows, *x.shape[2:]), carry)
        told = None
        if adversary is not None:
            by_judge, of_judge, told = adversary.gradients(params, judge, batch, before, dropout_keys)
            share = adversary.likelihood_weight
            gradients = jax.tree.map(lambda a, b: share * a + b, gradients, by_judge), of_judge
        return *jax.lax.psum((gradients, loss, totals, told), "data"), carry

    compute_gradients = jax.shard_map(
        gradients_of_rows,
        mesh=mesh,
        in_specs=(_EVERYWHERE, _EVERYWHERE, _ROWS, _ROWS, _EVERYWHERE),
        out_specs=(_EVERYWHERE, _EVERYWHERE, _EVERYWHERE, _EVERYWHERE, _ROWS),
        check_vma=False,  # else each device's gradients would be summed over the devices in every chunk of the loss
    )

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        key = jax.random.fold_in(dropout_key, state.step)
        judge = None if adversary is None else cast(AdversaryState, state.opt_state).judge
        gradients, loss, totals, told, carry = compute_gradients(state.params, judge, batch, state.carry, key)
        with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction is a Python float to the power of an int32
            updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = StepMetrics(loss=loss, totals=totals, grad_norm=optax.tree.norm(gradients), told=told)
        # A step whose loss or gradient is not a number changes nothing but the number of the step.
        finite = jnp.isfinite(loss) & jnp.isfinite(metrics.grad_norm)
        changed = jax.tree.map(lambda new, old: jnp.where(finite, new, old), (params, opt_state, carry), state[1:])
        return TrainState(state.step + 1, *changed), metrics

    return jax.jit(
        train_step,
        donate_argnums=0,
        in_shardings=(state_shardings(mesh), split_rows(mesh)),
        out_shardings=(state_shardings(mesh), replicated(mesh)),
    )


def make_eval_step(model: MusicModel, mesh: Mesh) -> EvalStep:
    """Returns the jitted step `(params, carry, batch) -> (carry, totals)`, without dropout."""

    def totals_of_rows(params: Params, carry: Carry, batch: Batch) -> tuple[Carry, Totals]:
        _, totals, carry = batch_loss(model, params, batch, carry, None, 0)
        return carry, jax.lax.psum(totals, "data")

    eval_step = jax.shard_map(
        totals_of_rows,
        mesh=mesh,
        in_specs=(_EVERYWHERE, _ROWS, _ROWS),
        out_specs=(_ROWS, _EVERYWHERE),
        check_vma=False,
    )
    return jax.jit(
        eval_step,
        in_shardings=(replicated(mesh), split_rows(mesh), split_rows(mesh)),
        out_shardings=(split_rows(mesh), replicated(mesh)),
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
