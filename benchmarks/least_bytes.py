"""The least that a training step of U-Net-Res moves through a GPU's memory.

    python -m benchmarks.least_bytes

Worked out from shapes, not measured: convolutions, matrix products and the passes of
normalisations are kernels of their own, as cuDNN and XLA have them; each reads what it
needs once and writes what it makes once; ReLUs, sums, biases and poolings' gradients
are done on the way. No cache is assumed. Numbers of maps are in units of the map of a
block: pixels x features x bytes.
"""

from collections.abc import Sequence

from spectjax.system.commands import refuse_arguments, run_command

_CONVOLUTION = 3  # result, gradient of the input, gradient of the kernel
# Sums; scale; sums and scale of the gradient.
_NORM = 1 + 2 + 2 + 3
# The same where a shortcut is added: it is read; the gradient's sums need the sign of
# the result, and the masked gradient is written for the shortcut.
_LAST_NORM = 1 + 3 + 4 + 3
# The four numbers of float32 that SGD with momentum reads and writes, a gradient
# written and read, a copy of the compute type written and read twice.
_FLOAT32, _NUMBERS, _COPIES = 4, 4, 5


def count_least_bytes(
    features: Sequence[int] = (64, 128, 256, 512, 1024),
    *,
    batch: int = 16,
    hw: tuple[int, int] = (256, 256),
    num_classes: int = 2,
    itemsize: int = 2,
) -> dict[str, float]:
    """Returns bytes by what they are moved for.

    Images, labels, biases and statistics are left out.

    Args:
        features: channels at each resolution, see `spectjax.models.unet.UNet`.
        batch: images.
        hw: height and width of an image.
        num_classes: number of classes.
        itemsize: bytes of a number in a map.
    """
    pixels = batch * hw[0] * hw[1]
    total = dict.fromkeys(
        ("convolutions", "normalisations", "poolings", "joined maps", "head"), 0.0
    )
    for i, channels in enumerate(features):
        here = pixels / 4**i * channels * itemsize
        below = features[i - 1] / channels if i else 0  # its input, in units
        # The image needs no gradient, and its projection is made where it is added.
        first = 2 * _CONVOLUTION * (below + 1) if i else 2 + 1
        maps = {
            "convolutions": first + _CONVOLUTION * 2,
            "normalisations": _NORM + _LAST_NORM - (i == 0),
        }
        if i + 1 < len(features):
            after = features[i + 1] / channels / 4  # what grows into the decoder
            maps["convolutions"] += (
                2 * _CONVOLUTION * 3 + _CONVOLUTION * 2 + _CONVOLUTION * (after + 1)
            )
            maps["normalisations"] += _NORM + _LAST_NORM - (i == 0)
            # Read, a quarter written with its places, bytes; gradients of both
            # readers of the skip and of the pooled map, in place of one.
            places = 1 / 4 / itemsize
            maps["poolings"] = 1 + 1 / 4 + places + (2 + 2 / 4 + places - 1)
            # Two read, two written; the gradients of both readers of a half, written.
            maps["joined maps"] = 4 + 3
        if i == 0:
            maps["head"] = 2
        for name, count in maps.items():
            total[name] += count * here
    total["head"] += _CONVOLUTION * pixels * num_classes * _FLOAT32
    numbers = _count_kernels(features, num_classes)
    total["parameters"] = numbers * (_NUMBERS * _FLOAT32 + _COPIES * itemsize)
    return total


def _count_kernels(features: Sequence[int], num_classes: int) -> int:
    """Returns how many numbers all kernels have."""
    total = features[0] * num_classes
    for i, channels in enumerate(features):
        before = features[i - 1] if i else 1
        total += 9 * channels * (before + channels) + before * channels
        if i + 1 < len(features):
            total += 9 * channels * 3 * channels + 2 * channels * channels
            total += 4 * features[i + 1] * channels
    return total


def main(argv: list[str]) -> None:
    """Prints the bytes of the paper's network in bfloat16, batch 16."""
    refuse_arguments(argv)
    rows = count_least_bytes()
    for name, count in rows.items():
        print(f"{name:16} {count / 1e9:6.2f} GB")
    print(f"{'all':16} {sum(rows.values()) / 1e9:6.2f} GB")


if __name__ == "__main__":
    run_command(main)
