"""Shows why a classifier said so, by Grad-CAM. Research software, not a medical device.

    python -m spectjax.explain --workdir=RUN --output_dir=OUT PATH...
    python -m spectjax.explain --workdir=RUN --output_dir=OUT --held_out

RUN is the folder that training a classifier wrote; PATH is a DICOM file, a picture
(PNG, JPEG), or a folder of them. Of pictures images.csv at the top of the folder says
view, patient and more (docs/data.md); single ones take --view, and --region if they
show a thorax already. With --held_out the images are the patients that the run has
never seen: the surest right and wrong ones, or those of --examples; where readers have
marked hotspots, OUT/metrics.json tells how often a map peaks on one, beside chance. For
every image OUT receives `<name>.png` (counts with the map over them) and `<name>.json`
(probability, map, place of its peak). --check_sanity writes `sanity.json` and
`sanity.png`: what becomes of the maps when the network's weights are drawn anew, layer
by layer. --html also writes OUT/pages: each study as an HTML file, with the map as a
layer that can be switched off, and an index (docs/pages.md).
Files that cannot be used are named on stderr and passed over; the exit status is 0 if
at least one image was explained, else 1. It is 3 if one was passed over for an error
that nobody expected, a bug: OUT/problems.log then has what to report.
"""

import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags, logging

from spectjax.config import ConfigError, load_config
from spectjax.imaging.diagnosis import LABELS
from spectjax.imaging.intake import Intake
from spectjax.imaging.listed.crops import read_crops
from spectjax.imaging.listed.found import UNSTATED, Stated
from spectjax.imaging.outputs import OutputNames
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import name_files
from spectjax.imaging.thorax import crop_thorax
from spectjax.inference.regions import describe_mismatch, tell_unknown
from spectjax.system.commands import (
    define_crops,
    define_data_dirs,
    define_html,
    define_path,
    define_stated,
    read_paths,
    run_command,
)
from spectjax.system.files import write_json
from spectjax.system.jax_setup import start_jax
from spectjax.system.locks import hold
from spectjax.system.messages import DISCLAIMER, UserError, make_printable
from spectjax.tasks import TASKS

if TYPE_CHECKING:  # what takes seconds to load: not before --help
    from spectjax.explanation.explainer import Explainer
    from spectjax.explanation.subjects import Subject
    from spectjax.input_pipeline import Examples
    from spectjax.pages.folder import PageFolder


def main(argv: list[str]) -> None:
    """Explains what the flags and paths name."""
    values = flags.FLAGS
    # Libraries log what they do, and tracebacks of what is one line of ours here.
    logging.set_verbosity(logging.FATAL)
    workdir, output_dir = values.workdir, values.output_dir
    common = {
        "category": values.category,
        "check_sanity": values.check_sanity,
        "html": values.html,
    }
    paths = read_paths(argv)
    with hold(output_dir):
        check_classifier(workdir)
        if not (values.held_out or values.examples):
            asked = {"stated": Stated.of(values), "crops": values.crops}
            explain_scans(paths, workdir, output_dir, **asked, **common)
        elif paths:
            raise UserError(
                f"Expected scans or examples of the run's data set, found both: "
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


def check_classifier(workdir: pathlib.Path) -> None:
    """Checks that `workdir` is the folder of a classifier's run.

    Raises:
        ConfigError: if it is not.
    """
    task = load_config(workdir / "config.json").task
    if not TASKS[task].explained:
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
    stated: Stated = UNSTATED,
    crops: pathlib.Path | None = None,
    category: str = "metastasis",
    check_sanity: bool = False,
    html: bool = False,
) -> None:
    """Explains every view of all scans below `paths`, images or folders.

    Maps speak for `category`; what is `stated` holds of every file that no table lists;
    `crops` is a table of what people decided about crops. With `check_sanity`
    one sees what random weights make of the maps, with `html` there are pages too.

    Raises:
        UserError: if there is no trained model or no scan that could be used.
        SystemExit: see `Problems`, if a bug kept a view from being explained.
        WriteError: if a file cannot be written.
    """
    if not paths:
        raise UserError(
            "Expected images or folders after the flags, or --held_out for the "
            "run's own data; found none."
        )
    # Here, since they load what draws: not before --help.
    from spectjax.explanation.subjects import take_view
    from spectjax.explanation.writing import SANITY_IMAGES, shows_evidence
    from spectjax.pages.explained import show_explained_scan

    problems = Problems(output_dir)
    intake = Intake(paths, problems, stated=stated, crops=read_crops(crops))
    names = OutputNames(intake.files, output_dir, mark="map")
    explainer: Explainer | None = None
    pages = _open_pages(output_dir, problems, intake.files) if html else None
    written = 0
    fit: list[Subject] = []
    for scans in intake.read_examinations():
        if explainer is None:
            explainer = _load(workdir, category)
            tell_unknown(explainer.run.info)
        views = []
        for scan in scans:
            with problems.passing_over(scan.path):
                thorax, name = crop_thorax(scan), names.choose(scan)
                strange = describe_mismatch(explainer.run.info, scan.region)
                subject = take_view(thorax, name, explainer.run.input_hw, strange)
                (document,) = _write(explainer, [subject], output_dir)
                written += 1
                views.append(show_explained_scan(thorax, name, document))
                evidence = np.array(document["map"]["values"], np.float32)
                if len(fit) < SANITY_IMAGES and shows_evidence(subject, evidence):
                    fit.append(subject)
        if pages and views:
            with problems.passing_over(scans[0].path):
                pages.begin("classification", explainer.run.origin)
                said = tuple(problems.recent)
                pages.add(name_files(scans), views, said, "explain", scans[0].path)
    if pages:
        pages.finish()
    if check_sanity and explainer is not None and written:
        _check_sanity(explainer, fit, output_dir)
    problems.conclude(written, output_dir, DISCLAIMER)


def explain_held_out(
    workdir: pathlib.Path,
    output_dir: pathlib.Path,
    *,
    example_ids: Sequence[str] = (),
    num_examples: int = 2,
    data_dir: str | os.PathLike[str] | None = None,
    manual_dir: str | os.PathLike[str] | None = None,
    category: str = "metastasis",
    check_sanity: bool = False,
    html: bool = False,
) -> dict[str, Any]:
    """Explains examples that a run has not seen, and scores the maps of all of them.

    Drawn are those of `example_ids`, or else the surest `num_examples` of each outcome.
    For the rest see `explain_scans` and `spectjax.training.run_data.find_data`.

    Returns:
        The content of `<output_dir>/metrics.json`.

    Raises:
        UserError: if there is no trained model, no such data set or no such example.
        WriteError: if a file cannot be written.
    """
    # Here, since they load jax and TFDS: not before --help.
    from spectjax.explanation.subjects import find_rows, pick_examples, take_example

    explainer = _load(workdir, category)
    examples = _load_held_out(workdir, data_dir, manual_dir)
    rows = find_rows(examples, example_ids)
    cut = examples.crop_centre(explainer.run.input_hw)
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
        take_example(examples, row, name, explainer.run.input_hw)
        for name, row in chosen.items()
    ]
    documents = _write(explainer, subjects, output_dir)
    if html:
        _write_pages(explainer, subjects, documents, output_dir)
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
        examples: N, cut to what the classifier sees.
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
        "model": explainer.run.origin,
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
    start_jax()
    from spectjax.explanation.explainer import Explainer
    from spectjax.inference.trained import load_run

    return Explainer(load_run(workdir), LABELS.index(category))


def _load_held_out(
    workdir: pathlib.Path,
    data_dir: str | os.PathLike[str] | None,
    manual_dir: str | os.PathLike[str] | None,
) -> "Examples":
    """Returns the examples that a run holds out, with whole canvases."""
    from spectjax.input_pipeline import load_examples
    from spectjax.tasks.classification.cases import check_scored
    from spectjax.training.run_data import find_data
    from tfds_spect.names import choose_splits

    data = load_config(workdir / "config.json").data
    builder_dir = find_data([workdir], data_dir, manual_dir, may_simulate=True)
    held_out = choose_splits(
        data.name, data.fold, data.validation_fold, copies=data.augmentation == "copies"
    ).held_out
    examples = load_examples(builder_dir, held_out)
    if data.fingerprint is None:
        check_scored(workdir / "eval" / "cases.csv", examples.example_ids)
    return examples


def _write(
    explainer: "Explainer", subjects: Sequence["Subject"], output_dir: pathlib.Path
) -> list[dict[str, Any]]:
    """Writes the explanation of each subject, and a line about it.

    Returns:
        What the JSON files hold.
    """
    from spectjax.explanation.writing import write_explanation

    odds, maps = explainer.explain(np.stack([subject.counts for subject in subjects]))
    documents = []
    for subject, value, evidence in zip(subjects, odds, maps, strict=True):
        document = write_explanation(
            explainer, subject, float(value), evidence, output_dir
        )
        peak = document["peak"]
        place = "no evidence"
        if peak is not None:
            y, x = peak["thorax"]["centre"]
            place = f"peak near row {y:.0f}, column {x:.0f} of the thorax"
        said = f"P({document['category']}) {document['probability']:.3f}, {place}"
        print(make_printable("  ".join([f"{subject.name}: {said}", *subject.warnings])))
        documents.append(document)
    return documents


def _open_pages(
    output_dir: pathlib.Path, problems: Problems, files: Sequence[pathlib.Path]
) -> "PageFolder":
    from spectjax.pages.folder import FOLDER, PageFolder

    return PageFolder(output_dir / FOLDER, problems, files)


def _write_pages(
    explainer: "Explainer",
    subjects: Sequence["Subject"],
    documents: Sequence[dict[str, Any]],
    output_dir: pathlib.Path,
) -> None:
    """Writes a page of each example."""
    from spectjax.pages.explained import NOTE, show_explained_example

    pages = _open_pages(output_dir, Problems(output_dir), ())
    pages.begin("classification", explainer.run.origin)
    for subject, document in zip(subjects, documents, strict=True):
        view = show_explained_example(
            subject.name, subject.counts, document, subject.hotspots
        )
        path = output_dir / subject.name
        pages.add(subject.title, [view], (), "explain", path, (NOTE,))
    pages.finish()


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


if __name__ == "__main__":  # flags are global to a process
    define_path("workdir", "Folder of the training run to take.", required=True)
    define_path("output_dir", "Folder to write to; made if missing.", required=True)
    flags.DEFINE_enum(
        "category", "metastasis", LABELS[::-1], "The class for which the maps speak."
    )
    define_stated()
    define_crops()
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
    define_data_dirs()
    define_html()
    flags.DEFINE_bool(
        "check_sanity",
        False,
        "Also draw the weights anew, layer by layer, and compare the maps; takes "
        "minutes for a large network without a GPU.",
    )
    run_command(main)
