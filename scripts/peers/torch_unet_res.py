"""Our U-Net-Res in PyTorch, and its training from labels. Needs torch.

Batch, height, width, channel and class axes are B, H, W, C and K.
"""

import copy
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_WARMUP, _LEAST_PX = 0.05, 10  # as `training.optimizer` and `hotspots.image_scores`


class Block(nn.Module):
    """As `spectjax.models.unet.ConvBlock` with residual and batch normalisation."""

    def __init__(self, given: int, features: int) -> None:
        """Draws weights as PyTorch does by default."""
        super().__init__()
        self.conv1 = nn.Conv2d(given, features, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(features)
        self.project = (
            nn.Identity() if given == features else nn.Conv2d(given, features, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, C, H, W) to (B, features, H, W)."""
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.project(x))


class UNetRes(nn.Module):
    """As `spectjax.models.unet.UNet`, residual, without deep supervision."""

    def __init__(self, features: tuple[int, ...], num_classes: int) -> None:
        """Draws weights as PyTorch does by default."""
        super().__init__()
        given = (1, *features[:-1])
        self.down = nn.ModuleList(map(Block, given, features))
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(features[i + 1], features[i], 2, stride=2)
            for i in range(len(features) - 1)
        )
        self.up = nn.ModuleList(Block(2 * each, each) for each in features[:-1])
        self.head = nn.Conv2d(features[0], num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, 1, H, W) to logits (B, K, H, W)."""
        skips: list[torch.Tensor] = []
        for i, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if i else x)
            skips.append(x)
        x = skips.pop()
        for grow, block in reversed(list(zip(self.grow, self.up, strict=True))):
            x = block(torch.cat([skips.pop(), grow(x)], dim=1))
        logits: torch.Tensor = self.head(x)
        return logits


def pool(logits: torch.Tensor) -> torch.Tensor:
    """Returns the log-odds of images, (B,), as `log_sum_exp` of ours."""
    odds = torch.logsumexp(logits[:, 1:], dim=1) - logits[:, 0]
    return torch.logsumexp(odds.flatten(1), dim=1) - math.log(_LEAST_PX)


def train(
    network: UNetRes,
    batches: Iterator[tuple[np.ndarray, np.ndarray]],
    *,
    steps: int,
    learning_rate: float,
    average: float,
) -> UNetRes:
    """Returns the moving average of a network that AdamW trains along a cosine.

    Args:
        network: as drawn; it is changed.
        batches: inputs, float32, (B, H, W, 1), and labels, (B,), of each step.
        steps: how many.
        learning_rate: at its highest, after 5 % of the steps.
        average: decay of the average, see `spectjax.training.step.update_average`.
    """
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=0.0)
    mean = copy.deepcopy(network)
    network.train()
    for step, (inputs, labels) in zip(range(steps), batches, strict=False):
        rate = learning_rate * find_factor(step, steps)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        said = pool(network(place(inputs)))
        wanted = torch.from_numpy((labels > 0).astype(np.float32))
        loss = functional.binary_cross_entropy_with_logits(said, wanted)
        loss.backward()
        optimizer.step()
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"The loss of step {step + 1} is not finite.")
        kept = min(average, (1 + step) / (10 + step))
        with torch.no_grad():
            state = network.state_dict()
            for name, array in mean.state_dict().items():
                if array.is_floating_point():
                    array.mul_(kept).add_(state[name], alpha=1 - kept)
    return mean.eval()


def find_factor(step: int, steps: int) -> float:
    """Returns the part of the highest learning rate that a step has."""
    warm = round(_WARMUP * steps)
    if step < warm:
        return step / warm
    return (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1))) / 2


def place(inputs: np.ndarray) -> torch.Tensor:
    """Returns inputs (B, H, W, 1) as PyTorch has them, (B, 1, H, W)."""
    channels_first = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    return torch.from_numpy(channels_first.astype(np.float32))


@torch.no_grad()
def score(network: UNetRes, inputs: np.ndarray) -> np.ndarray:
    """Returns the log-odds of images, float64, (B,), with their mirror images."""
    x = place(inputs)
    mirrored = network(x.flip(3)).flip(3)
    said: np.ndarray = pool((network(x) + mirrored) / 2).double().numpy()
    return said
