"""The program that a node asks by default: a model of ours, loaded once.

    python -m spectjax.node.model OPTIONS

OPTIONS is JSON with the keys of [model] that tell which model, and what to write. What
it is asked and what it answers: `spectjax.node.program`. Standard output is for answers
alone; what libraries print goes to standard error.
"""

import gc
import json
import logging
import os
import pathlib
import sys
import tempfile
from typing import Any

import numpy as np

import spectjax.report.picture_parts  # noqa: F401 - matplotlib, before the first study
from spectjax.dicom_results import DicomResults
from spectjax.imaging.intake import Intake
from spectjax.imaging.outputs import OutputNames
from spectjax.imaging.problems import Problems
from spectjax.imaging.scan import (
    DuplicateScanError,
    NotWholeBodyError,
    UnclearKindError,
)
from spectjax.inference.asking import predict_examinations
from spectjax.inference.products import Product
from spectjax.inference.runtimes import find_model
from spectjax.inference.trained import TrainedModel
from spectjax.system.files import WriteError
from spectjax.system.messages import UserError

_MARK = "rule"


class UnreadableStudyError(UserError):
    """A study that may hold a bone scan of which nothing can be said."""


class Refusals(Problems):
    """Remembers why files and views are passed over.

    Attributes:
        errors: one a file or view.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Takes the folder of the log, as `Problems` does."""
        super().__init__(folder)
        self.errors: list[UserError] = []

    def refuse(self, error: UserError, n_files: int = 1) -> None:
        """Remembers it, too."""
        self.errors.append(error)
        super().refuse(error, n_files)


def main(argv: list[str]) -> None:
    """Answers requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)  # it quotes headers
    options = json.loads(argv[1])
    workdirs = [pathlib.Path(each) for each in options["workdirs"]]
    file = pathlib.Path(options["file"]) if options["file"] else None
    model = find_model(workdirs=workdirs, file=file, runtime=None)()
    _make_results(pathlib.Path(), options)  # loads what it needs, and says if it cannot
    # Compiles: no study is to wait for it.
    model.predict(np.ones((1, *model.input_hw, 1), np.float32))
    _say(answers, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        source, target = pathlib.Path(request["in"]), pathlib.Path(request["out"])
        try:
            reason = read_study(model, source, target, options)
        except UnreadableStudyError as error:
            _say(answers, {"failed": str(error)})
        except (UserError, WriteError) as error:
            _say(answers, {"error": str(error)})
        else:
            _say(answers, {"nothing": reason} if reason else {"done": True})
        gc.collect()  # a picture is a cycle of megabytes


def _say(answers: Any, answer: dict[str, Any]) -> None:
    print(json.dumps(answer), file=answers, flush=True)


def _make_results(target: pathlib.Path, options: dict[str, Any]) -> DicomResults:
    return DicomResults(target, pdf=options["pdf"], gsps=options["gsps"])


def read_study(
    model: TrainedModel,
    source: pathlib.Path,
    target: pathlib.Path,
    options: dict[str, Any],
) -> str:
    """Writes what a model says of a study as DICOM objects.

    Args:
        model: is asked.
        source: folder of the study's files.
        target: folder for results.
        options: `pdf`, `gsps` and `operating_point`.

    Returns:
        Why there is nothing for it in the study; empty if there are results.

    Raises:
        UnreadableStudyError: if there may be a scan that cannot be read.
        UserError: if a bug kept a view from being read: what is written is not whole.
        WriteError: if a file cannot be written.
    """
    products: list[Product] = [_make_results(target, options)]
    # JSON files and pictures, which nobody looks at here.
    with tempfile.TemporaryDirectory(dir=target.parent) as rest:
        output_dir = pathlib.Path(rest)
        problems = Refusals(output_dir)
        intake = Intake([source], problems)
        written = predict_examinations(
            intake.read_examinations(),
            lambda: model,
            names=OutputNames(intake.files, output_dir, mark=_MARK),
            output_dir=output_dir,
            problems=problems,
            operating_point=options["operating_point"],
            products=products,
        )
    if problems.unexpected:
        raise UserError(f"{problems.unexpected} views met a bug of spectjax")
    if written:
        return ""
    reasons = "; ".join(map(str, problems.errors)).replace(f"{source}{os.sep}", "")
    # Nothing for us is what positively is no whole-body scan, and that alone.
    if not problems.errors or not all(map(_is_not_for_us, problems.errors)):
        raise UnreadableStudyError(reasons or "no file could be read")
    return reasons


def _is_not_for_us(error: UserError) -> bool:
    """Tells whether a file is something else than a whole-body scan, for certain."""
    other = isinstance(error, NotWholeBodyError | DuplicateScanError)
    return other and not isinstance(error, UnclearKindError)


if __name__ == "__main__":
    main(sys.argv)
