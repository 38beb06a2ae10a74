"""A trained model and what it is scored on: what every task's `evaluate` is given."""

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spectjax.input_pipeline import Examples


@dataclass(frozen=True)
class FinishedRun:
    """A trained model and what it is scored on.

    Attributes:
        model: a `spectjax.inference.trained.TrainedRun`, which stands above this room.
        held_out: examples that it did not learn from.
        calibration: loads examples to calibrate it on, none of them held out.
        move: maps images (N, H, W, 1) and a seed to images moved at random as the
            papers augment them.
        train_hw: the central part of the canvas that it was trained on, pixels.
        num_classes: K.
        batch_size: images to ask about at once, so that it compiles once.
        output_dir: folder to write to.
        model_name: its name in the registry.
        dataset_info: what to say of the data besides what the examples do.
        training_log: CSV of its training; None if there was none.
    """

    model: Any
    held_out: Examples
    calibration: Callable[[], Examples]
    move: Callable[[np.ndarray, int], np.ndarray]
    train_hw: tuple[int, int]
    num_classes: int
    batch_size: int
    output_dir: pathlib.Path
    model_name: str
    dataset_info: dict[str, Any]
    training_log: pathlib.Path | None

    @property
    def told(self) -> dict[str, Any]:
        """What reports of all tasks tell, as keyword arguments."""
        return {
            "batch_size": self.batch_size,
            "output_dir": self.output_dir,
            "model_name": self.model_name,
            "dataset_info": self.dataset_info,
            "training_log": self.training_log,
        }
