"""Which images lie below some paths, DICOM files and pictures, and how each is read.

Of a picture somebody has to say the view: `images.csv` at the top of its folder, or
whoever names it. Nothing in a folder is passed over without a word.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from spectjax.imaging.crop_decision import CropDecisions, attach
from spectjax.imaging.dicom.file import looks_like_dicom
from spectjax.imaging.dicom.reading import (
    find_dicom_files,
    read_bone_scans,
    read_identity,
)
from spectjax.imaging.folders import walk_files, walk_folders
from spectjax.imaging.identity import Identity, compute_pseudonym
from spectjax.imaging.listed.cells import (
    WORDS_NAME,
    check_asked,
    check_view,
    read_spacing,
)
from spectjax.imaging.listed.crops import CROPS_NAME
from spectjax.imaging.listed.image import (
    ImageRow,
    check_stated,
    identify_row,
    read_listed_scan,
    read_view_of_picture,
)
from spectjax.imaging.listed.table import (
    TABLE_NAME,
    drop_contradicted,
    find_image_table,
    read_image_table,
    read_words,
)
from spectjax.imaging.scan import (
    PICTURE_SUFFIXES,
    BodyPart,
    BoneScan,
    ScanError,
    UnknownViewError,
    View,
)
from spectjax.system.locks import LOCK_NAME
from spectjax.system.messages import UserError


@dataclass(frozen=True)
class Stated:
    """What the command line says of files that no table lists.

    Attributes:
        view: of each file, of its first detector if it has two.
        region: what each shows; None: the whole body.
        spacing: size of a pixel in mm as text, "unknown", or nothing.
        inverted: whether hot is dark in pictures; None: their background tells.
    """

    view: View | None = None
    region: BodyPart | None = None
    spacing: str = ""
    inverted: bool | None = None

    @classmethod
    def of(cls, values: Any) -> Self:
        """Takes the values of the flags that `define_stated` defines."""
        return cls(values.view, values.region, values.spacing_mm, values.inverted)


UNSTATED = Stated()


@dataclass(frozen=True)
class ImageFile:
    """A file with one or two views.

    Attributes:
        path: a picture, or else a DICOM file.
        stated: what is said of it, if no row is about it.
        row: what images.csv says; None if it does not list the file.
    """

    path: Path
    stated: Stated = UNSTATED
    row: ImageRow | None = None

    def identify(self) -> Identity | None:
        """Returns whose it is; None if reading it will tell what is wrong."""
        if self.row is not None:
            return identify_row(self.row)
        if not _is_picture(self.path):
            return read_identity(self.path)
        # Nobody said whose picture it is: it is of one examination with no other.
        key = compute_pseudonym("picture file", str(self.path.absolute()))
        return Identity(key, "study", study=key)

    def read(self, crops: CropDecisions) -> list[BoneScan]:
        """Reads its views, with what people decided about their crops.

        Raises:
            ScanError: the file cannot be used.
        """
        decided = crops.get(self.path.resolve(), {})
        if self.row is not None:
            return [read_listed_scan(self.row, decided)]
        try:
            spacing_mm = read_spacing(self.stated.spacing)
            if not _is_picture(self.path):
                return attach(self._read_dicom(spacing_mm), decided)
            view = self._check_picture()
        except ScanError:
            raise
        except UserError as error:
            raise ScanError(f"{self.path}: {error}") from error
        identity = self.identify()
        if identity is None:
            raise ValueError(f"{self.path}: expected a picture, found none.")
        scan = read_view_of_picture(
            self.path,
            view,
            view_evidence="the user's word",
            identity=identity,
            spacing_mm=spacing_mm,
            region=self.stated.region or "whole_body",
            inverted=self.stated.inverted,
        )
        return attach([scan], decided)

    def _read_dicom(self, spacing_mm: tuple[float, float] | None) -> list[BoneScan]:
        if self.stated.inverted:
            raise UserError(
                "expected a picture for --inverted, found a DICOM file, whose counts "
                "stay as they are. Name it in a call without --inverted."
            )
        view, region = self.stated.view, self.stated.region
        scans = read_bone_scans(self.path, view=view, region=region)
        return [check_stated(scan, spacing_mm, region) for scan in scans]

    def _check_picture(self) -> View:
        """Returns the view of a picture of which enough is said.

        Raises:
            UserError: if it is not.
        """
        view, region = self.stated.view, self.stated.region or "whole_body"
        if view is None:
            raise UnknownViewError(
                f"{self.path}: expected the view of the picture, found none stated. "
                f"Name it with --view, or list the picture in {TABLE_NAME} and name "
                "its folder."
            )
        check_view(self.path, view)
        check_asked(region, self.stated.spacing, is_picture=True)
        return view


@dataclass
class Found:
    """What lies below some paths.

    Attributes:
        files: with images, each once, in the order of paths; of a folder first what its
            table lists, in that order.
        errors: what may hold an image and cannot be read, and how many files each is
            about.
        notes: what else is not read, a line each.
    """

    files: list[ImageFile] = field(default_factory=list)
    errors: list[tuple[UserError, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_images(
    paths: Sequence[Path], stated: Stated = UNSTATED, output_dir: Path | None = None
) -> Found:
    """Lists the images of files and folders, without reading them.

    Folders are searched as in `find_dicom_files`. Where a folder has images.csv at its
    top, it decides about the pictures in it: none is read that it does not list. Where
    it has none, pictures are read if their view is stated. A folder for results that
    lies in another one is passed over: pictures of an earlier result are no scans.

    Raises:
        ImageTableError: if a table as a whole cannot be read.
    """
    found, seen = Found(), set[str]()
    for path in map(Path, paths):
        if os.path.isdir(path):
            each = _find_in_folder(path, stated, output_dir)
        else:
            each = Found()
            files, errors = find_dicom_files([path])
            each.files = [ImageFile(file, stated) for file in files]
            each.errors = [(error, 1) for error in errors]
            if path.name == TABLE_NAME and files:
                text = f"{path}: expected an image, found a table. Name its folder."
                each = Found(errors=[(ScanError(text), 1)])
        new = [file for file in each.files if os.path.realpath(file.path) not in seen]
        seen |= {os.path.realpath(file.path) for file in new}
        found.files += new
        found.errors += each.errors
        found.notes += each.notes
    return found


def _find_in_folder(folder: Path, stated: Stated, output_dir: Path | None) -> Found:
    """Returns what `find_images` finds in one folder."""
    table = find_image_table(folder)
    rows, row_errors = (
        read_image_table(table, read_words(folder)) if table else ([], [])
    )
    usable, row_errors = drop_contradicted(rows, row_errors)
    listed = {os.path.realpath(file) for row in rows for file in row.files}
    dicom, errors = find_dicom_files([folder])
    known = listed | {os.path.realpath(file) for file in dicom}
    own = os.path.realpath(output_dir) if output_dir else ""
    if Path(os.path.realpath(folder)) not in Path(own).parents:
        own = ""
    pictures = [
        file
        for file in walk_files(folder)
        if os.path.realpath(file) not in known
        and _is_picture(file)
        and not _lies_in(file, own)
    ]
    if rows or row_errors or pictures:  # then no DICOM file is no mistake
        begin = f"{folder}: expected DICOM files in this folder"
        errors = [error for error in errors if not str(error).startswith(begin)]

    found = Found([ImageFile(row.file, row=row) for row in usable])
    found.files += [
        ImageFile(file, stated)
        for file in dicom
        if os.path.realpath(file) not in listed
    ]
    found.errors += [(error, 1) for error in (*row_errors, *errors)]
    if pictures and table is None and stated.view is not None:
        found.files += [ImageFile(file, stated) for file in pictures]
    elif pictures:
        found.errors.append((_refuse(folder, table, pictures), len(pictures)))
    tables = (folder / name for name in (TABLE_NAME, WORDS_NAME))
    read = {os.path.realpath(file) for file in (*pictures, *tables)}
    found.notes += _list_rest(folder, known | read, own)
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not looks_like_dicom(path)


def _refuse(folder: Path, table: Path | None, pictures: Sequence[Path]) -> ScanError:
    """Returns what is wrong with pictures of which nobody says the view."""
    many = f"{len(pictures)} pictures" if len(pictures) > 1 else "a picture"
    such = f"{many}, such as {pictures[0]}"
    if table is not None:
        return UnknownViewError(
            f"{folder}: expected every picture in {table.name}, found {such}, in no "
            "row of it. Add a row for each that shows a scan."
        )
    return UnknownViewError(
        f"{folder}: expected a view for each picture, found {such}, and no "
        f"{TABLE_NAME} at the top of the folder. List them there, or, if all show one "
        "view, name it with --view."
    )


def _lies_in(path: Path, folder: str) -> bool:
    """Whether a path lies in a resolved folder; never in no folder."""
    return bool(folder) and Path(os.path.realpath(path)).is_relative_to(folder)


def _list_rest(folder: Path, read: set[str], own: str) -> Iterator[str]:
    """Yields a line about what nothing reads, and one for each table not heeded.

    `own` is a folder for results, which is passed over.
    """
    kinds: Counter[str] = Counter()
    for parent, folders, files in walk_folders(folder, None):
        if _lies_in(Path(parent), own):
            folders.clear()
            continue
        for name in files:
            file = Path(parent, name)
            if name.startswith(".") or os.path.realpath(file) in read:
                continue
            if name == TABLE_NAME:
                yield f"{file}: not heeded, not at the top. Name its folder."
            elif name == CROPS_NAME:
                yield f"{file}: not heeded unless --crops names it."
            else:
                kinds[f"*{file.suffix.lower()}" if file.suffix else "no suffix"] += 1
        hidden = {name for name in (*folders, *files) if name.startswith(".")}
        kinds["hidden"] += len(hidden - {LOCK_NAME})
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    listed = ", ".join(f"{number} {kind}" for kind, number in kinds.items() if number)
    if listed:
        yield f"{folder}: not read, neither DICOM nor pictures: {listed}."
