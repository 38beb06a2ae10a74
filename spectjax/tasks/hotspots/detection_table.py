"""Tables of average precision of boxes and masks, of one model or several, as Markdown.

They are a section of another table, see `spectjax.tasks.hotspots.table`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from spectjax.report.markdown import (
    bracket,
    format_rows,
    tabulate_differences,
    tabulate_spreads,
)

_RULE = """\
Detections in the order of their scores, as COCO has it: each takes the free lesion of
its image that it covers best, if their intersection over union is at least a threshold;
all others are false, also a second one on a lesion and those in images without lesion.
AP is the mean over 101 recalls of the best precision at this recall or a higher one:
AP10 at the threshold 0.1, ..., AP50 at 0.5, AP10–50 their mean; COCO's AP is the mean
over 0.5, 0.55, ..., 0.95, AR the mean recall of all detections over the same. A lesion
is a connected region of the readers' mask.
"""
_BY_SIZE = """\
By size, the root of the area, with the number of lesions in brackets. Detections of
lesions outside a class do not count in it, nor do false ones outside it; a bound is in
both its classes.
"""
_COLUMNS = {
    "AP10": "AP10",
    "AP30": "AP30",
    "AP50": "AP50",
    "AP10_50": "AP10–50",
    "AP75": "AP75",
    "AP": "AP, COCO",
    "AR": "AR, COCO",
}
_KINDS = {"box": "boxes", "mask": "masks"}
_OF_SIZE = ("AP50", "AP10_50")  # whose intervals are known for each class
_COMPARED = {
    "mask.AP50": "AP50 of masks",
    "mask.AP10_50": "AP10–50 of masks",
    "box.AP50": "AP50 of boxes",
    "box.AP10_50": "AP10–50 of boxes",
}


def tabulate_detections(
    models: Mapping[str, Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Returns the lines of the section on detections.

    Args:
        models: by name, the entry `detection` of `metrics.json`; all of the same
            images. Over all folds they have `folds` too.
        comparisons: of pairs of them, see `compare_detections`.
    """
    first = next(iter(models.values()))
    sizes = {size: each["n"] for size, each in first["mask"]["by_size"].items()}
    overall, by_size = [], []
    for name, scores in models.items():
        for kind, words in _KINDS.items():
            cells = [bracket(scores, kind, column) for column in _COLUMNS]
            overall.append([name, str(scores["n_detections"]), words, *cells])
            for score in _OF_SIZE:
                cells = [bracket(scores, kind, "by_size", x, score) for x in sizes]
                by_size.append([name, f"{_COLUMNS[score]} of {words}", *cells])
    columns = ["Model", "Detections", "Compared by", *_COLUMNS.values()]
    titles = [f"{size} ({n})" for size, n in sizes.items()]
    lines = [
        "## Detections",
        "",
        _RULE,
        *format_rows(columns, overall),
        _BY_SIZE,
        *format_rows(["Model", "Score", *titles], by_size),
    ]
    if "folds" in first:
        folds = {name: scores["folds"]["scores"] for name, scores in models.items()}
        lines += ["Mean of the folds ± standard deviation:", ""]
        lines += tabulate_spreads("Model", _COMPARED, folds)
    return lines + tabulate_differences(_COMPARED, comparisons)
