"""What a run can say of its scores: held out, and of elsewhere."""

from collections.abc import Callable, Mapping
from typing import Any

from spectjax.inference.card import read_measured
from spectjax.inference.metadata import OPERATION
from spectjax.inference.ready import FOLDER
from spectjax.reporting.facts import Fact, Source, look_up, quote_score, state
from spectjax.reporting.subject import METRICS, Subject

_UNSCORED = "the run is not scored: there is no eval/metrics.json"
_SHIPPED = "a model that ships has a card, and no metrics.json"
# What is shown of a document's scores, if it has them.
_SCORES: Mapping[str, str] = {
    "image.auc": "Area under the ROC curve, images",
    "image.recall": "Sensitivity, images, at the more probable class",
    "image.specificity": "Specificity, images, at the more probable class",
    "image.accuracy": "Accuracy, images",
    "patient.auc": "Area under the ROC curve, patients",
    "patient.recall": "Sensitivity, patients",
    "patient.specificity": "Specificity, patients",
    "images.by_view.all.auc": "Area under the ROC curve of images by their label",
    "pixel.pooled.Dice": "Dice of all pixels together",
    "pixel.pooled.IoU": "IoU of all pixels together",
    "pixel.with_lesion.Dice": "Dice of an image with lesions, mean",
    "lesion.sensitivity": "Lesions found, at a probability of 0.5",
    "lesion.false_per_image": "False regions per image, at a probability of 0.5",
    "lesion.sensitivity_at.0.25": "Lesions found at 0.25 false regions per image",
    "lesion.sensitivity_at.1": "Lesions found at 1 false region per image",
    "lesion.without_lesion.clean": "Images without lesion in which nothing is marked",
    "detection.mask.AP50": "Average precision of masks at IoU 0.5",
    "detection.box.AP50": "Average precision of boxes at IoU 0.5",
    "burden.area_mm2.concordance": "Concordance of the area of hotspots with readers'",
}
POINT_SCORES = {
    "sensitivity": "lesions found",
    "false_per_image": "false regions per image",
    "marked_without_lesion": "images without lesion in which something is marked",
}
_MEASURES: Mapping[str, str] = {
    "image": "images and patients: accuracy, precision, recall, specificity, F1, area "
    "under the ROC curve, average precision",
    "pixel": "pixels: accuracy, precision, recall, IoU and Dice, pooled and per image",
    "lesion": "lesions: found at IoU 0.1 and more, false regions, FROC, Dice and "
    "Hausdorff distance of what was found",
    "detection": "instances: average precision of boxes and masks",
    "burden": "burden: area and counts of hotspots against the readers' (Bland-Altman)",
    "images": "whole images by their labels: area under the ROC curve",
    "calibration": "calibration: expected calibration error, Brier score",
    "operation": "operating points, and calibration of region scores",
}


def _explain(subject: Subject) -> str:
    return _SHIPPED if subject.shipped is not None else _UNSCORED


def _choose_document(subject: Subject) -> tuple[str, Mapping[str, Any] | None]:
    """Returns scores and their file: those held out, else the first of elsewhere."""
    if subject.metrics is None and subject.evaluations:
        return subject.evaluations[0].file, subject.evaluations[0].metrics
    return METRICS, subject.metrics


def describe_measures(subject: Subject) -> Fact:
    """Returns which scores there are."""
    file, metrics = _choose_document(subject)
    if metrics is None:
        return Fact(missing=f"measures: {_explain(subject)}")
    lines = [f"Of {text}." for key, text in _MEASURES.items() if metrics.get(key)]
    lines.append("docs/metrics.md of spectjax defines each.")
    keys = [Source(file, key) for key in _MEASURES if metrics.get(key)]
    return state(lines, *keys)


def describe_uncertainty(subject: Subject) -> Fact:
    """Returns how intervals were made."""
    file, metrics = _choose_document(subject)
    if metrics is None:
        return Fact(missing=f"uncertainty: {_explain(subject)}")
    for key in ("intervals", "image"):
        section = metrics.get(key)
        if isinstance(section, Mapping) and "resamples" in section:
            return state(
                f"Intervals of {section['level']:.0%}: percentiles of a bootstrap over "
                f"patients, {section['resamples']} resamples. No test of significance.",
                Source(file, f"{key}.resamples"),
                Source(file, f"{key}.level"),
            )
    return Fact(missing="uncertainty: the scores are older than their intervals")


def describe_internal(subject: Subject) -> Fact:
    """Returns the scores on what was held out."""
    metrics = subject.metrics
    if subject.shipped is not None:
        facts = read_measured(FOLDER, subject.name)["facts"]
        lines = [
            f"{each['what']}: {each['found']} ({each['of']})."
            for each in facts
            if each["found"]
        ]
        missing = "; ".join(each["what"] for each in facts if not each["found"])
        return state(lines, Source("measured.json", "facts"), missing=missing)
    if metrics is None:
        return Fact(missing=f"scores: {_explain(subject)}")
    lines, sources = list_scores(metrics, METRICS)
    data = metrics["data"]
    words = ["LEAKING"] * bool(data.get("leaking")) + ["SYNTHETIC"] * data["synthetic"]
    first = (
        f"{', '.join(words)}{': ' if words else ''}{metrics['n_images']} images of "
        f"{metrics['n_patients']} patients, {data['name']} {data['split']}."
    )
    if data.get("leaking"):
        first += " Copies of these images were trained on: it says little of others."
    return state([first, *lines], Source(METRICS, "data"), *sources)


def list_scores(
    metrics: Mapping[str, Any], file: str
) -> tuple[list[str], list[Source]]:
    """Returns lines on the main scores of a document, and where they stand."""
    lines, sources = [], []
    for path, label in _SCORES.items():
        text = quote_score(metrics, path, file)
        if text:
            lines.append(f"{label}: {text}.")
            sources.append(Source(file, path))
    return lines, sources


def describe_groups(subject: Subject) -> Fact:
    """Returns scores by size, contrast, view and diagnosis."""
    metrics = subject.metrics
    if metrics is None:
        return Fact(missing=f"scores of groups: {_explain(subject)}")
    lines, sources = [], []
    for section, score, label in (
        ("lesion.by_size", "sensitivity", "Lesions found, of size"),
        ("lesion.by_contrast", "sensitivity", "Lesions found, of contrast"),
        ("by_view", "auc", "Area under the ROC curve, view"),
        ("images.by_view", "auc", "Area under the ROC curve by the label, view"),
        ("by_diagnosis", "recall", "Images called rightly, diagnosis"),
    ):
        groups = look_up(metrics, section)
        if not isinstance(groups, Mapping):
            continue
        found = [
            f"{name} {quote_score(metrics, f'{section}.{name}.{score}', METRICS)} "
            f"of {group.get('n', '?')}"
            for name, group in groups.items()
        ]
        lines.append(f"{label}: {'; '.join(found)}.")
        sources.append(Source(METRICS, section))
    return state(lines, *sources)


def describe_calibration(subject: Subject) -> Fact:
    """Returns how far probabilities are from frequencies."""
    lines, sources = [], []
    regions = "operation.calibration.regions.ece_"
    for what, paths in (
        ("images", ("calibration.before.ece", "calibration.after.ece")),
        ("region scores", (f"{regions}before", f"{regions}after")),
    ):
        before, after = (
            quote_score(subject.metrics or {}, path, METRICS) for path in paths
        )
        if before:
            told = f", {after} after" if after else "; none was fitted"
            lines.append(
                f"Expected calibration error of {what}: {before} before "
                f"calibration{told}."
            )
            sources += [Source(METRICS, path) for path in paths[: 1 + bool(after)]]
    if not lines:
        why = _explain(subject) if subject.metrics is None else "nobody measured it"
        return Fact(missing=f"calibration: {why}")
    return state(lines, *sources)


def describe_thresholds(subject: Subject) -> Fact:
    """Returns from which score on something is marked or called."""
    if subject.operation is not None:
        file = subject.config_file if subject.shipped else f"eval/{OPERATION}"
        sources = [Source(file, "operation.points" if subject.shipped else "points")]
        lines = [
            f"Regions of {subject.operation.min_area_mm2:.0f} mm2 and more are marked "
            "whose score is above that of the operating point, `specific` unless its "
            "user names another:"
        ]
        lines += [
            f"{name}: score above {point.score:.2f}; where it was measured, "
            f"{point.false_per_image:.2f} false regions per image."
            for name, point in subject.operation.points.items()
        ]
        return state(lines, *sources)
    reached = look_up(subject.metrics or {}, "image.sensitivity_at_specificity")
    if isinstance(reached, Mapping):
        lines = ["An image is called metastasis at a probability of 0.5 and more."]
        base = "image.sensitivity_at_specificity"
        for name in reached:
            threshold = quote_score(
                subject.metrics or {}, f"{base}.{name}.threshold", METRICS
            )
            lines.append(
                f"A specificity of {name} was reached at log-odds of {threshold}, "
                "chosen on the held-out images themselves."
            )
        return state(lines, Source(METRICS, base))
    return Fact(missing="operating points: nobody measured them")


def describe_failures(subject: Subject) -> Fact:
    """Returns how much was missed and marked falsely, and where each case stands."""
    metrics = subject.metrics
    if metrics is None:
        return Fact(missing=f"failures: {_explain(subject)}")
    lines, sources = [], []
    lesion = metrics.get("lesion")
    if lesion:
        lines.append(
            f"{lesion['n'] - lesion['found']} of {lesion['n']} lesions missed and "
            f"{quote_score(metrics, 'lesion.false_regions', METRICS)} false regions, "
            "at a probability of 0.5; eval/lesions.csv and eval/regions.csv have each."
        )
        sources += [Source(METRICS, f"lesion.{key}") for key in ("n", "found")]
    if "image" in metrics:
        counts = {
            key: quote_score(metrics, f"image.confusion.{key}", METRICS)
            for key in ("fn", "fp")
        }
        lines.append(
            f"{counts['fn']} images with metastases called normal, {counts['fp']} "
            "normal ones called metastasis; eval/cases.csv has each, "
            "eval/figures/mistakes.png shows some."
        )
        sources.append(Source(METRICS, "image.confusion"))
    return state(lines, *sources)


SCORE_FACTS: Mapping[str, tuple[str, Callable[[Subject], Fact]]] = {
    "measures": ("Measures", describe_measures),
    "uncertainty": ("Intervals", describe_uncertainty),
    "internal": ("Scores on what was held out", describe_internal),
    "groups": ("Scores of groups", describe_groups),
    "calibration": ("Calibration", describe_calibration),
    "thresholds": ("Thresholds", describe_thresholds),
    "failures": ("Failures", describe_failures),
}
