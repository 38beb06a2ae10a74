"""Simulated whole-body views without noise, and where the rib cage lies in them."""

from typing import NamedTuple

import numpy as np

from spectjax.imaging.diagnosis import METASTASIS, NORMAL
from spectjax.phantom.patient import draw_foci, place_foci
from spectjax.phantom.subject import VIEWS, derive_rng, draw_subject, expose
from spectjax.phantom.truth import find_thorax_box, mirror_box

BIN = 2  # pixels of the frame in one of a view: the network sees coarser ones
_DISEASE = 10  # stream of a patient's seed


class View(NamedTuple):
    """One view: mean counts (h, w), float16, and the rib cage's box in its pixels.

    The box is (4,) float32: top, left, bottom, right.
    """

    image: np.ndarray
    box: np.ndarray


def simulate_views(seed: int, index: int) -> list[View]:
    """Returns both views of one patient; every second one has metastases."""
    root = np.random.SeedSequence([seed, index])
    subject = draw_subject(root)
    diagnosis = METASTASIS if index % 2 else NORMAL
    foci = draw_foci(derive_rng(root, _DISEASE), subject, diagnosis)
    lesions = place_foci(subject, foci)
    box = find_thorax_box(subject.bones)
    views = []
    for view in VIEWS:
        image = expose(subject, lesions, view).expectation
        height, width = image.shape
        side = box if view == "anterior" else mirror_box(box, width)
        blocks = image.reshape(height // BIN, BIN, width // BIN, BIN)
        views.append(
            View(
                blocks.sum(axis=(1, 3)).astype(np.float16),
                np.array(side, np.float32) / BIN,
            )
        )
    return views
