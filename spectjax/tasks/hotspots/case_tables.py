"""A segmentation's tables on disk: `cases.csv`, `lesions.csv` and `regions.csv`.

They hold all that scores are made of, so that runs can be scored again and joined
without their models. Numbers are written so that reading gives the very same ones; a
cell is empty where one is undefined. The number of images is N, of lesions L, of
thresholds T.
"""

import contextlib
import csv
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from spectjax.metrics.burden import BURDEN_DTYPES, Burden
from spectjax.metrics.lesions import HALF, LESION_DTYPES, LOG_ODDS, Lesions, Regions
from spectjax.metrics.pixel import SCORES, PixelCounts, score_pixels
from spectjax.system.files import format_csv
from spectjax.system.messages import UserError
from spectjax.tasks.hotspots.cases import SegmentationCases

_PIXELS = ("TP", "FP", "FN", "TN")
CASE_COLUMNS = (
    *("example_id", "patient", "view"),
    *_PIXELS,
    *SCORES,
    *("lesion_px", "predicted_px"),
    *("lesions", "lesions_found", "regions", "false_regions"),
    *BURDEN_DTYPES,
)
_MEASURED = tuple(name for name in LESION_DTYPES if name not in ("image", "found"))
LESION_COLUMNS = ("example_id", *_MEASURED, "found", "found_at")
REGION_COLUMNS = (
    "example_id",
    *(f"{name}_at_{x:g}" for name in ("regions", "false") for x in LOG_ODDS),
)


def format_segmentation_cases(cases: SegmentationCases) -> str:
    """Returns `cases.csv`: a row for each image, lesions and regions at 0.5."""
    pixels, lesions, regions = cases.pixels, cases.lesions, cases.regions
    scores, n = score_pixels(pixels), len(cases)
    columns = (
        *(cases.example_ids, cases.patients, cases.views),
        *(pixels.tp, pixels.fp, pixels.fn, pixels.tn),
        *([_format_score(value) for value in scores[name]] for name in SCORES),
        *(pixels.tp + pixels.fn, pixels.tp + pixels.fp),
        np.bincount(lesions.image, minlength=n),
        np.bincount(lesions.image[lesions.found[:, HALF]], minlength=n),
        *(regions.total[:, HALF], regions.false[:, HALF]),
        *(_format_exactly(getattr(cases.burden, name)) for name in BURDEN_DTYPES),
    )
    return format_csv(CASE_COLUMNS, zip(*columns, strict=True))


def format_lesions(cases: SegmentationCases) -> str:
    """Returns `lesions.csv`: a row for each lesion.

    `found` is at the threshold 0.5; `found_at` has a digit, 0 or 1, for each threshold
    of `spectjax.metrics.lesions.THRESHOLDS`, the lowest first.
    """
    lesions = cases.lesions
    columns = (
        [cases.example_ids[image] for image in lesions.image],
        *(_format_exactly(getattr(lesions, name)) for name in _MEASURED),
        lesions.found[:, HALF].astype(int),
        ["".join("01"[found] for found in row) for row in lesions.found.astype(int)],
    )
    return format_csv(LESION_COLUMNS, zip(*columns, strict=True))


def format_regions(cases: SegmentationCases) -> str:
    """Returns `regions.csv`: all and false regions of each image at each threshold.

    Columns are named by the log-odds of the threshold: 0 is a probability of 0.5.
    """
    regions = cases.regions
    return format_csv(
        REGION_COLUMNS,
        (
            (example_id, *total, *false)
            for example_id, total, false in zip(
                cases.example_ids, regions.total, regions.false, strict=True
            )
        ),
    )


def read_run_tables(eval_dir: pathlib.Path) -> SegmentationCases:
    """Reads the three tables that an evaluation wrote.

    Args:
        eval_dir: folder of an evaluation, usually `<workdir>/eval`.

    Raises:
        UserError: if a table is missing, not such a one, or does not fit the others.
    """
    cases_path = eval_dir / "cases.csv"
    rows = read_rows(cases_path, CASE_COLUMNS)
    example_ids = rows["example_id"]
    with _refuse_others(cases_path):
        pixels = PixelCounts(*(np.array(rows[name], np.int64) for name in _PIXELS))
        burden = Burden(
            **{name: _parse(rows[name], dtype) for name, dtype in BURDEN_DTYPES.items()}
        )
    return SegmentationCases(
        example_ids=example_ids,
        patients=rows["patient"],
        views=rows["view"],
        pixels=pixels,
        lesions=_read_lesions(eval_dir / "lesions.csv", example_ids),
        regions=_read_regions(eval_dir / "regions.csv", example_ids),
        burden=burden,
    )


def _read_lesions(path: pathlib.Path, example_ids: list[str]) -> Lesions:
    rows = read_rows(path, LESION_COLUMNS)
    images = {name: i for i, name in enumerate(example_ids)}
    with _refuse_others(path):
        found = [[int(digit) for digit in text] for text in rows["found_at"]]
        return Lesions(
            image=np.array([images[name] for name in rows["example_id"]], np.int64),
            found=np.array(found, bool).reshape(-1, len(LOG_ODDS)),
            **{name: _parse(rows[name], LESION_DTYPES[name]) for name in _MEASURED},
        )


def _read_regions(path: pathlib.Path, example_ids: list[str]) -> Regions:
    rows = read_rows(path, REGION_COLUMNS)
    with _refuse_others(path):
        if rows["example_id"] != example_ids:
            raise ValueError("its images are not those of cases.csv")
        columns = [np.array(rows[name], np.int64) for name in REGION_COLUMNS[1:]]
        total, false = np.split(np.stack(columns, axis=1), 2, axis=1)
        return Regions(total, false)


def read_rows(path: pathlib.Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Returns the columns of a table by their names.

    Raises:
        UserError: if the table is missing or has other columns.
    """
    with _refuse_others(path), path.open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
        if header != list(names):
            raise ValueError(f"its columns are {', '.join(header[:8])}, ...")
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return {name: list(column) for name, column in zip(names, columns, strict=True)}


@contextlib.contextmanager
def _refuse_others(path: pathlib.Path) -> Iterator[None]:
    """Turns what goes wrong while reading a table into one line for the user."""
    try:
        yield
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path}: expected a segmentation's table as this version writes it "
            f"({error}). Remove {path.parent}; the same command evaluates again."
        ) from error


def _format_exactly(values: np.ndarray) -> list[str]:
    """Returns the shortest digits that tell each number from its neighbours."""
    return [
        "" if np.isnan(value) else np.format_float_positional(value, trim="-")
        for value in values
    ]


def _parse(cells: Sequence[str], dtype: type[np.generic]) -> np.ndarray:
    return np.array([cell or "nan" for cell in cells], np.float64).astype(dtype)


def _format_score(score: float) -> str:
    return "" if np.isnan(score) else f"{score:.6f}"
