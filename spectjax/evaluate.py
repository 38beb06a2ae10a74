"""From a finished run to its scores on what it held out, whatever its task."""

import functools
import pathlib
from typing import Any

from ml_collections import ConfigDict

from spectjax import input_pipeline
from spectjax.evaluation.run import FinishedRun
from spectjax.inference.trained import load_run
from spectjax.tasks import TASKS
from spectjax.training.augment import move_images
from tfds_spect.names import Splits


def evaluate_run(
    config: ConfigDict, workdir: pathlib.Path, builder_dir: pathlib.Path, splits: Splits
) -> dict[str, Any]:
    """Scores a run's model, writes `<workdir>/eval` and returns its `metrics.json`.

    Args:
        config: the run's config.
        workdir: its folder, with a checkpoint unless the model has no parameters.
        builder_dir: folder of the data set.
        splits: what it trained on and held out.

    Raises:
        CheckpointError: if there is no checkpoint or it cannot be read.
        ValueError: if the model's output is not finite.
        WriteError: if a file cannot be written.
    """
    held_out = input_pipeline.load_examples(builder_dir, splits.held_out)
    return TASKS[config.task].evaluate()(
        FinishedRun(
            model=load_run(workdir),
            held_out=held_out,
            calibration=functools.partial(
                input_pipeline.load_examples, builder_dir, splits.calibration
            ),
            move=move_images,
            train_hw=tuple(config.data.train_hw),
            num_classes=config.model.num_classes,
            batch_size=config.data.batch_size,
            output_dir=workdir / "eval",
            model_name=config.model.name,
            dataset_info={
                "config": config.data.name,
                "fingerprint": config.data.fingerprint,
                "held_out_fold": None if held_out.leaking else config.data.fold,
            },
            training_log=workdir / "train.csv" if config.num_epochs else None,
        )
    )
