"""Measures torchvision's Mask R-CNN; a child of `benchmarks.detectors`."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import arrays
from benchmarks.detector_settings import LESIONS, SETTINGS, translate
from benchmarks.processes import Measurement, serve
from benchmarks.torch_worker import autocast, create_optimizer, measure, prepare
from benchmarks.torchvision_operators import import_torchvision


def build(
    mode: str,
    *,
    threads: int,
    device: str,
    setting: str,
    num_classes: int,
    batch_size: int,
    side: int,
    dtype: str,
) -> Measurement:
    """Returns the measurement of a training `train` step or of an `inference`.

    Its facts name whose operators ran, how many parameters the network has, and how
    many regions of the batch reached the mask head.

    Raises:
        RuntimeError: if there are no operators for the device.
    """
    prepare(threads)
    torchvision, operators = import_torchvision()
    if device != "cpu" and operators != "its own":
        raise RuntimeError("torchvision's own operators do not load")
    chosen = SETTINGS[setting]
    peer = create_network(torchvision, num_classes, **translate(chosen))
    # About a tenth faster than channels first on the processor at hand.
    peer = peer.to(device, memory_format=torch.channels_last)
    regions: list[int] = []
    peer.roi_heads.mask_predictor.register_forward_hook(
        lambda module, inputs, output: regions.append(len(output))
    )
    batch = arrays.synthesise_lesions(side, batch_size, LESIONS, chosen.lesion_px)
    build_step = build_training if mode == "train" else build_inference
    measurement = measure(build_step(peer, batch, torch.device(device), dtype), device)
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    measurement.facts.update(
        versions=versions,
        operators=operators,
        parameters=sum(parameter.numel() for parameter in peer.parameters()),
        regions=statistics.median(regions),
    )
    return measurement


def create_network(torchvision: Any, num_classes: int, **options: Any) -> nn.Module:
    """Returns `maskrcnn_resnet50_fpn` for images of one channel, left at their size.

    Untrained and with nothing frozen. Blocks add little to their input, as in ours.

    Args:
        torchvision: the package.
        num_classes: K, background included.
        **options: of its `MaskRCNN`.
    """
    network = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=num_classes,
        image_mean=[0.0],
        image_std=[1.0],
        _skip_resize=True,
        **options,
    )
    body = network.backbone.body
    body.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    for module in body.modules():
        if hasattr(module, "bn3"):
            nn.init.constant_(module.bn3.weight, 0.2)
    return network


def build_training(
    peer: nn.Module, batch: dict[str, np.ndarray], device: torch.device, dtype: str
) -> Callable[[], object]:
    """Returns a training step of the whole batch, which lies on the device."""
    images = _to_list(batch["images"], device)
    targets = [_describe_lesions(each, device) for each in batch["instances"]]
    optimizer = create_optimizer(peer)
    peer.train()

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, dtype):
            losses = peer(images, targets)
        sum(losses.values()).backward()
        optimizer.step()

    return train


def build_inference(
    peer: nn.Module, batch: dict[str, np.ndarray], device: torch.device, dtype: str
) -> Callable[[], object]:
    """Returns what finds the lesions of the batch, with their masks on the images."""
    images = _to_list(batch["images"], device)
    peer.eval()

    @torch.inference_mode()
    def infer() -> list[torch.Tensor]:
        with autocast(device, dtype):
            return [found["masks"] >= 0.5 for found in peer(images)]

    return infer


def _to_list(images: np.ndarray, device: torch.device) -> list[torch.Tensor]:
    """Returns counts (B, H, W, 1) as images (1, H, W) between 0 and 1."""
    scaled = torch.from_numpy(images.astype(np.float32) / images.max())
    return list(scaled.permute(0, 3, 1, 2).contiguous().to(device))


def _describe_lesions(
    instances: np.ndarray, device: torch.device
) -> dict[str, torch.Tensor]:
    """Returns boxes, labels and masks of the lesions numbered in (H, W)."""
    masks = instances == np.arange(1, instances.max() + 1)[:, None, None]
    boxes = []
    for mask in masks:
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    target = {
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "labels": torch.ones(len(masks), dtype=torch.int64),
        "masks": torch.from_numpy(masks.astype(np.uint8)),
    }
    return {name: value.to(device) for name, value in target.items()}


if __name__ == "__main__":
    serve(build)
