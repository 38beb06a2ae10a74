"""A hospital's folder without its patients: which files go out, and what is told."""

import dataclasses
import json
import os
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from spectjax.imaging.annotations.files import ANNOTATION_SUFFIXES, find_annotations
from spectjax.imaging.annotations.image_names import fold_name
from spectjax.imaging.deidentify.attributes import (
    ANEW,
    DUMMY,
    EMPTIED,
    NEW_UID,
    NOT_LISTED,
    PRIVATE_BLOCK,
    REMOVED,
    UNUSABLE,
    Tally,
)
from spectjax.imaging.deidentify.image import CleanImage, RefusedError, clean_image
from spectjax.imaging.deidentify.outlines import WrittenView, encode_outlines
from spectjax.imaging.deidentify.profile import EDITION, Profile, digest_rules
from spectjax.imaging.deidentify.pseudonyms import Pseudonyms, read_pseudonyms
from spectjax.imaging.dicom.reading import collect_warnings, find_dicom_files
from spectjax.imaging.folders import walk_files
from spectjax.imaging.identity import compute_pseudonym
from spectjax.imaging.scan import (
    EmptyImageError,
    NotWholeBodyError,
    ScanError,
    UnknownViewError,
    View,
)
from spectjax.system.files import WriteError, format_csv, write_file

MARKER = "deidentified.json"
_DEEDS = (REMOVED, EMPTIED, DUMMY, NEW_UID, ANEW, NOT_LISTED, UNUSABLE, PRIVATE_BLOCK)
_REASONS: dict[type[Exception], str] = {
    NotWholeBodyError: "no NM whole-body image",
    UnknownViewError: "nothing tells the view, or it contradicts itself: see --view",
    EmptyImageError: "no counts",
}
_DAMAGED = "damaged, or in an encoding that cannot be read"


@dataclasses.dataclass
class Entry:
    """What happened to one file of the input.

    Attributes:
        original: its path; only the mapping file may tell it.
        kind: "image", "annotation" or "other".
        action: "written", "refused" or "skipped".
        file: path in the output folder, if written.
        reason: why it was not written; free of the file's contents.
        detail: the reader's own words, which may quote the file: for the mapping file.
        view_evidence: where the views were read.
        tally: what was done to its attributes.
        warnings: what a person should look at.
        is_bug: whether an error that nobody expected kept it from being written.
    """

    original: Path
    kind: str
    action: str
    file: str = ""
    reason: str = ""
    detail: str = ""
    view_evidence: str = ""
    tally: Tally = dataclasses.field(default_factory=Tally)
    warnings: list[str] = dataclasses.field(default_factory=list)
    is_bug: bool = False


def deidentify_folder(
    source: Path,
    target: Path,
    profile: Profile,
    *,
    view: View | None,
    allow_burned_in: bool,
    words: frozenset[str],
) -> list[Entry]:
    """Writes the whole-body files and outlines of `source` to `target`.

    Images go to dicom/<patient>_<image>.dcm, outlines to
    annotations/<reader>/<patient>_<image>_<view>.json; all names are pseudonyms. The
    target is as `open_target` accepts it; `words` are labels of outlines that may go
    out, lower-case; `view` and `allow_burned_in` are as in `clean_image`.

    Returns:
        An entry for each file. Files are read, written and told in an order that only
        the key gives: that of their names would tell who is who to anyone who has the
        list of patients.

    Raises:
        WriteError: if the target cannot be written; what is there is whole.
    """
    entries: list[Entry] = []
    views_by_name: dict[str, list[WrittenView]] = {}
    written: set[str] = set()
    files, errors = find_dicom_files([source])
    for error in errors:
        reason = "a folder that cannot be read, or without DICOM files"
        entries.append(Entry(source, "other", "refused", "", reason, str(error)))
    files.sort(key=lambda path: _shuffle(path, source))
    pseudonyms = read_pseudonyms(files)
    stems_before = _list_stems(target)
    for path in tqdm(files, unit="file", disable=None):
        entry = Entry(path, "image", "refused")
        entries.append(entry)
        if path in pseudonyms.contradictions:
            continue  # the report's numbers are not known yet
        image = _clean(entry, profile, pseudonyms.patients, view, allow_burned_in)
        if image is None:
            continue
        if stems_before.get(image.instance, image.stem) != image.stem:
            entry.reason = (
                "an earlier run, that saw other files, wrote it under another "
                "pseudonym of its patient: name a new folder"
            )
            continue
        # An outline may be named after either of two copies.
        for scan in image.scans:
            name, hw = f"{image.stem}_{scan.view}", scan.counts.shape
            place = WrittenView(name, (hw[0], hw[1]), scan.synthetic)
            places = views_by_name.setdefault(fold_name(scan.name), [])
            if place not in places:
                places.append(place)
        if image.stem in written:
            entry.action, entry.reason = "skipped", "the same image as an earlier file"
            continue
        entry.action, entry.file = "written", f"dicom/{image.stem}.dcm"
        entry.tally, entry.warnings = image.tally, image.warnings
        entry.view_evidence = " | ".join(scan.view_evidence for scan in image.scans)
        write_file(target / entry.file, image.content)
        written.add(image.stem)
    entries += _write_annotations(source, target, views_by_name, words)
    seen = {entry.original.resolve() for entry in entries}
    for path in walk_files(source):
        if path.resolve() not in seen:
            reason = "neither DICOM nor a LabelMe annotation"
            entries.append(Entry(path, "other", "skipped", reason=reason))
    entries.sort(key=lambda entry: _shuffle(entry.original, source))
    _name_contradictions(entries, pseudonyms)
    return entries


def open_target(target: Path) -> None:
    """Makes the output folder ours, or checks that it is.

    Raises:
        RefusedError: it holds other files, or results of another key or of older rules,
            which may have kept what these remove.
        WriteError: if it cannot be written.
    """
    # Tells whether two runs had the same key, and tells nobody the key.
    mark = {"profile": EDITION, "rules": digest_rules()}
    mark["key"] = compute_pseudonym("key of a folder")
    marker = target / MARKER
    if marker.is_file():
        try:
            is_same = json.loads(marker.read_bytes()) == mark
        except (ValueError, RecursionError):
            is_same = False
        if not is_same:
            raise RefusedError(
                f"{target}: expected results of the same key and rules, found those of "
                "others. Name a new folder, or use the key of before."
            )
    elif target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RefusedError(
            f"{target}: expected a new or empty folder, found other files. Name "
            "another."
        )
    write_file(marker, json.dumps(mark, indent=1) + "\n")


def write_report(folder: Path, entries: Sequence[Entry]) -> None:
    """Writes report.csv (files) and attributes.csv (totals), free of original values.

    Files that were not written are told by their number only, since a path may hold a
    name; `write_mapping` tells the path.
    """
    rows: list[list[object]] = []
    totals: Tally = Counter()
    for number, entry in enumerate(entries, 1):
        totals.update(entry.tally)
        deeds: Counter[str] = Counter()
        for (_, deed), count in entry.tally.items():
            deeds[deed] += count
        rows.append(
            [number, entry.kind, entry.action, entry.file, entry.reason]
            + [deeds[deed] for deed in _DEEDS]
            + [entry.view_evidence, "; ".join(entry.warnings)]
        )
    columns = ("number", "kind", "action", "file", "reason", *_DEEDS)
    report = format_csv((*columns, "view evidence", "warnings"), rows)
    write_file(folder / "report.csv", report)
    attributes = ((*key, count) for key, count in sorted(totals.items()))
    text = format_csv(("attribute", "action", "count"), attributes)
    write_file(folder / "attributes.csv", text)


def write_mapping(path: Path, entries: Sequence[Entry]) -> None:
    """Writes which original became which file. Identifies patients: keep it private."""
    rows = []
    for number, entry in enumerate(entries, 1):
        original = os.fsencode(entry.original).decode(errors="replace")
        rows.append([number, original, entry.file, entry.reason, entry.detail])
    text = format_csv(("number", "original", "file", "reason", "detail"), rows)
    write_file(path, text, private=True)


def _list_stems(target: Path) -> dict[str, str]:
    """Returns for each image that is in the output folder its name, by its pseudonym.

    One patient would else be two: which pseudonym is a patient's depends on all files.
    """
    return {p.stem.rpartition("_")[2]: p.stem for p in target.glob("dicom/*.dcm")}


def _name_contradictions(entries: Sequence[Entry], pseudonyms: Pseudonyms) -> None:
    """Tells files whose patient is not clear which two contradict each other.

    By their numbers: a path may hold a name.
    """
    numbers = {str(entry.original): n for n, entry in enumerate(entries, 1)}
    both = pseudonyms.doubts | pseudonyms.contradictions
    for entry in entries:
        found = both.get(entry.original)
        if found is None or entry.kind != "image":
            continue
        one, other = sorted(numbers[file] for file in found.files)
        what = (
            f"files {one} and {other} of the report contradict each other about the "
            f"patient: {found.what}"
        )
        if entry.original in pseudonyms.contradictions:
            entry.reason = what
        elif entry.action == "written":
            entry.warnings = [*entry.warnings, what]
        entry.detail = entry.detail or str(found)


def _clean(
    entry: Entry,
    profile: Profile,
    patients: Mapping[str, str],
    view: View | None,
    allow_burned_in: bool,
) -> CleanImage | None:
    """Returns the clean file, or None with the reason in `entry`."""
    try:
        with collect_warnings():  # they quote values
            return clean_image(
                entry.original,
                profile,
                patients,
                view=view,
                allow_burned_in=allow_burned_in,
            )
    except WriteError:
        raise  # no room for a temporary file is no fault of the image
    except RefusedError as error:
        entry.reason = str(error)
    except ScanError as error:
        if isinstance(error, NotWholeBodyError):
            entry.action = "skipped"
        entry.reason = _REASONS.get(type(error), _DAMAGED)
        entry.detail = str(error)
    except MemoryError:
        raise
    except Exception as error:
        _note_bug(entry, error)
    return None


def _note_bug(entry: Entry, error: Exception) -> None:
    """Says where an unexpected error came up; its text may quote the file."""
    entry.is_bug, entry.detail = True, _describe_error(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    entry.reason = (
        f"unexpected error, a bug of spectjax ({type(error).__name__} in {where}): "
        "please report it"
    )


def _write_annotations(
    source: Path,
    target: Path,
    views_by_name: dict[str, list[WrittenView]],
    words: frozenset[str],
) -> Iterator[Entry]:
    written: set[str] = set()
    with collect_warnings():  # they quote values
        by_image, unused = find_annotations([source])
    for path in walk_files(source):
        is_candidate = path.suffix.lower() in ANNOTATION_SUFFIXES
        error = next((each for each in unused if each.path == path), None)
        if is_candidate and error is not None:
            reason = "an annotation that cannot be used, or another of its image cannot"
            yield Entry(path, "annotation", "refused", reason=reason, detail=str(error))
    for name in sorted(by_image, key=lambda name: _shuffle(Path(name), Path())):
        places = views_by_name.get(name, [])
        for annotation in by_image[name]:
            entry = Entry(annotation.path, "annotation", "refused")
            if len(places) != 1:
                entry.reason = (
                    "several images have its name"
                    if places
                    else "its image was not written"
                )
                yield entry
                continue
            reader = compute_pseudonym("reader", annotation.reader)[:8]
            file = f"annotations/reader_{reader}/{places[0].name}.json"
            try:
                if file in written:
                    raise RefusedError("its reader has another of the same image")
                text = encode_outlines(annotation, places[0], words)
            except RefusedError as error:
                entry.reason = str(error)
            except Exception as error:  # what one file holds stops no other
                _note_bug(entry, error)
            else:
                entry.action, entry.file = "written", file
                write_file(target / file, text)
                written.add(file)
            yield entry


def _shuffle(path: Path, source: Path) -> str:
    """Returns what sorts paths in an order that tells nothing of their names."""
    relative = os.fsencode(os.path.relpath(path, source))
    return compute_pseudonym("order", relative.decode("latin-1"))


def _describe_error(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
