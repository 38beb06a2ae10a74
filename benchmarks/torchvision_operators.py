"""torchvision with operators that run: its own, or compiled stand-ins on a CPU.

Where PyTorch and torchvision come from different builds, torchvision's compiled
ROIAlign and NMS do not load, and its Mask R-CNN does not run. The stand-ins do the same
work in the same way, so that its speed can be measured all the same.
"""

import functools
import importlib
import pathlib
import sys
from types import ModuleType
from typing import Any

import torch
from torch import library as operators
from torch.utils import cpp_extension

_SOURCE = pathlib.Path(__file__).with_suffix(".cc")


@functools.cache
def import_torchvision() -> tuple[ModuleType, str]:
    """Returns torchvision and whose operators it runs, "its own" or "stand-ins".

    Raises:
        ImportError: if torchvision is missing.
        RuntimeError: if the stand-ins do not compile; that takes g++ and ninja.
    """
    try:
        torchvision = importlib.import_module("torchvision")
        if torchvision.extension._has_ops():
            return torchvision, "its own"
    except RuntimeError as error:  # of a build for another PyTorch
        if "does not exist" not in str(error):
            raise
    define_operators()
    torchvision = importlib.import_module("torchvision")
    for name in ("torchvision.extension", "torchvision.ops.roi_align"):
        sys.modules[name].__dict__["_has_ops"] = lambda: True
    return torchvision, "stand-ins"


def define_operators() -> None:
    """Compiles the stand-ins, once for each PyTorch, and registers them."""
    cpp_extension.load(
        _SOURCE.stem, [str(_SOURCE)], extra_cflags=["-O3", "-w"], is_python_module=False
    )
    operators.register_autograd(
        "torchvision::roi_align", _differentiate, setup_context=_remember
    )
    for operator in ("roi_align", "nms"):
        operators.register_autocast(f"torchvision::{operator}", "cpu", torch.float32)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    images, rois, *ctx.settings = inputs
    ctx.shape = images.shape
    ctx.save_for_backward(rois)


def _differentiate(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    scale, bins_h, bins_w, ratio, aligned = ctx.settings
    images = torch.ops.torchvision._roi_align_backward(
        gradient, *ctx.saved_tensors, scale, bins_h, bins_w, *ctx.shape, ratio, aligned
    )
    return images, *(None,) * 6
