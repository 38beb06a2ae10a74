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
# To try out kernels takes most of the time that a small program compiles.
_UNTRIED = {"XLA_FLAGS": "--xla_gpu_autotune_level=0"}
_HALF, _SINGLE = "bfloat16", "float32"


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
    """Returns the parts to run; the first eight timed ones take some eight minutes.

    Args:
        groups: which of `GROUPS`.
        rehearse: at the smallest size, one or two of a kind.
        reference: a folder that has what a CPU computes already.
        data_dir: prepared data; None: the product is not trained.
    """
    parts = _rehearse(data_dir) if rehearse else _list_all(data_dir)
    wanted = set(groups)
    if reference is not None:
        wanted.discard("reference")
    if data_dir is None:
        wanted.discard("product")
    return [part for part in parts if part.group in wanted]


def name_left_out(parts: Collection[Part], *, rehearse: bool) -> list[str]:
    """Returns the names of what could have been planned and is not among `parts`."""
    planned = {part.name for part in parts}
    everything = plan(GROUPS, rehearse=rehearse, data_dir=pathlib.Path())
    return [part.name for part in everything if part.name not in planned]


def _list_all(data_dir: pathlib.Path | None) -> list[Part]:
    return [
        Part("card", "card", "card", {}, 60),
        _step("speed", "unet_res", 16, _HALF, limit_s=100),
        *_list_outputs(MODELS),
        _beside("torch", "unet_res", 16, _HALF, ways=["compile"], limit_s=170),
        _detector("speed", 16, _HALF, limit_s=120),
        _product("configs/unet_res.py:quick", data_dir, 110),
        _beside("torch", "specs_r34", 32, _HALF, ways=["graphs"], limit_s=150),
        _step("speed", "unet_res", 16, _HALF, mode="inference", limit_s=80),
        *_list_types(MODELS),
        _step("more", "unet_res", 16, _SINGLE),
        _detector("more", 16, _HALF, mode="inference"),
        _step("more", "specs_v16", 32, _HALF),
        _step("more", "unet_res", 64, _HALF),
        _step("more", "specs_d121", 32, _HALF, limit_s=200),
        _beside("more", "unet_res", 16, _HALF, mode="inference"),
        _beside("more", "specs_v16", 32, _HALF),
        _beside("more", "specs_d121", 32, _HALF, limit_s=300),
    ]


def _rehearse(data_dir: pathlib.Path | None) -> list[Part]:
    tiny: dict[str, Any] = {"overrides": {"features": [2, 4]}, "size": 16}
    models = ("unet", "mask_rcnn")
    return [
        Part("card", "card", "card", {}, 300),
        _step("speed", "unet_res", 2, _HALF, limit_s=300, **tiny),
        *_list_outputs(models),
        _beside("torch", "unet_res", 2, _SINGLE, ways=["compile"], **tiny),
        _detector("speed", 1, _HALF, setting="smoke", side=64, limit_s=600),
        _product("configs/unet_res.py:smoke", data_dir, 600),
        *_list_types(models),
        _step("more", "unet_res", 2, _HALF, mode="inference", **tiny),
    ]


GROUPS = (
    *("card", "outputs", "reference", "speed", "torch", "product"),
    *("types", "more"),
)


def _list_outputs(models: Collection[str]) -> list[Part]:
    """Returns what every device computes alike, and what a CPU computes."""
    parts = [
        _output("outputs", f"outputs {name}", name, [EXACT], environment=_UNTRIED)
        for name in models
    ]
    return parts + [
        _output("reference", f"reference {name}", name, [EXACT, BFLOAT16], _ON_CPU, 600)
        for name in models
    ]


def _list_types(models: Collection[str]) -> list[Part]:
    """Returns the same in the types that networks are trained in, and by pmap."""
    parts = [
        _output("types", f"types {name}", name, [BFLOAT16, AS_IT_COMES])
        for name in models
    ]
    pmap = _output("types", "types pmap", "unet", [EXACT], _UNTRIED)
    pmap.request["layout"] = "pmap"
    return [*parts, pmap]


def _output(
    group: str,
    title: str,
    name: str,
    ways: list[str],
    environment: dict[str, str] | None = None,
    limit_s: float = 170,
) -> Part:
    request = {"name": name, "ways": ways}
    environment = environment or {}
    return Part(group, title, "outputs", request, limit_s, False, environment)


def _product(config: str, data_dir: pathlib.Path | None, limit_s: float) -> Part:
    request = {"config": config, "data_dir": str(data_dir)}
    return Part("product", f"product {config}", "product", request, limit_s)


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
    limit_s: float = 180,
) -> Part:
    request = {
        "mode": mode,
        "setting": setting,
        "num_classes": 2,
        "batch_size": batch_size,
        "side": side,
        "dtype": dtype,
    }
    return _speed(group, f"mask_rcnn {mode}", _DETECTORS, request, limit_s)


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
    ways: Collection[str] = ("compile", "graphs"),
    overrides: dict[str, Any] | None = None,
    size: int = 256,
    limit_s: float = 240,
) -> Part:
    request = {
        "name": name,
        "batch_size": batch_size,
        "dtype": dtype,
        "mode": mode,
        "ways": list(ways),
        "size": size,
        "overrides": overrides or {},
        "seconds": 4,
    }
    title = f"torch {name} {mode} {dtype} {batch_size}"
    return Part(group, title, "beside_torch", request, limit_s)
