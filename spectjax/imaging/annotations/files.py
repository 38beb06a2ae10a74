"""Finding readers' files in folders, so that no vote is lost without a word.

An image counts by the majority of its readers, and a reader without a file has no vote.
So a file that might be a vote and cannot be used takes its image out; which images
these are is told by `find_doubted`.
"""

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from spectjax.imaging.annotations.image_names import (
    Claim,
    ImageNames,
    find_claimed,
    fold_name,
    list_quoted_names,
)
from spectjax.imaging.annotations.labelme import (
    Annotation,
    AnnotationError,
    NotAnnotationError,
    read_annotation,
)
from spectjax.imaging.annotations.labelme_xml import list_mask_files
from spectjax.imaging.dicom.file import looks_like_dicom
from spectjax.imaging.folders import BROKEN_LINK, is_broken_link, walk_folders
from spectjax.imaging.scan import DICOM_SUFFIXES, PICTURE_SUFFIXES
from spectjax.system.limits import LABELME_BYTES, read_limited
from spectjax.system.messages import UserError, make_printable

ANNOTATION_SUFFIXES = (".json", ".xml")
# What lies in a folder of images and is nobody's vote.
_IMAGE_SUFFIXES = (*DICOM_SUFFIXES, *PICTURE_SUFFIXES)
_VIEWS = ("_anterior", "_posterior")  # end the name of an image
_MASK_NAME = re.compile(
    r"(.+_(?:anterior|posterior))[ _.-]+(?:mask|label|seg).*", re.IGNORECASE
)
_MOST_SUFFIXES = 4  # P1_anterior.json.bak has two
_OURS = ("phantom.json", "deidentified.json")  # written by our own commands
# Folders of programs, which keep copies and old versions.
_PROGRAM_FOLDERS = (
    *(".git", ".hg", ".svn", ".ipynb_checkpoints", ".snapshot", ".snapshots", ".zfs"),
    *(".Trash", ".Trashes", ".recycle", "@Recycle", "__MACOSX", "@eaDir"),
)
_APPLE_DOUBLE = b"\0\x05\x16\x07"  # macOS keeps a file's icon and the like in ._NAME


@dataclasses.dataclass(frozen=True)
class UnusedFile:
    """A file, or a folder, that may hold readers' votes and is not used.

    Attributes:
        path: where it is.
        error: why; its text starts with the path.
        claims: names of the images that it may be about.
        is_about_any: it may be about any image: nobody can look into it.
    """

    path: Path
    error: UserError
    claims: tuple[Claim, ...] = ()
    is_about_any: bool = False

    def __str__(self) -> str:
        """Returns the path and why it is not used."""
        return str(self.error)

    @property
    def reason(self) -> str:
        """Why it is not used, without the path."""
        return str(self.error).removeprefix(make_printable(f"{self.path}: "))


class FoundAnnotations(NamedTuple):
    """What the readers' files say.

    Attributes:
        by_image: annotations of each image all of whose readers' files can be used, by
            the image's folded name, sorted by reader.
        unused: what is not used, each with its reason.
    """

    by_image: dict[str, list[Annotation]]
    unused: list[UnusedFile]


def find_annotations(
    paths: Sequence[str | Path], *, known: Iterable[Path] = ()
) -> FoundAnnotations:
    """Reads the annotations of files and folders, by the name of their image.

    Folders are searched to their depth, hidden ones as well, for `ANNOTATION_SUFFIXES`
    and for files that have the name of an image and the suffix of another tool. An
    image is left out if one reader annotated it twice, since nobody can tell which file
    holds, and if a file that may be about it cannot be used. `known` are files that
    somebody else reads, such as boxes that images.csv names.
    """
    finder = _Finder({os.path.realpath(file) for file in known})
    for path in map(Path, paths):
        if path.is_dir():
            finder.search(path)
        else:
            finder.read(path)
    return finder.finish()


def list_candidates(folder: Path) -> list[Path]:
    """Returns what `find_annotations` looks at in a folder, or cannot look into."""
    unused: list[UnusedFile] = []
    found = [path for path in _walk(folder, unused) if not _is_apple_double(path)]
    return found + [file.path for file in unused if file.is_about_any]


def find_doubted(
    unused: Iterable[UnusedFile],
    names: Iterable[str],
    *,
    outlined: Iterable[str] | None = None,
) -> dict[str, UnusedFile]:
    """Returns the images that may lack a vote, each with the file that it may be in.

    `outlined` are the names of images whose readers' files decide, all by default.
    Others, which have a label of their own, are doubted only for files that have their
    very name.
    """
    names = list(names)
    decided = set(names) if outlined is None else set(outlined)
    known = ImageNames(names)
    doubted: dict[str, UnusedFile] = {}
    for file in unused:
        found = find_claimed(file.claims, known, loosely=False)
        found |= decided & find_claimed(file.claims, known)
        if file.is_about_any:
            found |= decided
        for name in found:
            doubted.setdefault(name, file)
    return doubted


class _Finder:
    """Collects annotations, and what cannot be used."""

    def __init__(self, known: set[str]) -> None:
        self._known = known
        self._first: dict[str, Path] = {}
        self._others: list[Path] = []
        self._unused: list[UnusedFile] = []
        self._by_image: defaultdict[str, list[Annotation]] = defaultdict(list)

    def search(self, folder: Path) -> None:
        """Reads the files of a folder and of those in it."""
        for path in _walk(folder, self._unused):
            suffix = path.suffix.lower()
            if os.path.realpath(path) in self._known or _is_apple_double(path):
                continue
            if suffix in ANNOTATION_SUFFIXES and path.name not in _OURS:
                self.read(path, is_hidden=_is_hidden(path.relative_to(folder)))
            elif suffix not in ANNOTATION_SUFFIXES:
                self._others.append(path)

    def read(self, path: Path, *, is_hidden: bool = False) -> None:
        """Reads one file."""
        first = self._first.setdefault(os.path.realpath(path), path)
        if first is not path:
            if first.absolute() != path.absolute():
                self._leave_out(
                    path,
                    f"expected a file of its own, found a link to {first}. Copy it, or "
                    "remove the link.",
                )
            return
        if is_hidden:
            self._leave_out(
                path,
                "expected readers' files in plain sight, found it hidden. Rename file "
                "or folder without the dot, or move it elsewhere.",
            )
            return
        try:
            annotation = read_annotation(path)
        except NotAnnotationError as error:
            self._unused.append(UnusedFile(path, error, _list_claims(path, False)))
        except AnnotationError as error:
            self._unused.append(UnusedFile(path, error, _list_claims(path, True)))
        else:
            self._by_image[annotation.image_name].append(annotation)

    def finish(self) -> FoundAnnotations:
        """Returns what was found, without the images that may lack a vote."""
        for annotations in self._by_image.values():
            annotations.sort(key=lambda each: (_fold_reader(each), str(each.path)))
            self._check_repeated(annotations)
        self._judge_others()
        doubted = find_doubted(self._unused, self._by_image)
        for name, file in doubted.items():
            for each in self._by_image.pop(name):
                error = AnnotationError(
                    f"{each.path}: expected usable files of all readers of "
                    f"{name!r}, found one that is not: {file.path}. Mend that one."
                )
                if each.path != file.path:
                    self._unused.append(UnusedFile(each.path, error))
        return FoundAnnotations(dict(self._by_image), self._unused)

    def _check_repeated(self, annotations: Sequence[Annotation]) -> None:
        for one, other in zip(annotations, annotations[1:], strict=False):
            if _fold_reader(one) == _fold_reader(other):
                self._leave_out(
                    other.path,
                    f"expected one annotation of {other.image_name!r} by "
                    f"{one.reader!r}, found another in {one.path}. The image is left "
                    "out; keep one file.",
                )

    def _judge_others(self) -> None:
        """Lists files of other kinds in folders where LabelMe's file is missing.

        So do other tools call theirs (YOLO, ImageJ, ITK-SNAP, Slicer), and so are those
        of LabelMe called that a mail program, an editor or a broken copy renamed.
        """
        stems: defaultdict[str, set[Path]] = defaultdict(set)
        for name, annotations in self._by_image.items():
            stems[name] |= {each.path.parent for each in annotations}
        xmls = [each.path for of in self._by_image.values() for each in of]
        is_mask = any(path.suffix.lower() in PICTURE_SUFFIXES for path in self._others)
        masks = {
            os.path.realpath(m) for x in xmls * is_mask for m in list_mask_files(x)
        }
        for path in self._others:
            if os.path.realpath(path) in masks:
                continue
            name = _find_image_name(path)
            others = stems.get(fold_name(name), ())
            is_picture = path.suffix.lower() in PICTURE_SUFFIXES
            if path.parent in others or is_picture and not others or _is_dicom(path):
                continue
            self._leave_out(
                path,
                f"expected a LabelMe file of {name!r}, found a "
                f"{path.suffix.strip() or 'suffixless'} file of that name and no "
                "LabelMe file beside it. Outline the image in LabelMe, rename the file "
                "if it is LabelMe's, or move it elsewhere.",
                Claim(name, is_loose=False),
            )

    def _leave_out(self, path: Path, reason: str, *claims: Claim) -> None:
        error = AnnotationError(f"{path}: {reason}")
        claims = claims or (Claim(path.stem, is_loose=True),)
        self._unused.append(UnusedFile(path, error, claims))


def _walk(folder: Path, unused: list[UnusedFile]) -> Iterator[Path]:
    """Yields what may be readers' files, and lists folders that cannot be read."""

    def report(error: OSError) -> None:
        path = Path(os.fsdecode(error.filename or folder))
        text = (
            f"{path}: expected a readable folder, found: {error.strerror}. It may hold "
            "any reader's files; change its permissions, or move it elsewhere."
        )
        unused.append(UnusedFile(path, AnnotationError(text), is_about_any=True))

    for parent, folders, files in walk_folders(folder, report):
        for name in sorted(folders):
            if Path(name).suffix.lower() in ANNOTATION_SUFFIXES:
                yield Path(parent, name)  # reading it will say that it is no file
            if name.startswith(_PROGRAM_FOLDERS):
                folders.remove(name)
                text = f"{Path(parent, name)}: expected readers' files, found a folder"
                error = AnnotationError(f"{text} of a program, which is passed over.")
                unused.append(UnusedFile(Path(parent, name), error))
        folders.sort()
        for name in sorted(files):
            path = Path(parent, name)
            suffix = path.suffix.lower()
            if suffix in ANNOTATION_SUFFIXES or _find_image_name(path):
                yield path
            # That to a scan alone is no reader's, and whoever looks for scans tells.
            elif not name.startswith(".") and path.suffix.lower() != ".dcm":
                if is_broken_link(path):
                    report(OSError(0, BROKEN_LINK, str(path)))


def _list_claims(path: Path, is_loose: bool) -> tuple[Claim, ...]:
    """Returns the names that a file that cannot be used has and quotes."""
    try:
        quoted = set(list_quoted_names(read_limited(path, LABELME_BYTES)))
    except UserError:
        quoted = set()
    return (
        Claim(path.stem, is_loose),
        *(Claim(name, is_loose=False) for name in sorted(quoted)),
    )


def _find_image_name(path: Path) -> str:
    """Returns a file's name without its suffixes if an image may have that name."""
    name = path.name.strip().rstrip("~")
    if path.suffix.lower() in _IMAGE_SUFFIXES:  # readers drew on it, if not on a mask
        found = _MASK_NAME.fullmatch(path.stem)
        return found[1] if found else ""
    for _ in range(_MOST_SUFFIXES):
        if name.lower().endswith(_VIEWS):
            return name
        name = Path(name).stem.strip()
    return name if name.lower().endswith(_VIEWS) else ""


def _is_dicom(path: Path) -> bool:
    """Tells whether a file is an image, whatever its suffix."""
    try:
        return path.is_file() and looks_like_dicom(path)
    except OSError:
        return False


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _is_apple_double(path: Path) -> bool:
    if not path.name.startswith("._"):
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(4) == _APPLE_DOUBLE
    except OSError:
        return False


def _fold_reader(annotation: Annotation) -> str:
    return fold_name(annotation.reader).casefold()
