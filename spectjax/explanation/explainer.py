"""A run's classifier, ready to explain images of H x W pixels."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from spectjax.explanation.gradcam import explain
from spectjax.explanation.pointing import find_cells
from spectjax.explanation.sanity import SanityCheck, check_sanity, list_layers
from spectjax.inference.runtimes import is_trained_on_synthetic
from spectjax.ops.convolution import compiler_options
from spectjax.system.messages import UserError
from spectjax.tasks.task import Task, Variables
from spectjax.training.run import create_task, restore_model

CATEGORIES = ("normal", "metastasis")
_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Explainer:
    """A classifier and what explains it.

    Attributes:
        task: the classifier.
        variables: its trained `params` and `batch_stats`.
        category: index of the class for which the maps speak.
        image_hw: what the classifier sees of the canvas, pixels.
        info: where the model comes from, for reports.
        seed: of what the sanity check draws.
    """

    task: Task
    variables: Variables
    category: int
    image_hw: tuple[int, int]
    info: dict[str, Any]
    seed: int = 0

    def explain(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the log-odds of the category, (N,), and maps (N, h, w).

        Args:
            images: counts, (N, H, W), N > 0.

        Raises:
            ValueError: if something that came out is not finite.
        """
        odds, maps = self._run(self.variables, images)
        if not (np.isfinite(odds).all() and np.isfinite(maps).all()):
            raise UserError(
                "The model gave log-odds or maps that are not finite. Its parameters "
                "have probably diverged: train again with a smaller learning rate."
            )
        return odds, maps

    def check_sanity(self, images: np.ndarray, *, draws: int = 5) -> SanityCheck:
        """Returns what becomes of the maps of some images with random weights.

        Args:
            images: counts, (N, H, W), with maps that are not zero everywhere.
            draws: how often weights are drawn.
        """
        _, maps = self.explain(images)
        return check_sanity(
            lambda variables: self._run(variables, images)[1],
            jax.jit(lambda key: self.task.init(key, self.image_hw)),
            self.variables,
            list_layers(self.task, self.image_hw),
            seen=np.stack([find_cells(image > 0, maps.shape[1:]) for image in images]),
            key=jax.random.key(self.seed),
            draws=draws,
        )

    @functools.cached_property
    def _function(self) -> Callable[..., tuple[jax.Array, jax.Array]]:
        return jax.jit(
            partial(explain, self.task, category=self.category),
            compiler_options=compiler_options(),
        )

    def _run(
        self, variables: Variables, images: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns log-odds and maps, batch by batch in one shape."""
        odds, maps = [], []
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH, :, :, np.newaxis]
            padding = np.repeat(batch[-1:], min(_BATCH, len(images)) - len(batch), 0)
            found = self._function(variables, np.concatenate([batch, padding]))
            odds.append(np.asarray(found[0])[: len(batch)])
            maps.append(np.asarray(found[1])[: len(batch)])
        return np.concatenate(odds), np.concatenate(maps)


def load_explainer(workdir: pathlib.Path, category: str) -> Explainer:
    """Returns the explainer of a run's newest model.

    Raises:
        ConfigError: if `workdir` does not hold a run.
        CheckpointError: if it holds no checkpoint or one that cannot be read.
    """
    model = restore_model(workdir)
    return Explainer(
        task=create_task(model.config),
        variables=jax.device_put(model.variables),
        category=CATEGORIES.index(category),
        image_hw=tuple(model.config.data.train_hw),
        info=model.info
        | {"trained_on_synthetic_data": is_trained_on_synthetic(workdir)},
        seed=model.config.seed,
    )
