"""Trains the network that gives the crop a second opinion, on simulated patients alone.

    python scripts/train_rib_finder.py --output=rib_finder.safetensors

Simulates the patients, draws each view several times as it might reach people, trains,
and writes the weights, float16. A fixed seed gives the same file on the same machine.
The defaults take some three minutes on one core. What the package ships, in
`spectjax/imaging/thorax/`, was made so with the phantom of commit e1e9593.
`scripts/check_crops.py` measures crops.
"""

import functools
import os
import sys
from pathlib import Path
from typing import cast

import numpy as np
from absl import flags

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.rib_finder.examples import make_example
from scripts.rib_finder.patients import View, simulate_views
from spectjax.imaging.thorax.network import CANVAS_HW
from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.files import write_file
from spectjax.system.locks import hold
from spectjax.system.workers import Workers

_OUTPUT = define_path("output", "File of weights to write.", required=True)
_PATIENTS = flags.DEFINE_integer(
    "patients", 200, "Simulated patients; each has two views.", lower_bound=1
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 16, "How often each view is drawn.", lower_bound=1
)
_STEPS = flags.DEFINE_integer("steps", 1500, "Steps of training.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 18, "Seed of patients, drawings and training.")
_PROCESSES = flags.DEFINE_integer("processes", 2, "Processes that share the work.")
_SECONDS_PER_VIEW = 0.3
_BATCH = 16
_RATE, _WARM_UP = 2e-3, 100
_MOST_SHIFT_PX = 4  # up or down, on the canvas


def main(argv: list[str]) -> None:
    """Simulates, trains, writes."""
    refuse_arguments(argv)
    output = cast(Path, _OUTPUT.value)
    with hold(output.parent):
        write_file(output, make_weights())


def make_weights() -> bytes:
    """Simulates and trains; returns the file."""
    draw = functools.partial(draw_patient, _SEED.value, _REPEATS.value)
    patients = range(_PATIENTS.value)
    with Workers(_PROCESSES.value) as workers:
        seconds = _SECONDS_PER_VIEW * 2 * len(patients)
        drawn = list(workers.map(draw, patients, seconds=seconds))
    canvases, boxes = map(np.concatenate, zip(*drawn, strict=True))
    print(f"{len(canvases)} examples of {len(patients)} patients.")
    return train(canvases, boxes, steps=_STEPS.value, seed=_SEED.value)


def draw_patient(seed: int, repeats: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns canvases (N, H, W) uint8 and boxes (N, 4) of one simulated patient."""
    return draw_examples(
        simulate_views(seed, index), repeats, np.random.default_rng([seed, index])
    )


def draw_examples(
    views: list[View], repeats: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns canvases (N, H, W) uint8 and boxes (N, 4), `repeats` for each view."""
    canvases, boxes = zip(
        *(make_example(view, rng) for _ in range(repeats) for view in views),
        strict=True,
    )
    grey = np.round(255 * np.stack(canvases)).astype(np.uint8)
    return grey, np.stack(boxes).astype(np.float32)


def train(canvases: np.ndarray, boxes: np.ndarray, *, steps: int, seed: int) -> bytes:
    """Returns the weights as a safetensors file; prints how far edges are off."""
    import jax
    import jax.numpy as jnp
    import optax

    from scripts.rib_finder.network import RibFinder, measure_loss
    from spectjax.weights.tensors import pack_tensors

    network, rng = RibFinder(), np.random.default_rng(seed)
    params = network.init(jax.random.key(seed), jnp.zeros((1, *CANVAS_HW)))
    rate = optax.warmup_cosine_decay_schedule(
        0, _RATE, min(_WARM_UP, steps - 1), steps, end_value=_RATE / 200
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(1), optax.adamw(rate, weight_decay=1e-3)
    )
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, canvases, boxes):  # type: ignore[no-untyped-def]
        def loss(params):  # type: ignore[no-untyped-def]
            logits = network.apply(params, canvases.astype(jnp.float32) / 255)
            return measure_loss(logits, boxes)

        gradients, distances = jax.grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, distances

    recent = []
    for number in range(1, steps + 1):
        chosen = rng.integers(len(canvases), size=_BATCH)
        batch = _vary(canvases[chosen], boxes[chosen], number % 2 == 0, rng)
        params, state, distances = step(params, state, *batch)
        recent.append(np.median(distances, axis=0))
        if number % 250 == 0 or number == steps:
            off = ", ".join(f"{d:.2f}" for d in np.mean(recent, axis=0))
            print(f"Step {number}: edges off by {off} px of the canvas.", flush=True)
            recent = []
    return pack_tensors(params["params"], dtype="float16")


def _vary(
    canvases: np.ndarray, boxes: np.ndarray, mirror: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a batch moved up or down, and mirrored if asked for."""
    shift = int(rng.integers(-_MOST_SHIFT_PX, _MOST_SHIFT_PX + 1))
    canvases = np.roll(canvases, shift, axis=1)
    boxes = boxes + np.array([shift, 0, shift, 0], np.float32)
    if mirror:
        canvases = canvases[:, :, ::-1]
        boxes = boxes[:, [0, 3, 2, 1]]
        boxes[:, 1::2] = CANVAS_HW[1] - boxes[:, 1::2]
    return canvases, boxes


if __name__ == "__main__":
    # Each process has a core of its own.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run_command(main)
