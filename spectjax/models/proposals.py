"""Region proposals: where a feature pyramid may hold an object (Ren et al., 2015).

Of B images, level l has N_l anchors, A at each place of its map; P proposals are kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.ops import boxes as box_ops
from spectjax.ops.convolution import Conv, convolve
from spectjax.ops.materialise import write_once
from spectjax.ops.nms import suppress
from spectjax.ops.relu import relu_by_result

MIN_SIZE = 1e-3  # height and width of a proposal, pixels, as in torchvision


class Proposals(NamedTuple):
    """The likeliest objects of one image, by falling score.

    Attributes:
        boxes: pixels, float32, (P, 4).
        scores: objectness logits, float32, (P,).
        valid: whether there are so many, bool, (P,).
    """

    boxes: jax.Array
    scores: jax.Array
    valid: jax.Array


class ProposalHead(nn.Module):
    """Says of each anchor whether it holds an object, and how to move it there.

    Attributes:
        anchors_per_place: A of each level; the same for all.
        dtype: type in which to convolve; the results are float32.
    """

    anchors_per_place: int
    dtype: Dtype

    @nn.compact
    def __call__(
        self, levels: Sequence[jax.Array]
    ) -> tuple[list[jax.Array], list[jax.Array]]:
        """Returns objectness logits (B, N_l) and deltas (B, N_l, 4) of each level.

        Args:
            levels: maps of equal channels, each (B, H_l, W_l, C).
        """
        # The same weights on all levels.
        conv = Conv(levels[0].shape[-1], 3, dtype=self.dtype, name="conv")
        count = self.anchors_per_place
        ask = _Weights(count, name="objectness")(levels[0])
        move = _Weights(4 * count, name="deltas")(levels[0])
        # In one product: it is the reading of maps that takes time.
        kernel, bias = (jnp.concatenate(x, -1) for x in zip(ask, move, strict=True))
        objectness, deltas = [], []
        for level in levels:
            # With weights of its own: else XLA writes each map in float32, to make one
            # product of all levels'.
            x, own = write_once((relu_by_result(conv(level)), kernel))
            said = convolve(x.astype(jnp.float32), own) + bias[None, None, None]
            objectness.append(said[..., :count].reshape(x.shape[0], -1))
            deltas.append(said[..., count:].reshape(x.shape[0], -1, 4))
        return objectness, deltas


class _Weights(nn.Module):
    """The parameters of a 1x1 convolution.

    Attributes:
        features: number of output channels D.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the kernel, (1, 1, C, D), and the bias, (D,), for (B, H, W, C)."""
        small = nn.initializers.normal(0.01)
        kernel = self.param("kernel", small, (1, 1, x.shape[-1], self.features))
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,))


def propose(
    objectness: Sequence[jax.Array],
    deltas: Sequence[jax.Array],
    anchors: Sequence[jax.Array],
    hw: tuple[int, int],
    *,
    pre_nms: int,
    count: int,
    nms_iou: float,
) -> Proposals:
    """Returns the likeliest objects of one image; no gradient goes through them.

    Args:
        objectness: logits of each level, float32, (N_l,).
        deltas: of each level, float32, (N_l, 4).
        anchors: of each level, pixels, float32, (N_l, 4).
        hw: height and width of the image, pixels.
        pre_nms: anchors of each level that are looked at.
        count: P, the most that are kept.
        nms_iou: of two boxes of a level with a larger IoU the surer one is kept.
    """
    found = [
        _look_at_level(*jax.lax.stop_gradient(level), hw, pre_nms)
        for level in zip(objectness, deltas, anchors, strict=True)
    ]
    valid = _suppress_levels(found, nms_iou)
    boxes, scores = (
        jnp.concatenate([getattr(level, name) for level in found])
        for name in ("boxes", "scores")
    )
    kept, index = jax.lax.top_k(
        jnp.where(valid, scores, -jnp.inf), min(count, len(scores))
    )
    short = count - len(index)
    return Proposals(
        jnp.pad(boxes[index], ((0, short), (0, 0))),
        jnp.pad(scores[index], (0, short)),
        jnp.pad(kept > -jnp.inf, (0, short)),
    )


def _look_at_level(
    objectness: jax.Array,
    deltas: jax.Array,
    anchors: jax.Array,
    hw: tuple[int, int],
    pre_nms: int,
) -> Proposals:
    """Returns the likeliest boxes of one level, min(pre_nms, N_l), some not valid."""
    scores, index = jax.lax.top_k(objectness, min(pre_nms, len(objectness)))
    boxes = box_ops.clip(box_ops.decode(deltas[index], anchors[index]), hw)
    valid = jnp.all(boxes[:, 2:] - boxes[:, :2] >= MIN_SIZE, axis=-1)
    return Proposals(boxes, scores, valid)


def _suppress_levels(found: Sequence[Proposals], nms_iou: float) -> jax.Array:
    """Returns which boxes of all levels stay, bool, one level after another.

    All levels go through one loop, side by side: those that have fewer boxes are
    filled up.
    """
    most = max(len(level.valid) for level in found)

    def fill(values: jax.Array) -> jax.Array:
        rest = most - len(values)
        return jnp.pad(values, ((0, rest),) + ((0, 0),) * (values.ndim - 1))

    kept = jax.vmap(lambda boxes, valid: suppress(boxes, valid, nms_iou))(
        jnp.stack([fill(level.boxes) for level in found]),
        jnp.stack([fill(level.valid) for level in found]),
    )
    return jnp.concatenate(
        [
            of_level[: len(level.valid)]
            for of_level, level in zip(kept, found, strict=True)
        ]
    )
