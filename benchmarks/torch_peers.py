"""The same networks in plain PyTorch, as its users write them.

Modules of the segmentation models are named as in flax, so that a test can carry the
parameters over. Classifiers are torchvision's own networks, where that is installed:
those of [P2] built from its parts, others by name. A peer must have as many parameters
as the model.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.torchvision_operators import import_torchvision


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
        deep_supervision: bool = False,
        channels: int = 1,
    ) -> None:
        """Has as many resolutions as `features` has channels.

        Raises:
            LookupError: if coarse logits are asked for, which this U-Net has not.
        """
        super().__init__()
        if deep_supervision:
            raise LookupError("The peer of a U-Net has no deep supervision.")
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


def create_vgg(
    num_classes: int,
    stage_sizes: Sequence[int],
    features: Sequence[int],
    *,
    hidden: int,
    pool_hw: Sequence[int],
    activation: str,
    batch_norm: bool,
    dropout: float,
    channels: int,
    **_: Any,
) -> nn.Module:
    """Builds SPECS V7 to V24 from torchvision's layers."""
    models = _import_models("VGG")
    layers, last = [], channels
    for size, width in zip(stage_sizes, features, strict=True):
        layers += [*[width] * size, "M"]
        last = width if size else last  # V7's last stage pools alone
    convolutions = models.vgg.make_layers(layers, batch_norm)
    peer = models.VGG(convolutions, num_classes, init_weights=False, dropout=dropout)
    peer.avgpool = nn.AdaptiveAvgPool2d(tuple(pool_hw))
    peer.classifier[0] = nn.Linear(last * pool_hw[0] * pool_hw[1], hidden)
    peer.classifier[3] = nn.Linear(hidden, hidden)
    peer.classifier[6] = nn.Linear(hidden, num_classes)
    if activation == "elu":
        _replace_activations(peer, nn.ELU)
    return peer


def _replace_activations(network: nn.Module, kind: type[nn.Module]) -> None:
    for name, module in network.named_children():
        if isinstance(module, nn.ReLU):
            setattr(network, name, kind(inplace=True))
        _replace_activations(module, kind)


def create_resnet(
    num_classes: int, stage_sizes: Sequence[int], features: Sequence[int], **_: Any
) -> nn.Module:
    """Builds SPECS R34 from torchvision's blocks, whose widths are fixed."""
    models = _import_models("ResNet")
    return models.ResNet(
        models.resnet.BasicBlock, list(stage_sizes), num_classes=num_classes
    )


def create_densenet(
    num_classes: int,
    stage_sizes: Sequence[int],
    growth: int,
    stem_features: int,
    bottleneck: int,
    **_: Any,
) -> nn.Module:
    """Builds SPECS D121 as torchvision's DenseNet."""
    models = _import_models("DenseNet")
    return models.DenseNet(
        growth,
        tuple(stage_sizes),
        stem_features,
        bn_size=bottleneck,
        num_classes=num_classes,
    )


def _import_models(network: str) -> Any:
    """Returns torchvision's module of networks.

    Raises:
        LookupError: if it cannot be imported.
    """
    try:
        return import_torchvision()[0].models
    except (ImportError, OSError, RuntimeError) as error:
        raise LookupError(
            f"{network}'s peer is torchvision's, which cannot be imported ({error}): "
            "pip install torchvision"
        ) from error


PEERS: dict[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "unet_res": UNet,
    "stage_64": Stage,
    "stage_128": Stage,
    "stage_256": Stage,
    "stage_512": Stage,
    "specs_v7": create_vgg,
    "specs_v16": create_vgg,
    "specs_v19": create_vgg,
    "specs_v21": create_vgg,
    "specs_v24": create_vgg,
    "specs_r34": create_resnet,
    "specs_d121": create_densenet,
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
        models = _import_models(name)
        if name not in models.list_models():
            raise LookupError(f"{name} has no peer, not in torchvision either")
        peer = models.get_model(name, weights=None, num_classes=fields["num_classes"])
    _take_channels(peer, channels)
    found = sum(p.numel() for p in peer.parameters() if p.requires_grad)
    if found != parameters:
        raise LookupError(
            f"the peer of {name} has {found} parameters, spectjax's {parameters}"
        )
    return peer


def _take_channels(peer: nn.Module, channels: int) -> None:
    """Lets a network see that many channels; torchvision's see three."""
    path, first = next(
        (path, m) for path, m in peer.named_modules() if isinstance(m, nn.Conv2d)
    )
    if first.in_channels == channels:
        return
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
