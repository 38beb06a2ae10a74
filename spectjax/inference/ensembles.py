"""Several trained models that answer as one, e.g. the runs of all folds.

Batch, height, width and class axes are B, H, W and K; M is the number of members.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spectjax.inference.metadata import ModelFileError, find_input_hw
from spectjax.inference.trained import TrainedModel
from spectjax.tasks import TASKS


def check_agreement(workdirs: Sequence[pathlib.Path]) -> None:
    """Checks that runs answer one question about images of one size.

    Data, network, training and normalisation of the counts may differ.

    Raises:
        ModelFileError: if they do not, or if one of them is given twice.
        ConfigError: if a folder does not hold a run.
    """
    # Here, since an exported model does not need it.
    from spectjax.config import load_config

    first = workdirs[0]
    config = load_config(first / "config.json").to_dict()
    if TASKS[config["task"]].average is None:
        known = [name for name, row in TASKS.items() if row.average]
        raise ModelFileError(
            f"{first}: expected runs whose answers have a mean, those of "
            f"{' or '.join(known)}; found {config['task']}. Give one --workdir."
        )
    expected = _describe_question(config)
    for number, workdir in enumerate(workdirs[1:], start=1):
        if workdir.resolve() in [other.resolve() for other in workdirs[:number]]:
            raise ModelFileError(
                f"{workdir}: expected runs that differ, found this one twice. "
                "Give each --workdir once."
            )
        found = _describe_question(load_config(workdir / "config.json").to_dict())
        if found != expected:
            raise ModelFileError(
                f"{workdir}: expected {expected}, as {first} was trained for, found "
                f"{found}. Give runs that agree in that."
            )


def _describe_question(config: Mapping[str, Any]) -> str:
    """Returns what all members of an ensemble have in common, in a few words."""
    task = config["task"]
    num_classes = config["model"].get("num_classes", len(TASKS[task].class_names()))
    height, width = find_input_hw(config)
    return f"{task} of {height}x{width} pixels into {num_classes} classes"


def combine(members: Sequence[TrainedModel], names: Sequence[str]) -> TrainedModel:
    """Returns a model whose answer is the mean of its members'.

    Of segmenting models it is the mean of the class probabilities of each pixel. Of
    classifiers it is the mean of their log-odds, as over the views of an examination:
    so it makes no difference over which of the two the mean is taken first.

    Args:
        members: M models that agree in task, classes and size of the images.
        names: says which is which, M words.
    """
    infos = [member.info for member in members]
    shared = {
        key: value
        for key, value in infos[0].items()
        if all(key in info and info[key] == value for info in infos)
    }
    synthetic = [info.get("trained_on_synthetic_data") for info in infos]
    task = members[0].task
    mean = TASKS[task].average
    if mean is None:
        raise ValueError(f"Expected a task whose answers have a mean, got {task}.")
    average, rule = mean[0](), mean[1]
    return TrainedModel(
        lambda counts: average([member.predict(counts) for member in members]),
        shared
        | {
            "trained_on_synthetic_data": _any_known(synthetic),
            "ensemble": rule,
            "members": [
                {"run": name} | info for name, info in zip(names, infos, strict=True)
            ],
        },
        task=task,
        input_hw=members[0].input_hw,
    )


def average_probs(probs: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the mean of M arrays of class probabilities, (..., K), float32."""
    return np.asarray(np.mean(probs, axis=0, dtype=np.float64), dtype=np.float32)


def average_log_odds(probs: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the class probabilities whose log-odds are the mean of the given ones'.

    They are the geometric mean of the given ones, scaled to a sum of 1. What is rounded
    to 0 counts as the smallest float32 with all its digits.

    Args:
        probs: M arrays of one shape, (..., K), float32.
    """
    smallest = np.finfo(np.float32).tiny
    logs = np.mean(np.log(np.maximum(probs, smallest, dtype=np.float64)), axis=0)
    odds = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return (odds / odds.sum(axis=-1, keepdims=True)).astype(np.float32)


def _any_known(values: Sequence[bool | None]) -> bool | None:
    """Returns whether one of them is true; None: not known of all and true of none."""
    if any(values):
        return True
    return None if None in values else False
