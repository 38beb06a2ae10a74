"""The table of tasks: a row says what the rest of the house has to know of a task.

Whoever adds a task writes a folder and a row, `TASKS["name"] = Row(...)`. What a row
names elsewhere is imported when it is asked for: the table itself needs neither jax nor
matplotlib, and a config is judged in milliseconds.
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True)
class Elsewhere(Generic[T]):
    """What is defined at `place`, "module:name"; a call imports and returns it."""

    place: str

    def __call__(self) -> T:
        """Returns it."""
        return cast(T, pkgutil.resolve_name(self.place))


@dataclass(frozen=True)
class Shown:
    """What of a run's `metrics.json` is printed.

    Attributes:
        section: where in the document; None: at its top.
        entries: which of the section's entries, a line each.
        scores: which scores of an entry, and how they are called.
    """

    section: str | None
    entries: tuple[str, ...]
    scores: Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """What the house has to know of a task.

    Attributes:
        models: names of the models that learn it.
        data_sets: what the names of its data sets begin with.
        losses: names of those that it may be trained with.
        class_names: names of the K classes, in their order.
        answer: what its models say: class probabilities of an "image", (K,), or of its
            "pixels", (H, W, K), or `spectjax.imaging.hotspots.Instances`.
        whole_canvas: whether models are asked about the whole canvas of the thorax;
            else about the central part that they were trained on, `data.train_hw`.
        formats: what they can be exported to: ends of file names.
        product: what they tell of new scans, as in "Hotspots in new scans".
        shown: what is printed of a run's scores.
        learn: the kind of `spectjax.tasks.task.Task` that learns it.
        evaluate: scores a run, see `spectjax.evaluation.run.FinishedRun`, writes what a
            reader wants to see and, last, `metrics.json`, which it returns.
        compare: writes what the runs of several models on all folds say together. Takes
            their folders by model and fold, what is known of the networks, and the
            folder to write to; returns the content of `metrics.json`. Tasks that name
            the same one stand in one table.
        contrast: writes what several models say together of the same images of
            elsewhere. Takes their `metrics.json` and the folders of their scores, by
            name, and the folder to write to; returns the content of `metrics.json`.
        summarise: says the main scores of a model of that table in a line.
        describe: says what a model found in the views of an examination, see
            `spectjax.tasks.views`. It takes `min_score` too if `scored`.
        scored: whether what is found has a score of its own to be kept by.
        operation: reads what models know about their use, a document beside a run's
            scores; takes the document and where it is from. `describe` takes what it
            returns as `operation`, and `operating_point`. None: there is none.
        average: makes one answer of those of several models, and how it is called;
            None: they have no mean.
        draw: draws the paper's figures of a finished run: its folder, the folder of
            its data set and the one to write to; returns the names of the files. None:
            its runs draw them themselves.
        explained: whether `spectjax.explain` has maps for it.
        reads_views: whether its models are asked about single views, as by
            `spectjax.predict`; else `describe` and `contrast` say why not.
    """

    models: tuple[str, ...]
    data_sets: str
    losses: tuple[str, ...]
    class_names: Elsewhere[tuple[str, ...]]
    answer: Literal["image", "pixels", "instances"]
    whole_canvas: bool
    formats: tuple[str, ...]
    product: str
    shown: Shown
    learn: Elsewhere[Any]
    evaluate: Elsewhere[Callable[[Any], dict[str, Any]]]
    compare: Elsewhere[Callable[..., dict[str, Any]]]
    contrast: Elsewhere[Callable[..., dict[str, Any]]]
    summarise: Elsewhere[Callable[[Mapping[str, Any]], str]]
    describe: Elsewhere[Callable[..., list[Any]]]
    scored: bool = False
    operation: Elsewhere[Callable[[Any, str], Any]] | None = None
    average: tuple[Elsewhere[Callable[..., Any]], str] | None = None
    draw: Elsewhere[Callable[..., list[str]]] | None = None
    explained: bool = False
    reads_views: bool = True


_PIXELS = Shown(
    "pixel",
    ("pooled", "per_image"),
    {name: name for name in ("PA", "CPA", "Rec", "IoU", "Dice")},
)
_HOTSPOT_NAMES: Elsewhere[tuple[str, ...]] = Elsewhere(
    "spectjax.imaging.hotspots:CLASS_NAMES"
)
_HOTSPOTS = "spectjax.tasks.hotspots"
_OPERATION: Elsewhere[Callable[[Any, str], Any]] = Elsewhere(
    f"{_HOTSPOTS}.operation:parse_operation"
)
_SKELETON = "spectjax.tasks.skeleton"
_CLASSIFICATION = "spectjax.tasks.classification"

TASKS: dict[str, Row] = {
    "segmentation": Row(
        models=("unet", "unet_res", "kmeans"),
        data_sets="segmentation",
        losses=("cross_entropy", "dice_cross_entropy"),
        class_names=_HOTSPOT_NAMES,
        answer="pixels",
        whole_canvas=True,
        formats=(".onnx", ".stablehlo.zip"),
        product="Hotspots",
        shown=_PIXELS,
        learn=Elsewhere(f"{_HOTSPOTS}.segmentation:Segmentation"),
        evaluate=Elsewhere(f"{_HOTSPOTS}.evaluate:evaluate"),
        compare=Elsewhere(f"{_HOTSPOTS}.folds:compare_segmentations"),
        contrast=Elsewhere(f"{_HOTSPOTS}.contrast:contrast_segmentations"),
        summarise=Elsewhere(f"{_HOTSPOTS}.folds:summarise"),
        describe=Elsewhere(f"{_HOTSPOTS}.findings:describe_hotspots"),
        operation=_OPERATION,
        average=(
            Elsewhere("spectjax.inference.ensembles:average_probs"),
            "mean of the members' probabilities",
        ),
        draw=Elsewhere("spectjax.paper_figures.draw:draw_run"),
    ),
    "instance_segmentation": Row(
        models=("mask_rcnn", "mask_rcnn_att"),
        data_sets="segmentation",
        losses=("mask_rcnn",),
        class_names=_HOTSPOT_NAMES,
        answer="instances",
        whole_canvas=True,
        formats=(".stablehlo.zip",),
        product="Hotspots",
        shown=_PIXELS,
        learn=Elsewhere(f"{_HOTSPOTS}.instance_segmentation:InstanceSegmentation"),
        evaluate=Elsewhere(f"{_HOTSPOTS}.evaluate_instances:evaluate"),
        compare=Elsewhere(f"{_HOTSPOTS}.folds:compare_segmentations"),
        contrast=Elsewhere(f"{_HOTSPOTS}.contrast:contrast_segmentations"),
        summarise=Elsewhere(f"{_HOTSPOTS}.folds:summarise"),
        describe=Elsewhere(f"{_HOTSPOTS}.instance_findings:describe_instances"),
        scored=True,
        operation=_OPERATION,
        draw=Elsewhere("spectjax.paper_figures.draw:draw_run"),
    ),
    "classification": Row(
        models=(
            *("specs_v7", "specs_v16", "specs_v19", "specs_v21", "specs_v24"),
            *("specs_r34", "specs_d121"),
        ),
        data_sets="classification",
        losses=("cross_entropy",),
        class_names=Elsewhere("spectjax.imaging.diagnosis:LABELS"),
        answer="image",
        whole_canvas=False,
        formats=(".onnx", ".stablehlo.zip"),
        product="Metastasis",
        shown=Shown(
            None,
            ("image", "patient"),
            {
                "accuracy": "Acc",
                "precision": "Prec",
                "recall": "Rec",
                "specificity": "Spe",
                "f1": "F-1",
                "auc": "AUC",
            },
        ),
        learn=Elsewhere(f"{_CLASSIFICATION}.task:Classification"),
        evaluate=Elsewhere(f"{_CLASSIFICATION}.evaluate:evaluate"),
        compare=Elsewhere(f"{_CLASSIFICATION}.folds:compare_classifiers"),
        contrast=Elsewhere(f"{_CLASSIFICATION}.contrast:contrast_classifiers"),
        summarise=Elsewhere(f"{_CLASSIFICATION}.folds:summarise"),
        describe=Elsewhere(f"{_CLASSIFICATION}.findings:describe_diagnoses"),
        average=(
            Elsewhere("spectjax.inference.ensembles:average_log_odds"),
            "mean of the members' log-odds",
        ),
        explained=True,
    ),
    "skeleton": Row(
        models=("skeleton_unet",),
        data_sets="skeleton",
        losses=("dice_cross_entropy",),
        class_names=Elsewhere(f"{_SKELETON}.task:CLASS_NAMES"),
        answer="pixels",
        whole_canvas=False,
        formats=(".stablehlo.zip",),
        product="Bones",
        shown=Shown("regions", ("mean", "worst"), {"dice": "Dice"}),
        learn=Elsewhere(f"{_SKELETON}.task:Skeleton"),
        evaluate=Elsewhere(f"{_SKELETON}.evaluate:evaluate"),
        compare=Elsewhere(f"{_SKELETON}.folds:compare"),
        contrast=Elsewhere(f"{_SKELETON}.folds:refuse"),
        summarise=Elsewhere(f"{_SKELETON}.folds:summarise"),
        describe=Elsewhere(f"{_SKELETON}.folds:refuse"),
        average=(
            Elsewhere("spectjax.inference.ensembles:average_probs"),
            "mean of the members' probabilities",
        ),
        reads_views=False,
    ),
}
