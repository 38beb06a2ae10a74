"""From a run's config to its task: the model, its inputs and its loss.

Loads nothing that only training needs: a model that is there to be asked has to answer
within seconds.
"""

from ml_collections import ConfigDict

from spectjax.config import ConfigError, check_config
from spectjax.models import create_model
from spectjax.ops.normalisation import NORMALISATIONS
from spectjax.tasks import TASKS
from spectjax.tasks.task import Task
from spectjax.training.parallel import AXIS


def create_task(config: ConfigDict) -> Task:
    """Builds the task that `config` describes, with its model and loss.

    Raises:
        ConfigError: if a value of `config` cannot be used.
    """
    check_config(config)
    fields = config.model.to_dict()
    try:
        model = create_model(
            fields.pop("name"), fields | {"dtype": config.dtype, "axis_name": AXIS}
        )
    except ValueError as error:
        raise ConfigError(f"--config.model: {error}") from error
    said = config.image_score
    pooled = {} if said == "none" else {"image_score": said}
    task: Task = (
        TASKS[config.task]
        .learn()
        .create(
            model=model,
            normalise=NORMALISATIONS[config.data.normalisation],
            mirrored=config.test_mirroring,
            loss=config.loss,
            class_weights=tuple(config.class_weights),
            **pooled,
        )
    )
    return task
