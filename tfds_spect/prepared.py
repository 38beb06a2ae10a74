"""A data set on disk, and what is to be said of it."""

import pathlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from spectjax.imaging.canvas import WHOLE_FRAME
from spectjax.imaging.problems import LOG_NAME
from tfds_spect.content import explain_damage
from tfds_spect.image import UNCERTAIN_CROP
from tfds_spect.sizes import PartSize
from tfds_spect.skips import Skip, read_skips
from tfds_spect.tfds_spect_dataset_builder import Builder

_FEW = 5  # skips that are shown; the file has all
_AS_THEY_ARE = ("leaking", "n_skipped", "patients_on_both_sides", "synthetic")
_OTHERS = ("diagnoses", "fingerprint", "parts", "patients_per_fold")
_LATER = ("n_unexpected", "n_warned", "n_weak_views")


@dataclass(frozen=True)
class Prepared:
    """A data set on disk.

    Attributes:
        builder_dir: folder for `tfds.builder_from_directory`.
        parts: size of each fold, or of `train` and `test` if the data set leaks.
        diagnoses: numbers of originals and of copies, for each diagnosis.
        n_patients: number of patients.
        leaking: whether originals and copies were split at random, as in the papers.
        patients_on_both_sides: how many patients stand in several parts.
        synthetic: whether all patients are simulated.
        n_skipped: number of files and images that were left out.
        skipped: which, and why; empty if the data set was prepared elsewhere.
        skipped_path: file that lists them.
        n_unexpected: how many of them met an unexpected error, a bug of ours.
        n_warned: how many of the images there is a reason to doubt for.
        n_weak_views: how many of these rest on weak evidence for their view.
        reused: whether the data set was there already.
        fingerprint: of its content, see `tfds_spect.content`.
        crops_by_hand: what a person did about the crop of an original, by its example
            id: "accepted by hand" or "box given by hand".
        regions: how many images show what; empty for older data sets, of whole bodies.
    """

    builder_dir: pathlib.Path
    parts: Mapping[str, PartSize]
    diagnoses: Mapping[str, tuple[int, int]]
    n_patients: int
    leaking: bool
    patients_on_both_sides: int
    synthetic: bool
    n_skipped: int
    skipped: tuple[Skip, ...]
    skipped_path: pathlib.Path
    n_unexpected: int
    n_warned: int
    n_weak_views: int
    reused: bool
    fingerprint: str
    crops_by_hand: Mapping[str, str] = field(default_factory=dict)
    regions: Mapping[str, int] = field(default_factory=dict)

    def summarise(self) -> str:
        """Returns what is where, in a few lines for people."""
        rows: list[tuple[str, ...]] = [("", "patients", "images", "copies")]
        for name, size in self.parts.items():
            numbers = (size.patients, size.images, size.copies)
            rows.append((name, *map(str, numbers)))
        for name, (images, copies) in self.diagnoses.items():
            if images:
                rows.append((name, "", str(images), str(copies)))
        lines = ["{:24}  {:>8}  {:>6}  {:>6}".format(*row) for row in rows]
        if self.n_skipped:
            lines.append(f"Files and images that were left out: {self.n_skipped}")
            lines += [f"  {skip.name}: {skip.reason}" for skip in self.skipped[:_FEW]]
            lines.append(f"  all of them: {self.skipped_path}")
            if any(skip.reason.startswith(UNCERTAIN_CROP) for skip in self.skipped):
                lines.append("  to accept crops of them: --manual_dir, --dry_run=OUT")
        if self.n_unexpected:
            lines.append(
                f"UNEXPECTED ERROR in {self.n_unexpected} of them, a bug of spectjax: "
                "please report it, the traceback is in "
                f"{self.skipped_path.with_name(LOG_NAME)}."
            )
        if self.n_warned:
            lines.append(
                f"Images with a warning: {self.n_warned}, {self.n_weak_views} of them "
                "for weak evidence of the view; all of them: "
                f"{self.skipped_path.with_name('warnings.csv')}"
            )
        cropped = ("whole_body", WHOLE_FRAME)
        uncropped = {k: n for k, n in self.regions.items() if k not in cropped}
        if uncropped:
            counts = ", ".join(f"{region}: {n}" for region, n in uncropped.items())
            lines.append(f"Images that are no whole body and are not cropped, {counts}")
        if self.crops_by_hand:
            done = Counter(self.crops_by_hand.values())
            counts = ", ".join(f"{what}: {n}" for what, n in sorted(done.items()))
            lines.append(f"Crops that a person decided about, {counts}")
        if self.leaking:
            lines.append(
                f"LEAKING, AS IN THE PAPERS: {self.patients_on_both_sides} of "
                f"{self.n_patients} patients stand in train and in test. Scores on "
                "test say nothing about new patients."
            )
        lines.append(
            f"{'Found' if self.reused else 'Prepared'} "
            f"{sum(size.images for size in self.parts.values())} images and "
            f"{sum(size.copies for size in self.parts.values())} copies of "
            f"{self.n_patients} {'SYNTHETIC' if self.synthetic else 'real'} patients"
            f"{', which were kept as they are' if self.reused else ''}: "
            f"{self.builder_dir}"
        )
        return "\n".join(lines)


def read_prepared(builder: Builder, *, reused: bool, fingerprint: str) -> Prepared:
    """Returns what the metadata of a data set on disk say of it.

    Raises:
        PrepareError: if they do not say what they should.
    """
    metadata, folder = builder.info.metadata, pathlib.Path(builder.data_path)
    missing = [n for n in sorted(_AS_THEY_ARE + _OTHERS) if metadata.get(n) is None]
    if missing:
        found = f"none of {', '.join(missing)}"
        raise explain_damage(folder / "metadata.json", found)
    skipped_path = builder.local_path("skipped.csv")
    return Prepared(
        builder_dir=folder,
        parts={name: PartSize(**size) for name, size in metadata["parts"].items()},
        diagnoses={name: tuple(n) for name, n in metadata["diagnoses"].items()},
        n_patients=sum(metadata["patients_per_fold"]),
        skipped=read_skips(skipped_path),
        skipped_path=skipped_path,
        reused=reused,
        fingerprint=fingerprint,
        **{name: metadata[name] for name in _AS_THEY_ARE},
        crops_by_hand=metadata.get("crops_by_hand") or {},
        regions=metadata.get("regions") or {},
        # Older data sets have none of these.
        **{name: metadata.get(name, 0) for name in _LATER},
    )
