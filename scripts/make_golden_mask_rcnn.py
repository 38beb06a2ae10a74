"""Stages, losses and gradients of torchvision's Mask R-CNN for drawn weights.

    PYTHONPATH=. python scripts/make_golden_mask_rcnn.py

writes `tests/models/mask_rcnn_torchvision.npz`, to which
`tests/models/test_mask_rcnn_torchvision.py` holds our network, for weights and
images that anyone can draw again without PyTorch. Needs torch and torchvision.
All is computed in float64, and no decision (a place among the best, a suppression, a
match) is so close that rounding in float32 could turn it.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from scripts.peers.mask_rcnn_cases import SMALL, Setting, draw_images, draw_truth
from scripts.peers.torchvision_mask_rcnn import build, compute_losses, compute_stages

OUTPUT = pathlib.Path("tests/models/mask_rcnn_torchvision.npz")
# Relative change of weights that no decision may notice; float32 rounds to 6e-8.
NOISE = 2e-6
# Numbers of an array that the file keeps at most; of pasted masks most are 0.
KEPT, KEPT_PASTED = 3000, 30_000


def thin(name: str, array: np.ndarray) -> np.ndarray:
    """Returns what the file keeps of an array: evenly spread numbers in one row."""
    kept = KEPT_PASTED if name == "pasted" else KEPT
    return array.reshape(-1)[:: -(-array.size // kept)]


def compute_all(setting: Setting, noise: float = 0) -> dict[str, np.ndarray]:
    """Returns the stages, and losses with frozen ("frozen/") and batch statistics.

    Args:
        setting: size of the network.
        noise: largest relative change of a weight.
    """
    images, truth = draw_images(setting), draw_truth(setting)
    network = build(setting, noise=noise)
    arrays = compute_stages(network, images)
    losses = compute_losses(network, images, *truth)
    # Whether a ReLU is on may turn with batch statistics, and gradients by far.
    arrays |= {f"batch/{k}": x for k, x in losses.items() if k.startswith("loss")}
    losses = compute_losses(build(setting, frozen=True, noise=noise), images, *truth)
    return arrays | {f"frozen/{k}": x for k, x in losses.items()}


def check_margins(
    golden: Mapping[str, np.ndarray], shaken: Mapping[str, np.ndarray]
) -> None:
    """Raises ValueError if weights with a little noise lead to another decision.

    Then an array changes by far more than the noise.
    """
    for name, array in golden.items():
        change = np.linalg.norm(shaken[name] - array) / np.linalg.norm(array)
        if change > 300 * NOISE:
            raise ValueError(
                f"{name}: expected a change of about {NOISE} with noise of {NOISE}, "
                f"found {change:.2g}. Change the seed."
            )


def main() -> None:
    """Writes the small network's arrays."""
    golden = compute_all(SMALL)
    check_margins(golden, compute_all(SMALL, NOISE))
    kept: dict[str, Any] = {
        name: thin(name, x).astype(np.float32) for name, x in golden.items()
    }
    np.savez_compressed(OUTPUT, **kept)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
