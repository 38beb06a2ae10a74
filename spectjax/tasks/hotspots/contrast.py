"""Segmenting models on the same images of elsewhere: one table, paired differences."""

import pathlib
from collections.abc import Mapping
from typing import Any

from spectjax.evaluation.contrast import describe_contrast
from spectjax.report.data_notes import caption_data
from spectjax.report.picture_parts import save_figure
from spectjax.system.files import write_file, write_json
from spectjax.tasks.hotspots.case_tables import read_run_tables
from spectjax.tasks.hotspots.comparison import compare_detections, compare_segmentation
from spectjax.tasks.hotspots.detections_file import FILE, read_run_detections
from spectjax.tasks.hotspots.froc import draw_froc
from spectjax.tasks.hotspots.labels import compare_labels
from spectjax.tasks.hotspots.subgroups import MARKED_FILE, compare_marked, read_marked
from spectjax.tasks.hotspots.table import write_segmentation_table


def contrast_segmentations(
    documents: Mapping[str, dict[str, Any]],
    folders: Mapping[str, pathlib.Path],
    output_dir: pathlib.Path,
) -> dict[str, Any]:
    """Writes what several models say together of the same images.

    Writes `table.md`, `figures/froc.png` and, last, `metrics.json`.

    See `contrast` of `spectjax.tasks.Row`.
    """
    cases = {name: read_run_tables(folder) for name, folder in folders.items()}
    detections = {
        name: read_run_detections(folder, cases[name].example_ids)
        for name, folder in folders.items()
        if (folder / FILE).is_file()
    }
    marked = {k: read_marked(folder / MARKED_FILE) for k, folder in folders.items()}
    first = next(iter(documents.values()))
    metrics = describe_contrast(
        documents,
        n_images_without_lesion=first["n_images_without_lesion"],
        comparisons=compare_segmentation(cases),
        marked_comparisons=compare_marked(marked, next(iter(cases.values())).patients),
        label_comparisons=compare_labels(folders),
        detection_comparisons=compare_detections(detections),
    )
    write_file(output_dir / "table.md", write_segmentation_table(metrics))
    caption = caption_data(metrics, "FROC: images of elsewhere")
    figure = draw_froc(metrics["models"], caption)
    save_figure(figure, output_dir / "figures" / "froc.png")
    write_json(output_dir / "metrics.json", metrics)
    return metrics
