"""Measures the PyTorch peers; a child of `benchmarks.steps`."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import arrays
from benchmarks.processes import Measurement, peak_rss_bytes, serve
from benchmarks.torch_peers import create_peer


def build(mode: str, *, device: str, threads: int, **spec: Any) -> Measurement:
    """Returns the measurement of `mode`: `train`, `inference` or `product`."""
    prepare(threads)
    build_step = _build_product if mode == "product" else _build_model_step
    step = build_step(mode=mode, device=torch.device(device), **spec)
    return measure(step, device)


def prepare(threads: int) -> None:
    """Sets what holds for the whole process."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    # JAX's default on these cards as well.
    torch.set_float32_matmul_precision("high")


def measure(step: Callable[[], object], device: str) -> Measurement:
    """Returns the measurement of `step`, whose first call may compile."""

    def run(steps: int) -> None:
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        run(1)
        seconds.append(time.perf_counter() - start)
    facts = {
        "compile_s": max(0.0, seconds[0] - seconds[1]),
        "version": torch.__version__,
    }
    return Measurement(run, facts, lambda: _peak_bytes(device))


def _peak_bytes(device: str) -> int:
    on_gpu = device == "cuda"
    return torch.cuda.max_memory_allocated() if on_gpu else peak_rss_bytes()


def _build_product(
    *, mode: str, device: torch.device, size: int, dtype: str
) -> Callable[[], object]:
    a = torch.randn(size, size, dtype=getattr(torch, dtype), device=device)
    return lambda: a @ a


def _build_model_step(
    *,
    mode: str,
    device: torch.device,
    name: str,
    fields: dict[str, Any],
    parameters: int,
    image_hwc: tuple[int, int, int],
    task_name: str | None,
    batch_size: int,
    dtype: str,
    compile_mode: str | None,
) -> Callable[[], object]:
    """One training step or one inference, on inputs that lie on the device."""
    peer = create_peer(name, fields, image_hwc[-1], parameters)
    peer = peer.to(device, memory_format=torch.channels_last)
    batch = arrays.synthesise(image_hwc, batch_size)
    images = torch.from_numpy(batch["images"].astype("float32")).permute(0, 3, 1, 2)
    images = images.to(device).contiguous(memory_format=torch.channels_last)
    labels = batch["labels" if task_name == "classification" else "masks"]
    labels = torch.from_numpy(labels.astype("int64")).to(device)
    is_picture = image_hwc[-1] == 1

    def forward(images: torch.Tensor) -> torch.Tensor:
        with autocast(device, dtype):
            return peer(_normalise(images) if is_picture else images)

    def compute_loss(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        outputs = forward(images).float()
        if task_name is None:
            return outputs.square().mean()
        return F.cross_entropy(outputs, labels)

    def predict(images: torch.Tensor) -> torch.Tensor:
        outputs = forward(images).float()
        return outputs if task_name is None else outputs.softmax(dim=1)

    if compile_mode is not None:
        compute_loss = torch.compile(compute_loss, mode=compile_mode)
        predict = torch.compile(predict, mode=compile_mode)
    if mode == "inference":
        peer.eval()
        return lambda: _infer(predict, images)
    optimizer = create_optimizer(peer)

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        compute_loss(images, labels).backward()
        optimizer.step()

    return train


@torch.inference_mode()
def _infer(
    predict: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor
) -> torch.Tensor:
    return predict(images)


def autocast(
    device: torch.device, dtype: str
) -> contextlib.AbstractContextManager[Any]:
    """Returns what makes PyTorch compute in `dtype` where it can."""
    if dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, getattr(torch, dtype))


def _normalise(images: torch.Tensor) -> torch.Tensor:
    low = images.amin(dim=(1, 2, 3), keepdim=True)
    span = images.amax(dim=(1, 2, 3), keepdim=True) - low
    return (images - low) / torch.where(span > 0, span, 1)


def create_optimizer(peer: nn.Module) -> torch.optim.Optimizer:
    """Returns the optimizer that the training steps of both sides use."""
    return torch.optim.SGD(peer.parameters(), lr=1e-3, momentum=0.9, fused=True)


if __name__ == "__main__":
    serve(build)
