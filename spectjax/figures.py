"""Draws the figures of [P1] for a finished segmentation run. Research software.

    python -m spectjax.figures --workdir=RUN

RUN is the folder that training a U-Net or a Mask R-CNN wrote; its data set is looked up
where --data_dir says, as in training. The images are those that the run held out.
OUT (default: RUN/figures) receives, beside the figures' numbers in [P1]:

    kmeans_centroids.png   9   clusters of one image, and their centroids as they move
    training.png          10   loss and PA over the epochs, or the parts of the loss
    kmeans_curve.png      11   IoU of K-means for each number of clusters
    comparison_*.png      12   K-means, model and readers: best, median and worst image
    case_*.png            13   model and readers, the same images
    froc.png                   lesion sensitivity over false regions, both models
    burden.png                 area and counts, model against readers (Bland-Altman)
    precision_recall.png       of the boxes and masks of a Mask R-CNN
"""

import os
import pathlib

from absl import flags, logging

from spectjax.config import ConfigError, load_config
from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.locks import hold
from spectjax.tasks import TASKS


def main(argv: list[str]) -> None:
    """Draws the figures of the run that the flags name."""
    values = flags.FLAGS
    logging.set_verbosity(logging.FATAL)  # what libraries say of what they do
    refuse_arguments(argv)
    output_dir = values.output_dir or values.workdir / "figures"
    with hold(output_dir):
        draw_figures(values.workdir, output_dir, data_dir=values.data_dir)


def draw_figures(
    workdir: pathlib.Path,
    output_dir: pathlib.Path,
    *,
    data_dir: str | os.PathLike[str] | None = None,
) -> None:
    """Writes the figures of a run, and prints where they are.

    Args:
        workdir: folder of a finished segmentation run.
        output_dir: folder to write to.
        data_dir: where data sets live, None for TFDS's own default.

    Raises:
        ConfigError: if `workdir` holds no finished segmentation run.
        UserError: if the run's data set is not there or has other content now.
        WriteError: if a file cannot be written.
    """
    check_run(workdir)
    # Here, since they load jax and TFDS: not before --help.
    from spectjax.system.jax_setup import start_jax

    start_jax()
    from spectjax.training.run_data import find_data

    builder_dir = find_data([workdir], data_dir)

    from spectjax.paper_figures.draw import draw_run
    from spectjax.system.messages import DISCLAIMER

    print("K-means clusters the held-out images, K = 2 to 15 ...", flush=True)
    written = draw_run(workdir, builder_dir, output_dir)
    print(f"{output_dir}: {', '.join(written)}.\n{DISCLAIMER}")


def check_run(workdir: pathlib.Path) -> None:
    """Checks that `workdir` is the folder of a finished segmentation run.

    Raises:
        ConfigError: if it is not.
    """
    task = load_config(workdir / "config.json").task
    if TASKS[task].draw is None:
        raise ConfigError(
            f"{workdir}: expected a segmentation run, found one whose task is {task}. "
            f"Its figures are in {workdir / 'eval' / 'figures'}."
        )
    path = workdir / "eval" / "metrics.json"
    if not path.exists():
        raise ConfigError(
            f"{path}: not found; expected a finished run. Run python -m spectjax.main "
            f"with its --config and --workdir={workdir} again: it goes on where it "
            "stopped."
        )


if __name__ == "__main__":  # flags are global to a process
    define_path("workdir", "Folder of the run.", required=True)
    define_path("data_dir", "Folder of data sets. Default: TFDS's own.")
    define_path("output_dir", "Folder to write to. Default: RUN/figures.")
    run_command(main)
