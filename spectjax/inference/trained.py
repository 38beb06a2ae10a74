"""Trained models, whoever runs them, and the runs that they come from.

Needs jax for runs only. Batch, height and width axes are B, H and W.
"""

import functools
import pathlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import spectjax
from spectjax.imaging.canvas import FRAME_HW
from spectjax.inference.answers import Predict
from spectjax.inference.metadata import (
    OPERATION,
    ModelFileError,
    find_input_hw,
    hash_parameters,
)
from spectjax.inference.regions import LEARNED, tell_regions
from spectjax.system.limits import SCORES_BYTES
from spectjax.system.schema import Maybe, read_json
from spectjax.tasks import TASKS

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from spectjax.tasks.task import Task, Variables


@dataclass(frozen=True)
class TrainedModel:
    """A model that is ready to run.

    Attributes:
        predict: maps counts, uint16 or float32, (B, H, W, 1), to the answer.
        info: where the model comes from and what runs it, for reports.
        task: what it answers, a name of `TASKS`.
        input_hw: (H, W), the central part of a thorax's canvas that the model takes, or
            `FRAME_HW`: it takes whole frames.
        operation: what it knows about its use, as its task's row reads it; None if
            nobody measured that.
        pixel_mm: side of the pixels that it learned from, if it wants images of others
            on such pixels; it gives probabilities of pixels then.
    """

    predict: Predict
    info: dict[str, Any]
    task: str
    input_hw: tuple[int, int]
    operation: Any = field(default=None, kw_only=True)
    pixel_mm: float | None = field(default=None, kw_only=True)

    @property
    def sees_frames(self) -> bool:
        """Whether it looks at whole frames, and not at the thorax in them."""
        return self.input_hw == FRAME_HW


@dataclass(frozen=True)
class TrainedRun(TrainedModel):
    """The model of a run as it was when last saved, and what it is made of.

    Attributes:
        config: the run's config.
        learned: what it has learned.
        variables: its `params` and `batch_stats`.
        place: returns them on the device, where they are sent once.
        compile: returns `function(variables, counts)` as a function of the counts that
            compiles anew for each shape and gives numpy arrays.
    """

    config: "ConfigDict"
    learned: "Task"
    variables: "Variables"
    place: Callable[[], "Variables"]
    compile: Callable[[Callable[..., Any]], Callable[[np.ndarray], Any]]

    @property
    def origin(self) -> dict[str, Any]:
        """What `info` says of the model itself, whatever runs it."""
        return {key: value for key, value in self.info.items() if key != "runtime"}


def load_run(workdir: pathlib.Path) -> TrainedRun:
    """Returns a run's model: the newest, or the best if patients of their own pick it.

    It runs on jax as this process has set it up, see `start_jax`.

    Raises:
        ConfigError: if `workdir` does not hold a run.
        CheckpointError: if it holds no checkpoint or one that cannot be read.
        ModelFileError: if its scores cannot be read.
        UserError: if what it knows about its use cannot be.
    """
    # Here, since an exported model needs none of them.
    import jax

    from spectjax.config import check_config, load_config
    from spectjax.ops.convolution import compiler_options
    from spectjax.training.assembly import create_task
    from spectjax.training.run import restore_state
    from tfds_spect.names import LEAKING

    path = workdir / "config.json"
    config = load_config(path)
    check_config(config, str(path))
    learned = create_task(config)
    state, verified = restore_state(config, workdir)
    variables, step = state.variables, int(state.step)
    data = config.data
    scored = _read_data(workdir)

    @functools.cache
    def place() -> "Variables":
        return jax.device_put(variables)

    def compile_it(function: Callable[..., Any]) -> Callable[[np.ndarray], Any]:
        compiled = jax.jit(function, compiler_options=compiler_options())
        return lambda counts: jax.tree.map(
            np.asarray, compiled(place(), jax.device_put(counts))
        )

    return TrainedRun(
        compile_it(learned.predict),
        {
            "model": config.model.name,
            "data": data.name,
            "data_fingerprint": data.fingerprint,
            "held_out_fold": None if LEAKING in data.name else data.fold,
            "step": step,
            "spectjax_version": spectjax.__version__,
            "parameters_sha256": hash_parameters(variables),
            "verified": verified,
            "trained_on_synthetic_data": scored.get("synthetic"),
            LEARNED: tell_regions(
                ", ".join(scored.get("regions") or ()), data.to_dict()
            ),
            "runtime": f"jax {jax.__version__}",
        },
        config.task,
        find_input_hw(config),
        operation=read_operation(workdir, config.task),
        config=config,
        learned=learned,
        variables=variables,
        place=place,
        compile=compile_it,
    )


def compute_in_float32(run: TrainedRun) -> Callable[[Any], Any]:
    """Returns what a run predicts of counts, in float32 whatever it trained in."""
    from spectjax.training.assembly import create_task

    config = run.config.copy_and_resolve_references()
    config.dtype = "float32"
    learned = create_task(config)
    return lambda counts: learned.predict(run.variables, counts)


def check_run(workdir: pathlib.Path) -> None:
    """Checks that `workdir` is a run's folder.

    Raises:
        ModelFileError: if it is not.
    """
    if not (workdir / "config.json").is_file():
        raise ModelFileError(
            f"{workdir}: expected the folder of a training run, found no config.json. "
            "Check the path. Train first: python -m spectjax.main "
            "--config=configs/unet_res.py:quick --workdir=RUN"
        )


def read_operation(workdir: pathlib.Path, task: str) -> Any:
    """Returns what a run's model knows about its use; None of an older run.

    Raises:
        UserError: if that cannot be read.
    """
    path = workdir / "eval" / OPERATION
    if TASKS[task].operation is None or not path.is_file():
        return None
    document = read_json(
        path,
        {},
        what="what a model knows about its use",
        remedy=f"Remove {path.parent}; training again writes it.",
        most=SCORES_BYTES,
        error=ModelFileError,
    )
    return parse_operation(document, task, path)


def parse_operation(document: Any, task: str, path: pathlib.Path) -> Any:
    """Returns what a model of a task knows about its use; None where nobody says it.

    Args:
        document: what its `to_json` gave, or None.
        task: a name of `TASKS`.
        path: the file that it stands in, for errors.

    Raises:
        UserError: if it is no such document.
    """
    row = TASKS[task]
    if row.operation is None or document is None:
        return None
    return row.operation()(document, str(path))


def _read_data(workdir: pathlib.Path) -> dict[str, Any]:
    """Returns what the scores of a run say of its data; nothing if it has none yet."""
    metrics = workdir / "eval" / "metrics.json"
    if not metrics.is_file():
        return {}
    document = read_json(
        metrics,
        {"data": {"synthetic": bool, "regions": Maybe([str])}},
        what="the scores of a finished run",
        remedy=f"Remove {metrics.parent}; training again writes it.",
        most=SCORES_BYTES,
        error=ModelFileError,
    )
    return dict(document["data"])
