"""A trained model and what it is scored on: what every task's `evaluate` is given."""

import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import spectjax
from spectjax.evaluation.batches import Fit
from spectjax.evaluation.metrics_sections import Data
from spectjax.input_pipeline import Examples
from spectjax.system.files import replace_undefined
from spectjax.system.messages import DISCLAIMER


@dataclass(frozen=True)
class Brought:
    """What a model knows from where it was measured, for images of elsewhere.

    Attributes:
        operation: as of `spectjax.inference.trained.TrainedModel`.
        temperature: what its log-odds are divided by; None if nobody fitted one.
        thresholds: of log-odds, by the specificity that they were chosen for.
        source: where temperature and thresholds come from.
    """

    operation: Any = None
    temperature: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True)
class FinishedRun:
    """A trained model and what it is scored on.

    Attributes:
        model: a `spectjax.inference.trained.TrainedRun`, which stands above this room.
        held_out: N examples; unless they are marked as leaking, originals of patients
            that it did not learn from.
        num_classes: K.
        batch_size: B, images to ask about at once, so that it compiles once.
        output_dir: folder to write to, usually `<workdir>/eval`.
        model_name: its name in the registry.
        train_hw: the central part of the canvas that it was trained on, pixels.
        calibration: loads examples to calibrate it on, none of them held out; None:
            there are none.
        validated: whether the model did not learn from those.
        move: maps images (N, H, W, 1) and a seed to images moved at random as the
            papers augment them; None: they are scored as they are alone.
        dataset_info: what to say of the data besides what the examples do.
        training_log: CSV of its training; None if there was none.
        image_score: how a model of pixels learned from labels alone, as in the config.
        brought: what it knows about its use; None: that is measured on `calibration`.
        fit: returns what examples have to go through before the model takes them.
        external: what to say of images that it was not prepared with; None if they are
            held out of the data set that it learned from.
    """

    model: Any
    held_out: Examples
    num_classes: int
    batch_size: int
    output_dir: pathlib.Path
    model_name: str
    train_hw: tuple[int, int]
    calibration: Callable[[], Examples] | None = None
    validated: bool = False
    move: Callable[[np.ndarray, int], np.ndarray] | None = None
    dataset_info: Mapping[str, Any] = field(default_factory=dict)
    training_log: pathlib.Path | None = None
    image_score: str = "none"
    brought: Brought | None = None
    fit: Callable[[Examples], Fit | None] = lambda _: None
    external: Mapping[str, Any] | None = None

    @property
    def data(self) -> Data:
        """What is said of the data."""
        examples = self.held_out
        data: Any = {
            "name": examples.name,
            "split": examples.split,
            "synthetic": examples.synthetic,
            "leaking": examples.leaking,
            **({"regions": list(examples.regions)} if examples.regions else {}),
            **self.dataset_info,
        }
        found: Data = data
        return found

    def make_document(self, task: str, scores: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the content of `metrics.json`; None stands for an undefined score."""
        document: dict[str, Any] = replace_undefined(
            {
                "task": task,
                "model": self.model_name,
                "data": self.data,
                "n_images": len(self.held_out),
                "n_patients": len(set(self.held_out.patients)),
                **scores,
                **({} if self.external is None else {"external": self.external}),
                **end_document(),
            }
        )
        return document


def end_document() -> dict[str, Any]:
    """Returns what every `metrics.json` ends with."""
    return {"spectjax_version": spectjax.__version__, "disclaimer": DISCLAIMER}
