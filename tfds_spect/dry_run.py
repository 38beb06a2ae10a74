"""What a preparation would leave out, and why, before anything is prepared."""

import os
import pathlib
from collections import Counter
from collections.abc import Sequence

from spectjax.imaging.crop_decision import ACCEPTED, BOX_GIVEN
from spectjax.imaging.listed.crop_review import write_review
from spectjax.imaging.listed.crops import find_crop_table, read_crop_table
from spectjax.imaging.problems import LOG_NAME
from spectjax.system.locks import hold
from spectjax.system.messages import make_printable
from spectjax.system.paths import read_path
from spectjax.system.workers import Workers
from tfds_spect.errors import PrepareError
from tfds_spect.example import ThoraxExample
from tfds_spect.names import FOLDS
from tfds_spect.prepare import check_folder, choose_config, explain_errors
from tfds_spect.skips import write_skips, write_tracebacks, write_warnings
from tfds_spect.source import read_source
from tfds_spect.tfds_spect_dataset_builder import Builder, leave_out_unmarked


def try_out(
    config_name: str,
    manual_dir: str | os.PathLike[str],
    output_dir: pathlib.Path,
    *,
    processes: int | None = None,
) -> tuple[str, int]:
    """Reads a hospital's folder as a preparation does, and writes what is left out.

    `output_dir` receives `skipped.csv`, `warnings.csv`, and of the crops that are left
    out `crops.csv` and contact sheets, see `spectjax.imaging.listed.crop_review`.

    Args:
        config_name: as of `prepare`: segmentation leaves out what nobody outlined.
        manual_dir: the hospital's folder.
        output_dir: folder to write to, outside of it.
        processes: how many share the work; None: one for each core.

    Returns:
        What was found, in lines for people; and the number of unexpected errors.

    Raises:
        PrepareError: if the config is unknown, or the folder or a table in it cannot be
            read; rows of crops.csv that cannot be read are printed, a line each.
        WriteError: if a file cannot be written.
    """
    source = read_path(manual_dir, "--manual_dir")
    config = Builder.builder_configs[choose_config(config_name, source)]
    if config.sheets:
        raise PrepareError(
            f"--dry_run: expected a data set of hotspots, found {config.name}, for "
            "which nothing is cropped. Leave --dry_run out: what is left out is listed."
        )
    with explain_errors(output_dir), hold(output_dir):
        check_folder(source, output_dir, flag="--dry_run")
        table = find_crop_table(source)
        decisions, errors = read_crop_table(table) if table else ({}, [])
        if errors:
            print("\n".join(map(str, errors)))
            raise PrepareError(f"{table}: expected rows that can be read. Correct it.")
        with Workers(processes) as workers:
            originals, skips = read_source(
                source, workers, keep_pixels=False, whole_frames=config.whole_frames
            )
        if config.needs_outlines:
            originals, skips = leave_out_unmarked(originals, skips)
        write_skips(output_dir / "skipped.csv", skips)
        write_warnings(output_dir / "warnings.csv", originals)
        n_unexpected = write_tracebacks(output_dir / LOG_NAME, skips)
        crops = [skip.crop for skip in skips if skip.crop is not None]
        review = write_review(crops, decisions, output_dir, place=source)
    lines = [make_printable(f"left out: {skip.name}: {skip.reason}") for skip in skips]
    lines.append(f"Left out: {len(skips)}, listed in {output_dir / 'skipped.csv'}.")
    lines.append(_count(originals))
    return "\n".join([*lines, review]), n_unexpected


def _count(originals: Sequence[ThoraxExample]) -> str:
    """Returns a line about what can be used."""
    by_hand = Counter(example.crop_by_hand for example in originals)
    n_patients = len({example.patient for example in originals})
    line = (
        f"Can be used: {len(originals)} images of {n_patients} patients; crops "
        f"accepted by hand: {by_hand[ACCEPTED]}, boxes given: {by_hand[BOX_GIVEN]}."
    )
    if n_patients < len(FOLDS):
        line += f" At least {len(FOLDS)} patients are needed, one for each fold."
    return line
