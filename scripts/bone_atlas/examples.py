"""Simulated views whose bones are known, for the atlas of the skeleton."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spectjax.bones.atlas import Example
from spectjax.bones.lines import find_lines
from spectjax.bones.regions import draw_regions
from spectjax.imaging.diagnosis import METASTASIS, NORMAL
from spectjax.imaging.scan import BoneScan, View
from spectjax.imaging.thorax import ThoraxImage, crop_thorax
from spectjax.phantom.patient import SimulatedView, simulate_patient


def make_examples(seed: int, number: int) -> list[Example]:
    """Returns the views of a simulated patient whose crops are not flagged."""
    patient = simulate_patient(
        np.random.SeedSequence([seed, number]),
        diagnosis=NORMAL if number % 2 else METASTASIS,
    )
    thoraxes = {
        view: _crop(seen, patient.spacing_mm) for view, seen in patient.views.items()
    }
    sure: Mapping[View, ThoraxImage] = {
        view: thorax for view, thorax in thoraxes.items() if not thorax.flags
    }
    lines = find_lines(sure)
    return [
        Example(view, lines[view], draw_regions(seen.bone_masks, seen.bone_names, view))
        for view, seen in patient.views.items()
        if view in lines
    ]


def _crop(seen: SimulatedView, spacing_mm: float) -> ThoraxImage:
    """Returns the thorax of a simulated view."""
    scan = BoneScan(
        counts=seen.counts.astype(np.float32),
        view=seen.view,
        view_evidence="simulated",
        spacing_mm=(spacing_mm, spacing_mm),
        path=Path("simulated"),
        frame=0,
        patient_key="",
        patient_evidence="Patient ID",
        image_key="",
        synthetic=True,
    )
    return crop_thorax(scan)
