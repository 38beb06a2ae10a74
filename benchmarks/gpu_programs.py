"""Programs of the product, compiled for a GPU that this machine does not have.

    JAX_PLATFORMS=cpu python -m benchmarks.gpu_programs '[{"config": "unet", ...}, ...]'

compiles one after the other and prints a line of JSON for each; XLA may end the process
before. `benchmarks.compile_for_gpu` begins such processes.
"""

import functools
import importlib
import json
import resource
import sys
from collections.abc import Callable
from typing import Any

import jax
from jax.experimental import topologies
from ml_collections import ConfigDict

from benchmarks.gpu_cards import CARDS, PRODUCTS
from benchmarks.gpu_settings import Setting
from benchmarks.hlo import Program
from spectjax.ops.convolution import compiler_options
from spectjax.training.assembly import create_task
from spectjax.training.optimizer import create_optimizer
from spectjax.training.parallel import MeshLayout
from spectjax.training.program import compile_steps
from spectjax.training.run import describe_state
from spectjax.training.step import MAX_STEPS_PER_DISPATCH

_BATCHES = 4  # batches of the training data that are on the device
_HOST_OPS = frozenset("infeed outfeed send recv".split())


def compile_setting(setting: Setting) -> dict[str, Any]:
    """Compiles a program and returns facts of it.

    Those of `describe`, and `images` of a device's batch, `state_bytes`, whose memory
    has to become results, and `compile_s`, processor seconds.
    """
    topology = topologies.get_topology_desc(
        platform="cuda",
        target_config=CARDS[setting.card].describe(),
        topology=f"1x1x{setting.devices}",
    )
    layout = MeshLayout(topology.devices)
    began = _count_seconds()
    create, arguments, state = describe_program(setting, layout)
    with jax.default_device(topology.devices[0]):
        compiled = create().trace(*arguments).lower().compile()
    state_bytes = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    facts = describe(setting, compiled.as_text(), compiled.memory_analysis())
    return facts | {
        "images": _load_config(setting).data.batch_size // setting.devices,
        "state_bytes": state_bytes,
        "compile_s": round(_count_seconds() - began, 1),
    }


def _count_seconds() -> float:
    """Returns the processor time that this process and its assemblers have had."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def describe_program(
    setting: Setting, layout: MeshLayout
) -> tuple[Callable[[], Any], list[Any], Any]:
    """Returns what creates a jitted function, its arguments, and what it takes over.

    Args:
        setting: what to compile.
        layout: over which devices.

    Returns:
        To be called while the device is jax's default; then shapes; then those among
        them whose memory has to become results.
    """
    config = _load_config(setting)
    task, state = create_task(config), layout.describe(describe_state(config))
    hw, batch_size = tuple(config.data.train_hw), config.data.batch_size
    if setting.mode == "predict":
        images = jax.ShapeDtypeStruct((batch_size, *hw, 1), "uint16")
        return (
            lambda: jax.jit(task.predict, compiler_options=compiler_options()),
            layout.describe([state.variables, images]),
            {},
        )
    count = batch_size * _BATCHES
    shapes = {
        "images": ((count, *hw, 1), "uint16"),
        "masks": ((count, *hw), "uint8"),
        "labels": ((count,), "int32"),
        "outlined": ((count,), "bool"),
        "instances": ((count, *hw), "uint8"),
    }
    left_out = {"outlined"} if not task.told else set()
    left_out |= {"instances"} if not task.numbered else set()
    data = {
        name: jax.ShapeDtypeStruct(*each)
        for name, each in shapes.items()
        if name not in left_out
    }
    optimizer = create_optimizer(config.optimizer, 100, tuple(config.frozen))
    create = functools.partial(
        compile_steps, config, task, optimizer, layout, split_data=False
    )
    rows = jax.ShapeDtypeStruct((MAX_STEPS_PER_DISPATCH, batch_size), "int32")
    num_steps = jax.ShapeDtypeStruct((), "int32")
    key = jax.eval_shape(lambda: jax.random.key(0))
    return create, [state, layout.describe(data), rows, num_steps, key], state


def _load_config(setting: Setting) -> ConfigDict:
    name, _, argument = setting.config.partition(":")
    config = importlib.import_module(f"configs.{name}").get_config(argument)
    config.dtype = setting.dtype
    size = setting.batch_size or config.data.batch_size
    # Each device has an image at least.
    config.data.batch_size = -(-size // setting.devices) * setting.devices
    return config


def describe(setting: Setting, text: str, memory: Any) -> dict[str, Any]:
    """Returns what is known of a compiled program.

    Args:
        setting: of the program.
        text: its HLO.
        memory: XLA's analysis of what it takes of a device.

    Returns:
        Of one step, or one prediction, on one device: `bytes`, `flops`, `kernels`,
        `collectives` and `waits` as `hlo.Costs` has them; `floors_s`, seconds that the
        bytes and the operations take at least; of the program: `memory` and `kept`,
        bytes in all and of arguments whose memory becomes results, `calls` of
        libraries, `f64`, `host_ops` and `transposed`, names of convolutions.
    """
    program = Program(text)
    training = setting.mode == "train"
    costs = program.count_costs(program.find_step() if training else program.entry)
    rate = PRODUCTS[setting.dtype]
    return {
        "bytes": costs.bytes,
        "flops": costs.flops,
        "kernels": costs.kernels,
        "collectives": dict(costs.collectives),
        "waits": costs.waits,
        "floors_s": [costs.bytes / CARDS[setting.card].copied, costs.flops / rate],
        "memory": memory.temp_size_in_bytes
        + memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes,
        "kept": memory.alias_size_in_bytes,
        "calls": sorted({i.target for i in program.instructions} - {""}),
        "f64": any(
            array.dtype == "f64" for i in program.instructions for array in i.arrays
        ),
        "host_ops": sorted({i.op for i in program.instructions} & _HOST_OPS),
        "transposed": program.find_transposed_convolutions(),
    }


if __name__ == "__main__":
    for each in json.loads(sys.argv[1]):
        print(json.dumps(compile_setting(Setting(**each))), flush=True)
