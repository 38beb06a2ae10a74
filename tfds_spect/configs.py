"""The builder configs: which images a data set holds, and how many copies of each."""

import dataclasses
from fractions import Fraction
from typing import Any

import tensorflow_datasets as tfds

from spectjax.imaging.diagnosis import (
    DIAGNOSES,
    METASTASIS,
    MULTIPLE,
    NORMAL,
    OUTSIDE_SPINE,
    SPINAL,
)
from tfds_spect.copies import CopyRule
from tfds_spect.names import (
    LABELLED,
    LEAKING,
    PHANTOM,
    SKELETON,
    WHOLE_BODY,
    find_canvas,
)


@dataclasses.dataclass(frozen=True)
class Phantom:
    """The simulated patients of a data set, as `write_phantom` takes them."""

    patients: int
    population: str
    seed: int

    @property
    def folder(self) -> str:
        """Name of their folder below `phantom`, beside the data sets."""
        return f"{self.population}_{self.patients}_{self.seed}"


@dataclasses.dataclass(eq=False)
class SpectConfig(tfds.core.BuilderConfig):
    """Which images a data set holds.

    Attributes:
        copy_rules: how many copies there are of which images; none: no copies.
        needs_outlines: whether metastases that nobody outlined are left out.
        normalised: whether the counts of each image are scaled to [0, 1].
        leaking: whether originals and copies are split at random, as in the papers.
        phantom: the simulated patients; None for a hospital's folder.
    """

    copy_rules: tuple[CopyRule, ...] = ()
    needs_outlines: bool = True
    normalised: bool = False
    leaking: bool = False
    phantom: Phantom | None = None

    @property
    def canvas_hw(self) -> tuple[int, int]:
        """Rows and columns of its images: of thoraxes, or of whole frames."""
        return find_canvas(self.name)

    @property
    def whole_frames(self) -> bool:
        """Whether its images are of whole bodies, and not of thoraxes."""
        return self.name.startswith(WHOLE_BODY)

    @property
    def sheets(self) -> bool:
        """Whether its images are sheets with bones, see `tfds_spect.sheets`."""
        return self.name.startswith(SKELETON)


def _copy_all(ratio: Fraction | int) -> tuple[CopyRule, ...]:
    return (CopyRule(DIAGNOSES, Fraction(ratio)),)


_LIN_2020 = _copy_all(Fraction(2280, 112))  # [P1] Table 1
# [P2] Tables 1 and 2: images with copies, per original. "Only part of rather than the
# whole normal images were augmented": read as every second one, which then gets 8 or 9
# copies as the others do.
_LIN_2021 = (
    CopyRule((NORMAL,), Fraction(1200, 220), every=2),
    CopyRule((MULTIPLE,), Fraction(1043, 111)),
    CopyRule((SPINAL,), Fraction(133, 14)),
    CopyRule((OUTSIDE_SPINE,), Fraction(14, 1)),
    CopyRule((METASTASIS,), Fraction(1190, 126)),  # all kinds together
)
# A seed with which hardly a view is left out because its crop is uncertain.
_P1 = Phantom(76, "segmentation", seed=2)
_P2 = Phantom(251, "classification", seed=2)
# For the model that ships: as many as a night on two cores can learn from.
_SHIPPED = Phantom(3000, "screening", seed=3)
# For the networks that see the whole body: hotspots, and bones.
_BODIES = Phantom(1000, "whole_body", seed=4)
_LABELS = {"needs_outlines": False}
_LEAKING = (
    "LEAKING: originals and copies are split 70:30 at random as in the papers, so "
    "patients stand on both sides; scores say nothing about new patients. "
)
# Name, simulated patients of its twin, images and copies, other fields.
_TABLE: tuple[tuple[str, Phantom, str, dict[str, Any]], ...] = (
    (
        "segmentation",
        _P1,
        "as many copies as in Lin 2020 Table 1",
        {"copy_rules": _LIN_2020},
    ),
    ("segmentation_quick", _P1, "four copies of each", {"copy_rules": _copy_all(5)}),
    (
        "segmentation_smoke",
        Phantom(10, "segmentation", seed=2),
        "one copy of each",
        {"copy_rules": _copy_all(2)},
    ),
    ("segmentation_originals", _P1, "no copies", {}),
    ("segmentation_mixed", _P2, "no copies; simulated: normal ones among them", {}),
    (
        "segmentation_screening",
        _SHIPPED,
        "no copies; simulated: half of them normal, all from both sides",
        {},
    ),
    (
        WHOLE_BODY,
        _BODIES,
        "no copies; whole frames of 1024x256 pixels, nothing cropped; simulated: half "
        "of them normal, all from both sides",
        {},
    ),
    (
        SKELETON,
        _BODIES,
        "sheets of both views with masks of the bones; no copies",
        {},
    ),
    (
        "skeleton_smoke",
        Phantom(10, "whole_body", seed=4),
        "sheets of both views with masks of the bones; no copies",
        {},
    ),
    (
        f"{WHOLE_BODY}_smoke",
        Phantom(10, "whole_body", seed=4),
        "no copies; whole frames",
        {},
    ),
    (
        LABELLED,
        _P2,
        "no copies; images with a label and without outlines among them",
        _LABELS,
    ),
    ("classification_d1", _P2, "no copies, D1 of Lin 2021", _LABELS),
    (
        "classification_d2",
        _P2,
        "copies as in Lin 2021 Table 2, each image scaled to [0, 1]: D2",
        {"copy_rules": _LIN_2021, "normalised": True, **_LABELS},
    ),
    (
        "classification_d3",
        _P2,
        "copies as in Lin 2021 Table 2: D3",
        {"copy_rules": _LIN_2021, **_LABELS},
    ),
)


def list_configs() -> list[SpectConfig]:
    """Returns every config for a hospital, each with its twin of simulated patients."""
    configs = []
    for name, phantom, copies, fields in _TABLE:
        # Only copies leak; what is there to try it out need not.
        leaks = "copy_rules" in fields and name != "segmentation_smoke"
        for leaking in (False, True) if leaks else (False,):
            full_name = name + LEAKING * leaking
            for twin in (None, phantom):
                whose = f"{twin.patients} simulated patients" if twin else "A hospital"
                configs.append(
                    SpectConfig(
                        name=full_name + PHANTOM * (twin is not None),
                        description=f"{_LEAKING * leaking}{whose}; {copies}.",
                        leaking=leaking,
                        phantom=twin,
                        **fields,
                    )
                )
    return configs
