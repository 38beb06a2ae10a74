"""Tables of average precision of boxes and masks, of one model or several, as Markdown.

They are sections of other tables: a run's `table.md` and a cross-validation's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from spectjax.report.markdown import format_rows
from spectjax.tasks.hotspots.lesion_table import format_bounded

_RULE = """\
Detections in the order of their scores, as COCO has it: each takes the free lesion of
its image that it covers best, if their intersection over union is at least a threshold;
all others are false, also a second one on a lesion and those in images without lesion.
AP is the mean over 101 recalls of the best precision at this recall or a higher one:
AP10 at the threshold 0.1, ..., AP50 at 0.5, AP10–50 their mean; COCO's AP is the mean
over 0.5, 0.55, ..., 0.95, AR the mean recall of all detections over the same. A lesion
is a connected region of the readers' mask. In brackets: 95 % intervals, bootstrap over
patients.
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


def write_detection_tables(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns the lines of the section on detections.

    Args:
        models: by name, the entry `detection` of `metrics.json`; all of the same
            images.
    """
    first = next(iter(models.values()))
    return [
        "## Detections",
        "",
        _RULE,
        *format_rows(
            ["Model", "Detections", "Compared by", *_COLUMNS.values()],
            [
                [name, str(scores["n_detections"]), words]
                + [_format(scores, kind, column) for column in _COLUMNS]
                for name, scores in models.items()
                for kind, words in _KINDS.items()
            ],
        ),
        "",
        _BY_SIZE,
        *format_rows(
            ["Model", "Score", *_name_sizes(first)],
            [
                [
                    name,
                    f"{_COLUMNS[score]} of {words}",
                    *_format_sizes(each, kind, score),
                ]
                for name, each in models.items()
                for kind, words in _KINDS.items()
                for score in _OF_SIZE
            ],
        ),
        "",
    ]


def _name_sizes(scores: Mapping[str, Any]) -> list[str]:
    """Returns the classes of size, each with the number of its lesions."""
    by_size = scores["mask"]["by_size"]
    return [f"{size} ({each['n']})" for size, each in by_size.items()]


def _format_sizes(scores: Mapping[str, Any], kind: str, score: str) -> list[str]:
    """Returns one score in each class of size."""
    return [
        _format(scores, kind, "by_size", size, score)
        for size in scores[kind]["by_size"]
    ]


def _format(scores: Mapping[str, Any], *path: str) -> str:
    """Returns the score at a path and its interval."""
    found: Any = scores
    for key in path:
        found = found[key]
    interval: Sequence[float | None] = scores["intervals"][".".join(path)]
    return format_bounded(found, interval)
