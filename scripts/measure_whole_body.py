"""Measures the model of whole bodies that ships on simulated patients it never saw.

    python scripts/measure_whole_body.py --data_dir=data

DATA is where it was trained. Counted is by patient, both views together, on the fold
that its training held out: false regions in those without a metastasis, and what share
of lesions and of their area is found, by the planar index of the true masks. It prints
facts as `spectjax/ready/whole_body/measured.json` has them.
"""

import json
import pathlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags, logging

from spectjax.imaging.scan import View
from spectjax.system.commands import define_path, refuse_arguments, run_command

_DATA_DIR = define_path("data_dir", "Folder of the data sets.", required=True)
_FOLDER = define_path("folder", "Of the model. Default: the package's own.")

VIEWS: tuple[View, View] = ("anterior", "posterior")
_POINTS = ("specific", "balanced")
_LEVELS = (0.1, 1.0, 3.0, 6.0, 100.0)  # percent; groups end there
_RESAMPLES = 2000


class Counted(NamedTuple):
    """What is said of the views of one patient at one operating point.

    Attributes:
        false: regions without a pixel of an outline.
        found: lesions with a pixel that is marked.
        lesions: as readers outlined them.
        found_px: outlined pixels that are marked.
        outlined_px: outlined pixels.
    """

    false: int
    found: int
    lesions: int
    found_px: int
    outlined_px: int


def main(argv: list[str]) -> None:
    """Asks the model and prints the facts."""
    # Here, so that --help need not wait for jax and TFDS.
    from spectjax.inference.ready import WHOLE_BODY, load_ready, read_document
    from spectjax.input_pipeline import load_examples
    from tfds_spect.names import name_fold
    from tfds_spect.prepare import find_prepared

    logging.set_verbosity(logging.FATAL)
    refuse_arguments(argv)
    values = flags.FLAGS
    folder = values.folder or WHOLE_BODY
    (member,) = read_document(folder)["members"]
    data = member["config"]["data"]
    builder_dir = find_prepared(data["name"], data_dir=values.data_dir)
    examples = load_examples(builder_dir, name_fold(data["fold"]))
    indices = _read_indices(values.data_dir, data["name"], examples)
    model = load_ready(folder)
    counted: dict[str, dict[str, list[Counted]]] = {each: {} for each in _POINTS}
    for row, patient in enumerate(examples.patients):
        for point, one in _count(model, examples, row):
            counted[point].setdefault(patient, []).append(one)
    views = f"{len(examples)} views of {len(indices)} simulated patients held out"
    facts = list(_state(counted, indices, views))
    print(json.dumps({"model": model.info["name"], "facts": facts}, indent=2))


def _read_indices(
    data_dir: pathlib.Path, name: str, examples: Any
) -> dict[str, float | None]:
    """Returns the true planar index of each patient, percent; None: no metastasis."""
    from spectjax.bones.index import measure_index
    from spectjax.bones.regions import draw_regions
    from spectjax.imaging.dicom.reading import read_bone_scans
    from tfds_spect.configs import list_configs

    (phantom,) = (x.phantom for x in list_configs() if x.name == name)
    assert phantom is not None
    folder = data_dir / "phantom" / phantom.folder
    wanted = {
        each.rpartition("_")[2]: patient
        for each, patient in zip(examples.example_ids, examples.patients, strict=True)
    }
    files: dict[str, pathlib.Path] = {}
    for path in sorted((folder / "dicom").iterdir()):
        for scan in read_bone_scans(path):
            if scan.image_key[:8] in wanted:
                files[wanted[scan.image_key[:8]]] = path
    indices: dict[str, float | None] = {}
    for patient, path in files.items():
        truth = np.load(folder / "truth" / f"{path.stem.partition('_')[0]}.npz")
        views: list[View] = [v for v in VIEWS if f"{v}_bone_names" in truth]
        unpacked = {
            key: np.unpackbits(truth[key], axis=-1).astype(bool)
            for key in truth.files
            if key.endswith("_masks")
        }
        regions = {
            view: draw_regions(
                unpacked[f"{view}_bone_masks"], truth[f"{view}_bone_names"], view
            )
            for view in views
        }
        hot = {
            view: np.asarray(unpacked[f"{view}_lesion_masks"].any(axis=0))
            for view in views
        }
        some = any(mask.any() for mask in hot.values())
        indices[patient] = measure_index(regions, hot).percent if some else None
    return indices


def _count(model: Any, examples: Any, row: int) -> Iterator[tuple[str, Counted]]:
    """Yields each point and what is marked in a view there."""
    from spectjax.imaging.hotspots import number_regions
    from spectjax.tasks.hotspots.regions import score_regions, select_regions

    counts = examples.images[row, :, :, 0].astype(np.float32)
    height, width = examples.spacing_mm[row].tolist()
    answer = model.predict(counts[np.newaxis, :, :, np.newaxis])[0]
    valid, operation = np.ones(counts.shape, bool), model.operation
    regions = score_regions(answer, counts, (height, width), operation, valid=valid)
    lesions, n = number_regions(examples.masks[row] > 0)
    for name in _POINTS:
        marked = select_regions(regions, operation, operation.points[name]).marked
        hot = np.any([each.mask for each in marked], axis=0) if marked else ~valid
        yield (
            name,
            Counted(
                false=sum(not lesions[each.mask].any() for each in marked),
                found=len(set(np.unique(lesions[hot])) - {0}),
                lesions=n,
                found_px=int(np.sum(hot & (lesions > 0))),
                outlined_px=int(np.sum(lesions > 0)),
            ),
        )


def _state(
    counted: Mapping[str, Mapping[str, Sequence[Counted]]],
    indices: Mapping[str, float | None],
    views: str,
) -> Iterator[dict[str, str]]:
    """Yields the facts."""
    normal = [patient for patient, index in indices.items() if index is None]
    yield {
        "what": "false regions in a patient without metastases, both views together: "
        f"{', '.join(f'`{each}`' for each in _POINTS)}",
        "found": "; ".join(
            _tell_mean([sum(v.false for v in counted[point][p]) for p in normal])
            for point in _POINTS
        ),
        "of": f"{len(normal)} patients in {views}",
    }
    groups: dict[float, list[str]] = defaultdict(list)
    for patient, index in indices.items():
        if index is not None:
            groups[min(each for each in _LEVELS if index <= each)].append(patient)
    below = 0.0
    for most in _LEVELS:
        span = f"{below:g} to {most:g} %" if most < 100 else f"above {below:g} %"
        shares = [_tell_share(counted[p], groups[most]) for p in _POINTS]
        yield {
            "what": f"lesions, and outlined area, found at a planar index of {span}: "
            f"{', '.join(f'`{each}`' for each in _POINTS)}",
            "found": "; ".join(shares),
            "of": f"{len(groups[most])} patients in {views}",
        }
        below = most


def _tell_mean(numbers: Sequence[int]) -> str:
    """Returns a mean with its interval, of a bootstrap over patients."""
    drawn = np.random.default_rng(0).choice(numbers, (_RESAMPLES, len(numbers)))
    low, high = np.quantile(drawn.mean(axis=1), (0.025, 0.975))
    return f"{np.mean(numbers):.2f} ({low:.2f}-{high:.2f})"


def _tell_share(
    counted: Mapping[str, Sequence[Counted]], patients: Sequence[str]
) -> str:
    """Returns which share of lesions and of their area is found."""
    totals = np.sum([v for patient in patients for v in counted[patient]], axis=0)
    _, found, lesions, found_px, outlined_px = totals
    return f"{found / max(lesions, 1):.2f}, {found_px / max(outlined_px, 1):.2f}"


if __name__ == "__main__":  # flags are global to a process
    run_command(main)
