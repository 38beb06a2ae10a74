"""Images of lesions and of what a model takes for some, as sure of one as of the other.

Lesions are squares of 5 pixels a side, false places squares of 3. Every fourth image
has no lesion, every third no false place.
"""

import dataclasses

import numpy as np

from tests.support.examples import make_examples

LESION, FALSE = (slice(4, 9), slice(4, 9)), (slice(15, 18), slice(14, 17))
SURE = 1 - 1e-7


def make_scenes(n=12):
    """Examples, and the probabilities of a model that marks lesions and false places.

    The first pixel of an image numbers it; one image has neither lesion nor region.
    """
    images = np.random.default_rng(0).poisson(5.0, (n, 24, 24)) + 1
    masks, hot = np.zeros((n, 24, 24), np.uint8), np.full((n, 24, 24), 1e-3)
    for i in range(n):
        if i % 4:
            images[i][LESION] *= 6
            masks[i][LESION] = 1
            hot[i][LESION] = 1 - 1e-6
        if i % 3:
            images[i][FALSE] *= 3
            hot[i][FALSE] = SURE if i % 2 else 1 - 1e-5
    images[:, 0, 0] = np.arange(n) + 1
    examples = dataclasses.replace(
        make_examples(n, (24, 24)),
        images=images[..., None].astype(np.uint16),
        masks=masks,
        spacing_mm=np.full((n, 2), 2.5, np.float32),
    )
    probs = np.stack([1 - hot, hot], axis=-1).astype(np.float32)
    return examples, lambda counts: probs[counts[:, 0, 0, 0].astype(int) - 1]
