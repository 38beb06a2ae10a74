"""Compares two studies of one patient. Research software, not a medical device.

    python -m spectjax.follow_up BEFORE AFTER --output_dir=OUT
    python -m spectjax.follow_up --whole_body BEFORE AFTER --output_dir=OUT

BEFORE and AFTER are one examination each: DICOM files, pictures or folders, as for
`spectjax.predict`, whose models they are shown to: the one that ships with the package
and looks at the thorax, or, with `--whole_body`, at the whole frame; or `--workdir`,
`--model`. Each hotspot of one study is looked for in the other, where the bones around
it are found, and is new, gone, larger, smaller or unchanged; or it cannot be told,
because the other study was not looked at there, its counts are too few, or a bone is in
doubt. OUT receives `follow_up.json`, `follow_up.csv`, a row for each, and
`follow_up.png`, both studies side by side. The change of the index (docs/commands.md)
is told with whether a repeated scan would show as much.
The studies have to be of one patient, by Patient ID or name and birth date, and AFTER
the later one, where dates are known; `--same_patient` is a person's word for the first.
See docs/follow_up.md.
"""

import pathlib
from collections.abc import Sequence
from typing import cast

from absl import flags, logging

from spectjax.follow_up.comparison import compare
from spectjax.follow_up.studies import NAMES, relate, take_examination
from spectjax.follow_up.writing import write_follow_up
from spectjax.imaging.intake import Intake
from spectjax.imaging.listed.crops import read_crops
from spectjax.imaging.listed.found import Stated
from spectjax.imaging.problems import BUG_STATUS, Problems
from spectjax.inference.runtimes import RUNTIMES, find_model
from spectjax.system.commands import (
    define_crops,
    define_path,
    define_paths,
    define_stated,
    read_paths,
    run_command,
)
from spectjax.system.locks import hold
from spectjax.system.messages import UserError
from spectjax.tasks import TASKS
from spectjax.tasks.views import Reading

_WORKDIRS = define_paths(
    "workdir",
    "Folder of the training run to take. Given more than once: the mean of what "
    "the runs say. Default: the model that ships with spectjax.",
)
_MODEL = define_path("model", "Exported model to take instead of a run.")
_RUNTIME = flags.DEFINE_enum(
    "runtime",
    None,
    RUNTIMES,
    "What runs the model. Default: jax, and onnxruntime for an ONNX file.",
)
_WHOLE_BODY = flags.DEFINE_bool(
    "whole_body",
    False,
    "Ask the model that looks at the whole body, not at the thorax in it.",
)
_OUTPUT_DIR = define_path(
    "output_dir", "Folder to write to; made if missing.", required=True
)
_SAME_PATIENT = flags.DEFINE_bool(
    "same_patient",
    False,
    "Both studies are of one patient, whatever their files say or leave out.",
)
_OPERATING_POINT = flags.DEFINE_string(
    "operating_point",
    None,
    "What the model marks: specific, balanced, sensitive, or how many false "
    "regions per image are accepted, a number. Default: specific, for models that "
    "know their operating points.",
)
define_stated()
_CROPS = define_crops()


def main(argv: list[str]) -> None:
    """Compares what the flags and paths name."""
    # Libraries log what they do, and tracebacks of what is one line of ours here.
    logging.set_verbosity(logging.FATAL)
    paths, output_dir = read_paths(argv), cast(pathlib.Path, _OUTPUT_DIR.value)
    if len(paths) != len(NAMES):
        raise UserError(
            f"Expected two paths, BEFORE and AFTER, found {len(paths)}. Files of one "
            "examination lie in a folder of their own."
        )
    with hold(output_dir):
        run(paths, output_dir)


def run(paths: Sequence[pathlib.Path], output_dir: pathlib.Path) -> None:
    """Compares two studies as the flags say, with what is quick checked first.

    Raises:
        UserError: if there is no model that marks hotspots, or the paths are not one
            examination each, of one patient, the earlier one first.
        SystemExit: see `Problems`, if a bug kept a view from being read.
        WriteError: if a file cannot be written.
    """
    load_model = find_model(
        workdirs=_WORKDIRS.value or (),
        file=_MODEL.value,
        runtime=_RUNTIME.value,
        whole_body=bool(_WHOLE_BODY.value),
    )
    problems = Problems(output_dir)
    stated, crops = Stated.of(flags.FLAGS), read_crops(_CROPS.value)
    studies = [
        take_examination(
            path, name, Intake([path], problems, stated=stated, crops=crops)
        )
        for path, name in zip(paths, NAMES, strict=True)
    ]
    relation = relate(studies[0], studies[1], trusted=bool(_SAME_PATIENT.value))
    # Here, since they load what computes: not before --help, nor before a refusal.
    from spectjax.bones.repeatability import read_repeatability
    from spectjax.inference.asking import choose_describe, read_examination
    from spectjax.inference.bones import tell_extent
    from spectjax.inference.skeleton import load_skeleton

    model = load_model()
    if TASKS[model.task].answer == "image":
        raise UserError(
            f"Expected a model that marks hotspots, found one for {model.task}. Name "
            "another run or model, or none for the one that ships with spectjax."
        )
    describe = choose_describe(model, None, _OPERATING_POINT.value)
    skeleton = load_skeleton()
    readings: list[Reading] = []
    for path, name, scans in zip(paths, NAMES, studies, strict=True):
        reading = read_examination(
            model, describe, scans, lambda scan: scan.name, problems, skeleton
        )
        if not reading.views:
            raise UserError(f"{path}: expected a view of {name} to read, found none.")
        if reading.burden is None:  # a bug of bones, which was told of
            raise SystemExit(BUG_STATUS)
        readings.append(reading)
    views = [view for reading in readings for view, _ in reading.views]
    repeatability = read_repeatability(tell_extent(views))
    follow_up = compare(readings[0], readings[1], relation, model.info, repeatability)
    write_follow_up(follow_up, output_dir, problems)
    if problems.unexpected:
        raise SystemExit(BUG_STATUS)


if __name__ == "__main__":
    run_command(main)
