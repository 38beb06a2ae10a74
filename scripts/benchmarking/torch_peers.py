"""The same networks in plain PyTorch, as its users write them.

Modules are named as in flax, so that a test can carry the parameters over. Where a
registered model has no peer here, torchvision's network of the same name is taken, if
that is installed and has as many parameters.
"""

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn


class ConvBlock(nn.Module):
    """Two 3x3 convolutions, each with batch normalisation (if wanted) and ReLU."""

    def __init__(
        self, channels: int, features: int, *, residual: bool, batch_norm: bool
    ) -> None:
        """Maps `channels` channels to `features`; a residual block adds its input."""
        super().__init__()
        conv = partial(nn.Conv2d, kernel_size=3, padding=1, bias=not batch_norm)
        norm = nn.BatchNorm2d if batch_norm else nn.Identity
        self.conv1, self.norm1 = conv(channels, features), norm(features)
        self.conv2, self.norm2 = conv(features, features), norm(features)
        self.relu = nn.ReLU(inplace=True)
        self.residual = residual
        if residual and channels != features:
            self.project = nn.Conv2d(channels, features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, C, H, W) to (B, features, H, W)."""
        y = self.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.residual:
            y += self.project(x) if hasattr(self, "project") else x
        return self.relu(y)


class UNet(nn.Module):
    """U-Net and U-Net-Res."""

    def __init__(
        self,
        num_classes: int,
        features: Sequence[int],
        *,
        residual: bool,
        batch_norm: bool,
        channels: int = 1,
    ) -> None:
        """Has as many resolutions as `features` has channels."""
        super().__init__()
        block = partial(ConvBlock, residual=residual, batch_norm=batch_norm)
        self.levels = len(features)
        for i, width in enumerate(features):
            self.add_module(f"down{i}", block(channels, width))
            channels = width
        for i, width in reversed(list(enumerate(features[:-1]))):
            self.add_module(f"grow{i}", nn.ConvTranspose2d(channels, width, 2, 2))
            self.add_module(f"up{i}", block(2 * width, width))
            channels = width
        self.head = nn.Conv2d(channels, num_classes, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps images (B, C, H, W) to logits (B, K, H, W)."""
        skips = []
        for i in range(self.levels):
            x = self.get_submodule(f"down{i}")(self.pool(x) if i else x)
            skips.append(x)
        skips.pop()
        for i in reversed(range(self.levels - 1)):
            x = self.get_submodule(f"grow{i}")(x)
            x = self.get_submodule(f"up{i}")(torch.cat([skips.pop(), x], dim=1))
        return self.head(x)


class Stage(nn.Sequential):
    """Residual blocks of one width."""

    def __init__(self, features: int, blocks: int, channels: int) -> None:
        """Has `blocks` blocks with `features` channels in and out."""
        super().__init__()
        for i in range(blocks):
            block = ConvBlock(channels, features, residual=True, batch_norm=True)
            self.add_module(f"block{i}", block)


PEERS: dict[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "unet_res": UNet,
    "stage_64": Stage,
    "stage_128": Stage,
    "stage_256": Stage,
    "stage_512": Stage,
}


def create_peer(
    name: str, fields: dict[str, Any], channels: int, parameters: int
) -> nn.Module:
    """Builds the peer of a workload.

    Args:
        name: the workload's name.
        fields: its model's fields.
        channels: of its input.
        parameters: number of its trained parameters.

    Raises:
        LookupError: if there is no peer, or it has another number of parameters.
    """
    if name in PEERS:
        peer = PEERS[name](**fields, channels=channels)
    else:
        peer = _torchvision_peer(name, fields, channels)
    found = sum(p.numel() for p in peer.parameters() if p.requires_grad)
    if found != parameters:
        raise LookupError(
            f"the peer of {name} has {found} parameters, spectjax's {parameters}"
        )
    return peer


def _torchvision_peer(name: str, fields: dict[str, Any], channels: int) -> nn.Module:
    if importlib.util.find_spec("torchvision") is None:
        raise LookupError(f"{name} has no peer without torchvision")
    from torchvision import models

    if name not in models.list_models():
        raise LookupError(f"{name} has no peer, not in torchvision either")
    peer = models.get_model(name, weights=None, num_classes=fields["num_classes"])
    # Its networks see three channels.
    path, first = next(
        (path, m) for path, m in peer.named_modules() if isinstance(m, nn.Conv2d)
    )
    parent, _, attribute = path.rpartition(".")
    replacement = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,
        first.stride,
        first.padding,
        bias=first.bias is not None,
    )
    setattr(peer.get_submodule(parent), attribute, replacement)
    return peer
