"""Models on images that they were not prepared with: external validation.

What a model marks or calls follows what it brings along; nothing is learned from the
images that are scored.
"""

import math
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from spectjax import input_pipeline
from spectjax.evaluation.metrics_file import locate_metrics, read_metrics
from spectjax.evaluation.run import Brought, FinishedRun
from spectjax.imaging.canvas import FRAME_HW
from spectjax.inference.pixels import PixelFit
from spectjax.inference.provenance import NEVER_FOUND, Candidate, Seen
from spectjax.inference.regions import list_mismatches
from spectjax.input_pipeline import Examples
from spectjax.system.messages import UserError
from spectjax.system.schema import Each, Maybe
from spectjax.tasks import TASKS
from tfds_spect.names import AUGMENTED, LEAKING, SCALED

# Images at once. A network of 256x256 pixels takes a sixth longer for an image among
# eight on a CPU: what it computes in between no longer fits into a processor's cache.
_ON_CPU, _ON_OTHERS = 1, 16
_KNOWN = {
    "calibration": Maybe({"temperature": Maybe(float), "fitted_on": Maybe(str)}),
    "image": {"sensitivity_at_specificity": Each({"threshold": Maybe(float)})},
}


@dataclass(frozen=True)
class Parts:
    """Which splits of a data set are used.

    Attributes:
        scored: originals that are scored.
        calibration: originals that adjust probabilities; none: nothing is adjusted.
    """

    scored: tuple[str, ...]
    calibration: tuple[str, ...] = ()


def choose_parts(
    known: Sequence[str], split: Sequence[str], calibrate_on: Sequence[str]
) -> Parts:
    """Returns which splits are scored: those named, else all that nothing is fitted on.

    Args:
        known: splits of the data set.
        split: those to score; none: all originals.
        calibrate_on: those to adjust on, never scored.

    Raises:
        UserError: if one is not there, or is to be scored and to be adjusted on.
    """
    originals = [name for name in known if not name.endswith(AUGMENTED)]
    for flag, names in (("split", split), ("calibrate_on", calibrate_on)):
        missing = [name for name in names if name not in originals]
        if missing:
            raise UserError(
                f"--{flag}={','.join(names)}: expected parts of the data set, "
                f"{', '.join(originals)}, found {', '.join(missing)}."
            )
    both = sorted(set(split) & set(calibrate_on))
    if both:
        raise UserError(
            f"--calibrate_on={','.join(calibrate_on)}: expected parts that are not "
            f"scored, found {', '.join(both)} in --split as well. Name others."
        )
    scored = split or [name for name in originals if name not in calibrate_on]
    if not scored:
        raise UserError(
            f"--calibrate_on={','.join(calibrate_on)}: expected a part that is left to "
            "be scored, found none. Name fewer."
        )
    return Parts(tuple(scored), tuple(calibrate_on))


def load_scored(
    builder_dir: pathlib.Path,
    split: Sequence[str],
    candidates: Sequence[Candidate],
    seen: Mapping[str, str],
) -> tuple[Examples, dict[str, int]]:
    """Returns the images to be scored, and how many were left out, by the reason.

    Args:
        builder_dir: folder of the data set.
        split: of originals.
        candidates: models.
        seen: images that one of them learned from, by example id.

    Raises:
        UserError: if nothing is left, the images are scaled and a model takes counts,
            or they are whole frames and a model takes thoraxes, or the other way round.
    """
    examples = input_pipeline.load_examples(builder_dir, "+".join(split))
    if examples.leaking or LEAKING in examples.name:
        raise UserError(
            f"{builder_dir}: expected a data set of folds, found one whose copies "
            "stand on both sides. Prepare one without `leaking` in its name."
        )
    are_frames = examples.images.shape[1:3] == FRAME_HW
    for each in candidates:
        if each.model.sees_frames != are_frames:
            raise UserError(
                f"{builder_dir}: expected {_name_images(not are_frames)}, which "
                f"{each.name} takes, found {_name_images(are_frames)}. Give another "
                "data set, or models that take the same."
            )
        learnt = {config["data"]["name"] for config in each.configs}
        scaled = bool(learnt) and all(name.startswith(SCALED) for name in learnt)
        if examples.images.dtype != np.uint16 and not scaled:
            raise UserError(
                f"{builder_dir}: expected counts, which {each.name} takes, found "
                "images that are scaled to [0, 1]. Prepare them as classification_d1."
            )
    ids = np.array(examples.example_ids)
    kept, left_out = np.ones(len(ids), bool), {}
    if seen:
        kept &= ~np.isin(ids, list(seen))
        left_out["learned from"] = int(np.sum(~kept))
    if not kept.any():
        reasons = ", ".join(f"{why}: {n}" for why, n in left_out.items())
        raise UserError(
            f"{builder_dir}: expected images to score, found none: of {len(ids)}, all "
            f"were left out ({reasons})."
        )
    found = examples.select(kept)
    marking = any(TASKS[each.model.task].answer != "image" for each in candidates)
    if marking and not found.located.any():
        raise UserError(
            f"{builder_dir}: expected, for a model that marks hotspots, images that "
            f"somebody outlined or that are normal, found neither among {len(found)}. "
            "Add some: without normal images labels tell nothing either."
        )
    return found, left_out


def _name_images(are_frames: bool) -> str:
    return "whole frames" if are_frames else "thoraxes"


def find_brought(candidate: Candidate) -> Brought:
    """Returns what a model knows about its use, from its file or its run's own scores.

    Raises:
        ConfigError: if the scores of its run are damaged.
    """
    model, workdir = candidate.model, candidate.workdir
    if (
        TASKS[model.task].answer != "image"
        or workdir is None
        or not locate_metrics(workdir).is_file()
    ):
        return Brought(operation=model.operation)
    metrics = read_metrics(workdir, _KNOWN)
    thresholds = {
        specificity: each["threshold"]
        for specificity, each in metrics["image"]["sensitivity_at_specificity"].items()
        if each["threshold"] is not None and math.isfinite(each["threshold"])
    }
    calibration = metrics["calibration"] or {}
    return Brought(
        temperature=calibration.get("temperature"),
        thresholds=thresholds,
        source=f"{candidate.name} brings it along: {calibration.get('fitted_on')}",
    )


def score_candidate(
    candidate: Candidate,
    examples: Examples,
    calibration: Examples | None,
    output_dir: pathlib.Path,
    *,
    external: Mapping[str, Any],
    dataset_info: Mapping[str, Any],
) -> dict[str, Any]:
    """Scores a model, writes what a reader wants to see and returns `metrics.json`.

    Args:
        candidate: the model.
        examples: what is scored.
        calibration: what probabilities are adjusted on besides; None: nothing is.
        output_dir: folder to write to.
        external: see `describe_external`.
        dataset_info: what to say of the data besides what the examples do.

    Raises:
        UserError: if the model cannot be asked about these images.
        WriteError: if a file cannot be written.
    """
    model = candidate.model
    row = TASKS[model.task]
    scores = {str(each.get("image_score", "none")) for each in candidate.configs}
    return row.evaluate()(
        FinishedRun(
            model=model,
            held_out=examples,
            num_classes=len(row.class_names()),
            batch_size=_ON_CPU if jax.default_backend() == "cpu" else _ON_OTHERS,
            output_dir=output_dir,
            model_name=str(model.info.get("model") or candidate.name),
            train_hw=model.input_hw,
            calibration=None if calibration is None else lambda: calibration,
            dataset_info=dataset_info,
            brought=find_brought(candidate),
            fit=lambda some: PixelFit.create(some.spacing_mm, model.pixel_mm),
            image_score=scores.pop() if len(scores) == 1 else "none",
            external=external,
        )
    )


def describe_external(
    candidate: Candidate,
    seen: Seen,
    left_out: Mapping[str, int],
    regions: Sequence[str],
) -> dict[str, Any]:
    """Returns the section `external` of `metrics.json`; images show these regions."""
    return {
        "scored_model": {"name": candidate.name, "info": candidate.model.info},
        "checked": list(dict.fromkeys(seen.checked)),
        "not_checked": list(dict.fromkeys([*seen.not_checked, NEVER_FOUND])),
        "left_out": dict(left_out),
        "warnings": list_mismatches(candidate.model.info, regions),
    }
