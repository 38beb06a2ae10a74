"""Packs trained runs as the model that ships with the package.

    python -m spectjax.ready --workdir=RUN [--workdir=RUN2] --data_dir=DATA

It is what `python -m spectjax.predict SCAN.dcm` asks. Several runs answer as one. They
were trained on simulated patients alone, in DATA, or in a folder of them that
`--manual_dir` names; others are refused. OUT, by default the package's own folder,
receives a safetensors file for each run and, last, `model.json`: what they are, what
they were trained on, and what `eval/operation.json` says of their use. The same runs
always become the same bytes. The model of whole bodies, which `predict --whole_body`
asks, lies in the folder `whole_body` of the package's own. What was measured stands in
`measured.json` beside it; one of another model is left out of the model card.
"""

from absl import flags, logging

from spectjax.inference.ready import FOLDER
from spectjax.ready.packing import TOLERANCES, pack
from spectjax.system.commands import (
    define_data_dirs,
    define_path,
    define_paths,
    refuse_arguments,
    run_command,
)
from spectjax.system.locks import hold


def main(argv: list[str]) -> None:
    """Packs the runs that the flags name."""
    logging.set_verbosity(logging.FATAL)
    refuse_arguments(argv)
    values = flags.FLAGS
    output_dir = values.output_dir or FOLDER
    with hold(output_dir):
        pack(
            values.workdir,
            output_dir,
            data_dir=values.data_dir,
            manual_dir=values.manual_dir,
            operation=values.operation,
            dtype=values.dtype,
        )


if __name__ == "__main__":  # flags are global to a process
    define_paths("workdir", "Folder of a training run to pack; may be repeated.")
    define_data_dirs()
    define_path("operation", "What the model knows about its use, operation.json.")
    flags.DEFINE_enum(
        "dtype", "float32", list(TOLERANCES), "Of the kernels in the files."
    )
    define_path("output_dir", "Folder to write to. Default: the package's own.")
    run_command(main)
