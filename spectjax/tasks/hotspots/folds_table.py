"""The table of several cross-validated segmentation models, as Markdown.

[P1] Table 2 prints PA, CPA, Rec and IoU of four networks; the IoU of K-means stands in
its text, as the best of Fig. 11.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spectjax.metrics.pixel import SCORES
from spectjax.report.markdown import (
    bracket,
    decimals,
    format_difference,
    format_rows,
    format_sizes,
    label_data,
    name_source,
    sign,
)
from spectjax.system.messages import DISCLAIMER
from spectjax.tasks.hotspots.detection_folds_table import write_detection_folds_tables
from spectjax.tasks.hotspots.table import PAINTED, PAPER_TABLE_2, WAYS

PAPER_KMEANS_IOU = 0.7421  # K = 9

Models = Mapping[str, Mapping[str, Any]]

_FOLD_SCORES = {
    "pooled_IoU": "IoU, pooled",
    "per_image_IoU": "IoU, per image",
    "sensitivity": "Lesion sensitivity",
    "false_per_image": "False regions per image",
    "sensitivity_at_1": "Sensitivity at 1 false region per image",
}
_COMPARED = {
    "pooled_IoU": "IoU, pooled",
    "per_image_IoU": "IoU, per image",
    "with_lesion_IoU": "IoU, images with a lesion",
    "sensitivity_at_1": "Sensitivity at 1 false region per image",
}


def write_segmentation_folds_table(metrics: Mapping[str, Any]) -> str:
    """Returns the scores of several models below the printed ones of [P1].

    Args:
        metrics: the content of `metrics.json` of a cross-validation.
    """
    data, models = metrics["data"], metrics["models"]
    first = next(iter(models.values()))["lesion"]
    lines = [
        "# Segmentation scores, cross-validated",
        "",
        f"Every one of {metrics['n_patients']} patients was held out once: images "
        f"{metrics['n_images']}, of these without lesion "
        f"{metrics['n_images_without_lesion']}; lesions {first['n']}. Scores of all "
        "folds together; in brackets 95 % intervals, by bootstrap over patients.",
        "",
        *_format_pixels(models, name_source(data)),
        "Pooled: over the pixels of all images. Per image: mean over the images in "
        "which a score is defined; IoU and Dice are 1 where neither readers nor model "
        "mark anything. Which of these the printed scores are is not said; they are "
        "not pooled.",
        "",
        *([PAINTED, ""] if any("detection" in m for m in models.values()) else []),
        *_format_lesions(models, first),
        *_format_groups(models, first),
        *_format_burden(models),
        "Mean of the folds ± standard deviation:",
        "",
        *format_rows(
            ["Model", *_FOLD_SCORES.values()],
            [
                [name, *_format_spreads(model["folds"]["scores"])]
                for name, model in models.items()
            ],
        ),
        "",
        *_format_differences(metrics["comparisons"]),
        *_format_equal_sensitivity(metrics["at_equal_sensitivity"]),
        *format_sizes(models, "Model"),
        *write_detection_folds_tables(models, metrics["detection_comparisons"]),
        *label_data(data),
        DISCLAIMER,
        "",
    ]
    return "\n".join(lines)


def _format_pixels(models: Models, source: str) -> list[str]:
    printed = "printed in Lin 2020, Table 2"
    rows = [
        [model, printed, *(decimals(scores.get(name)) for name in SCORES)]
        for model, scores in PAPER_TABLE_2.items()
    ]
    kmeans = [decimals(PAPER_KMEANS_IOU if name == "IoU" else None) for name in SCORES]
    rows.append(["K-means, K = 9", "printed in Lin 2020, Fig. 11", *kmeans])
    for name, model in models.items():
        for average, words in WAYS:
            scores = model["pixel"][average]
            rows.append(
                [f"{name}, {words}", source]
                + [
                    bracket(scores[s], _interval(model, f"pixel.{average}.{s}"))
                    for s in SCORES
                ]
            )
    return [*format_rows(["Segmentation model", "Data", *SCORES], rows), ""]


def _format_lesions(models: Models, first: Mapping[str, Any]) -> list[str]:
    limits = list(first["sensitivity_at"])
    header = ["Model", "Found", "Sensitivity", "False regions per image"]
    header += [f"Sensitivity at {limit}" for limit in limits]
    header += ["Dice", "Hausdorff 95", "Images without lesion: unmarked"]
    rows = []
    for name, model in models.items():
        lesion, clean = model["lesion"], model["lesion"]["without_lesion"]["clean"]
        distance = lesion["hausdorff95_mm"]
        rows.append(
            [name, f"{lesion['found']} of {lesion['n']}"]
            + [
                _bracket_score(model, f"lesion.{key}", lesion[key])
                for key in ("sensitivity", "false_per_image")
            ]
            + [
                _bracket_score(
                    model,
                    f"lesion.sensitivity_at.{limit}",
                    lesion["sensitivity_at"][limit],
                )
                for limit in limits
            ]
            + [_shorten(lesion["dice"])]
            + ["–" if distance is None else f"{distance:.1f} mm"]
            + [_shorten(clean)]
        )
    return [
        "Lesion by lesion. A region and a lesion meet if their IoU is at least "
        f"{first['min_iou']:g}; a lesion is found if a region meets it, a region that "
        "meets none is false. Probability above 0.5, but for the sensitivity at so "
        "many false regions per image, the best over all thresholds. Dice and "
        "Hausdorff 95 are means over found lesions.",
        "",
        *format_rows(header, rows),
        "",
    ]


def _format_groups(models: Models, first: Mapping[str, Any]) -> list[str]:
    evident = first["evident"]
    groups = {
        "evident": f"{evident['min_area_px']} px and more at contrast "
        f"{evident['min_contrast']:g} and more ({evident['n']})"
    }
    for key, words in (("by_size", "diameter "), ("by_contrast", "contrast ")):
        for name, group in first[key].items():
            groups[f"{key}.{name}"] = f"{words}{name} ({group['n']})"
    rows = []
    for model_name, model in models.items():
        row = [model_name]
        for path in groups:
            group = model["lesion"]
            # Bounds may hold points of their own: "1.5 to 2".
            for key in path.split(".", 1):
                group = group[key]
            row.append(
                _bracket_score(
                    model,
                    f"lesion.{path}.sensitivity_at.1",
                    group["sensitivity_at"]["1"],
                )
            )
        rows.append(row)
    return [
        "Sensitivity at 1 false region per image, by size and contrast; in brackets "
        "after the group, the number of its lesions:",
        "",
        *format_rows(["Model", *groups.values()], rows),
        "",
    ]


def _format_burden(models: Models) -> list[str]:
    units = {"area_mm2": ("area", " mm²"), "counts": ("counts", "")}
    header = ["Model", "Measure", "Images", "Bias", "Limits of agreement"]
    rows = []
    for name, model in models.items():
        for key, (words, unit) in units.items():
            found = model["burden"][key]
            low, high = found["low"], found["high"]
            limits = "–" if low is None else f"{sign(low)} to {sign(high)}{unit}"
            bias = found["bias"]
            rows.append(
                [name, words, str(found["n"])]
                + ["–" if bias is None else f"{sign(bias)}{unit}", limits]
                + [_shorten(found["concordance"])]
            )
    return [
        "Burden of an image, model minus readers (Bland and Altman), of images in "
        "which either marks something; concordance is Lin's:",
        "",
        *format_rows([*header, "Concordance"], rows),
        "",
    ]


def _format_differences(comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    if not comparisons:
        return []
    rows = []
    for each in comparisons:
        first, second = each["models"]
        cells = [
            format_difference(each["differences"][key], each["intervals"][key])
            for key in _COMPARED
        ]
        rows.append([f"{first} − {second}", *cells])
    return [
        "Which model beats which: differences on the same patients. Bold where the 95 "
        "% interval (paired bootstrap over patients) excludes 0: positive, the first "
        "is better.",
        "",
        *format_rows(["Models", *_COMPARED.values()], rows),
        "",
    ]


def _format_equal_sensitivity(found: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = []
    for each in found:
        others, rows = each["false_per_image"], []
        for name, model in each["models"].items():
            low, high = model["interval"]
            bounds = "" if low is None else f" ({_invert(high)}–{_invert(low)})"
            rows.append(
                [name, _shorten(model["false_per_image"])]
                + [f"{_invert(model['fraction'])}{bounds}", str(model["n_unreached"])]
            )
        lines += [
            f"False regions per image at the lesion sensitivity of {each['reference']}"
            f", {_shorten(each['sensitivity'])} with {_shorten(others)} false regions "
            "per image. Times fewer: with the 95 % interval, over the resamples in "
            "which a threshold reaches that sensitivity; those without are counted.",
            "",
            *format_rows(
                ["Model", "False regions per image", "Times fewer", "Without"], rows
            ),
            "",
        ]
    return lines


def _format_spreads(spreads: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        f"{decimals(spreads[name]['mean'])} ± {decimals(spreads[name]['sd'])}"
        for name in _FOLD_SCORES
    ]


def _bracket_score(model: Mapping[str, Any], path: str, score: float | None) -> str:
    low, high = _interval(model, path)
    if score is None or low is None or high is None:
        return _shorten(score)
    return f"{score:.3f} ({low:.2f}–{high:.2f})"


def _interval(model: Mapping[str, Any], path: str) -> Sequence[float | None]:
    found: Sequence[float | None] = model["intervals"][path]
    return found


def _shorten(score: float | None) -> str:
    return "–" if score is None else f"{score:.3f}".replace("-", "\N{MINUS SIGN}")


def _invert(fraction: float | None) -> str:
    """Returns how many times fewer a fraction is."""
    if fraction is None:
        return "–"
    return f"{1 / fraction:.1f}" if fraction > 0 else "∞"
