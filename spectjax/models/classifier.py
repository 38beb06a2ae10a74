"""What the classifiers of [P2] have in common: first weights, sizes, and the head."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Initializer

from spectjax.ops.batch_norm import BatchNorm
from spectjax.ops.convolution import Conv
from spectjax.ops.pooling import overlapping_max_pool
from spectjax.system.messages import UserError, check_known

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
    check_known("initial weights", initial, _WEIGHTS)
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


def check_features(features: tuple[int, ...], stage_sizes: tuple[int, ...]) -> None:
    """Raises ValueError if there are not as many features as stages."""
    if len(stage_sizes) != len(features):
        raise UserError(
            f"Expected as many features as stages, got {features} for {stage_sizes}."
        )


def create_layers(
    module: Any, train: bool, *, relu: bool = False
) -> tuple[Callable[..., Conv], Callable[..., BatchNorm]]:
    """Returns how a module convolves without bias, and how it normalises.

    Args:
        module: with fields `initial`, `dtype` and `axis_name`.
        train: normalise by the batch's own statistics.
        relu: apply a ReLU after a normalisation, if not said otherwise.
    """
    conv = partial(
        Conv,
        use_bias=False,
        dtype=module.dtype,
        kernel_init=draw_weights(module.initial),
    )
    norm = partial(
        BatchNorm,
        use_running_average=not train,
        relu=relu,
        axis_name=module.axis_name,
        dtype=module.dtype,
    )
    return conv, norm


def enter_stem(
    images: jax.Array,
    features: int,
    conv: Callable[..., Conv],
    norm: Callable[..., BatchNorm],
) -> jax.Array:
    """Returns maps at a quarter of the size of images, with layers called `stem`."""
    x = conv(features, size=7, stride=2, name="stem")(images)
    return overlapping_max_pool(norm(relu=True, name="stem_norm")(x))


def classify_mean(model: Any, x: jax.Array) -> jax.Array:
    """Returns logits, float32, (B, K), of the mean over the pixels of the last map."""
    x = mark_activations(model, x).astype(jnp.float32).mean((1, 2))
    return create_head(model.num_classes, model.initial)(x)


def create_head(num_classes: int, initial: str) -> nn.Dense:
    """Returns the last layer, called `head`; it computes in float32.

    Raises:
        ValueError: see `draw_weights`.
    """
    draw_weights(initial)
    return nn.Dense(
        num_classes, dtype=jnp.float32, kernel_init=_LAST_WEIGHTS[initial], name="head"
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
