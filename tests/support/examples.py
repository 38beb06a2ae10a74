"""Examples in memory, and the same as if they were read from disk."""

import dataclasses

import numpy as np

from spectjax.input_pipeline import Examples, StoredExamples


def make_examples(n, hw=(4, 6)):
    """Image i is i everywhere, and so is its mask; every second one is normal."""
    images = np.broadcast_to(np.arange(n)[:, None, None], (n, *hw))
    return Examples(
        images=images[..., None].astype(np.uint16),
        masks=images.astype(np.uint8),
        labels=np.arange(n, dtype=np.int32) % 2,
        diagnoses=[("normal", "metastasis")[i % 2] for i in range(n)],
        example_ids=[f"image{i}" for i in range(n)],
        patients=[f"patient{i}" for i in range(n)],
        views=["anterior"] * n,
        spacing_mm=np.full((n, 2), np.nan, np.float32),
        synthetic=True,
        name="made up",
        split="fold0",
        fingerprint=f"{n} images",
    )


def make_spots(n=5, seed=0):
    """Images of 10x12 pixels with one bright spot of 3x3 pixels, which is the mask."""
    rng = np.random.default_rng(seed)
    examples = make_examples(n, (10, 12))
    images = rng.poisson(4.0, size=(n, 10, 12))
    masks = np.zeros_like(images)
    for mask in masks:
        row, column = rng.integers(1, 6), rng.integers(2, 7)
        mask[row : row + 3, column : column + 3] = 1
    images += 40 * masks
    return dataclasses.replace(
        examples,
        images=images[..., None].astype(np.uint16),
        masks=masks.astype(np.uint8),
    )


class Source:
    """Examples that are read one by one, as a prepared data set is."""

    def __init__(self, examples):
        """Notes in `read` what is asked for."""
        self.examples = examples
        self.read = []

    def __len__(self):
        """Returns N."""
        return len(self.examples)

    def __getitems__(self, indices):
        """Reads several examples."""
        self.read += indices
        return [
            {
                "image": self.examples.images[i],
                "mask": self.examples.masks[i],
                "label": self.examples.labels[i],
                "mask_evidence": 0 if self.examples.outlined[i] else 3,
            }
            for i in indices
        ]


def store(examples):
    return StoredExamples(
        source=Source(examples),
        hw=examples.masks.shape[1:],
        name=examples.name,
        split=examples.split,
        fingerprint=examples.fingerprint,
    )
