"""What the classifiers of [P2] have in common: first weights, sizes, and the head."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Initializer

from spectjax.system.messages import UserError

# [P2] draws all weights "using a normal Gaussian distribution" and gives no width. The
# default is He's, which keeps the size of what passes through ReLUs; "normal" is that
# of Keras's `RandomNormal`, the paper's framework.
_WEIGHTS: dict[str, Initializer] = {
    "he": nn.initializers.he_normal(),
    "normal": nn.initializers.normal(0.05),
}
# No ReLU follows the last layer, so its gain is one.
_LAST_WEIGHTS = _WEIGHTS | {"he": nn.initializers.lecun_normal()}


def draw_weights(initial: str) -> Initializer:
    """Returns the initialiser of hidden layers called `initial`: "he" or "normal".

    Raises:
        ValueError: if there is none of that name.
    """
    if initial not in _WEIGHTS:
        raise UserError(
            f"Unknown initial weights {initial!r}; known: {', '.join(_WEIGHTS)}."
        )
    return _WEIGHTS[initial]


def check_image_hw(images: jax.Array, stride: int) -> None:
    """Checks that at least one pixel is left of images (B, H, W, C).

    Raises:
        ValueError: if H or W is below the model's `stride`.
    """
    height, width = images.shape[1:3]
    if min(height, width) < stride:
        raise UserError(
            f"Expected images of at least {stride}x{stride} pixels, since the model "
            f"halves them {stride.bit_length() - 1} times, got {height}x{width}."
        )


def create_head(num_classes: int, initial: str) -> nn.Dense:
    """Returns the last layer, called `head`; it computes in float32.

    Raises:
        ValueError: see `draw_weights`.
    """
    draw_weights(initial)
    return nn.Dense(
        num_classes,
        dtype=jnp.float32,
        kernel_init=_LAST_WEIGHTS[initial],
        name="head",
    )


def mark_activations(model: nn.Module, x: jax.Array) -> jax.Array:
    """Makes the feature map x, (B, h, w, C), one that Grad-CAM can ask for.

    Its values are in the collection `intermediates`, and a gradient with respect to the
    collection `perturbations` is one with respect to it, both as `activations`; neither
    costs anything where it is not asked for.
    """
    # Else flax would keep a map of zeros among the variables.
    if not model.is_initializing():
        x = model.perturb("activations", x)
        model.sow("intermediates", "activations", x)
    return x
