"""The `tfds_spect` data set: thorax images of bone scans with outlined metastases."""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from tqdm import tqdm

from spectjax.files import write_file
from tfds_spect.copies import count_copies, move_all
from tfds_spect.errors import PrepareError
from tfds_spect.example import (
    CANVAS_HW,
    LESION_CLASSES,
    VIEWS,
    ThoraxExample,
    encode_example,
)
from tfds_spect.folds import N_FOLDS, check_folds, deal_folds
from tfds_spect.source import Skip, fingerprint_folder, read_source, write_skips
from tfds_spect.writers import CanonicalWriter, list_formats

_PAPER = Fraction(2280, 112)  # [P1] Table 1: all images per original image


@dataclasses.dataclass(eq=False)
class SpectConfig(tfds.core.BuilderConfig):
    """Which images a data set holds.

    Attributes:
        ratio: originals and copies together, per original.
        phantom_patients: number of simulated patients; None for a hospital's folder.
        phantom_seed: seed of the simulation.
    """

    ratio: Fraction = _PAPER
    phantom_patients: int | None = None
    phantom_seed: int = 0


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builds the folds of one `SpectConfig`.

    Attributes:
        with_beam: whether Apache Beam makes the examples, as TFDS's download config
            then says how; set it before `download_and_prepare`.
    """

    with_beam = False

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "A folder, of any structure, with NM whole-body DICOM files and, for each "
        "image, LabelMe files named <DICOM stem>_<view>.json or .xml; the folder that "
        "holds an annotation file names its reader."
    )
    BUILDER_CONFIGS: ClassVar[list[SpectConfig]] = [
        SpectConfig(
            name="segmentation",
            description="A hospital's images, with as many copies as in Lin 2020.",
        ),
        SpectConfig(
            name="segmentation_quick",
            description="A hospital's images, with four copies of each.",
            ratio=Fraction(5),
        ),
        SpectConfig(
            name="segmentation_smoke",
            description="A hospital's images, with one copy of each.",
            ratio=Fraction(2),
        ),
        SpectConfig(
            name="segmentation_originals",
            description="A hospital's images, to be augmented while training.",
            ratio=Fraction(1),
        ),
        SpectConfig(
            name="segmentation_phantom",
            description="Simulated patients, as many images and copies as in Lin 2020.",
            phantom_patients=76,
        ),
        SpectConfig(
            name="segmentation_quick_phantom",
            description="Simulated patients, with four copies of each image.",
            ratio=Fraction(5),
            phantom_patients=76,
        ),
        SpectConfig(
            name="segmentation_smoke_phantom",
            description="Ten simulated patients, with one copy of each image.",
            ratio=Fraction(2),
            phantom_patients=10,
        ),
        SpectConfig(
            name="segmentation_originals_phantom",
            description="Simulated patients, to be augmented while training.",
            ratio=Fraction(1),
            phantom_patients=76,
        ),
    ]
    # TFDS finds these by itself only with a package that it does not declare.
    code_path = epath.Path(__file__)
    pkg_dir_path = code_path.parent

    def __init__(self, **kwargs: Any) -> None:
        """Takes what every TFDS builder takes: data_dir, config, version."""
        super().__init__(**kwargs)
        # TFDS forgets the second format when it reads dataset_info.json again.
        for file_format in list_formats()[1:]:
            self.info.add_alternative_file_format(file_format)

    def local_path(self, name: str) -> pathlib.Path:
        """Returns a path beside the data set, for what is not to be shared with it."""
        return pathlib.Path(self.data_path.parent, f"{self.version}_local", name)

    def _info(self) -> tfds.core.DatasetInfo:
        mask = {"dtype": np.uint8, "encoding": "zlib"}
        features = {
            "image": tfds.features.Tensor(
                shape=(*CANVAS_HW, 1), dtype=np.uint16, encoding="zlib"
            ),
            "mask": tfds.features.Tensor(shape=CANVAS_HW, **mask),
            "instance_masks": tfds.features.Tensor(shape=(None, *CANVAS_HW), **mask),
            "instance_boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
            "instance_labels": tfds.features.Sequence(
                tfds.features.ClassLabel(names=LESION_CLASSES)
            ),
            "example_id": tfds.features.Text(),
            "patient": tfds.features.Text(),
            "view": tfds.features.ClassLabel(names=VIEWS),
            "spacing_mm": tfds.features.Tensor(shape=(2,), dtype=np.float32),
            "crop_box": tfds.features.Tensor(shape=(4,), dtype=np.int32),
            "frame_hw": tfds.features.Tensor(shape=(2,), dtype=np.int32),
            "source": tfds.features.Text(),
            "copy": {
                "mirror": tfds.features.Scalar(np.bool_),
                "dx": tfds.features.Scalar(np.int32),
                "dy": tfds.features.Scalar(np.int32),
                "degrees": tfds.features.Scalar(np.int32),
            },
            "fold": tfds.features.Scalar(np.int32),
            "synthetic": tfds.features.Scalar(np.bool_),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(),
        )

    def _example_writer(self) -> CanonicalWriter:
        return CanonicalWriter(self.info.file_format)

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Any]:
        folder = self._find_source(dl_manager)
        originals, skips = read_source(folder, keep_pixels=not self.with_beam)
        write_skips(self.local_path("skipped.csv"), skips)
        write_file(self.local_path("source.txt"), folder.resolve().name)
        folds = deal_folds(originals)
        if not all(folds):
            raise PrepareError(self._explain_shortage(folder, originals, skips))
        check_folds(folds)

        numbers = count_copies(len(originals), self.builder_config.ratio)
        n_copies = {e.example_id: n for e, n in zip(originals, numbers, strict=True)}
        self.info.metadata.update(
            fingerprint=fingerprint_folder(folder),
            patients_per_fold=[len({e.patient for e in fold}) for fold in folds],
            n_skipped=len(skips),
            synthetic=all(e.synthetic for e in originals),
        )
        if self.with_beam:
            return self._split_with_beam(folds, n_copies)
        total = len(originals) + sum(numbers)
        bar = tqdm(desc="Writing", total=total, unit=" images", disable=None)
        splits = {}
        for fold, examples in enumerate(folds):
            splits[f"fold{fold}"] = self._generate_examples(examples, fold, bar)
            if sum(numbers):
                copies = self._generate_examples(
                    move_all(examples, n_copies), fold, bar
                )
                splits[f"fold{fold}_augmented"] = copies
        return splits

    def _split_with_beam(
        self, folds: Sequence[Sequence[ThoraxExample]], n_copies: Mapping[str, int]
    ) -> dict[str, Any]:
        # Here, since Apache Beam is an extra.
        from tfds_spect.beam import list_jobs

        splits = {}
        for fold, originals in enumerate(folds):
            name = f"fold{fold}"
            splits[name] = list_jobs(name, originals, None, fold)
            if any(n_copies.values()):
                name = f"fold{fold}_augmented"
                splits[name] = list_jobs(name, originals, n_copies, fold)
        return splits

    def _generate_examples(
        self, examples: Iterable[ThoraxExample], fold: int, bar: tqdm
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for example in examples:
            yield example.example_id, encode_example(example, fold)
            bar.update()
        if bar.n == bar.total:
            bar.close()

    def _find_source(self, dl_manager: tfds.download.DownloadManager) -> pathlib.Path:
        """Returns the hospital's folder, or the phantom's, made if it is not there."""
        config = self.builder_config
        if config.phantom_patients is None:
            return pathlib.Path(dl_manager.manual_dir)
        # Here, since it takes as long to import as all the rest.
        from spectjax.imaging.phantom import PhantomError, write_phantom

        size = f"{config.phantom_patients}_{config.phantom_seed}"
        try:
            return write_phantom(
                pathlib.Path(self.data_dir_root, "phantom", size),
                patients=config.phantom_patients,
                seed=config.phantom_seed,
            )
        except PhantomError as error:
            raise PrepareError(str(error)) from error

    def _explain_shortage(
        self,
        folder: pathlib.Path,
        originals: Sequence[ThoraxExample],
        skips: Sequence[Skip],
    ) -> str:
        n_patients = len({example.patient for example in originals})
        text = (
            f"{folder}: expected usable images of at least {N_FOLDS} patients, one for "
            f"each fold, found {len(originals)} of {n_patients}."
        )
        if skips:
            text += (
                f" {len(skips)} files or images were left out, such as "
                f"{skips[0].name} ({skips[0].reason}); all are listed in "
                f"{self.local_path('skipped.csv')}."
            )
        return text
