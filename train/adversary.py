"""Sequence GAN training: a judge hears, event by event, whether real music goes on or the network has written on.

In each row of a batch the network is given the real music before the last `window` events, and writes as many of its
own. A causal recurrent judge hears the row with its real end and with the written one, and learns to tell them apart by
cross-entropy at each event. What it takes for real it rewards (de Masson d'Autume et al. 2019, Training Language GANs
from Scratch): with D, the judge's probability that event t is real, given the row before it,

    r_t = 2 D_t - 1,    advantage_t = sum over s >= t of discount^(s - t) (r_s - mean of r_s over the other rows),

and the network's loss is, beside the likelihood of the real batch, the mean of advantage_t times the negative
log-likelihood of its event t (REINFORCE, Williams 1992; the mean of the other rows is the baseline of Kool et al.
2019). As each reward is centred by itself, a piece gains and loses nothing by ending before the others.

Music is drawn from all that the network finds possible: the grammar that `ostinato sample` keeps to is not known here,
so what is illegal is for the judge to find. Axes: b row of a batch, t event, w event of a window, f field.
"""

import dataclasses
import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from ostinato.configs.adversary import AdversaryConfig
from ostinato.configs.schema import TrainConfig
from ostinato.model.judge import Judge, init_judge
from ostinato.model.network import Carry, MusicModel
from ostinato.train.batch import Batch
from ostinato.train.loss import batch_loss

Params = Any

_WRITING, _REAL, _WRITTEN, _INITIAL = (2**16 + number for number in range(4))
"""What keys are folded with; dropout takes the numbers of the layers."""


class AdversaryState(NamedTuple):
    """What the optimizer of such a run remembers: so a checkpoint holds the judge, and its `params` are the network."""

    network: optax.OptState
    judge: Params
    judge_optimizer: optax.OptState


class Told(NamedTuple):
    """How the game stands: means over the events of all rows."""

    accuracy: Float[Array, ""]
    """How often the judge is right about an event, of as many real as written ones; a half is chance."""
    judge_loss: Float[Array, ""]
    """In nats."""
    reward: Float[Array, ""]
    """Of what was written, from -1 to 1."""
    entropy: Float[Array, ""]
    """Of what was written, as the network itself has it, in nats; where it falls the network has less to say."""


class Writing(NamedTuple):
    """What the network wrote, and from where it began."""

    memory: Carry
    """Before the first of `heard`."""
    heard: Int[Array, "b w _"]
    """What the network was given before each row: a real one first, with the key where it is told one."""
    rows: Int[Array, "b w f"]
    is_written: Bool[Array, "b w"]
    """False after the end of a piece."""
    nll: Float[Array, "b w"]


class Adversary:
    """The functions of sequence GAN training that know the judge."""

    def __init__(self, config: AdversaryConfig, model: MusicModel, eos: tuple[int, int]) -> None:
        """Takes the network and the (field, value) that ends a piece."""
        self._config = config
        self._model = model.clone(config=dataclasses.replace(model.config, copy=False))  # the gate teaches it nothing
        self._eos = eos
        size = config.judge_size
        self._judge = Judge(model.field_sizes, embedding_size=size, hidden_size=size, is_causal=True)
        self._optimizer = optax.chain(
            optax.clip_by_global_norm(1.0), optax.adamw(config.judge_learning_rate, b1=0.5, weight_decay=1e-2)
        )

    @property
    def likelihood_weight(self) -> float:
        return self._config.likelihood_weight

    def with_judge(self, optimizer: optax.GradientTransformation, key: PRNGKeyArray) -> optax.GradientTransformation:
        """Returns the network's optimizer, whose state holds the judge and which updates it, too.

        Its gradients are those of the network and those of the judge; the updates that it returns are the network's.
        """

        def init(params: Params) -> Any:
            judge = init_judge(self._judge, jax.random.fold_in(key, _INITIAL))
            return AdversaryState(optimizer.init(params), judge, self._optimizer.init(judge))

        def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
            of_network, of_judge = updates
            updates, network = optimizer.update(of_network, state.network, params)
            changes, judge_optimizer = self._optimizer.update(of_judge, state.judge_optimizer, state.judge)
            return updates, AdversaryState(network, optax.apply_updates(state.judge, changes), judge_optimizer)

        return optax.GradientTransformation(init, update)

    def gradients(
        self, params: Params, judge: Params, batch: Batch, carry: Carry, keys: Key[Array, " b"]
    ) -> tuple[Params, Params, Told]:
        """Returns the gradients for the network, by what the judge says of its music, and for the judge.

        It is called on each device with its rows, over the axis "data"; the sums over all rows are the gradients.

        Args:
            params: of the network.
            judge: parameters of the judge.
            batch: real music.
            carry: the network's memory before it.
            keys: of each row, for draws and dropout.
        """
        window = self._config.window
        begin = batch.weights.shape[1] - window
        written = self._write(params, batch, carry, keys)
        is_real = lax.cumprod(jnp.where(batch.weights[:, begin:] > 0, 1.0, 0.0), axis=1)
        is_written = written.is_written.astype(jnp.float32)
        real_share, written_share = (one / jnp.maximum(_sum(jnp.sum(one)), 1.0) for one in (is_real, is_written))

        # The judge hears both ends of each row. Those of one piece are heard alone.
        targets = jnp.asarray(batch.targets)
        rows = jnp.concatenate([targets, targets.at[:, begin:].set(written.rows)])
        starts = jnp.pad(batch.starts[:, 1 : begin + 1], [(0, 0), (0, window)])[:, : rows.shape[1]]
        shares = jnp.concatenate([real_share, written_share]) / 2
        is_machine = jnp.concatenate([jnp.zeros_like(is_real), jnp.ones_like(is_written)])
        judge_keys = jnp.concatenate([_folded(keys, _REAL), _folded(keys, _WRITTEN)])

        def scores_of(judge: Params, keys: Key[Array, " b"] | None) -> Float[Array, "b w"]:
            scores = self._judge.apply({"params": judge}, rows, keys, jnp.concatenate([starts, starts]))
            return cast(Array, scores)[:, begin:]

        def judge_loss(judge: Params) -> Float[Array, ""]:
            losses = optax.losses.sigmoid_binary_cross_entropy(scores_of(judge, judge_keys), is_machine)
            return jnp.sum(losses * shares)

        loss, of_judge = jax.value_and_grad(judge_loss)(judge)
        scores = scores_of(judge, None)
        rewards = -jnp.tanh(scores[len(keys) :] / 2)  # 2 D - 1: the score is the logit of 1 - D
        advantages = advantages_of(rewards, is_written, self._config.discount)

        # The network is taught its own music, each event as much as it is worth.
        mine = Batch(written.heard, written.rows, jnp.zeros(is_written.shape, bool), advantages * written_share)

        def policy_loss(params: Params) -> Float[Array, ""]:
            return self._config.weight * batch_loss(self._model, params, mine, written.memory, None, 0)[0]

        of_network = jax.grad(policy_loss)(params)
        told = Told(
            accuracy=jnp.sum(jnp.where((scores > 0) == (is_machine > 0), shares, 0.0)),
            judge_loss=loss,
            reward=jnp.sum(rewards * written_share),
            entropy=jnp.sum(written.nll * written_share),
        )
        return of_network, of_judge, told

    def _write(self, params: Params, batch: Batch, carry: Carry, keys: Key[Array, " b"]) -> Writing:
        """Writes the last `window` events of each row anew."""
        num_fields, window = batch.targets.shape[-1], self._config.window
        begin = batch.weights.shape[1] - window
        (eos_field, eos_value), keys = self._eos, _folded(keys, _WRITING)
        call = functools.partial(self._model.apply, {"params": params})
        before = batch.inputs[:, :begin], batch.starts[:, :begin]
        _, memory = cast(Any, call(*before, carry, method=MusicModel.features_by_time))
        memory = jax.tree.map(lambda x: _kept(x, ~jnp.asarray(batch.starts[:, begin])), memory)
        tables = call(method=MusicModel.precompute)

        def step(state: Any, number: Int[Array, ""]) -> tuple[Any, Any]:
            heard, memory, goes_on = state
            features, memory = cast(Any, call(tables, heard, memory, method=MusicModel.step))
            row, nll = jnp.zeros((len(heard), num_fields), jnp.int32), jnp.zeros(len(heard))
            for field, part in enumerate(cast(Any, call(features, method=MusicModel.field_parts))):
                logits: Any = call(part, row, field, method=MusicModel.field_logits)
                logits = jax.nn.log_softmax(logits)
                chosen = jax.vmap(jax.random.categorical)(_folded(_folded(keys, number), field), logits)
                row = row.at[:, field].set(chosen.astype(jnp.int32))
                nll -= jnp.take_along_axis(logits, chosen[:, None], axis=1)[:, 0]
            still = goes_on & (row[:, eos_field] != eos_value)
            # The key that a network is told, which comes after the fields, stays.
            return (jnp.concatenate([row, heard[:, num_fields:]], axis=1), memory, still), (heard, row, goes_on, nll)

        goes_on = batch.weights[:, begin] > 0  # else the row before is the end of a piece, or padding
        first = (jnp.asarray(batch.inputs[:, begin]), memory, goes_on)
        _, seen = lax.scan(step, first, jnp.arange(window))
        return Writing(memory, *(jnp.swapaxes(column, 0, 1) for column in seen))


def make_adversary(config: TrainConfig, model: MusicModel, eos: tuple[int, int]) -> Adversary | None:
    """Returns what a run with an adversary needs beside the network; None for one without."""
    return Adversary(config.adversary, model, eos) if config.adversary.weight else None


def told_by_adversary(told: Told | None) -> dict[str, float]:
    """Returns what the log shows of the game; nothing without one."""
    return {} if told is None else {f"adversary/{name}": float(value) for name, value in told._asdict().items()}


def advantages_of(
    rewards: Float[Array, "b w"], is_written: Float[Array, "b w"], discount: float
) -> Float[Array, "b w"]:
    """Returns by how much the rewards from each event on are above those of the other rows; 0 after the end of a piece.

    Called over the axis "data": the other rows are those of all devices.
    """
    rewards = rewards * is_written
    total_w, count_w = _sum((jnp.sum(rewards, axis=0), jnp.sum(is_written, axis=0)))
    others = (total_w[None] - rewards) / jnp.maximum(count_w[None] - 1, 1)
    centred = (rewards - others) * is_written

    def back(later: Float[Array, " b"], now: Float[Array, " b"]) -> tuple[Array, Array]:
        value = now + discount * later
        return value, value

    _, returns = lax.scan(back, jnp.zeros(len(rewards)), centred.T, reverse=True)
    return returns.T * is_written


def _folded(keys: Key[Array, " b"], number: Any) -> Key[Array, " b"]:
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)


def _kept(x: Array, is_kept: Bool[Array, " b"]) -> Array:
    return jnp.where(is_kept.reshape((-1,) + (1,) * (x.ndim - 1)), x, 0)


def _sum(tree: Any) -> Any:
    """Returns the sums over all devices."""
    return lax.psum(tree, "data")
