"""Simulated views whose bones are known, for the atlas of the skeleton."""

from collections.abc import Mapping

import numpy as np

from spectjax.bones.atlas import Example
from spectjax.bones.lines import find_lines
from spectjax.bones.regions import draw_regions
from spectjax.imaging.diagnosis import METASTASIS, NORMAL
from spectjax.imaging.scan import View
from spectjax.imaging.thorax import ThoraxImage, crop_thorax
from spectjax.phantom.patient import simulate_patient


def make_examples(seed: int, number: int) -> list[Example]:
    """Returns the views of a simulated patient whose crops are not flagged."""
    patient = simulate_patient(
        np.random.SeedSequence([seed, number]),
        diagnosis=NORMAL if number % 2 else METASTASIS,
    )
    thoraxes = {view: crop_thorax(scan) for view, scan in patient.show().items()}
    sure: Mapping[View, ThoraxImage] = {
        view: thorax for view, thorax in thoraxes.items() if not thorax.flags
    }
    lines = find_lines(sure)
    return [
        Example(view, lines[view], draw_regions(seen.bone_masks, seen.bone_names, view))
        for view, seen in patient.views.items()
        if view in lines
    ]
