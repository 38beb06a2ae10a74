"""What checklists are filled from: a run's files, its data set, scores of elsewhere."""

import csv
import pathlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_collections import ConfigDict

from spectjax.config import load_config, parse_config
from spectjax.evaluation.metrics_file import locate_metrics, read_metrics
from spectjax.inference.ready import DOCUMENT, FOLDER, read_document
from spectjax.inference.trained import check_run, parse_operation, read_operation
from spectjax.reporting.data_set import DataSet, read_data_set
from spectjax.reporting.facts import Source
from spectjax.system.limits import SCORES_BYTES
from spectjax.system.messages import UserError
from spectjax.system.schema import Each, Maybe, read_json
from spectjax.tasks import TASKS, Row
from spectjax.training.run_data import OtherDataError, find_data
from spectjax.training.sessions import read_sessions
from tfds_spect.names import LEAKING, Splits, choose_splits

METRICS = "eval/metrics.json"
_GROUP = {"n_images": int, "n_patients": int}
# What facts rely on besides scores, which are looked at one by one.
_RELIED: dict[str, Any] = {
    "n_images": int,
    "n_patients": int,
    "spectjax_version": str,
    "lesion": Maybe({"n": int, "found": int, "by_size": Maybe(Each(dict))}),
    "subgroups": Maybe(Each(Each(_GROUP))),
    "operation": Maybe({"points": Each(dict), "measured_on": dict}),
    "by_diagnosis": Maybe(Each({"n": int, "n_correct": int})),
}
_SCORED = _RELIED | {
    "task": str,
    "model": str,
    "data": {"name": str, "split": str, "synthetic": bool},
    "external": {
        "scored_model": {"name": str, "info": dict},
        "checked": [str],
        "not_checked": [str],
        "left_out": Each(int),
    },
}


@dataclass(frozen=True)
class Evaluation:
    """Scores of the model on data that it was not prepared with.

    Attributes:
        file: of them, seen from where its folder lies.
        metrics: what it holds.
    """

    file: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """A trained model and all that its files say.

    Attributes:
        name: the run's folder, or the name of the model that ships.
        config: of its training; of what ships, that of the first member.
        config_file: where that stands.
        config_key: and under which entry of it.
        metrics: its own scores; None if it was not scored.
        log: a row for each epoch trained.
        sessions: of `run.json`; None if it is older, or ships.
        operation: what it knows about its use; None if nobody measured that.
        data_set: that it learned from; None if that was not read.
        evaluations: scores of elsewhere.
        watts: power while it trained, as the authors state it; None if they do not.
        shipped: `model.json`; None of a run.
    """

    name: str
    config: ConfigDict
    config_file: str = "config.json"
    config_key: str = ""
    metrics: Mapping[str, Any] | None = None
    log: Sequence[Mapping[str, str]] = ()
    sessions: Sequence[Mapping[str, Any]] | None = None
    operation: Any = None
    data_set: DataSet | None = None
    evaluations: Sequence[Evaluation] = ()
    watts: float | None = None
    shipped: Mapping[str, Any] | None = None

    @property
    def row(self) -> Row:
        """What the house knows of its task."""
        return TASKS[self.config.task]

    @property
    def trained(self) -> bool:
        """Whether anything is trained; K-means is not."""
        return bool(self.config.num_epochs)

    @property
    def finished(self) -> bool:
        """Whether training came to its end: only then is a run scored."""
        done = len(self.log) >= self.config.num_epochs
        return self.shipped is not None or self.metrics is not None or done

    @property
    def splits(self) -> Splits:
        """What it trained on and what was held out."""
        data = self.config.data
        return choose_splits(
            data.name,
            data.fold,
            data.validation_fold,
            copies=data.augmentation == "copies",
        )

    def cite(self, *keys: str) -> tuple[Source, ...]:
        """Returns where values of the config stand."""
        return tuple(Source(self.config_file, self.config_key + key) for key in keys)


def read_run(
    workdir: pathlib.Path,
    *,
    data_dir: pathlib.Path | None = None,
    evaluations: Sequence[pathlib.Path] = (),
    watts: float | None = None,
) -> Subject:
    """Returns what the files of a run say.

    Args:
        workdir: folder of the run, which may have been stopped or not be scored.
        data_dir: where its data set lives, None: TFDS's own default. Named, it has to
            be there.
        evaluations: folders that `spectjax.evaluate` wrote.
        watts: see `Subject`.

    Raises:
        UserError: if a file is damaged, or the scores are of another model.
    """
    from tfds_spect.errors import PrepareError  # here, since TFDS takes a while

    check_run(workdir)
    config = load_config(workdir / "config.json")
    data_set = None
    try:
        data_set = read_data_set(find_data([workdir], data_dir))
    except (PrepareError, OtherDataError) as error:
        if data_dir is not None:
            raise
        print(f"NOT read: {error}", file=sys.stderr, flush=True)
    scored = locate_metrics(workdir).is_file()
    expected = {
        "model": config.model.name,
        "data": config.data.name,
        "data_fingerprint": config.data.fingerprint,
        "held_out_fold": None if LEAKING in config.data.name else config.data.fold,
    }
    return Subject(
        name=workdir.resolve().name,
        config=config,
        metrics=read_metrics(workdir, _RELIED) if scored else None,
        log=_read_log(workdir / "train.csv"),
        sessions=read_sessions(workdir),
        operation=read_operation(workdir, config.task),
        data_set=data_set,
        evaluations=_read_evaluations(evaluations, expected, str(workdir)),
        watts=watts,
    )


def read_shipped(evaluations: Sequence[pathlib.Path] = ()) -> Subject:
    """Returns what the files of the model that ships say.

    Raises:
        UserError: if a file is damaged, or the scores are of another model.
    """
    document = read_document()
    name = document["name"]
    return Subject(
        name=name,
        config=parse_config(document["members"][0]["config"], str(FOLDER / DOCUMENT)),
        config_file=DOCUMENT,
        config_key="members[0].config.",
        operation=parse_operation(
            document["operation"], document["task"], FOLDER / DOCUMENT
        ),
        evaluations=_read_evaluations(evaluations, {"name": name}, name),
        shipped=document,
    )


def _read_log(path: pathlib.Path) -> list[dict[str, str]]:
    """Returns the rows of `train.csv`, none if it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        try:
            int(row["epoch"]), float(row["seconds"])
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"{path}: expected a row with epoch and seconds for each epoch, found "
                f"{str(row)[:60]}. Take it from where the run was trained."
            ) from None
    return rows


def _read_evaluations(
    folders: Sequence[pathlib.Path], expected: Mapping[str, Any], name: str
) -> list[Evaluation]:
    """Returns the scores of a model in folders that `spectjax.evaluate` wrote.

    Raises:
        UserError: if there are none of this very model, or a folder is named twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError(
            "Expected --evaluation of another folder each time, found one twice. Name "
            "each once."
        )
    return [_find_evaluation(folder, expected, name) for folder in folders]


def _find_evaluation(
    folder: pathlib.Path, expected: Mapping[str, Any], name: str
) -> Evaluation:
    path = folder / "metrics.json"
    what = "scores that spectjax.evaluate wrote"
    remedy = "Name the folder that was its --output_dir."
    document = read_json(path, {}, what=what, remedy=remedy, most=SCORES_BYTES)
    if "models" not in document:
        files = [path]
    else:
        files = [
            folder / "models" / each / "metrics.json" for each in document["models"]
        ]
    others = []
    for file in files:
        metrics = read_json(file, _SCORED, what=what, remedy=remedy, most=SCORES_BYTES)
        model = metrics["external"]["scored_model"]
        found = {"name": model["name"]} | model["info"]
        if all(found.get(key) == value for key, value in expected.items()):
            shown = file.relative_to(folder.parent) if folder.name else file
            return Evaluation(str(shown), metrics)
        others.append(model["name"])
    raise UserError(
        f"{path}: expected scores of {name}, found those of {', '.join(others)}: "
        "another model, or one of other data. Score this one: python -m "
        "spectjax.evaluate"
    )
