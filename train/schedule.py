"""The optimizer and its learning rate over time."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ostinato.configs.schema import OptimizerConfig

FINAL_SHARE = 0.01
"""The cosine ends at this share of the highest learning rate."""


def learning_rate_schedule(config: OptimizerConfig, num_steps: int) -> optax.Schedule:
    """Returns the learning rate of the update at each step, counted from 0.

    It rises linearly from zero in `warmup_steps` (with the cosine: in at most half of the run), then stays, or falls as
    a cosine that reaches a hundredth of `learning_rate` at the last of num_steps updates.
    """
    if config.schedule == "constant":
        if not config.warmup_steps:
            return optax.constant_schedule(config.learning_rate)
        return optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
    last = max(1, num_steps - 1)
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if config.warmup_steps else config.learning_rate,
        peak_value=config.learning_rate,
        warmup_steps=min(config.warmup_steps, last // 2),
        decay_steps=last,
        end_value=FINAL_SHARE * config.learning_rate,
    )


def make_optimizer(
    config: OptimizerConfig, num_steps: int, *, only: Sequence[str] = ()
) -> optax.GradientTransformation:
    """Returns gradient clipping and AdamW; without weight decay that is Adam.

    Where `only` names parts of the network, all others stay as they are.

    The state has the same structure for every OptimizerConfig, so that a run can be resumed with another one.
    """
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(learning_rate_schedule(config, num_steps), weight_decay=config.weight_decay),
    )
    return frozen(optimizer, config.frozen_layers, only)


def frozen(
    optimizer: optax.GradientTransformation, num_layers: int, only: Sequence[str] = ()
) -> optax.GradientTransformation:
    """Returns an optimizer that leaves the embeddings and the first layers, or all but some parts, as they are.

    With neither it is the optimizer itself.

    What stays counts neither in the norm by which gradients are clipped nor for weight decay. The state is that of the
    optimizer, so a run may freeze and thaw layers when it goes on.
    """
    if not num_layers and not only:
        return optimizer
    stay = {f"{part}_{number}" for part in ("layers", "norm") for number in range(num_layers)} | {"projection"}

    def stays(name: str) -> bool:
        return name not in only if only else name in stay or name.startswith("embedding")

    def thawed_only(tree: Any) -> Any:
        def keep(path: Sequence[Any], leaf: Any) -> Any:
            return jnp.zeros_like(leaf) if stays(path[0].key) else leaf

        return jax.tree_util.tree_map_with_path(keep, tree)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, new_state = optimizer.update(thawed_only(updates), state, params)
        return thawed_only(updates), new_state

    return optax.GradientTransformation(optimizer.init, update)
