"""The optimizer and its learning rate over time."""

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


def make_optimizer(config: OptimizerConfig, num_steps: int) -> optax.GradientTransformation:
    """Returns gradient clipping and AdamW; without weight decay that is Adam.

    The state has the same structure for every OptimizerConfig, so that a run can be resumed with another one.
    """
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(learning_rate_schedule(config, num_steps), weight_decay=config.weight_decay),
    )
