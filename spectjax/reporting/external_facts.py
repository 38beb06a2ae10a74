"""What a run can say of scores on data that it was not prepared with."""

from collections.abc import Callable, Mapping
from typing import Any

from spectjax.reporting.facts import Fact, Source, look_up, quote_score, state
from spectjax.reporting.score_facts import POINT_SCORES, list_scores
from spectjax.reporting.subject import Evaluation, Subject

_ADJUSTED = {
    "adjusted.temperature.value": "temperature",
    "adjusted.temperature.calibration.ece": "with it, expected calibration error",
    "adjusted.prevalence.value": "shift of the log-odds for another prevalence",
    "adjusted.prevalence.calibration.ece": "with it, expected calibration error",
    "adjusted.prevalence.recall": "with it, sensitivity of images",
    "adjusted.prevalence.specificity": "with it, specificity of images",
}


def describe_external(subject: Subject) -> Fact:
    """Returns scores on data that the model was not prepared with."""
    lines, sources = [], []
    for number, each in enumerate(subject.evaluations, start=1):
        metrics = each.metrics
        lines.append(f"Evaluation {number}: {_name_data(metrics)}.")
        scores, found = list_scores(metrics, each.file)
        lines += [f"Evaluation {number}: {line}" for line in scores]
        sources += [Source(each.file, "data"), *found]
        for name, point in (look_up(metrics, "operation.points") or {}).items():
            told = [
                f"{label} {quote_score(metrics, path, each.file)}"
                for score, label in POINT_SCORES.items()
                for path in [f"operation.points.{name}.{score}"]
                if score in point
            ]
            lines.append(
                f"Evaluation {number}, at its own point {name}: {', '.join(told)}."
            )
            sources.append(Source(each.file, f"operation.points.{name}"))
    return _or_none(subject, lines, sources)


def _name_data(metrics: Mapping[str, Any]) -> str:
    """Returns on whom a model was scored."""
    data = metrics["data"]
    kind = "SYNTHETIC" if data["synthetic"] else "real"
    return (
        f"{metrics['n_images']} images of {metrics['n_patients']} {kind} patients, "
        f"{data['name']} {data['split']}"
    )


def _or_none(subject: Subject, lines: list[str], sources: list[Source]) -> Fact:
    """Returns a fact on evaluations; that none was named is not one."""
    if not subject.evaluations:
        return Fact(missing="data of elsewhere: no --evaluation was named")
    return state(lines, *sources)


def describe_overlap(subject: Subject) -> Fact:
    """Returns what was compared between training and data of elsewhere."""
    lines, sources = [], []
    for number, each in enumerate(subject.evaluations, start=1):
        external = each.metrics["external"]
        for title, found in (
            ("compared with the training", external["checked"]),
            ("NOT checked", external["not_checked"]),
            ("left out", [f"{k}: {n}" for k, n in external["left_out"].items()]),
        ):
            lines.append(
                f"Evaluation {number}, {title}: {'; '.join(found) or 'nothing'}."
            )
            sources.append(Source(each.file, "external"))
    return _or_none(subject, lines, sources)


def describe_elsewhere(subject: Subject) -> Fact:
    """Returns views, diagnoses, cameras and matrices of the data of elsewhere."""
    lines, sources = [], []
    for number, each in enumerate(subject.evaluations, start=1):
        lines.append(f"Evaluation {number}: {_name_data(each.metrics)}.")
        sources.append(Source(each.file, "data"))
        for kind, groups in (each.metrics.get("subgroups") or {}).items():
            found = ", ".join(f"{k} ({v['n_images']})" for k, v in groups.items())
            lines.append(f"Evaluation {number}, images by {kind}: {found}.")
            sources.append(Source(each.file, f"subgroups.{kind}"))
    return _or_none(subject, lines, sources)


def describe_clusters(subject: Subject) -> Fact:
    """Returns how scores differ between cameras and matrices."""
    lines, sources = [], []
    for number, each in enumerate(subject.evaluations, start=1):
        for kind in ("camera", "matrix"):
            for name in (each.metrics.get("subgroups") or {}).get(kind, {}):
                path = f"subgroups.{kind}.{name}"
                found = [
                    f"{label} {text}"
                    for score, label in {**POINT_SCORES, "auc": "AUC"}.items()
                    if (text := _quote_group(each, kind, name, score))
                ]
                lines.append(f"Evaluation {number}, {kind} {name}: {', '.join(found)}.")
                sources.append(Source(each.file, path))
    return _or_none(subject, lines, sources)


def _quote_group(each: Evaluation, kind: str, name: str, score: str) -> str:
    """Returns a score of a group, whose name may hold dots."""
    group = each.metrics["subgroups"][kind][name]
    return quote_score(group, score, each.file) if score in group else ""


def describe_updating(subject: Subject) -> Fact:
    """Returns whether the model was adjusted to data of elsewhere."""
    lines, sources = [], []
    for number, each in enumerate(subject.evaluations, start=1):
        adjusted = each.metrics.get("adjusted")
        if not adjusted:
            lines.append(f"Evaluation {number}: nothing was adjusted.")
            sources.append(Source(each.file))
            continue
        on = adjusted.get("fitted_on") or (adjusted.get("measured_on") or {}).get(
            "split"
        )
        lines.append(
            f"Evaluation {number}: told besides is what an adjustment gives that was "
            f"made on {on}, none of which was scored; the model itself is as it was."
        )
        sources.append(Source(each.file, "adjusted"))
        for path, label in _list_adjusted(adjusted).items():
            text = quote_score(each.metrics, path, each.file)
            if text:
                lines.append(f"Evaluation {number}, adjusted: {label} {text}.")
    return _or_none(subject, lines, sources)


def _list_adjusted(adjusted: Mapping[str, Any]) -> dict[str, str]:
    """Returns which scores after an adjustment are told, by their paths."""
    points = {
        f"adjusted.points.{name}.{score}": f"at the point {name} {label}"
        for name in adjusted.get("points") or {}
        for score, label in POINT_SCORES.items()
    }
    return points | _ADJUSTED


EXTERNAL_FACTS: Mapping[str, tuple[str, Callable[[Subject], Fact]]] = {
    "external": ("Scores on data of elsewhere", describe_external),
    "overlap": ("Overlap with the training", describe_overlap),
    "elsewhere": ("Data of elsewhere", describe_elsewhere),
    "clusters": ("Scores by camera and matrix", describe_clusters),
    "updating": ("Adjustments", describe_updating),
}
