"""Instances: the lesions that a model finds one by one, and their map of probabilities.

Of B images with H by W pixels, at most D instances each and K classes, background
included. Needs neither JAX nor what trains: arrays of numpy and of JAX will do.
"""

from typing import Any, NamedTuple


class Instances(NamedTuple):
    """Lesions of B images, those of each by falling score.

    Attributes:
        boxes: (y0, x0, y1, x1), pixels, float32, (B, D, 4).
        scores: probability of the class, float32, (B, D).
        labels: class, 1 to K - 1, int32, (B, D).
        valid: whether there are so many, bool, (B, D).
        masks: their pixels, bool, (B, D, H, W).
    """

    boxes: Any
    scores: Any
    labels: Any
    valid: Any
    masks: Any


def paint_probs(instances: Instances, num_classes: int) -> Any:
    """Returns a probability of each class for each pixel.

    A pixel has the class of the surest instance that covers it, with the probability
    that is its score; the rest is background's. So the pixels whose hotspot probability
    exceeds t are the union of the masks of all instances whose score exceeds t.

    Args:
        instances: of B images, numpy's or JAX's.
        num_classes: K.

    Returns:
        float32, (B, H, W, K), of the same kind.
    """
    xp = instances.scores.__array_namespace__()
    covers = instances.masks & instances.valid[:, :, None, None]
    surest = xp.max(
        xp.where(covers, instances.scores[:, :, None, None], xp.float32(0)), axis=1
    )
    # Scores fall, so the first that covers a pixel is the surest there.
    first = xp.argmax(covers, axis=1)
    batch = xp.arange(first.shape[0])[:, None, None]
    classes = xp.where(surest > 0, instances.labels[batch, first], 0)
    marked = classes[..., None] == xp.arange(num_classes)[None, None, None]
    background = xp.arange(num_classes)[None, None, None] == 0
    return xp.where(
        background,
        1 - surest[..., None],
        xp.where(marked, surest[..., None], xp.float32(0)),
    )
