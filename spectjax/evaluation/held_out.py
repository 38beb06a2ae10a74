"""From a finished run to its scores on what it held out, whatever its task."""

import pathlib
from typing import Any, cast

from ml_collections import ConfigDict

from spectjax import input_pipeline
from spectjax.augment import move_images
from spectjax.evaluation.batches import Predict
from spectjax.evaluation.classification import evaluate_classification
from spectjax.evaluation.instance_segmentation import evaluate_instances
from spectjax.evaluation.segmentation import evaluate_segmentation
from spectjax.input_pipeline import Splits
from spectjax.runs import restore_model


def evaluate_run(
    config: ConfigDict, workdir: pathlib.Path, builder_dir: pathlib.Path, splits: Splits
) -> dict[str, Any]:
    """Scores a run's model and writes `<workdir>/eval`.

    Args:
        config: the run's config.
        workdir: its folder, with a checkpoint unless the model has no parameters.
        builder_dir: folder of the data set.
        splits: what it trained on and held out.

    Returns:
        The content of `<workdir>/eval/metrics.json`.

    Raises:
        CheckpointError: if there is no checkpoint or it cannot be read.
        ValueError: if the model's output is not finite.
        WriteError: if a file cannot be written.
    """
    model = restore_model(workdir)
    held_out = input_pipeline.load_examples(builder_dir, splits.held_out)
    common: dict[str, Any] = {
        "batch_size": config.data.batch_size,
        "output_dir": workdir / "eval",
        "model_name": config.model.name,
        "dataset_info": {
            "config": config.data.name,
            "fingerprint": config.data.fingerprint,
            "held_out_fold": None if held_out.leaking else config.data.fold,
        },
        "training_log": workdir / "train.csv" if config.num_epochs else None,
    }
    if config.task == "segmentation":
        return evaluate_segmentation(model.predict_probs, held_out, **common)
    if model.predict_instances is not None:
        return evaluate_instances(
            model.predict_instances,
            held_out,
            num_classes=config.model.num_classes,
            **common,
        )
    hw = tuple(config.data.train_hw)
    calibration = input_pipeline.load_examples(builder_dir, splits.calibration)
    return evaluate_classification(
        cast(Predict, model.predict_logits),  # a classifier has them
        held_out.crop_centre(hw),
        calibration=calibration.crop_centre(hw),
        move=move_images,
        **common,
    )
