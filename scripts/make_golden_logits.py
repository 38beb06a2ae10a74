"""Logits of torchvision's networks for weights that a formula gives.

    PYTHONPATH=. python scripts/make_golden_logits.py

prints the figures that `tests/weights/test_torchvision.py` holds our networks
to, for weights and images that anyone can draw again without PyTorch. Needs torch and
torchvision.
"""

import numpy as np

from scripts.peers.mask_rcnn_cases import draw_weights

NUM_CLASSES = 3
# VGG is narrow, since its products alone would take a second to draw, and DenseNet is
# there with fewer layers as well, for tests that should take no time.
VGG_FEATURES = (4, 6, 8, 10, 12)
VGG_HIDDEN = 16
FEW_LAYERS = (2, 3, 11, 2)


def draw_images() -> np.ndarray:
    """Returns two grey images of a spot each, float32, (2, 96, 64)."""
    y, x = np.mgrid[:96, :64]
    spots = [(25, 20, 6), (60, 45, 15)]
    images = [np.exp(-((y - v) ** 2 + (x - u) ** 2) / (2 * s**2)) for v, u, s in spots]
    return np.stack(images).astype(np.float32) * 4


def main() -> None:
    """Prints the logits of every network."""
    import torch

    from benchmarks.torchvision_operators import import_torchvision

    import_torchvision()
    from torchvision import models
    from torchvision.models.vgg import cfgs, make_layers

    def narrow_vgg(letter: str, batch_norm: bool) -> torch.nn.Module:
        stage, sizes = 0, []
        for size in cfgs[letter]:
            sizes.append(size if size == "M" else VGG_FEATURES[stage])
            stage += size == "M"
        network = models.VGG(make_layers(sizes, batch_norm), NUM_CLASSES, False)
        network.classifier[0] = torch.nn.Linear(VGG_FEATURES[-1] * 49, VGG_HIDDEN)
        network.classifier[3] = torch.nn.Linear(VGG_HIDDEN, VGG_HIDDEN)
        network.classifier[6] = torch.nn.Linear(VGG_HIDDEN, NUM_CLASSES)
        return network

    networks = {
        "vgg16": narrow_vgg("D", False),
        "vgg19_bn": narrow_vgg("E", True),
        "resnet34": models.resnet34(num_classes=NUM_CLASSES),
        "densenet121": models.densenet121(num_classes=NUM_CLASSES),
        "densenet121 of few layers": models.DenseNet(
            block_config=FEW_LAYERS, num_classes=NUM_CLASSES
        ),
    }
    images = torch.from_numpy(draw_images())[:, None].expand(-1, 3, -1, -1)
    for name, network in networks.items():
        shapes = {key: tuple(x.shape) for key, x in network.state_dict().items()}
        weights = draw_weights(shapes, balanced=False)
        network.load_state_dict({key: torch.from_numpy(weights[key]) for key in shapes})
        with torch.inference_mode():
            logits = network.double().eval()(images.double())
        print(name, [[round(x, 5) for x in row] for row in logits.tolist()])


if __name__ == "__main__":
    main()
