"""Examinations with masks of their bones: what the data sets `skeleton` are made of.

The folder is a hospital's or the phantom's, as everywhere; beside its images it has
masks of their bones, see `spectjax.bones.masks`. Both views of an examination become
one sheet, see `spectjax.bones.sheet`; of a view without a mask nothing is known.
"""

import functools
import hashlib
import pathlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer
from tqdm import tqdm

from spectjax.bones.masks import BoneMasks, read_bone_masks
from spectjax.bones.sheet import UNKNOWN, VIEWS, Sheet, draw_mask, draw_sheet
from spectjax.imaging.annotations.image_names import fold_name
from spectjax.imaging.canvas import SHEET_HW
from spectjax.imaging.identity import Identity
from spectjax.imaging.patients import IdentityError, unite_patients
from spectjax.imaging.scan import BoneScan, ScanError, View
from spectjax.imaging.thorax.network import Window
from spectjax.system.messages import UserError
from spectjax.system.workers import Workers
from tfds_spect.errors import PrepareError
from tfds_spect.example import SourceFile
from tfds_spect.listing import list_source, skip_for
from tfds_spect.skips import Skip
from tfds_spect.source import read_images
from tfds_spect.writers import serialise_canonically

SHEET = "whole_body_sheet"  # what an image shows, beside the names of `BoneScan`
BOTH = "both"
SHOWN = (BOTH, *VIEWS)  # what a sheet shows
_SECONDS_PER_FILE = 0.15
_DARK = 32  # grey of what is surely no bone
_NO_WINDOW: Window = (np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class SeenBones:
    """One view on its half of a sheet, whose other half is empty.

    Attributes:
        sheet: see `spectjax.bones.sheet`.
        mask: regions of the skeleton, uint8, `SHEET_HW`.
        view: which it is.
        frame_hw: rows and columns of the view.
        scan: the view without its pixels.
        mask_path: of the file that its mask comes from.
    """

    sheet: Sheet
    mask: np.ndarray
    view: View
    frame_hw: tuple[int, int]
    scan: BoneScan
    mask_path: pathlib.Path


@dataclass(frozen=True)
class SheetExample:
    """An examination on its sheet.

    Attributes:
        image: grey, uint16, `SHEET_HW`.
        mask: regions of the skeleton, uint8, `SHEET_HW`.
        windows: of the views that are there, see `Sheet`.
        frames_hw: rows and columns of each.
        patient: pseudonym of the patient.
        source: pseudonym of the images.
        synthetic: whether the patient is simulated.
        name: what its own folder calls it.
        camera: as `BoneScan.camera` has it.
        warnings: reasons to doubt a view, as `BoneScan.warnings`.
        weak_view: whether the evidence for a view is weak.
    """

    image: np.ndarray
    mask: np.ndarray
    windows: Mapping[View, Window]
    frames_hw: Mapping[View, tuple[int, int]]
    patient: str
    source: str
    synthetic: bool
    name: str
    camera: str
    warnings: tuple[str, ...]
    weak_view: bool

    @property
    def shown(self) -> str:
        """One of `SHOWN`."""
        return BOTH if len(self.windows) == len(VIEWS) else next(iter(self.windows))

    @property
    def example_id(self) -> str:
        """A key that is the same in every preparation and identifies nobody."""
        return f"{self.patient}_{self.shown}_{self.source[:8]}"


def read_sheets(
    folder: pathlib.Path, workers: Workers
) -> tuple[list[SheetExample], list[Skip]]:
    """Reads every examination in a folder that has a mask of bones.

    Views of one study stand on one sheet, and those of one patient where no study is
    stated. Two of a kind, each has a sheet of its own.

    Returns:
        The examinations, sorted by example id, and what was left out.

    Raises:
        PrepareError: if there is no mask, a table cannot be read, or files contradict
            each other about a patient.
    """
    try:
        masks = read_bone_masks(folder)
    except UserError as error:
        raise PrepareError(str(error)) from error
    masks = replace(masks, paths={fold_name(k): v for k, v in masks.paths.items()})
    files = list_source(folder).files
    read = functools.partial(read_bones, masks=masks, folder=folder)
    found = workers.map(read, files, seconds=_SECONDS_PER_FILE * len(files))
    views: list[SeenBones] = []
    skips: list[Skip] = []
    bar = tqdm(found, "Reading", len(files), unit=" files", disable=None)
    for seen, left_out in bar:
        views += seen
        skips += left_out
    idle = set(masks.paths.values()) - {view.mask_path for view in views}
    skips += [
        Skip(str(path.relative_to(folder)), "a mask of bones that no image uses")
        for path in sorted(idle)
    ]
    return sorted(_join(views), key=lambda each: each.example_id), skips


def read_bones(
    file: SourceFile, *, masks: BoneMasks, folder: pathlib.Path
) -> tuple[list[SeenBones], list[Skip]]:
    """Reads the views of one file that have a mask of bones.

    It has the name of the view or, of a picture, its path in the folder. Where the
    masks say nothing of some regions, a bright pixel without a label is unknown: it may
    be of one of them.
    """
    try:
        images, errors = read_images(file)
    except ScanError as error:
        return [], [skip_for(error)]
    skips, seen = [skip_for(error) for error in errors], []
    for scan, *_ in images:
        inside = scan.path.relative_to(folder).with_suffix("").as_posix()
        names = [fold_name(each) for each in (scan.name, inside)]
        name = next((each for each in names if each in masks.paths), None)
        if name is None:
            skips.append(Skip(scan.name, "no mask of bones"))
            continue
        try:
            regions = masks.read(name, scan.view, scan.counts.shape)
        except UserError as error:
            skips.append(Skip(scan.name, str(error)))
            continue
        fault = _find_fault(scan)
        sheet = draw_sheet({scan.view: scan.counts})
        if fault or not sheet.windows:
            skips.append(Skip(scan.name, fault or "nothing but background"))
            continue
        mask = draw_mask({scan.view: regions}, sheet.windows)
        if masks.classes.missing:
            mask[(mask == 0) & (sheet.image > _DARK)] = UNKNOWN
        bare = replace(scan, counts=scan.counts[:0])
        hw = (scan.counts.shape[0], scan.counts.shape[1])
        seen.append(SeenBones(sheet, mask, scan.view, hw, bare, masks.paths[name]))
    return seen, skips


def _find_fault(scan: BoneScan) -> str:
    """Returns why an image cannot be used, if so."""
    if scan.region != "whole_body":
        return "no whole body by a person's word"
    if scan.patient_evidence == "study":
        return (
            "no Patient ID, nor name and birth date: two studies of one patient could "
            "end on both sides of a split; expected at least a pseudonym as Patient ID"
        )
    return ""


def _join(views: Sequence[SeenBones]) -> Iterator[SheetExample]:
    """Yields the examinations that views are of."""
    patients = _unite(views)
    first: dict[tuple[str, str], SeenBones] = {}
    for view in views:  # a copy of a file adds nothing
        first.setdefault((patients[view.scan.patient_key], view.scan.image_key), view)
    groups: dict[tuple[str, str], list[SeenBones]] = defaultdict(list)
    for (patient, _), view in first.items():
        groups[patient, view.scan.study_key or ""].append(view)
    for (patient, _), group in groups.items():
        alone = len({view.view for view in group}) < len(group)
        for together in [[view] for view in group] if alone else [group]:
            yield _make_example(patient, sorted(together, key=lambda view: view.view))


def _unite(views: Sequence[SeenBones]) -> dict[str, str]:
    """Returns one pseudonym for each patient."""
    found: list[tuple[Identity, str]] = [
        (view.scan.identity, str(view.scan.path))
        for view in views
        if view.scan.identity is not None
    ]
    keys = {view.scan.patient_key: view.scan.patient_key for view in views}
    try:
        return keys | unite_patients(found)
    except IdentityError as error:
        raise PrepareError(str(error)) from error


def _make_example(patient: str, views: Sequence[SeenBones]) -> SheetExample:
    image = np.zeros(SHEET_HW, np.uint16)
    mask = np.full(SHEET_HW, UNKNOWN, np.uint8)
    windows: dict[View, Window] = {}
    for each in views:
        image = np.maximum(image, each.sheet.image)
        mask = np.minimum(mask, each.mask)
        windows |= each.sheet.windows
    scans = [view.scan for view in views]
    keys = "".join(scan.image_key for scan in scans).encode()
    return SheetExample(
        image=image,
        mask=mask,
        windows=windows,
        frames_hw={view.view: view.frame_hw for view in views},
        patient=patient,
        source=hashlib.blake2b(keys, digest_size=8).hexdigest(),
        synthetic=all(scan.synthetic for scan in scans),
        name=scans[0].name,
        camera=scans[0].camera,
        warnings=tuple(text for scan in scans for text in scan.warnings),
        weak_view=any(scan.has_weak_view for scan in scans),
    )


def check_repeated(examples: Sequence[SheetExample]) -> None:
    """Checks that no two patients share an image.

    Raises:
        PrepareError: if two do: it would stand on both sides of a split.
    """
    first: dict[bytes, SheetExample] = {}
    for example in examples:
        same = first.setdefault(example.image.tobytes(), example)
        if same.patient != example.patient:
            raise PrepareError(
                f"{same.name} and {example.name}: expected two examinations of two "
                "patients, found one. If one is a copy, remove it; if both are of one "
                "patient, give them one Patient ID."
            )


def list_sheet_features() -> tfds.features.FeaturesDict:
    """Returns what a sheet consists of.

    `windows` and `frames_hw` are of the anterior and the posterior view; NaN and 0 of
    one that is missing.
    """
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Tensor(
                shape=(*SHEET_HW, 1), dtype=np.uint16, encoding="zlib"
            ),
            "mask": tfds.features.Tensor(
                shape=SHEET_HW, dtype=np.uint8, encoding="zlib"
            ),
            "example_id": tfds.features.Text(),
            "patient": tfds.features.Text(),
            "view": tfds.features.ClassLabel(names=SHOWN),
            "windows": tfds.features.Tensor(shape=(2, 3), dtype=np.float32),
            "frames_hw": tfds.features.Tensor(shape=(2, 2), dtype=np.int32),
            "source": tfds.features.Text(),
            "fold": tfds.features.Scalar(np.int32),
            "synthetic": tfds.features.Scalar(np.bool_),
        }
    )


def serialise_sheet(example: SheetExample, fold: int) -> bytes:
    """Returns an example as a record, the same bytes in every process."""
    features, serializer = _open_serializer()
    windows = [example.windows.get(view, _NO_WINDOW) for view in VIEWS]
    sizes = [example.frames_hw.get(view, (0, 0)) for view in VIEWS]
    encoded: dict[str, Any] = {
        "image": example.image[..., None],
        "mask": example.mask,
        "example_id": example.example_id,
        "patient": example.patient,
        "view": example.shown,
        "windows": np.array(windows, np.float32),
        "frames_hw": np.array(sizes, np.int32),
        "source": example.source,
        "fold": fold,
        "synthetic": example.synthetic,
    }
    record = serializer.serialize_example(features.encode_example(encoded))
    return serialise_canonically(record)


@functools.cache
def _open_serializer() -> tuple[
    tfds.features.FeaturesDict, example_serializer.ExampleSerializer
]:
    features = list_sheet_features()
    info = features.get_serialized_info()
    return features, example_serializer.ExampleSerializer(info)
