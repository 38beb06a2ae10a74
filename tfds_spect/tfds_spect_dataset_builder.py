"""The `tfds_spect` data set: thorax images of bone scans with their metastases."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import writer as tfds_writer
from tqdm import tqdm

from spectjax.imaging.diagnosis import NORMAL
from spectjax.imaging.identity import compute_pseudonym
from spectjax.imaging.problems import LOG_NAME
from spectjax.system.files import write_file
from spectjax.system.messages import make_printable
from spectjax.system.workers import Workers
from tfds_spect.configs import SpectConfig, list_configs
from tfds_spect.content import KEY, measure_content
from tfds_spect.copies import plan_copies
from tfds_spect.errors import PrepareError
from tfds_spect.example import NO_EVIDENCE, ThoraxExample
from tfds_spect.features import list_features
from tfds_spect.folds import (
    check_acquisitions,
    check_folds,
    deal_folds,
)
from tfds_spect.listing import fingerprint_folder
from tfds_spect.names import FOLDS, name_fold
from tfds_spect.opening import KEY_OF_PSEUDONYMS, list_files
from tfds_spect.sheets import (
    SHEET,
    SheetExample,
    check_repeated,
    list_sheet_features,
    read_sheets,
)
from tfds_spect.sizes import (
    count_diagnoses,
    count_patients_on_both_sides,
    measure_parts,
    summarise_readings,
)
from tfds_spect.skips import Skip, write_skips, write_tracebacks, write_warnings
from tfds_spect.source import read_source
from tfds_spect.splits import (
    Portion,
    SheetPortion,
    make_records,
    plan_folds,
    plan_leaking,
)
from tfds_spect.writers import CanonicalWriter, SerialisedAlready, list_formats

_SECONDS_PER_EXAMPLE = 0.015


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builds the splits of one `SpectConfig`.

    Attributes:
        with_beam: whether Apache Beam makes the examples, as TFDS's download config
            then says how.
        processes: how many share the work without Beam; None: one for each core.
            Set these two before `download_and_prepare`.
    """

    with_beam = False
    processes: int | None = None

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "First release.",
        "2.0.0": "Labels, diagnoses and where masks come from; the classification data "
        "of Lin 2021; folds stratified by diagnosis; the papers' leaking splits; "
        "pictures listed in images.csv.",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "A folder, of any structure, with NM whole-body DICOM files and, for each "
        "image, LabelMe files named <DICOM stem>_<view>.json or .xml; the folder that "
        "holds an annotation file names its reader. Or, instead or as well, pictures "
        "that a table images.csv at the top of the folder lists."
    )
    BUILDER_CONFIGS: ClassVar[list[SpectConfig]] = list_configs()
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
        return self.dataset_info_from_configs(
            features=list_sheet_features()
            if self.builder_config.sheets
            else list_features(
                normalised=self.builder_config.normalised,
                canvas_hw=self.builder_config.canvas_hw,
            ),
            metadata=tfds.core.MetadataDict(),
        )

    def _example_writer(self) -> CanonicalWriter:
        return CanonicalWriter(self.info.file_format)

    def _download_and_prepare(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> None:
        """Writes all splits, then reads them for their fingerprint.

        Raises:
            PrepareError: if the source changed meanwhile, or what was written cannot be
                read.
        """
        super()._download_and_prepare(dl_manager, download_config)
        folder = self._find_source(dl_manager)
        if self._fingerprint(folder) != self.info.metadata["fingerprint"]:
            raise PrepareError(
                f"{folder}: expected the same files from the beginning to the end, "
                "found others: it changed while it was read. Run the same command "
                "again."
            )
        tfrecords = {
            split: list_files(self, split, portable=True) for split in self.info.splits
        }
        written = pathlib.Path(self.data_path).glob("*record-*-of-*")
        content = measure_content(tfrecords, written)
        self.info.metadata[KEY] = dataclasses.asdict(content)

    def _generate_splits(
        self,
        dl_manager: tfds.download.DownloadManager,
        download_config: tfds.download.DownloadConfig,
    ) -> Sequence[tfds.core.SplitInfo]:
        """Writes the splits; as TFDS does, but with examples that other processes make.

        TFDS encodes examples one by one, which takes as long as moving them.
        """
        if self.with_beam:
            return super()._generate_splits(dl_manager, download_config)
        with Workers(self.processes) as workers:
            splits = self._plan_splits(dl_manager, workers)
            total = sum(len(p.numbers) for part in splits.values() for p in part)
            bar = tqdm(desc="Writing", total=total, unit=" images", disable=None)
            with bar:
                records = {
                    name: self._generate_examples(portions, workers, bar)
                    for name, portions in splits.items()
                }
                config = download_config.get_shard_config()
                return [self._write_split(*each, config) for each in records.items()]

    def _generate_examples(
        self,
        portions: Sequence[Portion | SheetPortion],
        workers: Workers,
        bar: tqdm,
    ) -> Iterator[tuple[str, bytes]]:
        seconds = _SECONDS_PER_EXAMPLE * bar.total
        for records in workers.map(make_records, portions, seconds=seconds):
            yield from records
            bar.update(len(records))

    def _write_split(
        self, name: str, records: Iterator[tuple[str, bytes]], shard_config: Any
    ) -> tfds.core.SplitInfo:
        """Writes one split as TFDS does: in an order that keys and name decide."""
        filename_template = self._get_filename_template(name)
        writer = tfds_writer.Writer(
            serializer=SerialisedAlready({}),
            filename_template=filename_template,
            hash_salt=name,
            disable_shuffling=self.info.disable_shuffling,
            example_writer=self._example_writer(),
            shard_config=shard_config,
        )
        for key, record in records:
            writer.write(key, record)
        shard_lengths, num_bytes = writer.finalize()
        return tfds.core.SplitInfo(
            name=name,
            shard_lengths=shard_lengths,
            num_bytes=num_bytes,
            filename_template=filename_template,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Any]:
        """Returns what Apache Beam is to do."""
        # Here, since Apache Beam is an extra.
        from tfds_spect.beam import list_jobs

        with Workers(self.processes) as workers:
            splits: Any = self._plan_splits(dl_manager, workers)
        return {name: list_jobs(name, portions) for name, portions in splits.items()}

    def _plan_splits(
        self, dl_manager: tfds.download.DownloadManager, workers: Workers
    ) -> dict[str, list[Portion]] | dict[str, list[SheetPortion]]:
        """Reads the source, checks it and says what goes where."""
        config = self.builder_config
        folder = self._find_source(dl_manager)
        fingerprint = self._fingerprint(folder)  # before anything is read
        if config.sheets:
            return self._plan_sheets(folder, fingerprint, workers)
        originals, skips = read_source(
            folder,
            workers,
            keep_pixels=not self.with_beam,
            whole_frames=config.whole_frames,
        )
        if config.needs_outlines:
            originals, skips = leave_out_unmarked(originals, skips)
        self._write_notes(folder, originals, skips)
        n_unexpected = write_tracebacks(self.local_path(LOG_NAME), skips)
        folds = deal_folds(originals)
        if not all(folds):
            raise PrepareError(self._explain_shortage(folder, originals, skips))
        check_acquisitions(originals)
        check_folds(folds)

        n_copies = plan_copies(folds, config.copy_rules)
        plan = plan_leaking if config.leaking else plan_folds
        splits = plan(folds, n_copies, normalised=config.normalised)
        self.info.metadata.update(
            fingerprint=fingerprint,
            leaking=config.leaking,
            synthetic=all(e.synthetic for e in originals),
            n_skipped=len(skips),
            n_unexpected=n_unexpected,
            n_warned=sum(bool(e.warnings) for e in originals),
            n_weak_views=sum(e.weak_view for e in originals),
            crops_by_hand={
                e.example_id: e.crop_by_hand for e in originals if e.crop_by_hand
            },
            cameras={e.example_id: e.camera for e in originals if e.camera},
            pseudonym_key=compute_pseudonym(KEY_OF_PSEUDONYMS),
            regions=dict(sorted(Counter(e.region for e in originals).items())),
            readers=summarise_readings(originals),
            patients_per_fold=[len({e.patient for e in fold}) for fold in folds],
            diagnoses=count_diagnoses(originals, n_copies),
            parts={
                name: dataclasses.asdict(size)
                for name, size in measure_parts(splits).items()
            },
            patients_on_both_sides=count_patients_on_both_sides(splits),
        )
        return splits

    def _plan_sheets(
        self, folder: pathlib.Path, fingerprint: str, workers: Workers
    ) -> dict[str, list[SheetPortion]]:
        """Reads examinations with masks of their bones and says what goes where."""
        if self.with_beam:
            raise PrepareError(
                f"--beam: expected a data set of images, found {self.info.full_name}, "
                "which is prepared without it. Leave the flag out."
            )
        originals, skips = read_sheets(folder, workers)
        self._write_notes(folder, originals, skips)
        folds = deal_folds(originals, lambda _: 0)
        if not all(folds):
            raise PrepareError(self._explain_shortage(folder, originals, skips))
        check_repeated(originals)
        check_folds(folds)
        splits = {
            name_fold(fold): [SheetPortion(each, fold) for each in examples]
            for fold, examples in enumerate(folds)
        }
        self.info.metadata.update(
            fingerprint=fingerprint,
            leaking=False,
            synthetic=all(e.synthetic for e in originals),
            n_skipped=len(skips),
            n_warned=sum(bool(e.warnings) for e in originals),
            n_weak_views=sum(e.weak_view for e in originals),
            cameras={e.example_id: e.camera for e in originals if e.camera},
            pseudonym_key=compute_pseudonym(KEY_OF_PSEUDONYMS),
            regions={SHEET: len(originals)},
            patients_per_fold=[len({e.patient for e in fold}) for fold in folds],
            diagnoses={},
            parts={
                name: {
                    "patients": len({p.original.patient for p in portions}),
                    "images": len(portions),
                    "copies": 0,
                }
                for name, portions in splits.items()
            },
            patients_on_both_sides=0,
        )
        return splits

    def _write_notes(
        self,
        folder: pathlib.Path,
        originals: Sequence[ThoraxExample] | Sequence[SheetExample],
        skips: Sequence[Skip],
    ) -> None:
        """Writes beside the data set what was left out, and what is doubtful."""
        write_skips(self.local_path("skipped.csv"), skips)
        write_warnings(self.local_path("warnings.csv"), originals)
        name = make_printable(folder.resolve().name)
        write_file(self.local_path("source.txt"), name)

    def _fingerprint(self, folder: pathlib.Path) -> str:
        """Returns what tells the files of the source as they are now."""
        return fingerprint_folder(folder, bones=self.builder_config.sheets)

    def _find_source(self, dl_manager: tfds.download.DownloadManager) -> pathlib.Path:
        """Returns the hospital's folder, or the phantom's, made if it is not there."""
        phantom = self.builder_config.phantom
        if phantom is None:
            return pathlib.Path(dl_manager.manual_dir)
        # Here, since it takes as long to import as all the rest.
        from spectjax.phantom import PhantomError, write_phantom

        try:
            return write_phantom(
                pathlib.Path(self.data_dir_root, "phantom", phantom.folder),
                patients=phantom.patients,
                seed=phantom.seed,
                population=phantom.population,
                processes=self.processes,
            )
        except PhantomError as error:
            raise PrepareError(str(error)) from error

    def _explain_shortage(
        self,
        folder: pathlib.Path,
        originals: Sequence[ThoraxExample] | Sequence[SheetExample],
        skips: Sequence[Skip],
    ) -> str:
        n_patients = len({example.patient for example in originals})
        text = (
            f"{folder}: expected usable images of at least {len(FOLDS)} patients, one "
            f"for each fold, found {len(originals)} images of {n_patients} patients."
        )
        if skips:
            text += (
                f" {len(skips)} files or images were left out, such as "
                f"{skips[0].name} ({skips[0].reason}); all are listed in "
                f"{self.local_path('skipped.csv')}."
            )
        if any(skip.crop for skip in skips):
            text += (
                " Crops among them can be accepted: see python -m tfds_spect "
                f"--manual_dir={folder} --dry_run=OUT."
            )
        return text


def leave_out_unmarked(
    originals: Sequence[ThoraxExample], skips: Sequence[Skip]
) -> tuple[list[ThoraxExample], list[Skip]]:
    """Moves images whose lesions nobody outlined to what is left out.

    A label says all that there is to know of the lesions of a normal image. Where most
    readers outlined something, and none of its pixels twice, an empty mask would say
    that there is nothing.
    """
    kept, unmarked = [], []
    for example in originals:
        if example.labels or example.diagnosis == NORMAL:
            kept.append(example)
            continue
        found = "without outlines: segmentation needs outlines, a mask or boxes"
        if example.mask_evidence != NO_EVIDENCE:
            found = "and no pixel on which most readers agree: segmentation needs some"
        unmarked.append(Skip(example.name, f"a label, {example.diagnosis}, {found}"))
    return kept, [*skips, *unmarked]
