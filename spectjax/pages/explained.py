"""Views of `explain` as pages show them: what spoke for a class, over the counts."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from spectjax.imaging.thorax import ThoraxImage
from spectjax.pages.study import PageView
from spectjax.pages.truth import list_lesions

NOTE = "Shown is what the data set holds and the classifier takes: the thorax."


def show_explained_scan(
    thorax: ThoraxImage, name: str, document: Mapping[str, Any]
) -> PageView:
    """Returns a view of a scan; the document is that of its explanation."""
    scan = thorax.scan
    return PageView(
        name=name,
        counts=scan.counts,
        view=scan.view,
        document=document,
        crop_box=thorax.transform.box,
        in_doubt=bool(thorax.flags),
        weak_view=scan.has_weak_view,
        map_box=thorax.transform.box_to_frame(document["map"]["thorax"]),
    )


def show_explained_example(
    name: str,
    counts: np.ndarray,
    document: Mapping[str, Any],
    readers: np.ndarray | None,
) -> PageView:
    """Returns an image of a data set.

    Args:
        name: of its files.
        counts: what the classifier saw, (H, W).
        document: its explanation.
        readers: what they marked, bool, (H, W), or None if nobody marked any.
    """
    source, height, width = document["source"], *counts.shape
    marked = np.zeros(counts.shape, bool) if readers is None else readers
    return PageView(
        name=name,
        counts=counts,
        view=source["view"],
        document=document,
        crop_box=(0, 0, height, width),
        in_doubt=False,
        map_box=(0, 0, height, width),
        truth={
            "said": f"Truth: {source['diagnosis']}.",
            "short": source["diagnosis"],
            "meets": [],
            "lesions": list_lesions(marked, counts, source["spacing_mm"]),
        },
    )
