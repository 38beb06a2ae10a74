"""A segmentation's scores with their uncertainty: pixels, lesions, burden.

The number of images is N, of lesions L, of thresholds T. One function scores one run
and joined folds alike.
"""

import dataclasses
from collections.abc import Callable
from typing import cast

import numpy as np

from spectjax.metrics import burden as measured
from spectjax.metrics.burden import find_marked, measure_agreement
from spectjax.metrics.intervals import bootstrap_sums, describe_intervals
from spectjax.metrics.lesions import (
    HALF,
    MIN_IOU,
    THRESHOLDS,
    Lesions,
    find_best,
    froc,
    sensitivity_at,
    threshold_at,
)
from spectjax.metrics.pixel import SCORES, PixelCounts, score_pixels, summarise_pixels
from spectjax.tasks.hotspots.cases import SegmentationCases
from spectjax.tasks.hotspots.metrics_sections import (
    Burden,
    Lesion,
    LesionScores,
    Pixel,
    Segmentation,
)

FALSE_PER_IMAGE = (0.25, 0.5, 1.0, 2.0, 4.0)
# Bounds that cut the lesions of the phantom's patients into classes of some use: their
# quartiles lie at 21, 26 and 34 mm and at contrasts of 1.8, 2.5 and 3.3.
SIZES_MM = (20.0, 30.0)
CONTRASTS = (1.5, 2.0, 3.0)
EVIDENT_PX, EVIDENT_CONTRAST = 6, 2.0
OUTLINE_SCORES = ("dice", "hausdorff95_mm")


def summarise_segmentation(cases: SegmentationCases) -> Segmentation:
    """Returns all scores of one set of images, as `metrics.json` has them.

    Intervals are 95 %, by a bootstrap over patients. NaN stands for an undefined score.
    """
    burden = {
        name: dataclasses.asdict(measure_agreement(truth, predicted))
        for name, truth, predicted in _list_burdens(cases.burden)
    }
    return {
        "pixel": cast(Pixel, summarise_pixels(cases.pixels)),
        "lesion": summarise_lesions(cases),
        "burden": cast(Burden, burden),
        "intervals": describe_intervals(
            bootstrap_sums(cases.patients, _prepare_scores(cases))
        ),
    }


def summarise_lesions(cases: SegmentationCases) -> Lesion:
    """Returns what was found and what was marked falsely, see `metrics.lesions`.

    Lesions of unknown size or contrast are in none of their classes.
    """
    regions, groups = cases.regions, group_lesions(cases.lesions)
    curve = froc(cases.lesions, regions)
    without = cases.pixels.tp + cases.pixels.fn == 0
    false = regions.false[:, HALF]
    return {
        "threshold": float(THRESHOLDS[HALF]),
        "min_iou": MIN_IOU,
        **_score_lesions(cases, groups["lesion"]),
        "threshold_at": {
            f"{limit:g}": threshold_at(curve, limit) for limit in FALSE_PER_IMAGE
        },
        "regions": int(regions.total[:, HALF].sum()),
        "false_regions": int(false.sum()),
        "false_per_image": float(false.mean()),
        "without_lesion": {
            "n_images": int(without.sum()),
            "false_per_image": _average(false[without]),
            "clean": _average(false[without] == 0),
        },
        "evident": {
            "min_area_px": EVIDENT_PX,
            "min_contrast": EVIDENT_CONTRAST,
            **_score_lesions(cases, groups["lesion.evident"]),
        },
        "by_size": _score_classes(cases, groups, "lesion.by_size."),
        "by_contrast": _score_classes(cases, groups, "lesion.by_contrast."),
        "froc": {
            "threshold": curve.thresholds.tolist(),
            "sensitivity": curve.sensitivity.tolist(),
            "false_per_image": curve.false_per_image.tolist(),
        },
    }


def group_lesions(lesions: Lesions) -> dict[str, np.ndarray]:
    """Returns the groups that are scored on their own, each bool, (L,), by their path.

    All lesions, the evident ones, and classes of size and of contrast.
    """
    evident = (lesions.area_px >= EVIDENT_PX) & (lesions.contrast >= EVIDENT_CONTRAST)
    return {
        "lesion": np.ones(len(lesions), bool),
        "lesion.evident": evident,
        **_split("lesion.by_size.", lesions.diameter_mm, SIZES_MM, " mm"),
        **_split("lesion.by_contrast.", lesions.contrast, CONTRASTS, ""),
    }


def _prepare_scores(
    cases: SegmentationCases,
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns the scores of R resamples by path, each (R,).

    They are a function of how often each image is drawn, (R, N), since all are made of
    sums over images.
    """
    pixels, false = cases.pixels, cases.regions.false.astype(np.float64)
    ratios, groups = _list_ratios(cases), group_lesions(cases.lesions)
    limits = np.array(FALSE_PER_IMAGE)

    def score(drawn: np.ndarray) -> dict[str, np.ndarray]:
        pooled = score_pixels(
            PixelCounts(
                *(drawn @ each for each in (pixels.tp, pixels.fp, pixels.fn, pixels.tn))
            )
        )
        scores = {f"pixel.pooled.{name}": pooled[name] for name in SCORES}
        false_per_image = drawn @ false / drawn.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):  # 0 / 0 is undefined, NaN
            for path, (total, number) in ratios.items():
                scores[path] = (drawn @ total) / (drawn @ number)
            for path, chosen in groups.items():
                found = _add_up(cases, cases.lesions.found & chosen[:, None])
                sensitivity = (drawn @ found) / (
                    drawn @ _add_up(cases, chosen[:, None])
                )
                best = find_best(sensitivity, false_per_image, limits)
                scores[f"{path}.sensitivity"] = sensitivity[:, HALF]
                for column, limit in enumerate(FALSE_PER_IMAGE):
                    scores[f"{path}.sensitivity_at.{limit:g}"] = best[:, column]
        return scores

    return score


def _list_ratios(cases: SegmentationCases) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the scores that are means, by path: what is added up, and how many."""
    ratios = {}
    has_lesion = cases.pixels.tp + cases.pixels.fn > 0
    everywhere = np.ones(len(cases), bool)
    for name, values in score_pixels(cases.pixels).items():
        ratios[f"pixel.per_image.{name}"] = _mean_of(values, everywhere)
        ratios[f"pixel.with_lesion.{name}"] = _mean_of(values, has_lesion)
    false = cases.regions.false[:, HALF].astype(np.float64)
    ratios["lesion.false_per_image"] = _mean_of(false, everywhere)
    ratios["lesion.without_lesion.false_per_image"] = _mean_of(false, ~has_lesion)
    ratios["lesion.without_lesion.clean"] = _mean_of(false == 0, ~has_lesion)
    for name in OUTLINE_SCORES:
        values = getattr(cases.lesions, name)
        total, used = _mean_of(values, np.ones(len(values), bool))
        ratios[f"lesion.{name}"] = _add_up(cases, total), _add_up(cases, used)
    for name, truth, predicted in _list_burdens(cases.burden):
        ratios[f"burden.{name}.bias"] = _mean_of(
            predicted - truth, find_marked(truth, predicted)
        )
    return ratios


def _mean_of(values: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns what to add up and how many for the mean of the used, defined values."""
    used = used & np.isfinite(values)
    return np.where(used, values, 0.0), used.astype(np.float64)


def _add_up(cases: SegmentationCases, values: np.ndarray) -> np.ndarray:
    """Returns the sums of the lesions' values over each image, (N, ...)."""
    sums = np.zeros((len(cases), *values.shape[1:]))
    np.add.at(sums, cases.lesions.image, values)
    return sums


def _list_burdens(
    burden: measured.Burden,
) -> tuple[tuple[str, np.ndarray, np.ndarray], ...]:
    """Returns each measure of burden: its name, the readers' values, the model's."""
    return (
        ("area_mm2", burden.lesion_mm2, burden.predicted_mm2),
        ("counts", burden.lesion_counts, burden.predicted_counts),
    )


def _score_lesions(cases: SegmentationCases, chosen: np.ndarray) -> LesionScores:
    """Returns the scores of some of the lesions, see `summarise_lesions`."""
    lesions, curve = cases.lesions, froc(cases.lesions, cases.regions, chosen)
    averaged = {name: getattr(lesions, name)[chosen] for name in OUTLINE_SCORES}
    return {
        "n": int(chosen.sum()),
        "found": int(lesions.found[chosen, HALF].sum()),
        "sensitivity": float(curve.sensitivity[HALF]),
        "sensitivity_at": {
            f"{limit:g}": sensitivity_at(curve, limit) for limit in FALSE_PER_IMAGE
        },
        "dice": _average(averaged["dice"]),
        "hausdorff95_mm": _average(averaged["hausdorff95_mm"]),
        "n_averaged": {
            name: int(np.isfinite(values).sum()) for name, values in averaged.items()
        },
    }


def _score_classes(
    cases: SegmentationCases, groups: dict[str, np.ndarray], start: str
) -> dict[str, LesionScores]:
    """Returns the scores of the groups whose path begins so, by the rest of it."""
    return {
        path.removeprefix(start): _score_lesions(cases, chosen)
        for path, chosen in groups.items()
        if path.startswith(start)
    }


def _split(
    start: str, values: np.ndarray, bounds: tuple[float, ...], unit: str
) -> dict[str, np.ndarray]:
    """Returns the classes between the bounds; a value on a bound is in the upper."""
    inner = zip(bounds[:-1], bounds[1:], strict=True)
    return {
        f"{start}below {bounds[0]:g}{unit}": values < bounds[0],
        **{
            f"{start}{low:g} to {high:g}{unit}": (low <= values) & (values < high)
            for low, high in inner
        },
        f"{start}{bounds[-1]:g}{unit} and more": values >= bounds[-1],
    }


def _average(values: np.ndarray) -> float:
    """Returns the mean of the defined values, NaN if there is none."""
    defined = values[np.isfinite(values)]
    return float(np.mean(defined, dtype=np.float64)) if defined.size else float("nan")
