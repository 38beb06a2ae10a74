"""The page of a study: its views as recorded, and what a model says of each.

Of a view it holds the counts and the document that the command writes as JSON, whole:
what the page says of where a view comes from, the file says too, and no more.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import spectjax
from spectjax.bones.found import FoundBones
from spectjax.inference.card import write_card
from spectjax.inference.ready import FOLDER, WHOLE_BODY, read_document
from spectjax.pages.packing import pack_counts
from spectjax.pages.writing import fill_page
from spectjax.tasks.views import ModelInfo

FORMAT = 1  # raise it when `Row` changes
_SCRIPTS = ("outlines.js", "pane.js", "panel.js", "bones.js", "study.js")
_VIEWS = ("anterior", "posterior")


@dataclass(frozen=True)
class PageView:
    """A view as a page shows it.

    Attributes:
        name: of its other files.
        counts: all that is shown, (H, W). Posterior views are as recorded.
        view: "anterior" or "posterior".
        document: what is written of it as JSON.
        crop_box: (y0, x0, y1, x1) of what the model looked at, pixels, half-open.
        in_doubt: whether that may be something else than the thorax.
        weak_view: whether the view, and so which side is which, is in doubt.
        map_box: of an explanation what its map covers, as `crop_box`; else None.
        truth: what readers say of it, see `truth`; None if nobody asked.
        bones: what it shows; None if nobody looked, or found any.
    """

    name: str
    counts: np.ndarray
    view: str
    document: Mapping[str, Any]
    crop_box: tuple[int, int, int, int]
    in_doubt: bool
    weak_view: bool = False
    map_box: tuple[int, int, int, int] | None = None
    truth: Mapping[str, Any] | None = None
    bones: FoundBones | None = None


@dataclass(frozen=True)
class Row:
    """What the index says of a study; its page holds it for the index of later runs.

    Attributes:
        title: the study, one printable line.
        images: keys or names of its images.
        views: of its images, in their order.
        found: what was found, a few words.
        in_doubt: whether a crop is.
        doubt: how many corrections are expected; None if nobody knows.
        warnings: number of sentences that warn.
        passed_over: number of files and views of it that could not be used.
        synthetic: whether it is simulated in whole or in part.
        model: which model said so.
        command: that wrote the page.
        written: when, UTC.
    """

    title: str
    images: Sequence[str]
    views: Sequence[str]
    found: str
    in_doubt: bool
    doubt: float | None
    warnings: int
    passed_over: int
    synthetic: bool
    model: str
    command: str
    written: str


@dataclass(frozen=True)
class Study:
    """What a page is made of.

    Attributes:
        title: which study, one printable line.
        views: those that were read, anterior before posterior.
        passed_over: sentences on what of it could not be used, without folders.
        model: where the model comes from.
        command: that writes the page.
        notes: on what is shown, a sentence each.
    """

    title: str
    views: Sequence[PageView]
    passed_over: Sequence[str]
    model: ModelInfo
    command: str
    notes: Sequence[str] = ()


def sort_views(views: Sequence[PageView]) -> list[PageView]:
    """Returns views as they are hung: anterior, then posterior."""
    return sorted(views, key=lambda each: _VIEWS.index(each.view))


def make_row(study: Study) -> Row:
    """Returns what the index says of a study."""
    documents = [view.document for view in study.views]
    now = datetime.datetime.now(datetime.UTC)
    return Row(
        title=study.title,
        images=[
            str(each["source"].get("image_key", view.name))
            for view, each in zip(study.views, documents, strict=True)
        ],
        views=[view.view for view in study.views],
        found=_say_found(study.views),
        in_doubt=any(view.in_doubt for view in study.views),
        doubt=_sum_doubt(documents),
        warnings=len({text for each in documents for text in each["warnings"]}),
        passed_over=len(study.passed_over),
        synthetic=any(each["source"]["synthetic"] for each in documents),
        model=name_model(study.model),
        command=study.command,
        written=f"{now:%Y-%m-%d %H:%M} UTC",
    )


def write_page(study: Study, row: Row) -> str:
    """Returns the page of a study as HTML."""
    digest = f"Model {row.model}. {describe_digest(study.model)}"
    return fill_page(
        "study.html",
        style=["page.css", "study.css"],
        script=_SCRIPTS,
        foot=digest,
        texts={
            "title": study.title,
            "digest": digest,
            "written": f"Written {row.written} by spectjax {spectjax.__version__}, "
            f"{study.command}.",
        },
        data={
            "row": vars(row),
            "data": {
                "title": study.title,
                "command": study.command,
                "synthetic": row.synthetic,
                "views": [_show(view) for view in study.views],
                "limits": [*study.notes, *list_limits(study.views)],
                "passed_over": study.passed_over,
                "model": study.model,
                "digest": describe_digest(study.model),
                "card": find_card(study.model),
            },
        },
        markup={"format": str(FORMAT)},
    )


def _show(view: PageView) -> dict[str, Any]:
    """Returns a view for a page's JSON."""
    counted = view.counts[view.counts > 0]
    return {
        "name": view.name,
        "view": view.view,
        "counts": pack_counts(view.counts),
        # The few hottest pixels must not bleach bone.
        "white": float(np.percentile(counted, 99)) if counted.size else 1.0,
        "crop": view.crop_box,
        "in_doubt": view.in_doubt,
        "weak_view": view.weak_view,
        "map_box": view.map_box,
        "truth": view.truth,
        "document": view.document,
        **({} if view.bones is None else {"bones": _pack_bones(view.bones)}),
    }


def _pack_bones(bones: FoundBones) -> dict[str, Any]:
    """Returns which region each pixel shows, and the names of all, for a page."""
    from spectjax.bones.regions import NAMES  # with scipy: most pages show none

    return {"map": pack_counts(bones.regions), "names": ["", *NAMES]}


def list_limits(views: Sequence[PageView]) -> list[str]:
    """Returns what nothing is said of, a sentence each."""
    limits = [
        f"No {missing} view was read: nothing is said of it."
        for missing in _VIEWS
        if missing not in {view.view for view in views}
    ]
    whole = [
        view.view
        for view in views
        if tuple(view.crop_box) != (0, 0, *view.counts.shape)
    ]
    if whole:
        limits.append(
            "The model looked at what lies in the dashed frame, and nothing is said of "
            "the rest of the body."
        )
    return limits


def name_model(info: ModelInfo) -> str:
    """Returns what a model is called, a few words."""
    if "name" in info:
        return str(info["name"])
    members = info.get("members", [info])
    return " + ".join(str(each.get("model", "unknown")) for each in members)


def describe_digest(info: ModelInfo) -> str:
    """Returns which weights answered, as far as their origin tells, in a sentence."""
    members = info.get("members", [info])
    digests = [each.get("parameters_sha256") for each in members]
    if all(digests):
        return f"SHA-256 of the weights: {', '.join(map(str, digests))}."
    steps = ", ".join(f"step {each.get('step', 'unknown')}" for each in members)
    data = {str(each.get("data_fingerprint") or "unknown") for each in members}
    return (
        f"No digest of the weights is known; run at {steps}, fingerprint of its data "
        f"{', '.join(sorted(data))}."
    )


def find_card(info: ModelInfo) -> str | None:
    """Returns the model card of a model that ships; None of any other."""
    for folder in (FOLDER, WHOLE_BODY):
        if "name" in info and info["name"] == read_document(folder)["name"]:
            return write_card(folder)
    return None


def _say_found(views: Sequence[PageView]) -> str:
    """Returns what was found, a few words for the index."""
    documents = [view.document for view in views]
    if "examination" in documents[0]:
        said = documents[0]["examination"]
        return f"{said['label']}, P(metastasis) {_say_probability(said['probability'])}"
    if "map" in documents[0]:
        return ", ".join(
            f"P({each['category']}) {_say_probability(each['probability'])}"
            for each in documents
        )
    found = [
        f"{view.view}: {len(view.document['hotspots']) or 'none'} marked"
        + " (crop in doubt: no reading)" * view.in_doubt
        + (f" ({view.truth['short']})" if view.truth else "")
        for view in views
    ]
    if index := documents[0].get("index"):
        percent = index["percent"]
        said = "withheld" if percent is None else f"{percent:.2f} %"
        found.append(f"{index['name']}: {said}")
    return ", ".join(found)


def _say_probability(probability: float) -> str:
    """Returns three digits, and never a certainty that is none."""
    if probability > 0.999:
        return "> 0.999"
    return "< 0.001" if probability < 0.001 else f"{probability:.3f}"


def _sum_doubt(documents: Sequence[Mapping[str, Any]]) -> float | None:
    """Returns how many corrections are expected: of marks, or of one label."""
    if "examination" in documents[0]:
        probability = documents[0]["examination"]["probability"]
        return float(min(probability, 1 - probability))
    if "map" in documents[0]:
        return float(sum(min(p, 1 - p) for p in (d["probability"] for d in documents)))
    return float(sum(each["expected_corrections"] for each in documents))
