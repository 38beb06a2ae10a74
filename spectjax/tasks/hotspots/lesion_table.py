"""Tables of what models find lesion by lesion and of burden, as Markdown."""

from collections.abc import Mapping
from typing import Any

from spectjax.report.markdown import bracket, format_rows, format_score

_RULE = """\
A lesion is a connected region of the readers' mask (pixels that touch by a corner are
connected); touching lesions count as one. The model's regions are those of the pixels
whose hotspot probability exceeds a threshold. A region and a lesion meet if their
intersection over union is at least {min_iou:g}: a lesion that a region meets is found,
a region that meets no lesion is false. Here the threshold is {threshold:g}. Dice and
Hausdorff 95 are means over the found lesions and the regions that meet them.
"""
_BEST = """\
Sensitivity within so many false regions per image, by the threshold that suits these
very images best:
"""
_GROUPS = """\
By size and contrast, with the number of lesions in brackets. Contrast: mean counts in
the lesion over the median counts of a ring around it. Evident: {min_area_px} px and
more at a contrast of {min_contrast:g} and more.
"""
_BURDEN = """\
Per image, model minus readers, over the images in which either marked something; limits
of agreement 1.96 standard deviations to either side of the bias (Bland and Altman),
Lin's concordance.
"""
_FOUND = {
    ("sensitivity",): "Sensitivity",
    ("false_per_image",): "False per image",
    ("without_lesion", "clean"): "Images without lesion: unmarked",
    ("dice",): "Dice",
}
_GROUP_SCORES = {
    ("sensitivity",): "sensitivity",
    ("sensitivity_at", "1"): "sensitivity at 1 false region per image",
}
_MEASURES = {"area_mm2": "area, mm²", "counts": "counts"}

Models = Mapping[str, Mapping[str, Any]]


def tabulate_lesions(models: Models) -> list[str]:
    """Returns the lines of the section on lesions.

    Args:
        models: by name, `lesion` and `intervals` as `metrics.json` has them; all of the
            same images.
    """
    first = next(iter(models.values()))["lesion"]
    rows = []
    for name, model in models.items():
        lesion = model["lesion"]
        rows.append(
            [name, f"{lesion['found']} of {lesion['n']}"]
            + [f"{lesion['false_regions']} of {lesion['regions']}"]
            + [bracket(model, "lesion", *keys) for keys in _FOUND]
            + [bracket(model, "lesion", "hausdorff95_mm", pattern=".1f", bounds=".1f")]
        )
    header = ["Model", "Lesions found", "Regions that are false", *_FOUND.values()]
    return [
        "## Lesions",
        "",
        _RULE.format_map(first),
        *format_rows([*header, "Hausdorff 95, mm"], rows),
        _BEST,
        *_tabulate_best(models, list(first["sensitivity_at"])),
        _GROUPS.format_map(first["evident"]),
        *_tabulate_groups(models),
    ]


def _tabulate_best(models: Models, limits: list[str]) -> list[str]:
    """Returns the sensitivity for all and for evident lesions, and the threshold."""
    rows = []
    for name, model in models.items():
        for words, path in (("all", ("lesion",)), ("evident", ("lesion", "evident"))):
            cells = [bracket(model, *path, "sensitivity_at", each) for each in limits]
            rows.append([name, f"{words} lesions", *cells])
        reached = model["lesion"]["threshold_at"]
        cells = [_format_threshold(reached[each]) for each in limits]
        rows.append([name, "threshold, all lesions", *cells])
    return format_rows(["Model", "False regions per image", *limits], rows)


def _tabulate_groups(models: Models) -> list[str]:
    """Returns the scores of all lesions, evident ones, and classes of them."""
    first = next(iter(models.values()))["lesion"]
    groups: dict[str, tuple[str, ...]] = {"all": (), "evident": ("evident",)}
    for section, words in (("by_size", "diameter"), ("by_contrast", "contrast")):
        groups |= {f"{words} {name}": (section, name) for name in first[section]}
    rows = []
    for name, model in models.items():
        for keys, words in _GROUP_SCORES.items():
            cells = [bracket(model, "lesion", *g, *keys) for g in groups.values()]
            rows.append([name, words, *cells])
        found = [_find(model["lesion"], path) for path in groups.values()]
        for key, words, pattern in (
            ("dice", "Dice", ".3f"),
            ("hausdorff95_mm", "Hausdorff 95, mm", ".1f"),
        ):
            rows.append([name, words, *(format_score(g[key], pattern) for g in found)])
    titles = [f"{words} ({_find(first, path)['n']})" for words, path in groups.items()]
    return format_rows(["Model", "Score", *titles], rows)


def tabulate_burden(models: Models) -> list[str]:
    """Returns the lines of the section on burden: the agreement of area and counts.

    Args:
        models: by name, `burden` and `intervals` as `metrics.json` has them.
    """
    signed, rows = "+,.0f", []
    for name, model in models.items():
        for key, words in _MEASURES.items():
            found = model["burden"][key]
            low, high = (format_score(found[end], signed) for end in ("low", "high"))
            bias = bracket(model, "burden", key, "bias", pattern=signed, bounds=signed)
            rows.append(
                [name, words, str(found["n"]), bias, format_score(found["sd"], ",.0f")]
                + ["–" if found["low"] is None else f"{low} to {high}"]
                + [format_score(found["concordance"], ".3f")]
            )
    header = ["Model", "Measure", "Images", "Bias", "SD", "Limits of agreement"]
    return ["## Burden", "", _BURDEN, *format_rows([*header, "Concordance"], rows)]


def _find(lesion: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    """Returns the group of lesions at a path."""
    for key in path:
        lesion = lesion[key]
    return lesion


def _format_threshold(threshold: float | None) -> str:
    """Returns a probability as text that is not 1 just below 1."""
    near_one = threshold is not None and threshold > 0.99
    return format_score(threshold, ".6f" if near_one else ".3g")
