"""How sure a model of pixels is of a whole image: what a label alone can teach.

The log-odds of a hotspot are l = log(p / (1 - p)) of each pixel. Batch, height, width
and class axes are B, H, W and K, class 0 is background; P is H times W.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import logsumexp

from spectjax.tasks.hotspots.candidates import compute_log_odds

NONE, LOG_SUM_EXP, TOP_K = "none", "log_sum_exp", "top_k"
# Area of a lesion that is hardly more than a point, pixels: a camera shows a point as
# 50 mm2, and a pixel of the usual 2.3 mm has 5.3.
LEAST_PX = 10


def pool_logits(logits: jax.Array, how: str) -> jax.Array:
    """Returns the log-odds that images show a hotspot, float32, (B,).

    `log_sum_exp`: log sum_p exp(l_p) - log 10, above 0 where the odds of all pixels
    make more than a small lesion; every pixel has a gradient. `top_k`: the mean of the
    10 highest l_p, which alone have one.

    Args:
        logits: unnormalised scores, (B, H, W, K).
        how: `LOG_SUM_EXP` or `TOP_K`.
    """
    logits = logits.astype(jnp.float32).reshape(len(logits), -1, logits.shape[-1])
    odds = jax.nn.logsumexp(logits[..., 1:], axis=-1) - logits[..., 0]  # (B, P)
    if how == TOP_K:
        return jax.lax.top_k(odds, min(LEAST_PX, odds.shape[1]))[0].mean(axis=-1)
    return jax.nn.logsumexp(odds, axis=-1) - jnp.log(float(LEAST_PX))


def image_cross_entropy(logits: jax.Array, labels: jax.Array, how: str) -> jax.Array:
    """Returns the cross-entropy of each image's label, nats, float32, (B,).

    Args:
        logits: see `pool_logits`.
        labels: 0 is normal, int32, (B,).
        how: see `pool_logits`.
    """
    return optax.sigmoid_binary_cross_entropy(
        pool_logits(logits, how), (labels > 0).astype(jnp.float32)
    )


def pool_probabilities(probs: np.ndarray, how: str) -> np.ndarray:
    """Returns `pool_logits` of probabilities, (B, H, W, K), as float64, (B,)."""
    odds = -compute_log_odds(probs, 0).reshape(len(probs), -1)
    if how == TOP_K:
        highest: np.ndarray = np.sort(odds, axis=1)[:, -LEAST_PX:]
        return np.asarray(highest.mean(axis=1))
    return np.asarray(logsumexp(odds, axis=1) - np.log(LEAST_PX))
