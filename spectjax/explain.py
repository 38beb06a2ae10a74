"""Shows why a classifier said so, by Grad-CAM. Research software, not a medical device.

    python -m spectjax.explain --workdir=RUN --output_dir=OUT PATH...
    python -m spectjax.explain --workdir=RUN --output_dir=OUT --held_out

RUN is the folder that training a classifier wrote; PATH is a DICOM file or a folder of
them. With --held_out the images are the patients that the run has never seen: the
surest right and wrong ones, or those of --examples; where readers have marked hotspots,
OUT/metrics.json tells how often a map peaks on one, beside chance. For every image OUT
receives `<name>.png` (counts with the map over them) and `<name>.json` (probability,
map, place of its peak). --check_sanity writes `sanity.json` and `sanity.png`: what
becomes of the maps when the network's weights are drawn anew, layer by layer.
Files that cannot be used are named on stderr and passed over; the exit status is 0 if
at least one image was explained.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import app, flags, logging

from spectjax.config import ConfigError, load_config
from spectjax.files import write_json
from spectjax.imaging.dicom import ScanError, View, find_bone_scans
from spectjax.imaging.thorax import crop_thorax
from spectjax.prediction.names import name_outputs
from spectjax.report import DISCLAIMER

if TYPE_CHECKING:  # what takes seconds to load: not before --help
    from spectjax.explanation.explainer import Explainer
    from spectjax.explanation.subjects import Subject
    from spectjax.input_pipeline import Examples


def main(argv: list[str]) -> None:
    """Runs the command; errors become one line and exit status 1."""
    values = flags.FLAGS
    # Libraries log what they do, and tracebacks of what is one line of ours here.
    logging.set_verbosity(logging.FATAL)
    workdir, output_dir = pathlib.Path(values.workdir), pathlib.Path(values.output_dir)
    common = {"category": values.category, "check_sanity": values.check_sanity}
    paths = [pathlib.Path(name) for name in argv[1:]]
    try:
        check_classifier(workdir)
        if not (values.held_out or values.examples):
            explain_scans(paths, workdir, output_dir, view=values.view, **common)
        elif paths:
            raise ValueError(
                f"Expected DICOM files or examples of the run's data set, found both: "
                f"{paths[0]} and --held_out or --examples. Leave out one of them."
            )
        else:
            explain_held_out(
                workdir,
                output_dir,
                example_ids=values.examples,
                num_examples=values.num_examples,
                data_dir=values.data_dir,
                manual_dir=values.manual_dir,
                **common,
            )
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def check_classifier(workdir: pathlib.Path) -> None:
    """Checks that `workdir` is the folder of a classifier's run.

    Raises:
        ConfigError: if it is not.
    """
    task = load_config(workdir / "config.json").task
    if task != "classification":
        raise ConfigError(
            f"{workdir}: expected the run of a classifier, found one whose task is "
            f"{task}. Its hotspots are their own explanation: python -m "
            f"spectjax.predict --workdir={workdir} --output_dir=OUT PATH..."
        )


def explain_scans(
    paths: Sequence[pathlib.Path],
    workdir: pathlib.Path,
    output_dir: pathlib.Path,
    *,
    view: View | None = None,
    category: str = "metastasis",
    check_sanity: bool = False,
) -> None:
    """Explains every view of all scans below `paths`.

    Args:
        paths: DICOM files or folders.
        workdir: folder of the training run whose model is explained.
        output_dir: folder to write to.
        view: view of every image, whatever its file says.
        category: the class for which the maps speak.
        check_sanity: whether to see what random weights make of the maps.

    Raises:
        ValueError: if there is no trained model or no scan that could be used.
        WriteError: if a file cannot be written.
    """
    if not paths:
        raise ValueError(
            "Expected DICOM files or folders after the flags, or --held_out for the "
            "run's own data; found none."
        )
    scans, errors = find_bone_scans(paths, view=view)
    if not scans:
        for skipped in errors:
            print(f"skipped: {skipped}", file=sys.stderr)
        raise ValueError(f"No bone scan found, {len(errors)} files skipped.")
    # Here, since they load jax and what draws: not before there is something to do.
    from spectjax.explanation.subjects import take_view

    explainer = _load(workdir, category)
    subjects = []
    for scan, name in zip(scans, name_outputs(scans, output_dir), strict=True):
        try:
            subjects.append(take_view(crop_thorax(scan), name, explainer.image_hw))
        except ScanError as error:
            errors.append(error)
    for skipped in errors:
        print(f"skipped: {skipped}", file=sys.stderr)
    if not subjects:
        raise ValueError(f"No thorax found, {len(errors)} files skipped.")
    _write(explainer, subjects, output_dir)
    if check_sanity:
        _check_sanity(explainer, subjects, output_dir)
    print(
        f"{len(subjects)} views written to {output_dir}, {len(errors)} files skipped.\n"
        f"{DISCLAIMER}"
    )


def explain_held_out(
    workdir: pathlib.Path,
    output_dir: pathlib.Path,
    *,
    example_ids: Sequence[str] = (),
    num_examples: int = 2,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    category: str = "metastasis",
    check_sanity: bool = False,
) -> dict[str, Any]:
    """Explains examples that a run has not seen, and scores the maps of all of them.

    Args:
        workdir: folder of the training run whose model is explained.
        output_dir: folder to write to.
        example_ids: which examples to draw; none: the surest of each outcome.
        num_examples: how many of each outcome.
        data_dir: where data sets live, None for TFDS's own default.
        manual_dir: folder of which the run's data set was made; None: it is prepared,
            or of simulated patients.
        category: the class for which the maps speak.
        check_sanity: whether to see what random weights make of the maps.

    Returns:
        The content of `<output_dir>/metrics.json`.

    Raises:
        ValueError: if there is no trained model, no such data set or no such example.
        WriteError: if a file cannot be written.
    """
    # Here, since they load jax and TFDS: not before --help.
    from spectjax.explanation.subjects import find_rows, pick_examples, take_example

    examples = _load_held_out(workdir, data_dir, manual_dir)
    rows = find_rows(examples, example_ids)
    explainer = _load(workdir, category)
    cut = examples.crop_centre(explainer.image_hw)
    odds, maps = explainer.explain(cut.images[..., 0])
    chosen = {examples.example_ids[row]: row for row in rows}
    if not rows:
        of_metastasis = odds if explainer.category == 1 else -odds
        picked = pick_examples(examples.labels, of_metastasis, num_examples)
        chosen = {
            f"{outcome}_{rank}_{examples.example_ids[row]}": row
            for outcome, found in picked.items()
            for rank, row in enumerate(found, start=1)
        }
    subjects = [
        take_example(examples, row, name, explainer.image_hw)
        for name, row in chosen.items()
    ]
    _write(explainer, subjects, output_dir)
    metrics = score_maps(explainer, cut, odds, maps)
    if check_sanity:
        metrics["sanity_check"] = _check_sanity(explainer, subjects, output_dir)
    write_json(output_dir / "metrics.json", metrics)
    print(f"{len(subjects)} examples written to {output_dir}.\n{DISCLAIMER}")
    return metrics


def score_maps(
    explainer: "Explainer", examples: "Examples", odds: np.ndarray, maps: np.ndarray
) -> dict[str, Any]:
    """Returns how often maps for metastasis peak on a hotspot; see `score_pointing`.

    Images that are called metastasis and hold a hotspot take part. Of a map for normal
    nobody knows where it should point.

    Args:
        explainer: what explained the examples.
        examples: cut to what the classifier sees, (N, H, W).
        odds: log-odds of the category, (N,).
        maps: float32, (N, h, w).
    """
    from spectjax.explanation.pointing import score_pointing

    pointing = None
    if explainer.category == 1:
        rows = np.flatnonzero((odds > 0) & (examples.masks > 0).any(axis=(1, 2)))
        pointing = score_pointing(
            maps[rows], examples.masks[rows] > 0, examples.images[rows, :, :, 0]
        ) | {"n_patients": len({examples.patients[row] for row in rows})}
    return {
        "model": explainer.info,
        "data": {
            "name": examples.name,
            "split": examples.split,
            "n_images": len(examples),
            "synthetic": examples.synthetic,
            "leaking": examples.leaking,
        },
        "pointing_game": pointing,
        "disclaimer": DISCLAIMER,
    }


def _load(workdir: pathlib.Path, category: str) -> "Explainer":
    """Returns a run's explainer; loads jax, which takes seconds."""
    from spectjax.explanation.explainer import load_explainer
    from spectjax.startup import enable_compilation_cache

    enable_compilation_cache()
    return load_explainer(workdir, category)


def _load_held_out(
    workdir: pathlib.Path, data_dir: str | None, manual_dir: str | None
) -> "Examples":
    """Returns the examples that a run holds out, with whole canvases."""
    from spectjax.evaluation.classification_cases import check_scored
    from spectjax.input_pipeline import choose_splits, load_examples
    from spectjax.run_data import find_data

    data = load_config(workdir / "config.json").data
    builder_dir = find_data([workdir], data_dir, manual_dir, may_simulate=True)
    held_out = choose_splits(
        data.name,
        data.fold,
        data.validation_fold,
        copies=data.augmentation == "copies",
    ).held_out
    examples = load_examples(builder_dir, held_out)
    if data.fingerprint is None:
        check_scored(workdir / "eval" / "cases.csv", examples.example_ids)
    return examples


def _write(
    explainer: "Explainer", subjects: Sequence["Subject"], output_dir: pathlib.Path
) -> None:
    """Writes the explanation of each subject, and a line about it."""
    from spectjax.explanation.writing import write_explanation

    odds, maps = explainer.explain(np.stack([subject.counts for subject in subjects]))
    for subject, value, evidence in zip(subjects, odds, maps, strict=True):
        document = write_explanation(
            explainer, subject, float(value), evidence, output_dir
        )
        peak = document["peak"]
        place = "no evidence"
        if peak is not None:
            y, x = peak["thorax"]["centre"]
            place = f"peak near row {y:.0f}, column {x:.0f} of the thorax"
        print(
            f"{subject.name}: P({document['category']}) {document['probability']:.3f}, "
            f"{place}"
        )


def _check_sanity(
    explainer: "Explainer", subjects: Sequence["Subject"], output_dir: pathlib.Path
) -> dict[str, Any] | None:
    """Writes the sanity check and prints what it says."""
    from spectjax.explanation.writing import write_sanity

    print("Drawing the weights anew, layer by layer ...", flush=True)
    document = write_sanity(explainer, subjects, output_dir)
    if document is None:
        print("No sanity check: no image has a map that could change.")
        return None
    final = document["final_similarity"]
    if document["passed"]:
        print(f"Maps change with the weights: similarity {final:.2f} at the end.")
    else:
        print(
            f"WARNING: maps hardly change when all weights are drawn anew (similarity "
            f"{final:.2f}, at most {document['threshold']} expected). They show the "
            "image, not what the model has learned: do not use them.",
            file=sys.stderr,
        )
    return document


def _define_flags() -> None:
    """Defines the flags; only the command does, since flags are global to a process."""
    flags.DEFINE_string("workdir", None, "Folder of the training run to take.")
    flags.DEFINE_string("output_dir", None, "Folder to write to; made if missing.")
    flags.DEFINE_enum(
        "category",
        "metastasis",
        ["metastasis", "normal"],
        "The class for which the maps speak.",
    )
    flags.DEFINE_enum(
        "view",
        None,
        ["anterior", "posterior"],
        "View of each given file (of its first detector, if it has two), for files "
        "that do not tell it.",
    )
    flags.DEFINE_bool(
        "held_out", False, "Explain examples of the fold that the run has not seen."
    )
    flags.DEFINE_list(
        "examples", [], "Ids of held-out examples. Default: the surest of each outcome."
    )
    flags.DEFINE_integer(
        "num_examples",
        2,
        "How many right and wrong examples of each class, at most.",
        lower_bound=1,
    )
    flags.DEFINE_string("data_dir", None, "Folder of data sets. Default: TFDS's own.")
    flags.DEFINE_string(
        "manual_dir", None, "Folder with DICOM and LabelMe files. Default: simulated."
    )
    flags.DEFINE_bool(
        "check_sanity",
        False,
        "Also draw the weights anew, layer by layer, and compare the maps; takes "
        "minutes for a large network without a GPU.",
    )
    flags.mark_flags_as_required(["workdir", "output_dir"])


if __name__ == "__main__":
    _define_flags()
    app.run(main)
