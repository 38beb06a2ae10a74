r"""Reads every image that images.csv lists and says what cannot be used.

    python -m spectjax.imaging.check_images [--output_dir=OUT] FOLDER

Prints a line for each problem, then what the rest holds. To be run before a data set is
prepared, which leaves the same rows out. Each image is cropped as well: with
--output_dir, contact sheets show the crops that are flagged, OUT/crops_001.png and so
on, and OUT/crops.csv is the table to accept them in, or to give boxes in their place;
filled in, it belongs beside images.csv. Exits with 1 if a row cannot be used, with 3 if
one met an error that nobody expected, a bug.
"""

import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, cast

from spectjax.system.commands import define_path, read_paths, run_command
from spectjax.system.locks import hold
from spectjax.system.messages import UserError

if TYPE_CHECKING:  # takes a third of a second: not before --help
    from spectjax.imaging.identity import Identity
    from spectjax.imaging.listed.crop_review import DoubtfulCrop
    from spectjax.imaging.listed.image import ImageRow, ListedImage

_OUTPUT_DIR = define_path(
    "output_dir",
    "Folder for contact sheets of flagged crops, and a crops.csv to accept them in.",
)


class Findings:
    """What is found in the rows of a table, one after the other.

    Attributes:
        problems: a line each.
        bugs: how many of them nobody expected.
        identities: of the images, with their files.
        used: the patients of those that can be used, each by its file's pseudonym.
        doubtful: the crops that are flagged or were not found.
        counts: what the images hold that can be used.
    """

    def __init__(self) -> None:
        """Begins with nothing."""
        self.problems: list[str] = []
        self.bugs = 0
        self.identities: list[tuple[Identity, str]] = []
        self.used: set[str] = set()
        self.doubtful: list[DoubtfulCrop] = []
        names = ("Views", "Labels", "Outlines", "Notes", "Crops")
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        self._firsts: dict[str, ImageRow] = {}

    def check(self, row: "ImageRow", listed: "ListedImage") -> None:
        """Looks at the image of a row: is it new, and can its thorax be found?"""
        from spectjax.imaging.listed.crop_review import doubt_crop
        from spectjax.imaging.thorax import CropError, crop_thorax

        scan, where = listed.scan, f"({row.table.name}, row {row.number})"
        first = self._firsts.setdefault(scan.image_key, row)
        if first is not row:
            self.problems.append(
                f"{row.file}: expected an image of its own, found that of row "
                f"{first.number}, {first.file}. Delete one {where}"
            )
            return
        if scan.identity:
            self.identities.append((scan.identity, str(row.file)))
        try:
            thorax = crop_thorax(scan)
        except CropError as error:
            self.doubtful.append(doubt_crop(scan, error))
            self.problems.append(f"{error} {where}")
            return
        if thorax.flags:
            self.doubtful.append(doubt_crop(scan, thorax))
            self.problems.append(
                f"{row.file}: uncertain crop: {', '.join(thorax.flags)} {where}"
            )
            return
        self.used.add(scan.patient_key)
        self.counts["Views"][scan.view] += 1
        self.counts["Labels"][listed.diagnosis or "not stated"] += 1
        self.counts["Outlines"][listed.mask_evidence] += 1
        self.counts["Notes"].update(scan.notes)
        how = "found" if scan.region == "whole_body" else f"none, {scan.region}"
        self.counts["Crops"][thorax.by_hand or how] += 1

    def report(self, n_rows: int) -> None:
        """Prints the problems and what the rest holds."""
        from spectjax.imaging.patients import IdentityError, unite_patients

        patients = self.used
        try:
            united = unite_patients(self.identities)
            patients = {united.get(patient, patient) for patient in self.used}
        except IdentityError as error:
            self.problems.append(str(error))
        for problem in self.problems:
            print(problem)
        used = sum(self.counts["Views"].values())
        print(f"{used} of {n_rows} rows can be used, {len(patients)} patients.")
        for name, counter in self.counts.items():
            found = ", ".join(
                f"{number} {what}" for what, number in counter.most_common()
            )
            print(f"{name}: {found or 'none'}.")


def main(arguments: list[str]) -> None:
    """Checks the table of one folder."""
    from tqdm import tqdm

    from spectjax.imaging.annotations.labelme import AnnotationError
    from spectjax.imaging.listed.crop_review import write_review
    from spectjax.imaging.listed.crops import (
        find_crop_table,
        list_idle,
        read_crop_table,
    )
    from spectjax.imaging.listed.image import read_listed_image
    from spectjax.imaging.listed.table import (
        find_image_table,
        read_image_table,
        read_words,
    )
    from spectjax.imaging.problems import BUG_STATUS, describe_bug
    from spectjax.imaging.scan import PICTURE_SUFFIXES, ScanError

    if len(arguments) != 2:
        raise UserError("Expected one folder that holds images.csv.")
    (folder,) = read_paths(arguments)
    table = find_image_table(folder)
    if table is None:
        raise UserError(
            f"{folder}: expected a folder with images.csv in it, found none."
        )
    words, crop_table = read_words(folder), find_crop_table(folder)
    rows, errors = read_image_table(table, words)
    crops, crop_errors = read_crop_table(crop_table) if crop_table else ({}, [])

    findings = Findings()
    findings.problems += map(str, (*errors, *crop_errors))
    # DICOM files need no row in images.csv.
    findings.problems += (
        f"{path}: {reason}"
        for path, reason in list_idle(crops, [row.file for row in rows])
        if path.suffix.lower() in PICTURE_SUFFIXES
    )
    for row in tqdm(rows, "Reading", unit=" images", disable=None):
        try:
            decided = crops.get(row.file.resolve())
            findings.check(row, read_listed_image(row, words, decided))
        except (ScanError, AnnotationError) as error:
            findings.problems.append(str(error))
        except MemoryError:
            raise
        except Exception as error:
            traceback.print_exception(error)
            findings.problems.append(describe_bug(row.file, error, "the output above"))
            findings.bugs += 1
    findings.report(len(rows) + len(errors))
    output_dir = cast(Path | None, _OUTPUT_DIR.value)
    if output_dir is not None:
        with hold(output_dir):
            print(write_review(findings.doubtful, crops, output_dir, place=folder))
    elif findings.doubtful:
        print(
            "With --output_dir=OUT: contact sheets of the crops, and a table for them."
        )
    if findings.problems:
        sys.exit(BUG_STATUS if findings.bugs else 1)


if __name__ == "__main__":
    run_command(main)
