"""Learning curves on pictures of half a chest that people have labelled.

    python scripts/learning_curve.py --images=FOLDER --output_dir=OUT

FOLDER is that of `scripts/score_chest_halves.py`. Patients are dealt to five folds;
each is held out once, and of the others 50, 150, 400 or all train one network, the
U-Net-Res of the weights that `--pretrained` names, from labels alone
(`--config.image_score=log_sum_exp`). It begins in three ways: from `nothing`, from
these `weights`, and, the peer, as the same network in PyTorch from nothing (`pytorch`,
which needs torch in the environment and is left out by default). All take as many
steps, of the same pictures, moved alike. Size 0 are the weights as they are.

The same command again goes on where it was: a training that was stopped from its last
checkpoint (PyTorch's from its beginning), and what is finished is only read. Give
`--ways`, `--sizes` and `--fold` for a part. OUT has a folder for each training, with
`scores.csv` when it is finished; `split.csv`, who is held out when; and
`learning_curve.json` and `table.md` of all that all folds have finished.
"""

import functools
import hashlib
import importlib.util
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from absl import flags, logging

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from scripts.halves.patients import (
    SPLIT,
    draw_patients,
    find_labels,
    find_rows,
    split_patients,
)
from scripts.halves.pictures import COLUMNS, Halves, Placing, read_halves
from scripts.halves.scores import format_table, summarise
from spectjax.imaging.geometry import cut_centre
from spectjax.imaging.listed.csv_table import read_table
from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.files import format_csv, write_file, write_json
from spectjax.system.locks import hold
from spectjax.system.messages import UserError
from tfds_spect.names import FOLDS, LABELLED

if TYPE_CHECKING:  # jax takes seconds: not before --help
    from ml_collections import ConfigDict

    from spectjax.input_pipeline import Examples
    from spectjax.training.start import OwnWeights

_IMAGES = define_path("images", "Folder of pictures and labels.csv.", required=True)
_OUTPUT_DIR = define_path("output_dir", "Folder to write to.", required=True)
_PRETRAINED = flags.DEFINE_string(
    "pretrained", "shipped", "Weights to begin with, as --config.pretrained."
)
NOTHING, WEIGHTS, PYTORCH = WAYS = ("nothing", "weights", "pytorch")
_WAYS = flags.DEFINE_list("ways", [NOTHING, WEIGHTS], f"Of {', '.join(WAYS)}.")
_SIZES = flags.DEFINE_list("sizes", ["0", "50", "150", "400", "all"], "Patients.")
_FOLD = flags.DEFINE_list("fold", [str(k) for k in FOLDS], "Folds to hold out.")
_STEPS = flags.DEFINE_integer("steps", 1000, "Of each training.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", 8, "Pictures.", lower_bound=2)
_TRAIN_HW = flags.DEFINE_list("train_hw", ["224", "96"], "Rows and columns, pixels.")
_RATE = flags.DEFINE_float("rate", 1e-2, "Learning rate from nothing.")
_FINE_RATE = flags.DEFINE_float("fine_rate", 2e-3, "Learning rate from weights.")
_AVERAGE = flags.DEFINE_float("average", 0.99, "Decay of the average of parameters.")
_BACKGROUND = flags.DEFINE_integer(
    "background", 2, "Grey values up to this one are noise around the body.", 0
)
_THREADS = flags.DEFINE_integer("threads", 2, "Of PyTorch.", lower_bound=1)

ALL, SCORES = "all", "scores.csv"
_MARGIN_PX = 16  # from which pixels may move into what trains
_SEED = 0


def main(argv: list[str]) -> None:
    """Trains what is not trained yet, then writes and prints the table."""
    logging.set_verbosity(logging.WARNING)
    refuse_arguments(argv)
    ways, sizes, folds = read_choices()
    output_dir = cast(pathlib.Path, _OUTPUT_DIR.value)
    from spectjax.system.jax_setup import start_jax

    start_jax()
    halves = read_halves(
        cast(pathlib.Path, _IMAGES.value), Placing(_BACKGROUND.value, False, "right")
    )
    split = split_patients(halves, output_dir / SPLIT)
    start = find_weights(output_dir)
    for size in sizes:
        for fold in folds:
            for way in ways:
                folder = output_dir / f"{way}_{size}_fold{fold}"
                if (size == "0" and way != WEIGHTS) or (folder / SCORES).exists():
                    continue
                with hold(folder):
                    run_cell(halves, split, start, way, size, fold, folder)
    print(write_results(halves, split, output_dir))


def read_choices() -> tuple[list[str], list[str], list[int]]:
    """Returns ways, sizes and folds, as the flags name them.

    Raises:
        UserError: if one cannot be used, or torch is needed and not there.
    """
    known = {"ways": (_WAYS.value, WAYS), "fold": (_FOLD.value, tuple(map(str, FOLDS)))}
    for name, (given, allowed) in known.items():
        if not given or set(given) - set(allowed):
            raise UserError(
                f"--{name}={','.join(given)}: expected some of {', '.join(allowed)}."
            )
    for flag in (_SIZES, _TRAIN_HW):
        if not all(text.isdecimal() or text == ALL for text in flag.value):
            raise UserError(
                f"--{flag.name}={','.join(flag.value)}: expected whole numbers"
                + f", or {ALL}." * (flag is _SIZES)
            )
    if PYTORCH in _WAYS.value and importlib.util.find_spec("torch") is None:
        raise UserError("torch: not found; the peer needs it: pip install torch.")
    return _WAYS.value, _SIZES.value, [int(text) for text in _FOLD.value]


def find_weights(output_dir: pathlib.Path) -> "OwnWeights":
    """Returns the weights to begin with, which say what network all ways train.

    Raises:
        UserError: if there are none, or they are of another network.
    """
    from spectjax.config import base_config
    from spectjax.inference.start import find_start

    config = base_config()
    config.pretrained = _PRETRAINED.value
    start = find_start(config, output_dir)
    if start is None or start.config.model.name != "unet_res":
        raise UserError(
            f"--pretrained={_PRETRAINED.value}: expected a run of unet_res, its file "
            "or shipped, found others."
        )
    return start


def make_config(
    start: "OwnWeights", way: str, fold: int, n_images: int
) -> "ConfigDict":
    """Returns how a network of ours trains on so many pictures."""
    from spectjax.config import base_config

    config = base_config()
    config.data.name, config.data.fold = LABELLED, fold
    config.data.augmentation = "online"
    config.data.normalisation = start.config.data.normalisation
    config.data.batch_size = max(1, min(_BATCH.value, n_images))
    config.data.train_hw = tuple(int(text) for text in _TRAIN_HW.value)
    config.image_score = "log_sum_exp"
    config.test_mirroring = True
    steps_per_epoch = max(1, n_images // config.data.batch_size)
    config.num_epochs = max(1, round(_STEPS.value / steps_per_epoch))
    config.checkpoint_every_epochs = config.num_epochs
    config.checkpoint_every_minutes = 3.0
    config.optimizer.name, config.optimizer.schedule = "adamw", "cosine"
    config.optimizer.momentum = 0.9
    config.optimizer.average = _AVERAGE.value
    config.optimizer.learning_rate = _RATE.value
    config.model.update(start.config.model.to_dict())
    config.model.deep_supervision = False  # of pixels, which nobody labelled
    if way == WEIGHTS:
        config.pretrained = _PRETRAINED.value
        config.optimizer.learning_rate = _FINE_RATE.value
    return config.lock()


def run_cell(
    halves: Halves,
    split: dict[str, int],
    start: "OwnWeights",
    way: str,
    size: str,
    fold: int,
    folder: pathlib.Path,
) -> None:
    """Trains one network and writes what it says of the pictures held out."""
    count = None if size == ALL else int(size)
    patients = draw_patients(split, find_labels(halves), fold, count)
    held_out = find_rows(halves, [name for name in split if split[name] == fold])
    counts = halves.counts[held_out]
    rows = find_rows(halves, patients)
    config = make_config(start, way, fold, len(rows))
    print(f"{folder}: {len(patients)} patients, {len(rows)} pictures.", flush=True)
    began = time.monotonic()
    if size == "0":
        log_odds = score(config, start.variables, counts)
    elif way == PYTORCH:
        log_odds = train_peer(config, make_examples(halves, rows, config), counts)
    else:
        examples = make_examples(halves, rows, config)
        log_odds = train_ours(config, folder, examples, start, counts)
    minutes = (time.monotonic() - began) / 60
    print(f"{folder}: {minutes:.1f} minutes.", flush=True)
    table = [
        [*(halves.rows[row][column] for column in COLUMNS), f"{said:.7g}"]
        for row, said in zip(held_out, log_odds, strict=True)
    ]
    write_file(folder / SCORES, format_csv([*COLUMNS, "log_odds"], table))


def make_examples(halves: Halves, rows: np.ndarray, config: "ConfigDict") -> "Examples":
    """Returns pictures with their labels, and nothing outlined."""
    from spectjax.imaging.diagnosis import METASTASIS, NORMAL
    from spectjax.input_pipeline import Examples
    from tfds_spect.example import NO_EVIDENCE

    height, width = config.data.train_hw
    hw = (min(height + _MARGIN_PX, 256), min(width + _MARGIN_PX, 256))
    images = np.stack([cut_centre(halves.counts[row], hw) for row in rows])
    labels = halves.abnormal[rows].astype(np.int32)
    told = [halves.rows[row] for row in rows]
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Examples(
        images=images[..., None].astype(np.uint16),
        masks=np.zeros(images.shape, np.uint8),
        labels=labels,
        diagnoses=[(NORMAL, METASTASIS)[label] for label in labels],
        example_ids=[row["file"] for row in told],
        patients=[row["patient"] for row in told],
        views=[row["view"] for row in told],
        spacing_mm=np.full((len(rows), 2), np.nan, np.float32),
        synthetic=False,
        name="halves",
        split="train",
        fingerprint=digest,
        mask_evidence=[NO_EVIDENCE] * len(rows),
    )


def train_ours(
    config: "ConfigDict",
    folder: pathlib.Path,
    examples: "Examples",
    start: "OwnWeights",
    counts: np.ndarray,
) -> np.ndarray:
    """Returns what our network says of pictures, (N,), when it is trained."""
    from spectjax.main import check_workdir
    from spectjax.training.loop import train
    from spectjax.training.run import restore_state

    check_workdir(config, folder)
    train(config, folder, examples, start=start if config.pretrained else None)
    return score(config, restore_state(config, folder)[0].variables, counts)


def score(config: "ConfigDict", variables: Any, counts: np.ndarray) -> np.ndarray:
    """Returns the log-odds of pictures, (N,), by a network of ours."""
    import jax

    from spectjax.evaluation.batches import predict_in_batches
    from spectjax.ops.convolution import compiler_options
    from spectjax.tasks.hotspots.image_scores import pool_probabilities
    from spectjax.training.assembly import create_task

    ask = jax.jit(create_task(config).predict, compiler_options=compiler_options())
    images = np.stack([cut_centre(each, config.data.train_hw) for each in counts])
    log_odds = np.zeros(len(images))
    for rows, probs in predict_in_batches(
        lambda batch: np.asarray(ask(variables, batch)),
        images[..., None],
        batch_size=16,
    ):
        pooled = pool_probabilities(probs, config.image_score)
        log_odds[rows] = pooled[: rows.stop - rows.start]
    return log_odds


def train_peer(
    config: "ConfigDict", examples: "Examples", counts: np.ndarray
) -> np.ndarray:
    """Returns what the same network in PyTorch says of pictures, (N,)."""
    import jax.numpy as jnp
    import torch

    from scripts.peers import torch_unet_res as peer
    from spectjax.ops.normalisation import NORMALISATIONS

    torch.set_num_threads(_THREADS.value)
    torch.manual_seed(_SEED)
    network = peer.train(
        peer.UNetRes(config.model.features, config.model.num_classes),
        draw_inputs(config, examples),
        steps=config.num_epochs * (len(examples) // config.data.batch_size),
        learning_rate=config.optimizer.learning_rate,
        average=config.optimizer.average,
    )
    images = np.stack([cut_centre(each, config.data.train_hw) for each in counts])
    normalise = NORMALISATIONS[config.data.normalisation]
    inputs = np.asarray(normalise(jnp.asarray(images[..., None])))
    said = [
        peer.score(network, inputs[row : row + 16]) for row in range(0, len(inputs), 16)
    ]
    return np.concatenate(said)


def draw_inputs(
    config: "ConfigDict", examples: "Examples"
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields inputs and labels of each step, the very ones that ours has."""
    import jax
    import jax.numpy as jnp

    from spectjax.input_pipeline import draw_batches
    from spectjax.ops.normalisation import NORMALISATIONS
    from spectjax.training.augment import augment

    size, step = config.data.batch_size, 0
    move = jax.jit(functools.partial(augment, hw=tuple(config.data.train_hw)))
    _, run_key = jax.random.split(jax.random.key(config.seed))
    for epoch in range(config.num_epochs):
        for rows in draw_batches(len(examples), size, seed=config.seed, epoch=epoch):
            key, _ = jax.random.split(jax.random.fold_in(run_key, step))
            keys = jax.vmap(functools.partial(jax.random.fold_in, key))(
                jnp.arange(size)
            )
            batch = move(examples.read(rows), keys)
            inputs = NORMALISATIONS[config.data.normalisation](batch["images"])
            yield np.asarray(inputs), examples.labels[rows]
            step += 1


def write_results(
    halves: Halves, split: dict[str, int], output_dir: pathlib.Path
) -> str:
    """Writes and returns the table of what is finished on all folds."""
    index = {row["file"]: place for place, row in enumerate(halves.rows)}
    rows = find_rows(halves, list(split))
    log_odds, sizes = {}, []
    for folder in sorted(output_dir.glob("*_fold0"), key=_order):
        way, size, _ = folder.name.split("_")
        paths = [
            folder.with_name(f"{way}_{size}_fold{fold}") / SCORES for fold in FOLDS
        ]
        if not all(path.exists() for path in paths):
            continue
        said = np.full(len(halves.rows), np.nan)
        for path in paths:
            for _, cells in read_table(path, (*COLUMNS, "log_odds"))[0]:
                said[index[cells["file"]]] = float(cells["log_odds"])
        log_odds[way, size] = said[rows]
        sizes.append(size)
    told = [halves.rows[row] for row in rows]
    patients = [row["patient"] for row in told]
    scores = summarise(
        patients,
        np.array([row["view"] for row in told]),
        np.array([split[name] for name in patients]),
        halves.abnormal[rows],
        log_odds,
        reference=NOTHING,
    )
    ways = [way for way in WAYS if any(way == done for done, _ in log_odds)]
    table = format_table(scores, list(dict.fromkeys(sizes)), ways, NOTHING)
    if not log_odds:
        table = f"No training has finished on all {len(FOLDS)} folds yet.\n"
    counted = f"{len(rows)} pictures of {len(split)} patients, each held out once.\n\n"
    write_json(
        output_dir / "learning_curve.json",
        {
            "n_images": len(rows),
            "n_patients": len(split),
            "n_abnormal": int(halves.abnormal[rows].sum()),
            "pretrained": _PRETRAINED.value,
            "steps": _STEPS.value,
            "auc": scores,
        },
    )
    write_file(output_dir / "table.md", counted + table)
    return counted + table


def _order(folder: pathlib.Path) -> tuple[bool, int, int]:
    """Returns what sorts folders by size, then by way."""
    way, size, _ = folder.name.split("_")
    return (size == ALL, int(size) if size != ALL else 0, WAYS.index(way))


if __name__ == "__main__":
    run_command(main)
