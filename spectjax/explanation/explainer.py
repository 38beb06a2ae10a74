"""A run's classifier, ready to explain images of H x W pixels."""

import dataclasses
import functools
from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from spectjax.evaluation.batches import predict_in_batches
from spectjax.explanation.gradcam import explain
from spectjax.explanation.pointing import find_cells
from spectjax.explanation.sanity import SanityCheck, check_sanity, list_layers
from spectjax.imaging.hotspots import check_finite
from spectjax.inference.trained import TrainedRun
from spectjax.ops.convolution import compiler_options
from spectjax.ops.host import compute_on_cpu
from spectjax.tasks.task import Variables

_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Explainer:
    """A classifier and what explains it.

    Attributes:
        run: the classifier's run.
        category: index of the class for which the maps speak.
    """

    run: TrainedRun
    category: int

    def explain(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the log-odds of the category, (N,), and maps (N, h, w).

        Args:
            images: counts, (N, H, W), N > 0.

        Raises:
            ValueError: if something that came out is not finite.
        """
        odds, maps = self._answer(self.run.place(), images)
        check_finite("log-odds or maps", odds, maps)
        return odds, maps

    def check_sanity(self, images: np.ndarray, *, draws: int = 5) -> SanityCheck:
        """Returns what becomes of the maps of some images with random weights.

        Args:
            images: counts, (N, H, W), with maps that are not zero everywhere.
            draws: how often weights are drawn.
        """
        _, maps = self.explain(images)
        task, image_hw = self.run.learned, self.run.input_hw
        draw = compute_on_cpu(lambda key: task.init(key, image_hw))
        return check_sanity(
            lambda variables: self._answer(variables, images)[1],
            lambda key: jax.device_put(draw(key)),
            self.run.place(),
            list_layers(task, image_hw),
            seen=np.stack([find_cells(image > 0, maps.shape[1:]) for image in images]),
            key=jax.random.key(self.run.config.seed),
            draws=draws,
        )

    @functools.cached_property
    def _function(self) -> Callable[..., tuple[jax.Array, jax.Array]]:
        return jax.jit(
            partial(explain, self.run.learned, category=self.category),
            compiler_options=compiler_options(),
        )

    def _answer(
        self, variables: Variables, images: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns log-odds and maps, batch by batch in one shape."""
        found = [
            [np.asarray(part)[: rows.stop - rows.start] for part in answer]
            for rows, answer in predict_in_batches(
                partial(self._function, variables),
                images[..., np.newaxis],
                batch_size=min(_BATCH, len(images)),
            )
        ]
        odds, maps = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return odds, maps
