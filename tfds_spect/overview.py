"""Shows what is in a prepared data set, and whether its folds are apart.

    python -m tfds_spect.overview --dataset=data/tfds_spect/segmentation_phantom/2.0.0

writes overview.md and overview.png (counts, lesions, class balance, duplicates) and
contact_sheet_01.png and so on (images with outlines, boxes and labels) to
2.0.0_overview beside the data set.

Exit status 1: the data set cannot be read, or one patient or one acquisition stands in
two folds.
"""

import io
import pathlib
import sys
from typing import TYPE_CHECKING

from absl import flags

from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.locks import hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_overview(
    builder_dir: pathlib.Path, output_dir: pathlib.Path, *, max_pages: int
) -> list[str]:
    """Writes the overview of a data set, and returns what is wrong with it.

    The contact sheet has 99 pages at most. Sheets of an earlier call are replaced,
    superfluous ones removed.

    Raises:
        PrepareError: if there is no such data set.
        WriteError: if a file cannot be written.
    """
    # Here, so that --help need not wait for TFDS and matplotlib.
    from spectjax.system.files import write_file
    from tfds_spect.contact_sheet import choose_images, draw_page
    from tfds_spect.duplicates import find_near_duplicates
    from tfds_spect.summary import draw_summary, find_faults, write_summary
    from tfds_spect.survey import survey_data_set

    survey = survey_data_set(builder_dir)
    duplicates = find_near_duplicates(survey.images)
    write_file(output_dir / "overview.md", write_summary(survey, duplicates))
    write_file(output_dir / "overview.png", _encode_png(draw_summary(survey), 110))
    pages = choose_images(survey.images, max_pages)
    for number, images in enumerate(pages, start=1):
        page = draw_page(
            images,
            data_set=survey.name,
            page=f"page {number} of {len(pages)}",
            leaking=survey.leaking,
        )
        path = output_dir / f"contact_sheet_{number:02d}.png"
        write_file(path, _encode_png(page, 150))
    for old in output_dir.glob("contact_sheet_[0-9][0-9].png"):
        if int(old.stem[-2:]) > len(pages):
            old.unlink()
    return find_faults(survey, duplicates)


def _encode_png(figure: "Figure", dpi: int) -> bytes:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi, metadata={"Software": None})
    return png.getvalue()


def main(argv: list[str]) -> None:
    """Writes the overview of what the flags name."""
    refuse_arguments(argv)
    from tfds_spect.prepare import quiet_tfds

    values = flags.FLAGS
    dataset = values.dataset.absolute()
    output_dir = values.output_dir or dataset.with_name(f"{dataset.name}_overview")
    with hold(output_dir), quiet_tfds():
        faults = write_overview(values.dataset, output_dir, max_pages=values.pages)
    print((output_dir / "overview.md").read_text(encoding="utf-8"))
    print(f"Written: {output_dir}")
    if faults:
        sys.exit("\n".join(f"FAULT: {fault}" for fault in faults))


if __name__ == "__main__":  # flags are global to a process
    define_path(
        "dataset",
        "Folder of the data set, .../tfds_spect/<config>/<version>.",
        required=True,
    )
    define_path(
        "output_dir",
        "Folder to write to; by default <version>_overview beside the data set.",
    )
    flags.DEFINE_integer(
        "pages",
        20,
        "At most so many pages of 36 images; a larger data set is shown in part.",
        lower_bound=1,
        upper_bound=99,
    )
    run_command(main)
