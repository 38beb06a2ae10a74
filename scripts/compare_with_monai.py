"""Trains MONAI's U-Net on our folds for a given time and puts it beside our runs.

    python scripts/compare_with_monai.py --seconds=300 --output_dir=OUT
    python scripts/compare_with_monai.py --seconds=300 --output_dir=OUT --ours=RUNS/fold

Needs torch and monai. The peer is `monai.networks.nets.UNet` as MONAI's tutorials have
it (`2d_segmentation/torch/unet_training_dict.py`: channels 16 to 256, strides of 2, two
residual units, Adam; `3d_segmentation/spleen_segmentation_3d.ipynb`: batch
normalisation, soft-max over two classes, rotations within pi/15 and zooms within 10 %),
with the loss of MONAI's model `spleen_ct_segmentation` (Dice and cross-entropy, squares
in the denominator, summed over the batch). It trains on the same folds and the same
central part as we do, and one function scores both on the same held-out images.

By default it learns with what did best on the held-out images of fold 0, in its favour:
the square root instead of MONAI's ScaleIntensity, batches of 4 instead of 8 or 16, a
rate of 1e-3 instead of 3e-3, falling as a cosine. It has neither averaged weights nor
mirrored predictions, as its tutorials have not.

Its seconds are processor time of this process, over all threads: what else runs on the
machine does not shorten its training. Random moves are inside, loading, a first step
and scoring are not. The weights of the last step are scored: no fold picks earlier
ones. Our runs' seconds in the table are those of their epochs, by the clock.

OUT/fold<k>/eval is what our runs write; OUT/fold<k>/peer.json says how it was trained.
A fold that is finished is only read. OUT/table.md, metrics.json and figures/ are those
of a cross-validation over all folds that are finished, our runs beside the peer's.
"""

import dataclasses
import importlib.metadata
import importlib.util
import json
import pathlib
import sys
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from absl import flags

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.locks import hold
from spectjax.system.messages import UserError
from tfds_spect.names import FOLDS

if TYPE_CHECKING:
    from scripts.peers.monai_unet import Settings
    from tfds_spect.prepared import Prepared

_PACKAGES = ("torch", "monai")
PEER = "monai_unet"
_OUTPUT_DIR = define_path("output_dir", "Folder.", required=True)
_SECONDS = flags.DEFINE_float(
    "seconds", None, "Processor time to train for, each fold.", required=True
)
_FOLD = flags.DEFINE_list("fold", [str(k) for k in FOLDS], "Folds to hold out.")
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of PyTorch.", lower_bound=1)
_DATA = flags.DEFINE_string("data", "segmentation_mixed", "Data set.")
_DATA_DIR = define_path("data_dir", "Folder of data sets.")
_MANUAL_DIR = define_path(
    "manual_dir", "Folder with DICOM and LabelMe files. Default: simulated."
)
_TRAIN_HW = flags.DEFINE_list(
    "train_hw", ["160", "160"], "Central part to train on, pixels; multiples of 16."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 4, "Images.", lower_bound=2)
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Of Adam, at its highest.")
_SCHEDULE = flags.DEFINE_enum(
    "schedule", "cosine", ["constant", "cosine"], "Of the learning rate."
)
_NORMALISATION = flags.DEFINE_enum(
    "normalisation",
    "square_root",
    ["min_max", "square_root"],
    "How counts become inputs: MONAI's ScaleIntensity, or our square root.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, order and moves.", lower_bound=0)
_OURS = define_path(
    "ours", "Our runs, without the number of the fold: RUNS/unet_res_fold."
)


def main(argv: list[str]) -> None:
    """Trains what is not trained yet, writes the table and prints it."""
    refuse_arguments(argv)
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"{' and '.join(missing)}: not found; the peer needs them: "
            "pip install torch monai."
        )
    folds = parse_numbers(_FOLD, FOLDS)
    train_hw = parse_numbers(_TRAIN_HW, range(16, 4096, 16))
    if len(train_hw) != 2:
        raise UserError(f"--train_hw: expected two numbers, got {len(train_hw)}.")
    compare(folds, (train_hw[0], train_hw[1]), cast(pathlib.Path, _OUTPUT_DIR.value))


def parse_numbers(flag: flags.FlagHolder[list[str]], allowed: range) -> list[int]:
    """Returns the numbers of a list flag.

    Raises:
        ValueError: if one is not allowed.
    """
    for text in flag.value:
        if not text.isdecimal() or int(text) not in allowed:
            raise UserError(
                f"--{flag.name}={','.join(flag.value)}: expected numbers like "
                f"{allowed[0]}, {allowed[1]}, ..., {allowed[-1]}."
            )
    return [int(text) for text in flag.value]


def compare(
    folds: Sequence[int], train_hw: tuple[int, int], output_dir: pathlib.Path
) -> None:
    """Trains and scores the peer on each fold, then writes and prints the table.

    Raises:
        UserError: if a fold was trained with other settings, or one of our runs is
            missing or scored other images.
    """
    # Here, so that --help need not wait for torch and jax.
    from scripts.peers.monai_unet import Settings
    from spectjax.tasks import TASKS
    from spectjax.training.run_data import check_data
    from tfds_spect.prepare import choose_config, prepare

    settings = Settings(
        seconds=_SECONDS.value,
        threads=_THREADS.value,
        train_hw=train_hw,
        batch_size=_BATCH_SIZE.value,
        learning_rate=_LEARNING_RATE.value,
        schedule=_SCHEDULE.value,
        normalisation=_NORMALISATION.value,
        seed=_SEED.value,
    )
    name = choose_config(_DATA.value, _MANUAL_DIR.value)
    prepared = prepare(name, data_dir=_DATA_DIR.value, manual_dir=_MANUAL_DIR.value)
    for fold in folds:
        workdir = output_dir / f"fold{fold}"
        check_data([workdir], prepared.fingerprint, prepared.builder_dir)
        if not is_finished(workdir, settings):
            with hold(workdir):
                run_fold(name, fold, settings, prepared, workdir)
    finished = [k for k in FOLDS if is_finished(output_dir / f"fold{k}", settings)]
    runs = {PEER: [output_dir / f"fold{fold}" for fold in finished]}
    if _OURS.value:
        ours = [pathlib.Path(f"{_OURS.value}{fold}") for fold in finished]
        runs = {"spectjax": ours, **runs}
    networks = {name: describe(name, found[0]) for name, found in runs.items()}
    TASKS["segmentation"].compare()(runs, networks, output_dir)
    print((output_dir / "table.md").read_text())


def describe(name: str, workdir: pathlib.Path) -> dict[str, Any]:
    """Returns what the table says of the network of a run."""
    from spectjax.config import load_config
    from spectjax.training.run import describe_network

    if name != PEER:
        return describe_network(load_config(workdir / "config.json"))
    facts = json.loads((workdir / "peer.json").read_text())
    return {
        "num_parameters": facts["parameters"],
        "num_epochs": max(1, round(facts["epochs"])),
        "image_hw": facts["settings"]["train_hw"],
    }


def is_finished(workdir: pathlib.Path, settings: "Settings") -> bool:
    """Returns whether a fold was trained and scored before.

    Raises:
        ValueError: if it was, with other settings.
    """
    if not (workdir / "eval" / "metrics.json").exists():
        return False
    path = workdir / "peer.json"
    found = json.loads(path.read_text())["settings"]
    wanted = json.loads(json.dumps(dataclasses.asdict(settings)))
    different = [f"{k}: {found[k]}" for k in wanted if found[k] != wanted[k]]
    if different:
        raise UserError(
            f"{path}: expected what the command line says, found "
            f"{', '.join(different)}. Choose another --output_dir."
        )
    return True


def run_fold(
    name: str,
    fold: int,
    settings: "Settings",
    prepared: "Prepared",
    workdir: pathlib.Path,
) -> None:
    """Trains the peer on the other folds, scores it on this one, writes its folder."""
    from scripts.peers import monai_unet
    from spectjax.inference.scoring import FinishedRun
    from spectjax.input_pipeline import load_examples
    from spectjax.system.files import write_file, write_json
    from spectjax.tasks import TASKS
    from tfds_spect.names import choose_splits

    splits = choose_splits(name, fold, copies=False)
    examples = load_examples(prepared.builder_dir, splits.train)
    print(f"{workdir}: {len(examples)} images train.", file=sys.stderr, flush=True)
    training = monai_unet.train(examples.images, examples.masks, settings)
    write_file(workdir / "train.csv", training.log)
    facts: dict[str, Any] = {
        "settings": dataclasses.asdict(settings),
        "training_images": len(examples),
        **training.facts,
        "versions": {each: importlib.metadata.version(each) for each in _PACKAGES},
    }
    write_json(workdir / "peer.json", facts)
    model = types.SimpleNamespace(
        predict=lambda counts: monai_unet.predict_probs(
            training.network, counts, settings.normalisation
        )
    )
    TASKS["segmentation"].evaluate()(
        FinishedRun(
            model=model,
            held_out=load_examples(prepared.builder_dir, splits.held_out),
            num_classes=2,
            batch_size=settings.batch_size,
            output_dir=workdir / "eval",
            model_name=PEER,
            train_hw=settings.train_hw,
            dataset_info={
                "config": name,
                "fingerprint": prepared.fingerprint,
                "held_out_fold": fold,
            },
            training_log=workdir / "train.csv",
        )
    )


if __name__ == "__main__":
    run_command(main)
