"""What several models say of the same images that none of them was prepared with."""

from collections.abc import Mapping
from typing import Any

from spectjax.evaluation.run import end_document
from spectjax.system.files import replace_undefined

_SHARED = ("task", "data", "n_images", "n_patients")


def describe_contrast(
    documents: Mapping[str, Mapping[str, Any]], **sections: Any
) -> dict[str, Any]:
    """Returns the content of their `metrics.json`.

    Args:
        documents: `metrics.json` of each model by its name, all of the same images.
        **sections: what else stands beside `models`.
    """
    first = next(iter(documents.values()))
    document: dict[str, Any] = replace_undefined(
        {
            **{name: first[name] for name in _SHARED},
            "models": dict(documents),
            **sections,
            **end_document(),
        }
    )
    return document
