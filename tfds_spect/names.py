"""Names of data sets and of their splits: what trains, what is held out, what leaks.

Imports next to nothing, since a config is judged by them in milliseconds.
"""

from dataclasses import dataclass

from spectjax.imaging.canvas import CANVAS_HW, FRAME_HW, SHEET_HW
from spectjax.system.messages import ConfigError

FOLDS = range(5)
# In the names of data sets:
PHANTOM = "_phantom"  # of simulated patients; comes last
LEAKING = "_leaking"  # split as the papers do, without folds
SCALED = "classification_d2"  # begins those whose images are scaled to [0, 1]
LABELLED = "segmentation_labels"  # begins those with labels where outlines are missing
WHOLE_BODY = "segmentation_whole_body"  # of whole frames, not of thoraxes
SKELETON = "skeleton"  # begins those of sheets, each with a mask of its bones
# Of those of hospitals:
DATA_SETS = (
    *("segmentation", "segmentation_leaking"),
    *("segmentation_quick", "segmentation_quick_leaking"),
    *("segmentation_smoke", "segmentation_originals", "segmentation_mixed"),
    *("segmentation_screening", WHOLE_BODY, f"{WHOLE_BODY}_smoke", LABELLED),
    *("classification_d1", "classification_d2", "classification_d2_leaking"),
    *("classification_d3", "classification_d3_leaking"),
    *(SKELETON, "skeleton_smoke"),
)
# In the names of splits:
AUGMENTED = "_augmented"  # copies, of the split of this name without it
TRAIN, TEST = "train", "test"  # of a data set that leaks


def find_canvas(name: str) -> tuple[int, int]:
    """Returns rows and columns of the images of a data set."""
    if name.startswith(SKELETON):
        return SHEET_HW
    return FRAME_HW if name.startswith(WHOLE_BODY) else CANVAS_HW


def name_fold(fold: int) -> str:
    """Returns the split that holds the originals of a fold."""
    return f"fold{fold}"


@dataclass(frozen=True)
class Splits:
    """Which TFDS splits a run uses.

    Attributes:
        train: what is trained on.
        held_out: what is scored.
        validation: what picks the best checkpoint; None: nothing does.
    """

    train: str
    held_out: str
    validation: str | None = None

    @property
    def calibration(self) -> str:
        """What may calibrate probabilities: never what is scored.

        The patients that validate, if any do; else the originals that train, where they
        can be told from their copies.
        """
        if self.validation is not None:
            return self.validation
        parts = self.train.split("+")
        return "+".join(part for part in parts if not part.endswith(AUGMENTED))


def choose_splits(
    name: str, held_out: int, validation: int | None = None, *, copies: bool = True
) -> Splits:
    """Returns the splits of a run: all folds but one train, that one is scored.

    Copies are never scored. Only the papers' own protocol, in data sets whose names
    hold `LEAKING`, has one random split of originals and copies alike, so that copies
    of a patient stand on both sides.

    Args:
        name: builder config.
        held_out: number of the fold that is scored.
        validation: number of a fold that neither trains nor is scored.
        copies: whether stored copies train, and not originals alone.

    Raises:
        ConfigError: if there is no such fold, if one is to be held out and to validate,
            or if a leaking data set is asked for what only folds can give.
    """
    if LEAKING in name:
        if validation is not None or not copies:
            raise ConfigError(
                f"{name} has a training and a test split at random, of originals and "
                "copies: leave --config.data.validation_fold and "
                "--config.data.augmentation as they are, or take a data set of folds."
            )
        return Splits(TRAIN, TEST)
    if held_out == validation:
        raise ConfigError(
            f"--config.data.validation_fold={validation} is held out already; choose "
            "another one."
        )
    # Without it nothing would be held out, and training would end in vain.
    for key, fold in (("fold", held_out), ("validation_fold", validation)):
        if fold is not None and fold not in FOLDS:
            raise ConfigError(
                f"--config.data.{key}={fold}: expected one of 0 to {FOLDS[-1]}."
            )
    train = [name_fold(fold) for fold in FOLDS if fold not in (held_out, validation)]
    if copies:
        train = [f"{fold}+{fold}{AUGMENTED}" for fold in train]
    return Splits(
        train="+".join(train),
        held_out=name_fold(held_out),
        validation=None if validation is None else name_fold(validation),
    )
