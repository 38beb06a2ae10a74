"""Compares [P2]'s initial weights with He's, in the paper's setting at full width.

    python scripts/compare_initial_weights.py --config=configs/specs_v16.py:d3

Trains the network twice, for some steps on the same batches: from weights drawn from
N(0, 0.05^2) and by He's rule. Shows the loss at both ends, and how large logits and
gradient are at the start. A central part of the images is enough to tell, and does not
take a CPU days; width and depth, on which it depends, are the config's.
"""

import dataclasses
import statistics
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from spectjax.system.commands import define_path, refuse_arguments, run_command

_CONFIG = config_flags.DEFINE_config_file("config", "configs/specs_v16.py:d3")
_DATA_DIR = define_path("data_dir", "Folder of data sets.")
_STEPS = flags.DEFINE_integer("steps", 40, "Steps of training.", lower_bound=10)
_SIZE = flags.DEFINE_integer("size", 64, "Height and width of the part, pixels.")
LAST = 10  # steps over which the last loss is averaged


def main(argv: list[str]) -> None:
    """Prints a table of two rows."""
    refuse_arguments(argv)
    # Here, so that --help need not wait for jax.
    from spectjax.input_pipeline import load_examples
    from tfds_spect.names import choose_splits
    from tfds_spect.prepare import choose_config, prepare

    config = _CONFIG.value.copy_and_resolve_references()
    name = choose_config(config.data.name, None)
    builder_dir = prepare(name, data_dir=_DATA_DIR.value, manual_dir=None).builder_dir
    copies = config.data.augmentation == "copies"
    splits = choose_splits(name, config.data.fold, copies=copies)
    examples = load_examples(builder_dir, splits.train)
    examples = examples.crop_centre((_SIZE.value, _SIZE.value))
    print(
        f"{config.model.name}: {_STEPS.value} steps of {config.data.batch_size} images "
        f"of {_SIZE.value}x{_SIZE.value} pixels, SYNTHETIC\n\n"
        "| initial weights | size of the logits | norm of the gradient | first loss | "
        f"loss of the last {LAST} steps |\n|---|---|---|---|---|"
    )
    for initial in ("normal", "he"):
        config.model.initial = initial
        found = " | ".join(f"{value:.3g}" for value in train(config, examples))
        print(f"| {initial} | {found} |", flush=True)


def train(config: ConfigDict, examples: Any) -> tuple[float, float, float, float]:
    """Returns mean absolute logit, gradient norm, first loss and last losses."""
    import jax
    import jax.numpy as jnp
    import optax

    from spectjax.input_pipeline import draw_batches
    from spectjax.ops.convolution import compiler_options
    from spectjax.training.assembly import create_task
    from spectjax.training.optimizer import create_optimizer
    from spectjax.training.step import create_train_state, train_step

    task: Any = create_task(config)
    # One device, without a name for the axis of devices.
    task = dataclasses.replace(task, model=task.model.clone(axis_name=None))
    optimizer = create_optimizer(config.optimizer, _STEPS.value)
    key = jax.random.key(config.seed)
    hw = (_SIZE.value, _SIZE.value)
    state = jax.jit(lambda key: create_train_state(task, optimizer, key, hw))(key)

    def inspect(state: Any, batch: Any) -> tuple[Any, Any, Any]:
        (_, (_, sums)), gradients = jax.value_and_grad(task.compute_loss, has_aux=True)(
            state.params, state.batch_stats, batch, key
        )
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        logits = task.predict_logits(variables, batch["images"])
        return jnp.abs(logits).mean(), optax.tree.norm(gradients), sums["loss"]

    def step(state: Any, batch: Any) -> Any:
        return train_step(state, batch, key, task=task, optimizer=optimizer)

    run = jax.jit(step, donate_argnums=0, compiler_options=compiler_options())
    batches = draw_batches(len(examples), config.data.batch_size, seed=0, epoch=0)
    first = jax.jit(inspect)(state, examples.read(batches[0]))
    losses = []
    for i in range(_STEPS.value):
        state, sums = run(state, examples.read(batches[i % len(batches)]))
        losses.append(float(sums["loss"]) / config.data.batch_size)
    size, norm, loss = map(float, first)
    return size, norm, loss / config.data.batch_size, statistics.mean(losses[-LAST:])


if __name__ == "__main__":
    run_command(main)
