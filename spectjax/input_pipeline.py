"""From a prepared data set to examples, in memory or on disk, and their batches.

Examples are indexed by N; batch, height and width axes are B, H and W.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spectjax.imaging.geometry import cut_centre
from spectjax.imaging.hotspots import number_regions
from spectjax.system.messages import ConfigError, UserError
from tfds_spect.example import MASK_EVIDENCE, NO_EVIDENCE
from tfds_spect.names import AUGMENTED, LEAKING

if TYPE_CHECKING:
    from tfds_spect.reading import DataSource

# The features of examples that training and evaluation need; decoding all takes longer.
_LEARNT = ("image", "mask", "label", "mask_evidence")
_FEATURES = (
    *_LEARNT,
    "frame_hw",
    "diagnosis",
    "spacing_mm",
    "example_id",
    "patient",
    "view",
    "synthetic",
)
MAX_LESIONS = 255  # of an image: their numbers are uint8
_NOT_OUTLINED = MASK_EVIDENCE.index(NO_EVIDENCE)


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples of one split.

    Attributes:
        images: counts of thoraxes or whole frames, uint16, or scaled to [0, 1],
            float32, (N, H, W, 1).
        masks: class of each pixel, 0 is background, uint8, (N, H, W); of a sheet the
            region of the skeleton, see `spectjax.bones.sheet`.
        labels: class of each image, 0 is normal, 1 metastasis, -1 of a sheet, of which
            none is known, int32, (N,).
        diagnoses: words of `spectjax.imaging.diagnosis.DIAGNOSES`, length N; none of
            sheets.
        example_ids: unique names, length N.
        patients: pseudonyms, length N.
        views: "anterior" or "posterior", or of a sheet "both", length N.
        spacing_mm: size of a pixel (row, column), nan if unknown, float32, (N, 2).
        synthetic: the images are simulated.
        name: data set and builder config.
        split: the TFDS split that was read.
        fingerprint: of the content of the split, see `tfds_spect.content`.
        older_fingerprint: what older checkpoints hold in its place: of name, number of
            examples and their size alone.
        leaking: whether patients of this split are in the training split as well.
        numbered: whether `read` gives `instances` as well, see `number_lesions`.
        told: whether `read` gives `outlined` as well.
        mask_evidence: where each mask comes from, words of `tfds_spect.example`, length
            N; empty if nobody asked, as are the next two.
        matrices: rows and columns of each whole image, "1024x256", length N.
        cameras: what took each image, "unknown" where the data set does not say.
        regions: what the images of the data set show, see `ThoraxImage.region`.
    """

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    diagnoses: list[str]
    example_ids: list[str]
    patients: list[str]
    views: list[str]
    spacing_mm: np.ndarray
    synthetic: bool
    name: str
    split: str
    fingerprint: str
    older_fingerprint: str = ""
    leaking: bool = False
    numbered: bool = False
    told: bool = False
    mask_evidence: list[str] = dataclasses.field(default_factory=list)
    matrices: list[str] = dataclasses.field(default_factory=list)
    cameras: list[str] = dataclasses.field(default_factory=list)
    regions: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Returns N."""
        return len(self.example_ids)

    @property
    def outlined(self) -> np.ndarray:
        """Whether somebody outlined the lesions of an image, bool, (N,).

        Where nobody did and it is not normal, its mask says nothing.
        """
        if not self.mask_evidence:
            return np.ones(len(self), bool)
        return np.array([word != NO_EVIDENCE for word in self.mask_evidence])

    @property
    def located(self) -> np.ndarray:
        """Whether it is known where lesions are, bool, (N,): outlined, or normal."""
        return self.outlined | (self.labels == 0)

    def select(self, rows: np.ndarray | slice) -> "Examples":
        """Returns some of the examples, in the order of `rows`."""
        chosen: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                chosen[field.name] = value[rows]
            elif isinstance(value, list) and value:
                kept = np.arange(len(value))[rows]
                chosen[field.name] = [value[row] for row in kept]
        return dataclasses.replace(self, **chosen)

    def read(self, rows: Sequence[int] | np.ndarray | slice) -> dict[str, np.ndarray]:
        """Returns `images`, `masks`, `labels` and what else is wanted of examples."""
        found = {
            "images": self.images[rows],
            "masks": self.masks[rows],
            "labels": self.labels[rows],
            **({"outlined": self.outlined[rows]} if self.told else {}),
        }
        return _number(found) if self.numbered else found

    def crop_centre(self, hw: tuple[int, int]) -> "Examples":
        """Returns the examples with the central hw pixels of each image and mask.

        Raises:
            ConfigError: if the images are smaller than hw.
        """
        _check_hw(self.name, self.masks.shape[1:], hw)
        return dataclasses.replace(
            self,
            images=np.stack([cut_centre(image, hw) for image in self.images]),
            masks=np.stack([cut_centre(mask, hw) for mask in self.masks]),
        )


@dataclasses.dataclass(frozen=True)
class StoredExamples:
    """The examples of a split that stays on disk.

    Attributes:
        source: reads them.
        hw: the central part of each image that is wanted, pixels.
        name: data set and builder config.
        split: the TFDS split.
        fingerprint, older_fingerprint: as of `Examples`; the same for the same split.
        numbered: whether `read` gives `instances` as well, see `number_lesions`.
        told: whether `read` gives `outlined` as well, see `Examples`.
    """

    source: "DataSource"
    hw: tuple[int, int]
    name: str
    split: str
    fingerprint: str
    older_fingerprint: str = ""
    numbered: bool = False
    told: bool = False

    def __len__(self) -> int:
        """Returns N."""
        return len(self.source)

    def read(self, rows: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
        """Returns `images`, `masks`, `labels` and what else is wanted of examples."""
        found = self.source.__getitems__([int(row) for row in rows])
        arrays = {
            "images": np.stack(
                [cut_centre(example["image"], self.hw) for example in found]
            ),
            "masks": np.stack(
                [cut_centre(example["mask"], self.hw) for example in found]
            ),
            "labels": np.array([x.get("label", -1) for x in found], np.int32),
        }
        if self.told:
            evidence = np.array([example["mask_evidence"] for example in found])
            arrays["outlined"] = evidence != _NOT_OUTLINED
        return _number(arrays) if self.numbered else arrays

    def crop_centre(self, hw: tuple[int, int]) -> "StoredExamples":
        """Returns the examples with the central hw pixels of each image and mask.

        Raises:
            ConfigError: if the images are smaller than hw.
        """
        _check_hw(self.name, self.hw, hw)
        return dataclasses.replace(self, hw=hw)


def number_lesions(masks: np.ndarray) -> np.ndarray:
    """Returns the number of the lesion of each pixel.

    A lesion is an 8-connected component of a class, as where lesions are scored.

    Args:
        masks: class of each pixel, 0 is background, uint8, (N, H, W).

    Returns:
        1, 2, ... in each image, 0 for background, uint8, (N, H, W).

    Raises:
        UserError: if an image has more than 255 lesions.
    """
    numbers = np.zeros(masks.shape, np.uint8)
    for mask, found in zip(masks, numbers, strict=True):
        total = 0
        for label in np.unique(mask[mask > 0]):
            components, count = number_regions(mask == label)
            if total + count > MAX_LESIONS:
                raise UserError(
                    f"Expected at most {MAX_LESIONS} lesions in an image, found "
                    f"{total + count}. Look for specks in its mask."
                )
            found[components > 0] = total + components[components > 0]
            total += count
    return numbers


def _number(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return batch | {"instances": number_lesions(batch["masks"])}


def open_examples(
    builder_dir: str | pathlib.Path, split: str, *, max_bytes: float
) -> Examples | StoredExamples:
    """Opens a split of a prepared data set: in memory where it fits, else on disk.

    Args:
        builder_dir: folder of the data set.
        split: see `tfds_spect.names.choose_splits`.
        max_bytes: how large images and masks may be to be read into memory.

    Raises:
        ConfigError: if the data set has no such split or the split has no example.
        PrepareError: if the data set is damaged or incomplete.
    """
    builder, source, fingerprints = _open(builder_dir, split, _LEARNT)
    image = builder.info.features["image"]
    height, width, _ = image.shape
    bytes_per_pixel = np.dtype(image.np_dtype).itemsize + 1  # the mask takes one
    if len(source) * height * width * bytes_per_pixel <= max_bytes:
        return load_examples(builder_dir, split)
    return StoredExamples(
        source=source,
        hw=(height, width),
        name=f"{builder.info.name}/{builder.info.config_name}",
        split=split,
        **fingerprints,
    )


def load_examples(builder_dir: str | pathlib.Path, split: str) -> Examples:
    """Reads a split of a prepared data set into memory, without TensorFlow.

    Raises:
        ConfigError: if the data set has no such split or the split has no example.
        PrepareError: if the data set is damaged or incomplete.
    """
    from tfds_spect.features import is_sheet

    builder, source, fingerprints = _open(builder_dir, split, _FEATURES)
    count, features = len(source), builder.info.features
    image = features["image"]
    images = np.empty((count, *image.shape), image.np_dtype)
    masks = np.empty(images.shape[:3], np.uint8)
    labels = np.full(count, -1, np.int32)
    spacing_mm = np.full((count, 2), np.nan, np.float32)
    diagnoses, example_ids, patients, views = [], [], [], []
    mask_evidence, matrices = [], []
    metadata = builder.info.metadata or {}
    cameras = metadata.get("cameras") or {}
    synthetic = False
    for row in range(count):
        example = source[row]
        images[row], masks[row] = example["image"], example["mask"]
        example_ids.append(_text(example["example_id"]))
        patients.append(_text(example["patient"]))
        views.append(features["view"].int2str(int(example["view"])))
        synthetic |= bool(example["synthetic"])
        if is_sheet(features):  # which tells bones, and nothing of the patient
            continue
        labels[row] = example["label"]
        evidence = features["mask_evidence"].int2str(int(example["mask_evidence"]))
        mask_evidence.append(evidence)
        diagnoses.append(features["diagnosis"].int2str(int(example["diagnosis"])))
        spacing_mm[row] = example["spacing_mm"]
        matrices.append("x".join(str(side) for side in example["frame_hw"].tolist()))
    return Examples(
        images=images,
        masks=masks,
        labels=labels,
        diagnoses=diagnoses,
        example_ids=example_ids,
        patients=patients,
        views=views,
        spacing_mm=spacing_mm,
        synthetic=synthetic,
        name=f"{builder.info.name}/{builder.info.config_name}",
        split=split,
        **fingerprints,
        leaking=LEAKING in builder.info.config_name,
        mask_evidence=mask_evidence,
        matrices=matrices,
        cameras=[cameras.get(name, "unknown") for name in example_ids],
        # Before there were others, all images were whole bodies.
        regions=tuple(sorted(metadata.get("regions") or ["whole_body"])),
    )


def _open(
    builder_dir: str | pathlib.Path, split: str, features: Sequence[str]
) -> tuple[Any, "DataSource", dict[str, Any]]:
    """Returns the builder, what reads these features of the split, its fingerprints."""
    # Here, because only training needs TFDS, and `predict` need not wait for it.
    from tfds_spect.content import join_fingerprints
    from tfds_spect.opening import open_data_set, read_content
    from tfds_spect.reading import open_split

    builder = open_data_set(pathlib.Path(builder_dir), sheets=True)
    splits = builder.info.splits
    missing = set(split.split("+")) - set(splits)
    if missing:
        remedy = ""
        if all(part.endswith(AUGMENTED) for part in missing):
            remedy = (
                " It was prepared without copies: move its originals instead, with "
                "--config.data.augmentation=online."
            )
        raise ConfigError(
            f"{builder_dir}: no split {', '.join(sorted(missing))}; it has "
            f"{', '.join(sorted(splits))}.{remedy}"
        )
    known = [name for name in features if name in builder.info.features]
    source = open_split(str(builder_dir), split, known)
    if not len(source):
        raise ConfigError(
            f"{builder_dir}: split {split} has no example; prepare more patients or "
            "hold out another fold with --config.data.fold."
        )
    names = split.split("+")
    content = read_content(builder, names)
    sizes = [
        (name, splits[name].num_examples, splits[name].num_bytes) for name in names
    ]
    text = f"{builder.info.full_name} {sizes}"
    return (
        builder,
        source,
        {
            "fingerprint": join_fingerprints({k: content.splits[k] for k in names}),
            "older_fingerprint": hashlib.sha256(text.encode()).hexdigest()[:16],
        },
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _check_hw(name: str, found: tuple[int, ...], hw: tuple[int, int]) -> None:
    if found[0] < hw[0] or found[1] < hw[1]:
        raise ConfigError(
            f"--config.data.train_hw={tuple(hw)} exceeds the images of {name}, which "
            f"have {found[0]}x{found[1]} pixels."
        )


def draw_batches(
    num_examples: int, batch_size: int, *, seed: int, epoch: int
) -> np.ndarray:
    """Returns which examples make up each batch of an epoch, in an order of its own.

    The order depends on the arguments alone, so that a resumed run goes on as if it had
    not stopped. The last N mod B examples of an epoch's order are left out; the next
    epoch draws anew.

    Returns:
        Indices of examples, int32, (N // B, B).
    """
    order = np.random.default_rng((seed, epoch)).permutation(num_examples)
    steps = num_examples // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size).astype(np.int32)
