"""What a model answers: class probabilities, or the instances that it marks.

A task's row says of which kind the answers of its models are; what that means is known
here only. The number of images is B, of instances in each D; height, width and classes
are H, W and K.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from spectjax.imaging.hotspots import AnswerError, Instances
from spectjax.tasks import TASKS

# Probabilities, float32, (B, H, W, K), or (B, K) of a classifier.
Answer = np.ndarray | Instances
# Maps counts (B, H, W, 1) to the answer.
Predict = Callable[[np.ndarray], Answer]

_ROUNDING = 1e-3  # so far beyond 0 or 1 may probabilities be


def list_arrays(
    task: str, hw: tuple[int, int], *, depth: int | str = "D"
) -> list[dict[str, Any]]:
    """Returns the arrays of an answer as metadata describe them, ready for JSON.

    Args:
        task: a name of `TASKS`.
        hw: H and W.
        depth: D.
    """
    row = TASKS[task]
    if row.answer == "instances":
        box = "(y0, x0, y1, x1), pixels; pixel i covers [i, i + 1)"
        return [
            {"name": name, "dtype": dtype, "unit": unit}
            | {"shape": ["B", depth, *more], "axes": ["image", "instance", *axes]}
            for name, dtype, unit, more, axes in (
                ("boxes", "float32", box, (4,), ("side",)),
                ("scores", "float32", "probability of the label; falls", (), ()),
                ("labels", "int32", "index of the class", (), ()),
                ("valid", "bool", "false: a row that fills up", (), ()),
                ("masks", "bool", "pixels of the image", hw, ("row", "column")),
            )
        ]
    per_pixel = row.answer == "pixels"
    return [
        {
            "name": "probs",
            "dtype": "float32",
            "shape": ["B", *(hw if per_pixel else ()), len(row.class_names())],
            "axes": ["image", *(["row", "column"] if per_pixel else []), "class"],
            "unit": "probability; the classes of "
            f"{'a pixel' if per_pixel else 'an image'} sum to 1",
        }
    ]


def name_arrays(answer: Any) -> Any:
    """Returns an answer as a program gives it: an array, or several by their names.

    jax.export knows dictionaries, and no tuples of ours.
    """
    return answer._asdict() if isinstance(answer, Instances) else answer


def join_arrays(arrays: Any) -> Any:
    """Returns the answer of what `name_arrays` returns."""
    return Instances(**arrays) if isinstance(arrays, Mapping) else arrays


def read_answer(
    task: str, counts_shape: tuple[int, ...], arrays: Mapping[str, np.ndarray]
) -> Answer:
    """Returns the answer that a program gave, after a look at what it is.

    Numbers that are not finite are let through: they are said of one image.

    Args:
        task: a name of `TASKS`.
        counts_shape: (B, H, W, 1).
        arrays: by their names; a single one has none.

    Raises:
        AnswerError: if they are not those of the task, or if a probability is far below
            0 or above 1; a few words.
    """
    batch, height, width, _ = counts_shape
    depth = next((x.shape[1] for x in arrays.values() if x.ndim > 1), "D")
    listed = list_arrays(task, (height, width), depth=depth)
    expected = {
        each["name"] if len(listed) > 1 else "": (
            each["dtype"],
            (batch, *each["shape"][1:]),
        )
        for each in listed
    }
    found = {name: (x.dtype.name, x.shape) for name, x in arrays.items()}
    if found != expected:
        raise AnswerError(f"answers {_say(found)}, not {_say(expected)}")
    probs = arrays["" if "" in arrays else "scores"]
    known = probs[np.isfinite(probs)]
    if known.size and not -_ROUNDING <= known.min() <= known.max() <= 1 + _ROUNDING:
        raise AnswerError(
            f"gives probabilities from {known.min():.3g} to {known.max():.3g}"
        )
    answer: Answer = join_arrays(arrays.get("", arrays))
    return answer


def _say(arrays: Mapping[str, tuple[str, tuple[Any, ...]]]) -> str:
    said = [f"{name[:20]} {kind} {shape}" for name, (kind, shape) in arrays.items()]
    return ", ".join(said[:5]).strip()


def take(answer: Answer, rows: int | slice | np.ndarray) -> Answer:
    """Returns what is said of some images; of one, if `rows` is a number, no B."""
    return _pick(answer, rows) if isinstance(answer, Instances) else answer[rows]


def _pick(instances: Instances, rows: int | slice | np.ndarray) -> Instances:
    return Instances(*(np.asarray(each)[rows] for each in instances))


def measure_difference(first: Answer, second: Answer) -> float:
    """Returns how far two answers about the same images are apart at most.

    Of probabilities it is their largest difference. Two instances of one class are as
    far apart as their scores, as the sides of their boxes in fractions of the image, or
    as the fraction of the image's pixels in which their masks differ, whichever is
    most; two images are as far apart as the instance that is farthest from all those of
    the other image. The order of instances does not matter: that of equal scores is
    open.

    Returns:
        At least 0; infinite if one image has instances of a class and the other none;
        NaN if a number is.
    """
    if not isinstance(first, Instances) or not isinstance(second, Instances):
        return float(np.abs(np.asarray(first) - np.asarray(second)).max())
    return float(
        np.max(  # which, unlike max, keeps a NaN
            [
                _measure_image(_pick(first, row), _pick(second, row))
                for row in range(len(first.scores))
            ]
        )
    )


def _measure_image(first: Instances, second: Instances) -> float:
    """Returns how far the instances of one image are apart, see above."""
    a, b = (_pick(each, each.valid) for each in (first, second))
    if not len(a.scores) or not len(b.scores):
        return 0.0 if len(a.scores) == len(b.scores) else float("inf")
    height, width = a.masks.shape[1:]
    sides = np.array([height, width, height, width])
    boxes = np.abs(a.boxes[:, None] - b.boxes[None]) / sides
    masks = (a.masks[:, None] != b.masks[None]).mean(axis=(2, 3))
    distances = np.maximum(np.abs(a.scores[:, None] - b.scores[None]), masks)
    distances = np.maximum(distances, boxes.max(axis=2))
    distances = np.where(a.labels[:, None] == b.labels[None], distances, np.inf)
    return float(max(distances.min(axis=1).max(), distances.min(axis=0).max()))
