"""Writes a trained model as one file for other programs and other computers.

    python -m spectjax.export --workdir=RUN --output=FILE

FILE ends in `.onnx` (for ONNX Runtime, OpenVINO and others, without JAX) or in
`.stablehlo.zip` (a program that `jax.export` serialised, and `metadata.json`), the only
one for a Mask R-CNN. The model maps counts to class probabilities, or to instances:
the normalisation is part of it, and so is where it comes from. Before FILE is written,
every installed runtime that reads it has given the same answers as JAX. A FILE that
ends in `.safetensors` holds weights and config alone, for `--config.pretrained=FILE` of
another training. Research software, not a medical device.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags
from absl import logging as absl_logging

from spectjax.config import load_config
from spectjax.inference.conversion import (
    ExportError,
    compare_runtimes,
    describe_run,
    import_jax2onnx,
    load_predict,
    make_test_images,
    write_onnx,
    write_stablehlo,
)
from spectjax.inference.model_files import ONNX, STABLEHLO, find_format
from spectjax.inference.trained import check_run, load_run
from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.files import write_file
from spectjax.system.jax_setup import start_jax
from spectjax.system.locks import hold
from spectjax.system.messages import DISCLAIMER
from spectjax.tasks import TASKS
from spectjax.weights.tensors import pack_tensors

TOLERANCE = 1e-4  # between JAX and any other runtime, see `measure_difference`
WEIGHTS = ".safetensors"


def main(argv: list[str]) -> None:
    """Exports the run that the flags name."""
    absl_logging.set_verbosity(absl_logging.FATAL)
    refuse_arguments(argv)
    output = flags.FLAGS.output
    with hold(output.parent, name=f".{output.name}.lock"):
        run(flags.FLAGS.workdir, output)


def run(workdir: pathlib.Path, output: pathlib.Path) -> None:
    """Exports a run's newest model and says what was written.

    Raises:
        ModelFileError: if `output` names no format or `workdir` holds no run.
        ExportError: if the model cannot be converted, or computes something else.
        MissingPackageError: if the packages that write ONNX are not installed.
        ValueError: if the run's checkpoint cannot be read.
        WriteError: if the file cannot be written.
    """
    weights = output.name.endswith(WEIGHTS)
    file_format = None if weights else find_format(output)
    check_run(workdir)
    start_jax()
    if weights:
        export_weights(workdir, output)
        return
    if file_format == ONNX:
        _check_onnx(workdir, output)
    predict, metadata = load_predict(workdir)
    write = write_onnx if file_format == ONNX else write_stablehlo
    content = write(predict, metadata)
    counts = make_test_images(metadata["input"]["shape"][1:3])
    differences = compare_runtimes(content, output.name, predict, counts)
    for runtime, difference in differences.items():
        # Not "greater": a difference that is not a number must not pass.
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{output}: expected the answers of JAX within {TOLERANCE}, "
                f"found {runtime} {difference:.2g} away. Nothing was written; export "
                f"to another format, or use another version of {runtime}."
            )
    write_file(output, content)
    _print_summary(output, metadata, differences)


def export_weights(workdir: pathlib.Path, output: pathlib.Path) -> None:
    """Writes what a run has learned, with its config, as safetensors, and says so.

    Raises:
        ExportError: if its classes have no names, or it has learned nothing.
        ValueError: if the run's checkpoint cannot be read.
        WriteError: if the file cannot be written.
    """
    model = load_run(workdir)
    if not model.variables["params"]:
        raise ExportError(
            f"{workdir}: expected a model with weights, found {model.info['model']}, "
            "which learns nothing. Export another run."
        )
    metadata = describe_run(workdir, model)
    write_file(output, pack_tensors(model.variables, text=json.dumps(metadata)))
    print(
        f"{output}: weights of {model.info['model']} of step {model.info['step']}, "
        f"{output.stat().st_size / 1e6:.1f} MB.\nTo begin with them: python -m "
        f"spectjax.main --config=CONFIG --config.pretrained={output}\n{DISCLAIMER}"
    )


def _check_onnx(workdir: pathlib.Path, output: pathlib.Path) -> None:
    """Checks that ONNX has what the model of a run needs, and that it can be written.

    Raises:
        ExportError: if it has not.
        MissingPackageError: if jax2onnx is not installed.
    """
    task = load_config(workdir / "config.json").task
    if ONNX not in TASKS[task].formats:
        raise ExportError(
            f"{output}: expected a run whose model ONNX can hold, found one of {task} "
            f"in {workdir}. Export it to {STABLEHLO} instead."
        )
    import_jax2onnx()


def _print_summary(
    output: pathlib.Path, metadata: Mapping[str, Any], differences: Mapping[str, float]
) -> None:
    """Says what was written, how exact it is and how to use it."""
    model, size = metadata["model"], output.stat().st_size
    print(f"{output}: {model['model']} of step {model['step']}, {size / 1e6:.1f} MB.")
    if metadata["config"]["dtype"] != metadata["dtype"]:
        print(
            f"It computes in {metadata['dtype']}; the run itself in "
            f"{metadata['config']['dtype']}, which is less exact."
        )
    for runtime, difference in differences.items():
        print(f"{runtime}: answers within {difference:.1g} of JAX's.")
    row = TASKS[metadata["task"]]
    if row.reads_views:
        print(
            f"{row.product} in new scans: python -m spectjax.predict --model={output} "
            "--output_dir=OUT PATH..."
        )
    print(DISCLAIMER)


if __name__ == "__main__":  # flags are global to a process
    define_path("workdir", "Folder of the training run to export.", required=True)
    define_path(
        "output",
        f"File to write; its name ends in {ONNX}, {STABLEHLO} or {WEIGHTS}.",
        required=True,
    )
    run_command(main)
