"""Many attempts at one piece side by side, compared wherever a given note has come, and the better ones multiplied.

A sequential Monte Carlo method: an attempt's weight is the probability that the model gave to what was given, times
that of all that was allowed where it was free. Where few attempts hold most of the weight, all are drawn anew in
proportion to it (systematic resampling). Letters: q particles, t steps, f fields.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Bool, Float, Int

from ostinato.model.network import MusicModel
from ostinato.music.codec import Codec
from ostinato.sample.blocks import WIDTHS
from ostinato.sample.controls import Controls, told_key
from ostinato.sample.schedule import Schedule
from ostinato.sample.step import prepare_network, start_states, write_chunk

STEPS = 8
"""Steps between looks at whether all particles wait."""

MAX_ROUNDS = 400
"""Of STEPS, until the next given row: a particle that takes longer is left where it is."""


class Attempts(NamedTuple):
    """The rows of all particles, with those in between that were not written."""

    rows: Int[np.ndarray, "q t f"]
    is_written: Bool[np.ndarray, "q t"]
    log_probs: Float[np.ndarray, "q t"]
    """Nats that the model gave to each row."""


class Particles:
    """Attempts at a piece with given rows; they go on together from one given row to another."""

    def __init__(
        self,
        model: MusicModel,
        params: Any,
        codec: Codec,
        controls: Controls,
        schedule: Schedule,
        *,
        num_particles: int,
        seed: int,
    ) -> None:
        """Begins with START.

        Args:
            model: the network.
            params: its parameters.
            codec: the `score` codec of the model.
            controls: what is asked of the notes that are not given.
            schedule: the given rows.
            num_particles: an even number.
            seed: of all draws.
        """
        devices = jax.local_devices()
        width = next(width for width in WIDTHS[::-1] if num_particles % width == 0)
        num_blocks = num_particles // width
        self._mesh = Mesh(np.array(devices[: _largest_divisor(num_blocks, len(devices))]), ("blocks",))
        self._split = NamedSharding(self._mesh, P("blocks"))
        self._model, self._codec, self._controls = model, codec, controls
        self.key = told_key(controls)
        self._network = jax.device_put(prepare_network(model, params), NamedSharding(self._mesh, P()))
        self._schedule = schedule
        keys = jax.random.split(jax.random.key(seed), num_particles).reshape(num_blocks, width)
        self._keys = jax.device_put(keys, self._split)
        self._state = jax.device_put(start_states(model, codec, num_blocks, width, controls), self._split)
        self._draws = np.random.default_rng(seed)
        self._log_weights = np.zeros(num_particles)
        num_fields = len(codec.fields)
        self._attempts = Attempts(
            np.zeros((num_particles, 0, num_fields), np.int32),
            np.zeros((num_particles, 0), bool),
            np.zeros((num_particles, 0), np.float32),
        )
        shape = num_blocks, width, STEPS
        self._nothing = jax.device_put((np.zeros((*shape, num_fields), np.int32), np.zeros(shape, bool)), self._split)

    @property
    def attempts(self) -> Attempts:
        """What has been written so far, without START."""
        return self._attempts

    @property
    def num_given(self) -> Int[np.ndarray, " q"]:
        """How many given rows each particle has had."""
        return np.ravel(self._state.num_given)

    def go_on(self, num_given: int, tell: Callable[[float], None] = lambda share: None) -> None:
        """Writes rows until every particle has had so many given rows, or its piece is over.

        `tell` is called with the share of all given rows that they have had.
        """
        schedule = self._schedule._replace(hold_at=jnp.int32(num_given))
        for _ in range(MAX_ROUNDS):
            written, self._state = write_chunk(
                self._model, self._codec, self._mesh, False, self._network, self._state, self._keys,
                *self._nothing, self._controls, schedule,
            )  # fmt: skip
            of_particle = [np.asarray(leaf).reshape(len(self._log_weights), STEPS, -1) for leaf in written]
            rows, log_prob, log_mass, _, is_held = of_particle
            is_written = ~is_held[..., 0].astype(bool)
            self._log_weights += np.where(is_written, log_mass[..., 0], 0).sum(1, dtype=np.float64)
            news = Attempts(rows, is_written, log_prob[..., 0])
            self._attempts = Attempts(*(np.concatenate(pair, 1) for pair in zip(self._attempts, news, strict=True)))
            tell(float(np.where(self._state.done, 1.0, self._state.num_given / self._schedule.length).mean()))
            if bool(jnp.all((self._state.num_given >= num_given) | self._state.done)):
                return

    def resample(self) -> bool:
        """Draws the particles anew by their weights, if these are worth fewer than half as many; says whether."""
        weights = np.exp(self._log_weights - self._log_weights.max())
        weights /= weights.sum()
        num_particles = len(weights)
        if 1 / np.square(weights).sum() >= num_particles / 2:
            return False
        points = (np.arange(num_particles) + self._draws.random()) / num_particles
        chosen = np.minimum(np.searchsorted(np.cumsum(weights), points), num_particles - 1)
        self._log_weights[:] = 0
        self._attempts = Attempts(*(part[chosen] for part in self._attempts))

        def take(leaf: np.ndarray) -> np.ndarray:
            leaf = np.asarray(leaf)
            if leaf.ndim == 1:  # the step counter of each block
                return leaf
            return leaf.reshape(num_particles, *leaf.shape[2:])[chosen].reshape(leaf.shape)

        self._state = jax.device_put(jax.tree.map(take, self._state), self._split)
        return True


def _largest_divisor(number: int, most: int) -> int:
    return max(divisor for divisor in range(1, most + 1) if number % divisor == 0)
