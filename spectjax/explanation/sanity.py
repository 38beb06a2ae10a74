"""Do maps depend on what a network has learned? Cascading randomisation.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: an explanation that
stays the same when the network's weights are drawn anew explains the image, as an edge
detector would, and not the network. There are L layers, R draws of new weights and N
images; a map has h rows and w columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy.stats import rankdata

from spectjax.system.messages import UserError
from spectjax.tasks.task import Task, Variables

SIMILAR = 0.5  # maps of an untrained network that agree more than this are no answer

Explain = Callable[[Variables], np.ndarray]
Init = Callable[[jax.Array], Variables]


@dataclass(frozen=True)
class SanityCheck:
    """What became of the maps while the weights were drawn anew, from the head down.

    Attributes:
        layers: the layer that each stage draws anew, beside those before it, length L.
        similarity: rank correlation with the maps of the trained network over the cells
            that show the patient, float64, (R, L, N).
        maps: the trained network's maps and then those of each stage of the first draw,
            float32, (1 + L, N, h, w).
    """

    layers: tuple[str, ...]
    similarity: np.ndarray
    maps: np.ndarray

    @property
    def final(self) -> float:
        """Mean similarity once every weight has been drawn anew."""
        return float(self.similarity[:, -1].mean())

    @property
    def passed(self) -> bool:
        """Whether the maps of a network that has learned nothing are others."""
        return self.final <= SIMILAR

    def to_json(self) -> dict[str, Any]:
        """Returns the figures as JSON takes them."""
        by_draw = self.similarity.mean(axis=2)  # (R, L)
        return {
            "method": "cascading randomisation (Adebayo et al. 2018): layers get fresh "
            "initial values one after the other, from the head down; similarity is "
            "Spearman's rank correlation with the trained network's map over the cells "
            "that hold counts, 0 where a map is constant, averaged over images",
            "n_images": self.similarity.shape[2],
            "n_draws": self.similarity.shape[0],
            "threshold": SIMILAR,
            "final_similarity": self.final,
            "passed": self.passed,
            "stages": [
                {
                    "layer": layer,
                    "similarity": float(values.mean()),
                    "lowest_draw": float(values.min()),
                    "highest_draw": float(values.max()),
                }
                for layer, values in zip(self.layers, by_draw.T, strict=True)
            ],
        }


def check_sanity(
    explain: Explain,
    init: Init,
    variables: Variables,
    layers: Sequence[str],
    *,
    seen: np.ndarray,
    key: jax.Array,
    draws: int = 5,
) -> SanityCheck:
    """Draws a network's weights anew, layer by layer, and compares its maps.

    Several draws, because one random head may favour bright places by chance, for all
    images alike.

    Args:
        explain: maps variables to the maps of the N images, (N, h, w).
        init: returns fresh variables for a key.
        variables: those that were trained.
        layers: names of the layers in the order of their use, see `list_layers`.
        seen: cells that show the patient, bool, (N, h, w); around them every map is
            alike, whatever the weights.
        key: of the new weights.
        draws: R.

    Raises:
        UserError: if an image's map is constant: it could not become another one.
    """
    original = np.asarray(explain(variables))
    for number, (image, cells) in enumerate(zip(original, seen, strict=True)):
        if not np.ptp(image[cells]):
            raise UserError(
                f"Image {number}: expected a map to compare with, found a constant one."
            )
    order = tuple(reversed(layers))
    similarity = np.empty((draws, len(order), len(original)))
    maps = np.empty((1 + len(order), *original.shape), np.float32)
    maps[0] = original
    for draw, draw_key in enumerate(jax.random.split(key, draws)):
        fresh, mixed = init(draw_key), variables
        for stage, layer in enumerate(order):
            mixed = replace_layer(mixed, fresh, layer)
            found = np.asarray(explain(mixed))
            similarity[draw, stage] = [
                correlate_ranks(a[cells], b[cells])
                for a, b, cells in zip(original, found, seen, strict=True)
            ]
            if draw == 0:
                maps[1 + stage] = found
    return SanityCheck(order, similarity, maps)


def list_layers(task: Task, image_hw: tuple[int, int]) -> list[str]:
    """Returns the names of a model's top layers in the order of their use."""
    names: list[str] = []

    def record(key: jax.Array) -> None:
        # In here, since dicts come out of jax's transformations sorted by name.
        names.extend(task.init(key, image_hw)["params"])

    jax.eval_shape(record, jax.random.key(0))
    return names


def replace_layer(variables: Variables, fresh: Variables, layer: str) -> Variables:
    """Returns variables with one layer's parameters and statistics from `fresh`."""
    return {
        collection: {
            name: fresh[collection][name] if name == layer else value
            for name, value in layers.items()
        }
        for collection, layers in variables.items()
    }


def correlate_ranks(a: np.ndarray, b: np.ndarray) -> float:
    """Returns Spearman's rank correlation of two (M,), 0 if one of them is constant.

    Ties get the mean of their ranks. A constant map orders no places at all.
    """
    if not (np.ptp(a) and np.ptp(b)):
        return 0.0
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
