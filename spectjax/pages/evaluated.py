"""Pages of `evaluate`: what a model marks beside what readers outlined."""

import dataclasses
from pathlib import Path

import numpy as np

from spectjax.imaging.diagnosis import LABELS
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import REGIONS, BodyPart, BoneScan
from spectjax.imaging.thorax import CropTransform, ThoraxImage
from spectjax.inference.asking import choose_describe, look_at
from spectjax.inference.trained import TrainedModel
from spectjax.input_pipeline import Examples
from spectjax.pages.folder import FOLDER, PageFolder, show_view
from spectjax.pages.study import PageView
from spectjax.pages.truth import compare_marks, tell_label, tell_unknown
from spectjax.tasks.views import Finding, SeenView

NOTE = (
    "Shown is what the data set holds and the model takes: the thorax, or all of the "
    "frame. Readers' outlines are those that scores are made with."
)


def write_evaluated(model: TrainedModel, examples: Examples, output_dir: Path) -> None:
    """Writes a page of each patient and an index; asks the model about each image.

    What is marked is what the model's own operating point marks.

    Args:
        model: what was scored.
        examples: that it was scored on.
        output_dir: receives a folder of pages.

    Raises:
        AnswerError: if the model's answer is none.
        WriteError: if a file cannot be written.
    """
    shown = examples.crop_centre(model.input_hw)
    pages = PageFolder(output_dir / FOLDER, Problems(output_dir), [])
    pages.begin(model.task, model.info)
    describe = choose_describe(model, None, None)
    patients: dict[str, list[int]] = {}
    for row, patient in enumerate(shown.patients):
        patients.setdefault(patient, []).append(row)
    for patient, rows in patients.items():
        seen = [_show_to(model, shown, row) for row in rows]
        views = [
            _add_truth(view, finding, shown, row)
            for view, finding, row in zip(
                seen, describe(seen, model.info), rows, strict=True
            )
        ]
        title = f"Patient {patient}"
        pages.add(title, views, (), "evaluate", Path(title), (NOTE,))
    pages.finish()


def _show_to(model: TrainedModel, examples: Examples, row: int) -> SeenView:
    """Returns an image of a data set as a view that the model saw, nothing left out."""
    counts = examples.images[row, :, :, 0].astype(np.float32)
    image_hw = (counts.shape[0], counts.shape[1])
    (region,) = examples.regions if len(examples.regions) == 1 else ("whole_body",)
    part: BodyPart = next((each for each in REGIONS if each == region), "whole_body")
    scan = BoneScan(
        counts=counts,
        view="posterior" if examples.views[row] == "posterior" else "anterior",
        view_evidence="the data set",
        spacing_mm=_find_spacing(examples, row),
        path=Path(examples.example_ids[row]),
        frame=0,
        patient_key="",
        patient_evidence="study",
        image_key=examples.example_ids[row],
        synthetic=examples.synthetic,
        region=part,
    )
    transform = CropTransform((0, 0, *image_hw), image_hw, image_hw)
    thorax = ThoraxImage(counts, scan, transform, None, (), None)
    return look_at(model, thorax, examples.example_ids[row])


def _find_spacing(examples: Examples, row: int) -> tuple[float, float] | None:
    height, width = examples.spacing_mm[row].tolist()
    return (height, width) if np.isfinite([height, width]).all() else None


def _add_truth(
    view: SeenView, finding: Finding, examples: Examples, row: int
) -> PageView:
    """Returns a view with what readers say, and where in the data set it is from."""
    page, scan = show_view(view, finding), view.thorax.scan
    truth, diagnosis = LABELS[examples.labels[row]], examples.diagnoses[row]
    if finding.hotspots is None:
        label = finding.document["diagnosis"]["label"]
        said = tell_label(truth, label, diagnosis)
    elif examples.located[row]:
        marks = [each.mask for each in finding.hotspots]
        readers = examples.masks[row] > 0
        said = compare_marks(marks, readers, scan.counts, scan.spacing_mm)
    else:
        said = tell_unknown(len(finding.hotspots), diagnosis)
    source = {
        "data_set": examples.name,
        "split": examples.split,
        "example_id": examples.example_ids[row],
        "patient": examples.patients[row],
        "view": scan.view,
        "diagnosis": diagnosis,
        "spacing_mm": scan.spacing_mm,
        "synthetic": scan.synthetic,
    }
    return dataclasses.replace(
        page, document=finding.document | {"source": source}, truth=said
    )
