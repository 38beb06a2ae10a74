"""From a prepared data set to examples in memory, batches and network inputs.

Examples are indexed by N; batch, height and width axes are B, H and W.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

_READ_AHEAD = 64  # examples decoded at a time


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples of one split.

    Attributes:
        images: thorax counts, uint16, (N, H, W, 1).
        masks: class of each pixel, 0 is background, uint8, (N, H, W).
        example_ids: unique names, length N.
        patients: pseudonyms, length N.
        views: "anterior" or "posterior", length N.
        spacing_mm: size of a pixel (row, column), nan if unknown, float32, (N, 2).
        synthetic: the images are simulated.
        name: data set and builder config.
        split: the TFDS split that was read.
    """

    images: np.ndarray
    masks: np.ndarray
    example_ids: list[str]
    patients: list[str]
    views: list[str]
    spacing_mm: np.ndarray
    synthetic: bool
    name: str
    split: str

    def __len__(self) -> int:
        """Returns N."""
        return len(self.example_ids)


def train_split(held_out: int, num_folds: int = 5) -> str:
    """Returns the TFDS split of all folds but one, originals and copies."""
    folds = [fold for fold in range(num_folds) if fold != held_out]
    return "+".join(f"fold{fold}+fold{fold}_augmented" for fold in folds)


def held_out_split(held_out: int) -> str:
    """Returns the TFDS split of the fold's originals: copies are never scored."""
    return f"fold{held_out}"


def load_examples(builder_dir: str | pathlib.Path, split: str) -> Examples:
    """Reads a split of a prepared data set into memory, without TensorFlow.

    Raises:
        ValueError: if the data set has no such split or the split has no example.
    """
    # Here, because only training needs TFDS, and `predict` need not wait for it.
    import tensorflow_datasets as tfds

    from tfds_spect.reading import open_split

    builder = tfds.builder_from_directory(builder_dir)
    missing = set(split.split("+")) - set(builder.info.splits)
    if missing:
        raise ValueError(
            f"{builder_dir}: no split {', '.join(sorted(missing))}; it has "
            f"{', '.join(sorted(builder.info.splits))}."
        )
    source = open_split(str(builder_dir), split)
    if not len(source):
        raise ValueError(
            f"{builder_dir}: split {split} has no example; prepare more patients or "
            "hold out another fold with --config.data.fold."
        )
    views = builder.info.features["view"]
    images, masks, spacing_mm = [], [], []
    example_ids, patients, view_names = [], [], []
    synthetic = False
    for start in range(0, len(source), _READ_AHEAD):
        stop = min(start + _READ_AHEAD, len(source))
        for example in source.__getitems__(list(range(start, stop))):
            images.append(example["image"])
            masks.append(example["mask"])
            spacing_mm.append(example["spacing_mm"])
            example_ids.append(_text(example["example_id"]))
            patients.append(_text(example["patient"]))
            view_names.append(views.int2str(int(example["view"])))
            synthetic |= bool(example["synthetic"])
    return Examples(
        images=np.stack(images),
        masks=np.stack(masks),
        example_ids=example_ids,
        patients=patients,
        views=view_names,
        spacing_mm=np.stack(spacing_mm),
        synthetic=synthetic,
        name=f"{builder.info.name}/{builder.info.config_name}",
        split=split,
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def crop_centre(examples: Examples, hw: tuple[int, int]) -> Examples:
    """Returns the examples with the central hw pixels of each image and mask.

    Raises:
        ValueError: if the images are smaller than hw.
    """
    height, width = examples.masks.shape[1:]
    top, left = (height - hw[0]) // 2, (width - hw[1]) // 2
    if top < 0 or left < 0:
        raise ValueError(
            f"--config.data.train_hw={tuple(hw)} exceeds the images of "
            f"{examples.name}, which have {height}x{width} pixels."
        )
    window = np.s_[:, top : top + hw[0], left : left + hw[1]]
    return dataclasses.replace(
        examples, images=examples.images[window], masks=examples.masks[window]
    )


def iterate_batches(
    examples: Examples, batch_size: int, *, seed: int, epoch: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields one epoch of batches, `images` and `masks`, in an order of its own.

    The order depends on (seed, epoch) alone, so that a resumed run goes on as if it had
    not stopped. The last N mod batch_size examples of an epoch's order are left out;
    the next epoch draws anew.
    """
    order = np.random.default_rng((seed, epoch)).permutation(len(examples))
    for step in range(len(examples) // batch_size):
        rows = order[step * batch_size : (step + 1) * batch_size]
        yield {"images": examples.images[rows], "masks": examples.masks[rows]}


def normalise_by_range(images: jax.Array) -> jax.Array:
    """Returns (c - min c) / (max c - min c) of each image's counts c.

    [P1] does not say how counts become inputs; this is what making a picture of them
    does.

    Args:
        images: counts >= 0, any integer or float dtype, (B, H, W, 1).

    Returns:
        float32 in [0, 1], (B, H, W, 1); all zero where an image is constant.
    """
    counts = images.astype(jnp.float32)
    low = counts.min(axis=(1, 2, 3), keepdims=True)
    span = counts.max(axis=(1, 2, 3), keepdims=True) - low
    return (counts - low) / jnp.where(span > 0, span, 1)


def normalise_by_root(images: jax.Array) -> jax.Array:
    """Returns sqrt(c / m) of each image's counts c, m the mean of its positive counts.

    The root makes Poisson noise equally strong everywhere, and one hot pixel moves m
    far less than the maximum.

    Args:
        images: counts >= 0, any integer or float dtype, (B, H, W, 1).

    Returns:
        float32, (B, H, W, 1); all zero where an image is.
    """
    counts = images.astype(jnp.float32)
    total = counts.sum(axis=(1, 2, 3), keepdims=True)
    positive = jnp.sum(counts > 0, axis=(1, 2, 3), keepdims=True)
    return jnp.sqrt(counts * positive / jnp.where(total > 0, total, 1))


NORMALISATIONS = {"min_max": normalise_by_range, "square_root": normalise_by_root}
