"""What `benchmarks.check_gpu` runs: the parts, in the order of what matters."""

import dataclasses
import pathlib
from collections.abc import Collection
from typing import Any

# The models that are registered, but for that of bones, a U-Net-Res on other images.
MODELS = (
    *("unet", "unet_res", "mask_rcnn", "mask_rcnn_att", "specs_v7", "specs_v16"),
    *("specs_v19", "specs_v21", "specs_v24", "specs_r34", "specs_d121", "kmeans"),
)
EXACT, AS_IT_COMES, BFLOAT16 = WAYS = ("float32, exact", "float32", "bfloat16")
_STEPS, _DETECTORS = "benchmarks.jax_worker", "benchmarks.jax_detector_worker"
_ON_CPU = {"JAX_PLATFORMS": "cpu", "SPECTJAX_CONVOLUTION": "lax"}


@dataclasses.dataclass(frozen=True)
class Part:
    """Something to run in a process of its own.

    Attributes:
        group: which the command line names.
        name: of its row, and of its folder.
        kind: of `benchmarks.gpu_parts.PARTS`.
        request: its arguments; what JSON can hold.
        limit_s: seconds after which it is ended.
        alone: nothing else runs meanwhile, for it is timed.
        environment: variables of its process.
    """

    group: str
    name: str
    kind: str
    request: dict[str, Any]
    limit_s: float
    alone: bool = True
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def plan(
    groups: Collection[str],
    *,
    rehearse: bool = False,
    reference: pathlib.Path | None = None,
    data_dir: pathlib.Path | None = None,
) -> list[Part]:
    """Returns the parts to run.

    Args:
        groups: which of `GROUPS`.
        rehearse: at the smallest size, and few models.
        reference: a folder that has what a CPU computes already.
        data_dir: prepared data; None: the product is not trained.
    """
    timed = _list_speeds(rehearse)
    parts = [part for part in timed if part.group != "more"] + _list_outputs(rehearse)
    config = f"configs/unet_res.py:{'smoke' if rehearse else 'quick'}"
    if data_dir is not None:
        request = {"config": config, "data_dir": str(data_dir)}
        parts.append(Part("product", f"product {config}", "product", request, 120))
    parts += [part for part in timed if part.group == "more"]
    left_out = set() if reference is None else {"reference"}
    return [part for part in parts if part.group in set(groups) - left_out]


def _list_outputs(rehearse: bool) -> list[Part]:
    models = ("unet", "specs_v7") if rehearse else MODELS
    parts = []
    for name in models:
        own = {"name": name, "ways": list(WAYS)}
        exact = {"name": name, "ways": [EXACT, BFLOAT16]}
        parts += [
            Part("outputs", f"outputs {name}", "outputs", own, 300, alone=False),
            Part(
                *("reference", f"reference {name}", "outputs", exact, 600),
                alone=False,
                environment=_ON_CPU,
            ),
        ]
    pmap = {"name": "unet", "ways": [EXACT], "layout": "pmap"}
    parts.append(Part("outputs", "outputs pmap", "outputs", pmap, 300, alone=False))
    return parts


def _list_speeds(rehearse: bool) -> list[Part]:
    if rehearse:
        tiny = {"features": [2, 4]}
        return [
            Part("card", "card", "card", {}, 60),
            _step("speed", "unet_res", 2, "bfloat16", overrides=tiny, size=16),
            _detector("speed", 1, "bfloat16", setting="smoke", side=64),
            _beside("torch", "unet_res", 2, "float32", overrides=tiny, size=16),
        ]
    half, single = "bfloat16", "float32"
    return [
        Part("card", "card", "card", {}, 60),
        _step("speed", "unet_res", 16, half),
        _beside("torch", "specs_r34", 32, half),
        _detector("speed", 16, half),
        _step("speed", "unet_res", 16, single),
        _beside("torch", "unet_res", 16, half),
        _step("more", "specs_v16", 32, half),
        _step("more", "unet_res", 64, half),
        _step("more", "unet_res", 16, half, mode="inference"),
        _detector("more", 16, half, mode="inference"),
        _step("more", "specs_d121", 32, half, limit_s=200),
        _beside("more", "unet_res", 16, half, mode="inference"),
        _beside("more", "specs_v16", 32, half),
        _beside("more", "specs_d121", 32, half, limit_s=240),
    ]


GROUPS = ("card", "outputs", "reference", "speed", "torch", "product", "more")


def _step(
    group: str,
    name: str,
    batch_size: int,
    dtype: str,
    *,
    mode: str = "train",
    overrides: dict[str, Any] | None = None,
    size: int = 256,
    limit_s: float = 120,
) -> Part:
    request = {
        "mode": mode,
        "name": name,
        "batch_size": batch_size,
        "dtype": dtype,
        "overrides": overrides or {},
        "image_hw": [size, size],
    }
    return _speed(group, f"{name} {mode}", _STEPS, request, limit_s)


def _detector(
    group: str,
    batch_size: int,
    dtype: str,
    *,
    mode: str = "train",
    setting: str = "default",
    side: int = 256,
) -> Part:
    request = {
        "mode": mode,
        "setting": setting,
        "num_classes": 2,
        "batch_size": batch_size,
        "side": side,
        "dtype": dtype,
    }
    return _speed(group, f"mask_rcnn {mode}", _DETECTORS, request, 180)


def _speed(
    group: str, title: str, module: str, request: dict[str, Any], limit_s: float
) -> Part:
    name = f"speed {title} {request['dtype']} {request['batch_size']}"
    wanted = {"module": module, "request": request, "seconds": 4}
    return Part(group, name, "speed", wanted, limit_s)


def _beside(
    group: str,
    name: str,
    batch_size: int,
    dtype: str,
    *,
    mode: str = "train",
    overrides: dict[str, Any] | None = None,
    size: int = 256,
    limit_s: float = 240,
) -> Part:
    request = {
        "name": name,
        "batch_size": batch_size,
        "dtype": dtype,
        "mode": mode,
        "size": size,
        "overrides": overrides or {},
        "seconds": 4,
    }
    title = f"torch {name} {mode} {dtype} {batch_size}"
    return Part(group, title, "beside_torch", request, limit_s)
