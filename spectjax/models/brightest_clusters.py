"""K-means as a model: the brightest clusters of an image are its hotspots ([P1] Eq. 7).

It has no parameters and learns nothing. Batch, height and width axes are B, H and W.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from spectjax.ops.clustering import find_clusters
from spectjax.system.messages import UserError


class KMeans(nn.Module):
    """Clusters the pixels of each image by brightness alone.

    [P1] clusters by "visual features (i.e., brightness and color)", and a scan has no
    colour. All pixels of the canvas take part, the empty ones around the body as well,
    and where a pixel lies plays no role. Which clusters are hotspots [P1] does not say:
    here the `hotspot_clusters` brightest ones, but never the darkest cluster of an
    image, so that a constant image has no hotspot.

    Attributes:
        num_classes: 2, background and hotspot.
        clusters: K; 9 is the best in [P1], on its own test images.
        hotspot_clusters: how many of the brightest clusters are hotspots, below K.
        restarts: how many random beginnings; the best end is kept.
        max_iterations: of each.
        seed: of what is drawn, the same for every image.
        dtype: not used; brightness is clustered in float32 and whole numbers.
        axis_name: not used; images do not depend on each other.
    """

    num_classes: int = 2
    clusters: int = 9
    hotspot_clusters: int = 1
    restarts: int = 10
    max_iterations: int = 300
    seed: int = 0
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Returns logits of background and hotspot.

        The log-odds of a hotspot are the number of the pixel's cluster, 0 the darkest,
        less K - `hotspot_clusters`, plus 1/2: above 0 in the hotspots' clusters, and a
        lower threshold takes in the next brightest ones.

        Args:
            images: brightness, float, (B, H, W, 1).
            train: makes no difference.

        Returns:
            float32, (B, H, W, 2); those of background are 0.

        Raises:
            ValueError: if a field or the shape cannot be used.
        """
        if self.num_classes != 2:
            raise UserError(f"Expected num_classes 2, got {self.num_classes}.")
        if not 1 <= self.hotspot_clusters < self.clusters:
            raise UserError(
                "Expected hotspot_clusters from 1 to clusters - 1, got "
                f"{self.hotspot_clusters} of {self.clusters}."
            )
        if images.ndim != 4 or images.shape[-1] != 1:
            raise ValueError(f"Expected images (B, H, W, 1), got {images.shape}.")
        found = find_clusters(
            images.reshape(images.shape[0], -1),
            jax.random.key(self.seed),
            num_clusters=self.clusters,
            restarts=self.restarts,
            max_iterations=self.max_iterations,
        )
        brightness = found.labels.reshape(images.shape[:3])
        log_odds = brightness - (self.clusters - self.hotspot_clusters) + 0.5
        return jnp.stack([jnp.zeros_like(log_odds), log_odds], axis=-1)
