"""From a config to the optimizer and its schedule."""

from functools import partial
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from spectjax.training.frozen import mark_frozen

WARMUP_FRACTION = 0.05  # of all steps, when the schedule is "cosine"


def create_optimizer(
    config: ConfigDict, num_steps: int, frozen: tuple[str, ...] = ()
) -> optax.GradientTransformation:
    """Builds the optimizer that `config`, the section of that name, describes.

    It has no state of the `frozen` stages and leaves them alone.

    The schedule "cosine" rises linearly over the first 5 % of `num_steps` and falls to
    zero along half a cosine.

    Its values are good ones, see `spectjax.config.check_config`.
    """
    if frozen:
        return optax.multi_transform(
            {
                False: create_optimizer(config, num_steps),
                True: optax.set_to_zero(),
            },
            partial(mark_frozen, names=frozen),
        )
    learning_rate: float | optax.Schedule = config.learning_rate
    if config.schedule == "cosine":
        learning_rate = optax.warmup_cosine_decay_schedule(
            init_value=0.0,
            peak_value=config.learning_rate,
            warmup_steps=round(WARMUP_FRACTION * num_steps),
            decay_steps=num_steps,
        )
    if config.name == "adamw":
        return optax.adamw(
            learning_rate,
            b1=config.momentum,
            weight_decay=config.weight_decay,
            mask=_find_kernels,
        )
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, mask=_find_kernels),
        optax.sgd(learning_rate, momentum=config.momentum or None),
    )


def _find_kernels(params: Any) -> Any:
    """Marks the parameters that weight decay acts on: not biases, not norms."""
    return jax.tree.map(lambda x: x.ndim > 1, params)
