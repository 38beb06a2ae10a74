"""Measures how much a random split of augmented images inflates scores.

    python scripts/measure_leak.py --config=configs/unet_res.py:quick --output_dir=OUT
    python scripts/measure_leak.py --config=configs/specs_r34.py:quick --output_dir=OUT

Trains the same model, with the same settings and as many steps, under both protocols:
on folds of patients, and as the papers do, on 70 % of all originals and copies at
random. Both are scored on originals and copies, so that the images are of one kind;
what differs is only whether other images of the same patients were trained on. A config
that moves originals anew at each step trains on stored copies here, of another data set
where its own has none, so that its epochs are longer. Repeats hold out another fold, or
begin with another seed, each.
"""

import pathlib
import statistics
from typing import TYPE_CHECKING, Any, cast

from absl import flags
from ml_collections import ConfigDict, config_flags

from spectjax.report.markdown import format_rows
from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.files import write_json
from spectjax.tasks import TASKS
from spectjax.tasks.hotspots import NAMES
from tfds_spect.names import LEAKING, choose_splits

if TYPE_CHECKING:  # TFDS takes seconds: not before --help
    from spectjax.input_pipeline import Examples
    from tfds_spect.prepared import Prepared

_CONFIG = config_flags.DEFINE_config_file("config", "configs/unet_res.py:quick")
_OUTPUT_DIR = define_path("output_dir", "Folder.", required=True)
_DATA_DIR = define_path("data_dir", "Folder of data sets.")
_MANUAL_DIR = define_path(
    "manual_dir", "Folder with DICOM and LabelMe files. Default: simulated."
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 5, "Trainings under each protocol.", lower_bound=1, upper_bound=5
)
# A data set with copies for one that has none.
COPIED = {"segmentation_mixed": "segmentation_quick"}
# What is compared: pooled over pixels, or over images.
SCORES = {
    **dict.fromkeys(NAMES, ("IoU", "Dice", "CPA", "Rec")),
    "classification": ("auc", "accuracy", "recall", "specificity"),
}


def main(argv: list[str]) -> None:
    """Trains, scores and prints the table."""
    refuse_arguments(argv)
    # Here, so that --help need not wait for jax.
    from spectjax.system.jax_setup import enable_compilation_cache
    from tfds_spect.prepare import prepare

    enable_compilation_cache()
    folder = cast(pathlib.Path, _OUTPUT_DIR.value)
    name = COPIED.get(_CONFIG.value.data.name, _CONFIG.value.data.name)
    folds, leaking = (
        prepare(each, data_dir=_DATA_DIR.value, manual_dir=_MANUAL_DIR.value)
        for each in (name, name + LEAKING)
    )
    results: dict[str, list[dict[str, float]]] = {"folds": [], "leaking": []}
    for repeat in range(_REPEATS.value):
        config = _CONFIG.value.copy_and_resolve_references()
        config.data.name, config.data.fold = name, repeat
        # Only copies can stand on both sides.
        config.data.augmentation = "copies"
        split = f"fold{repeat}+fold{repeat}_augmented"
        run = folder / f"folds_{repeat}"
        results["folds"].append(score(config, run, folds.builder_dir, split))

        sizes = [count_training(each, repeat) for each in (folds, leaking)]
        config.num_epochs = round(config.num_epochs * sizes[0] / sizes[1])
        config.data.name, config.seed = name + LEAKING, repeat
        run = folder / f"leaking_{repeat}"
        results["leaking"].append(score(config, run, leaking.builder_dir, "test"))
    write_json(folder / "leak.json", results)
    print(describe(results, synthetic=folds.synthetic))


def count_training(prepared: "Prepared", fold: int) -> int:
    """Returns how many examples a run trains on."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(prepared.builder_dir)
    splits = choose_splits(builder.info.config_name, fold)
    return int(builder.info.splits[splits.train].num_examples)


def score(
    config: ConfigDict, workdir: pathlib.Path, builder_dir: pathlib.Path, split: str
) -> dict[str, float]:
    """Trains unless that is done, and returns the scores of a split."""
    from spectjax.inference.trained import load_run
    from spectjax.input_pipeline import load_examples
    from spectjax.main import hold_run, train_and_evaluate

    with hold_run(workdir):
        train_and_evaluate(
            config, workdir, data_dir=_DATA_DIR.value, manual_dir=_MANUAL_DIR.value
        )
    examples = load_examples(builder_dir, split)
    of_images = TASKS[config.task].answer == "image"
    score_examples = score_labels if of_images else score_masks
    scores = score_examples(config, load_run(workdir), examples)
    found = {name: scores[name] for name in SCORES[config.task]}
    shown = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    print(f"{workdir.name}: {split}, {shown}", flush=True)
    return found


def score_masks(
    config: ConfigDict, model: Any, examples: "Examples"
) -> dict[str, float]:
    """Returns scores pooled over the pixels of all images."""
    from spectjax.metrics.pixel import count_pixels, summarise_pixels
    from spectjax.tasks.hotspots.evaluate import predict_hotspots

    _, classes = predict_hotspots(
        model.predict, examples.images, batch_size=config.data.batch_size
    )
    return summarise_pixels(count_pixels(classes, examples.masks))["pooled"]


def score_labels(
    config: ConfigDict, model: Any, examples: "Examples"
) -> dict[str, float]:
    """Returns scores of the labels of all images."""
    from spectjax.tasks.classification.evaluate import predict_log_odds
    from spectjax.tasks.classification.scores import score_images

    examples = examples.crop_centre(tuple(config.data.train_hw))
    log_odds = predict_log_odds(
        model.compile(model.learned.predict_logits),
        examples.images,
        batch_size=config.data.batch_size,
    )
    return score_images(examples.labels, log_odds)


def describe(results: dict[str, list[dict[str, float]]], *, synthetic: bool) -> str:
    """Returns the means under both protocols and what the leak adds, as a table."""
    names = list(results["folds"][0])
    rows = {
        protocol: [statistics.mean(each[name] for each in runs) for name in names]
        for protocol, runs in results.items()
    }
    gain = [b - a for a, b in zip(rows["folds"], rows["leaking"], strict=True)]
    title = f"Originals and copies scored, mean of {len(results['folds'])} trainings"
    title += ", SYNTHETIC patients" * synthetic
    papers = "the papers': copies of the same patients trained on"
    table = [
        ["patients held out", *(f"{x:.3f}" for x in rows["folds"])],
        [papers, *(f"{x:.3f}" for x in rows["leaking"])],
        ["**the leak adds**", *(f"{x:+.3f}" for x in gain)],
    ]
    return "\n".join([title, "", *format_rows(["protocol", *names], table)[:-1]])


if __name__ == "__main__":
    run_command(main)
