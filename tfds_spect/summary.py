"""One page about a data set: tables as text, distributions as a figure."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from spectjax.imaging.diagnosis import DIAGNOSES, NORMAL
from spectjax.system.messages import DISCLAIMER
from tfds_spect.duplicates import Duplicate
from tfds_spect.example import MASK_EVIDENCE, VIEWS
from tfds_spect.survey import DRAWN, StoredImage, Survey

# Okabe and Ito's colours, in the order of `DIAGNOSES`; the numbers in the bars and the
# order of the legend say the same without colour.
_COLOURS = ("#999999", "#D55E00", "#0072B2", "#F0E442", "#56B4E9")
_BINS = 30


def find_faults(survey: Survey, duplicates: Sequence[Duplicate]) -> list[str]:
    """Returns a sentence for each way in which parts of a data set share images.

    A data set that is marked as leaking may have patients on both sides, but not one
    acquisition under two patients.
    """
    faults = []
    if survey.shared_patients and not survey.leaking:
        faults.append(
            f"{_count(len(survey.shared_patients), 'patient')} in more than one fold, "
            f"such as {min(survey.shared_patients)}: every patient belongs in one fold "
            "only. Prepare the data set anew."
        )
    part_of = survey.part_of
    across = [d for d in duplicates if part_of[d.first] != part_of[d.second]]
    if across:
        first, second = across[0].first, across[0].second
        faults.append(
            f"{_count(len(across), 'pair')} of duplicate images across folds, such as "
            f"{first} in {part_of[first]} and {second} in {part_of[second]}: the same "
            "acquisition under two patients. Remove one of each pair from the source, "
            "or give both the same patient, and prepare the data set anew."
        )
    return faults


def write_summary(survey: Survey, duplicates: Sequence[Duplicate]) -> str:
    """Returns the page as Markdown."""
    marks = ["LEAKING: patients stand on both sides."] * survey.leaking
    marks += ["SYNTHETIC: simulated patients."] * survey.synthetic
    blocks = [
        f"# {survey.name}",
        " ".join([*marks, DISCLAIMER]),
        *(f"**FAULT: {fault}**" for fault in find_faults(survey, duplicates)),
        *_describe_sides(survey),
        "## Images",
        _tabulate_images(survey),
        "A cell `a + p` counts anterior and posterior views.",
        "## Values",
        _tabulate_values(survey.images),
        "Of the original images. The contrast of a lesion is the mean of its pixels, "
        "divided by the median of the crop's pixels that hold a count. Lesions whose "
        "mask is a filled box are left out.",
        "![Distributions](overview.png)",
        "## Duplicates",
        _list_duplicates(survey, duplicates),
    ]
    return "\n\n".join(blocks) + "\n"


def draw_summary(survey: Survey) -> Figure:
    """Draws how images, lesion sizes, contrasts and counts are distributed."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    (classes, totals), (areas, contrasts) = figure.subplots(2, 2)
    _draw_classes(classes, survey)
    lesions = [x for image in _drawn(survey.images) for x in image.lesions]
    sizes = {"": [float(x.area_px) for x in lesions]}
    _draw_histogram(areas, sizes, "area of a lesion, px", "lesions")
    uptakes = {"": [x.contrast for x in lesions]}
    label = "contrast of a lesion (mean / median of the thorax)"
    _draw_histogram(contrasts, uptakes, label, "lesions")
    if survey.normalised:
        totals.text(0.5, 0.5, "images are scaled to [0, 1]", ha="center")
        totals.set_axis_off()
    else:
        by_view = {
            view: [float(x.total or 0) for x in survey.images if x.view == view]
            for view in VIEWS
        }
        _draw_histogram(totals, by_view, "counts in the crop", "images")
    mark = "LEAKING.  " * survey.leaking + "SYNTHETIC.  " * survey.synthetic
    figure.suptitle(f"{survey.name}\n{mark}{DISCLAIMER}", fontsize=9)
    return figure


def _describe_sides(survey: Survey) -> list[str]:
    shared = survey.shared_patients
    everyone = frozenset().union(*survey.patients.values())
    if survey.leaking:
        return [
            f"{len(shared)} of {len(everyone)} patients stand on both sides, so its "
            "scores say nothing about new patients."
        ]
    if shared:
        return []
    return [f"None of the {len(everyone)} patients is in more than one fold."]


def _tabulate_images(survey: Survey) -> str:
    shown = [d for d in DIAGNOSES if any(x.diagnosis == d for x in survey.images)]
    header = ["", "patients", "originals", *shown, "abnormal", "copies"]
    rows = []
    for part in (*survey.parts, "all"):
        inside = [x for x in survey.images if part in (x.part, "all")]
        patients = [p for name, p in survey.patients.items() if part in (name, "all")]
        copies = [n for name, n in survey.n_copies.items() if part in (name, "all")]
        abnormal = sum(x.diagnosis != NORMAL for x in inside)
        rows.append(
            [
                part,
                str(len(frozenset().union(*patients))),
                str(len(inside)),
                *(_count_views(inside, diagnosis) for diagnosis in shown),
                f"{abnormal / len(inside):.0%}" if inside else "",
                str(sum(copies)),
            ]
        )
    evidence = Counter(image.mask_evidence for image in survey.images)
    origins = ", ".join(
        f"{word} ({evidence[word]})" for word in MASK_EVIDENCE if evidence[word]
    )
    return f"{_format_table(header, rows)}\n\nMasks come from: {origins}."


def _count_views(images: Sequence[StoredImage], diagnosis: str) -> str:
    views = Counter(image.view for image in images if image.diagnosis == diagnosis)
    return f"{views['anterior']} + {views['posterior']}"


def _tabulate_values(images: Sequence[StoredImage]) -> str:
    lesions = [lesion for image in _drawn(images) for lesion in image.lesions]
    values: dict[str, list[float]] = {
        "rows of the crop, px": [image.box_hw[0] for image in images],
        "columns of the crop, px": [image.box_hw[1] for image in images],
        "spacing of rows, mm": [x.spacing_mm[0] for x in images if x.spacing_mm],
        "spacing of columns, mm": [x.spacing_mm[1] for x in images if x.spacing_mm],
        "counts in the crop": [x.total for x in images if x.total is not None],
        "lesions of an abnormal image": [
            len(x.lesions) for x in _drawn(images) if x.diagnosis != NORMAL
        ],
        "area of a lesion, px": [x.area_px for x in lesions],
        "area of a lesion, mm2": [x.area_mm2 for x in lesions if x.area_mm2],
        "contrast of a lesion": [x.contrast for x in lesions],
    }
    rows = []
    for name, found in values.items():
        quantiles = np.percentile(found, (0, 5, 50, 95, 100)) if found else ()
        shown = [_format_number(value) for value in quantiles] or [""] * 5
        rows.append([name, str(len(found)), *shown])
    return _format_table(
        ["", "known of", "least", "5 %", "median", "95 %", "most"], rows
    )


def _drawn(images: Sequence[StoredImage]) -> list[StoredImage]:
    """Returns the images whose lesions were drawn, not boxed or unknown."""
    return [image for image in images if image.mask_evidence in DRAWN]


def _format_number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def _list_duplicates(survey: Survey, duplicates: Sequence[Duplicate]) -> str:
    if not duplicates:
        return (
            "No image of one patient is a mirrored, moved, turned, compressed or "
            "otherwise handled image of another patient. Two acquisitions of one "
            "person under two names cannot be told."
        )
    rows = [
        [
            *(f"{name} ({survey.part_of[name]})" for name in (pair.first, pair.second)),
            f"{pair.similarity:.2f}",
            pair.kind,
        ]
        for pair in duplicates
    ]
    return _format_table(["image", "image", "similarity", "kind"], rows)


def _format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _draw_classes(axes: Axes, survey: Survey) -> None:
    bottom = np.zeros(len(survey.parts))
    tallest = max(Counter(x.part for x in survey.images).values(), default=0)
    for diagnosis, colour in zip(DIAGNOSES, _COLOURS, strict=True):
        found = Counter(x.part for x in survey.images if x.diagnosis == diagnosis)
        heights = np.array([found[part] for part in survey.parts])
        if not heights.any():
            continue
        bars = axes.bar(
            survey.parts,
            heights,
            bottom=bottom,
            color=colour,
            edgecolor="white",
            label=diagnosis,
        )
        # A bar thinner than its number would be covered by it.
        labels = [str(height) if height > 0.02 * tallest else "" for height in heights]
        axes.bar_label(bars, labels, label_type="center", fontsize=8)
        bottom += heights
    axes.set_ylabel("original images")
    axes.set_ylim(0, 1.35 * max(bottom.max(initial=0), 1))
    axes.legend(fontsize=7, ncols=2, loc="upper center", frameon=False)


def _draw_histogram(
    axes: Axes, values: dict[str, list[float]], xlabel: str, ylabel: str
) -> None:
    """Draws histograms over a logarithmic axis, one line style for each."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    everything = np.array([x for found in values.values() for x in found], float)
    everything = everything[everything > 0]
    if not everything.size:
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes)
        return
    low, high = everything.min() * 0.95, everything.max() * 1.05
    edges = np.geomspace(low, high, _BINS + 1).tolist()
    styles = (("#0072B2", "-"), ("#D55E00", "--"))
    for (name, found), (colour, style) in zip(values.items(), styles, strict=False):
        axes.hist(
            found,
            edges,
            histtype="step",
            color=colour,
            linestyle=style,
            linewidth=1.5,
            label=name,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if len(values) > 1:
        axes.legend(fontsize=7, frameon=False)
