"""Drafts of what a model marked, beside pictures, and in which order to look at them.

LabelMe opens the folder as it is. A corrected file is an annotation as it stands: it
has its image's name, and is to be moved into a folder that has its reader's.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spectjax.imaging.annotations.drafts import KEY, VERSION, Draft, DraftOutline
from spectjax.imaging.annotations.labelme_json import encode_json
from spectjax.imaging.annotations.tracing import trace_polygons
from spectjax.imaging.hotspots import decode_rle
from spectjax.imaging.problems import Problems
from spectjax.imaging.readers_pictures import tie_names, write_picture
from spectjax.imaging.scan import BoneScan, ScanError
from spectjax.system.files import format_csv, write_file
from spectjax.system.limits import LABELME_BYTES, read_limited
from spectjax.system.messages import UserError
from spectjax.tasks import TASKS
from spectjax.tasks.views import ModelInfo, Reading, SeenView

ORDER = "order.csv"
_COLUMNS = ("draft", "outlines", "expected_corrections", "crop_in_doubt")
# What tells runs apart, beside the name of the network, and how it is called.
_WORDS = (("data_fingerprint", "data"), ("held_out_fold", "fold"), ("step", "step"))
_MOST_LETTERS = 8  # of a fingerprint, which has 64
_HALF = 0.5  # what is marked exceeds it, where no operating point says otherwise


class DraftFolder:
    """Writes drafts and pictures of views, and at the end which to look at first."""

    def __init__(self, files: Sequence[Path], folder: Path) -> None:
        """Takes the files that views come from, and the folder to write to."""
        self._choose = tie_names(files)
        self._folder = folder
        self._rows: list[tuple[Any, ...]] = []

    def begin(self, task: str, info: ModelInfo) -> None:
        """Checks that a model marks hotspots.

        Raises:
            UserError: if it does not.
        """
        if TASKS[task].answer == "image":
            raise UserError(
                "--labelme: expected a model that marks hotspots, found one for "
                f"{task}, which draws nothing. Leave --labelme out."
            )

    def write(self, reading: Reading, problems: Problems) -> None:
        """Writes the draft of each view and its picture.

        A view is passed over if another file has the scan's name, or if a file that
        somebody saved, or another image's, is in the way.

        Raises:
            WriteError: if a file cannot be written.
        """
        for view, finding in reading.views:
            with problems.passing_over(view.thorax.scan.path):
                self._write(view, finding.document)

    def _write(self, view: SeenView, document: Mapping[str, Any]) -> None:
        scan = view.thorax.scan
        name = self._choose(scan)
        path = self._folder / f"{name}.json"
        _check_free(path, scan)
        write_picture(scan, path.with_suffix(".png"))
        draft = make_draft(view, document)
        text = encode_json(
            f"{name}.png",
            (scan.counts.shape[0], scan.counts.shape[1]),
            draft.make_shapes(),
            synthetic=scan.synthetic,
            draft=draft,
        )
        write_file(path, text)
        doubt = document["expected_corrections"]
        self._rows.append((path.name, len(draft.outlines), doubt, view.in_doubt))

    def finish(self) -> None:
        """Writes `order.csv`: views with a doubted crop, then by falling doubt.

        Without a draft there is none.

        Raises:
            WriteError: if it cannot be written.
        """
        if not self._rows:
            return
        ranked = sorted(self._rows, key=lambda row: (not row[3], -row[2], row[0]))
        rows = [
            (name, outlines, f"{doubt:.3f}", "yes" if in_doubt else "")
            for name, outlines, doubt, in_doubt in ranked
        ]
        write_file(self._folder / ORDER, format_csv(_COLUMNS, rows))


def make_draft(view: SeenView, document: Mapping[str, Any]) -> Draft:
    """Returns what a model marked as outlines, one for each region of a hotspot."""
    scan, operated = view.thorax.scan, document["operation"]
    return Draft(
        model=name_model(document["model"]),
        image_key=scan.image_key,
        patient_key=scan.patient_key,
        synthetic=scan.synthetic,
        crop_box=view.thorax.transform.box,
        spacing_mm=scan.spacing_mm,
        score_above=operated["score_above"] if operated else _HALF,
        outlines=tuple(
            DraftOutline(hotspot["category"], hotspot["score"], polygon)
            for hotspot in document["hotspots"]
            for polygon in trace_polygons(decode_rle(hotspot["whole_body"]["mask"]))
        ),
    )


def name_model(info: ModelInfo) -> str:
    """Returns what tells a model from others, one line."""
    if "name" in info:
        return str(info["name"])
    names = []
    for each in info.get("members", [info]):
        words = [
            f"{word} {str(each[key])[:_MOST_LETTERS]}"
            for key, word in _WORDS
            if each.get(key) is not None
        ]
        names.append(" ".join([str(each.get("model", "model")), *words]))
    return " + ".join(names)


def _check_free(path: Path, scan: BoneScan) -> None:
    """Checks that a draft replaces none but an earlier one of the same image."""
    if not os.path.lexists(path):
        return
    try:
        found = json.loads(read_limited(path, LABELME_BYTES))
        if found["version"] == VERSION and found[KEY]["image_key"] == scan.image_key:
            return
    # What cannot be read, and pipes, are UserErrors, which are ValueErrors.
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise ScanError(
        f"{scan.path}: expected no file, or a draft of the view that nobody has saved, "
        f"found {path}, which may be a reader's work. No draft is written. Move that "
        "file to its reader's folder, or choose another --output_dir."
    )
