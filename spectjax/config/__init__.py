"""Every configuration key, the `--config=file.py:arg` parser and `config.json`.

Imports nothing heavier than `ml_collections`: a config file loads in milliseconds.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from ml_collections import ConfigDict, config_dict

from spectjax.config.rules import find_faults, flatten
from spectjax.system.files import write_json
from spectjax.system.limits import CONFIG_BYTES
from spectjax.system.messages import ConfigError, UserError
from spectjax.system.schema import Maybe, find_fault, read_json

# Keys that change how a run is computed, not what: a resumed run may change them.
RESUMABLE = (
    "checkpoint_every_epochs",
    "checkpoint_every_minutes",
    "data.feed",
    "parallel",
    "steps_per_dispatch",
)
FINGERPRINT = "data.fingerprint"
# Keys that older runs lack, and what they were trained with.
_YOUNGER: dict[str, Any] = {"frozen": [], "image_score": "none"}
_YOUNGER_DATA = {"fingerprint": None, "randomisation": 0.0}
_WHAT, _REMEDY = "a run's config", "Choose another folder."
_BOOLS = {"true": True, "": True, "false": False}


def base_config() -> ConfigDict:
    """Returns every key that the program reads, with its default: the setting of [P1].

    Config files change these values and add keys under `model` only.
    """
    config = ConfigDict()
    config.task = "segmentation"  # or "instance_segmentation", "classification"
    config.seed = 0  # of the initial parameters and of the order of the examples
    config.dtype = "float32"  # in which to convolve: "float32" or "bfloat16"
    config.num_epochs = 100
    config.checkpoint_every_epochs = 1
    config.checkpoint_every_minutes = 10.0  # within an epoch
    config.parallel = "jit"  # how to spread over devices: "jit" (a mesh) or "pmap"
    config.steps_per_dispatch = 0  # at most, without asking the host; 0: chosen

    config.data = ConfigDict()
    config.data.name = "segmentation"  # builder config of tfds_spect
    # Of the data set's content; the program fills it in. Given, other data are refused.
    config.data.fingerprint = config_dict.placeholder(str)
    config.data.fold = 0  # held out; the other folds train
    # A fold that picks the best checkpoint and does not train; none by default.
    config.data.validation_fold = config_dict.placeholder(int)
    # "copies": the stored ones train too; "online": originals only, moved anew at each
    # step by the same rules, on the device.
    config.data.augmentation = "copies"
    # What "online" does besides, with Poisson noise kept: the least fraction of the
    # counts that it leaves, and how far it changes the contrast (`training.augment`).
    config.data.count_level = 1.0
    config.data.contrast = 0.0
    # And the share of the images that it makes look as they reach people: stretched,
    # smoothed, in grey levels, cut away (`training.randomise`).
    config.data.randomisation = 0.0
    config.data.feed = "auto"  # or "resident" (on the devices), "stream" (from disk)
    config.data.batch_size = 16  # images, over all devices
    config.data.train_hw = (256, 256)  # central part to train on, pixels
    # How counts enter: or "square_root", "divide_by_255", "imagenet", "none".
    config.data.normalisation = "min_max"

    config.loss = "cross_entropy"  # or "dice_cross_entropy"; "mask_rcnn" for instances
    # How a segmenter learns from the label of an image that nobody outlined: by its
    # pixels' "log_sum_exp" or the mean of the "top_k"; "none": there are no such.
    config.image_score = "none"
    config.class_weights = ()  # of the cross-entropy, one for each class; (): all 1

    config.optimizer = ConfigDict()
    config.optimizer.name = "sgd"  # or "adamw"
    config.optimizer.learning_rate = 1e-3  # at its highest
    config.optimizer.schedule = "constant"  # or "cosine"
    config.optimizer.momentum = 0.0  # of SGD; AdamW's first decay rate
    config.optimizer.weight_decay = 0.0  # of kernels only
    # Decay of a moving average of the parameters, which then is what is scored and
    # used; 0: the parameters themselves.
    config.optimizer.average = 0.0

    # Whether a model sees each image mirrored as well, and its logits are averaged.
    config.test_mirroring = False

    # Weights to begin with: the folder of a run, a file that spectjax.export wrote,
    # "shipped", or a file of PyTorch's of the same network. None: drawn anew.
    config.pretrained = config_dict.placeholder(str)
    # Stages that stay as they are, by their names in the model; "down0" is one of a
    # U-Net's, "stage1" one of a ResNet's.
    config.frozen = ()

    config.model = ConfigDict()  # `name`, then that model's own fields
    return config


def parse_arg(arg: str | None, **defaults: bool | int | float | str) -> SimpleNamespace:
    """Parses the text after the colon of `--config=file.py:fold=3,quick`.

    Args:
        arg: comma-separated `name=value` items; a bare `name` sets a boolean.
        **defaults: accepted names; a default also fixes the type of its value.

    Returns:
        A namespace with one attribute for each name in `defaults`.

    Raises:
        ConfigError: if an item is not in `defaults` or its value does not parse.
    """
    values = dict(defaults)
    for item in filter(None, (arg or "").split(",")):
        name, _, text = item.partition("=")
        if name not in defaults:
            known = ", ".join(defaults)
            raise ConfigError(f"Unknown config argument {name!r}; known: {known}.")
        kind = type(defaults[name])
        try:
            values[name] = _BOOLS[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"Config argument {name!r}: expected {kind.__name__}, got {text!r}."
            ) from error
    return SimpleNamespace(**values)


def check_config(
    config: ConfigDict, source: str = "", *, together: bool = True
) -> None:
    """Checks every value of a config by `spectjax.config.rules`, before it is used.

    Args:
        config: the config.
        source: which one it is, where there are several: a name or a file.
        together: whether to check that values fit each other.

    Raises:
        ConfigError: naming all values that cannot be used.
    """
    faults = Faults()
    for fault in find_faults(config.to_dict(), together=together):
        faults.add(fault, source)
    faults.refuse()


class Faults:
    """What is wrong with a command, collected to be told at once."""

    def __init__(self) -> None:
        """Begins with none."""
        self._found: dict[str, None] = {}  # in their order, each once

    def add(self, fault: str, source: str = "") -> None:
        """Adds a fault of `source`, a file or a name, or of the whole command."""
        self._found[f"{source}: {fault}" if source else fault] = None

    @contextlib.contextmanager
    def collect(self, source: str = "") -> Iterator[None]:
        """Adds what the `with` block raises, and ends the block."""
        try:
            yield
        except UserError as error:
            self.add(str(error).rstrip("."), source)

    def __bool__(self) -> bool:
        """Returns whether there is any."""
        return bool(self._found)

    def refuse(self) -> None:
        """Checks that there is none.

        Raises:
            ConfigError: naming all.
        """
        if self._found:
            raise ConfigError(f"{'; '.join(self._found)}.")


def save_config(config: ConfigDict, path: pathlib.Path) -> None:
    """Writes `config` as JSON, whole or not at all."""
    write_json(path, config.to_dict())


def load_config(path: pathlib.Path) -> ConfigDict:
    """Reads what `save_config` wrote.

    Raises:
        ConfigError: if `path` is missing or not such a file, or a value of it cannot be
            used.
    """
    if not path.exists():
        raise ConfigError(
            f"{path}: not found; expected the folder of a training run, as made by "
            "python -m spectjax.main --workdir."
        )
    document = read_json(
        path, {}, what=_WHAT, remedy=_REMEDY, most=CONFIG_BYTES, error=ConfigError
    )
    return parse_config(document, str(path))


def parse_config(document: dict[str, Any], source: str) -> ConfigDict:
    """Returns the config that JSON holds.

    Args:
        document: what `save_config` wrote, parsed.
        source: where it comes from, for errors.

    Raises:
        ConfigError: if it is none, or a value of it cannot be used.
    """
    document = _YOUNGER | document
    if isinstance(document.get("data"), dict):
        document = document | {"data": _YOUNGER_DATA | document["data"]}
    found = flatten(document)
    default = base_config().to_dict()
    missing = flatten(default).keys() - found.keys()
    if missing:
        raise ConfigError(
            f"{source}: expected {_WHAT}, found one without "
            f"{', '.join(sorted(missing))}. {_REMEDY}"
        )
    schema = _derive_schema(default) | {"model": {"name": Maybe(str)}}
    fault = find_fault(document, schema)
    if fault:
        raise ConfigError(f"{source}: expected {_WHAT}, found {fault}. {_REMEDY}")
    config = ConfigDict(_with_tuples(document)).lock()
    # Whether its values fit each other shows where its model is built.
    check_config(config, source, together=False)
    return config


def _derive_schema(value: Any) -> Any:
    """Returns what JSON must be to hold a value like this one."""
    if isinstance(value, dict):
        return {key: _derive_schema(item) for key, item in value.items()}
    if value is None:
        return Maybe((int, str))
    return [(float, str)] if isinstance(value, tuple) else type(value)


def describe_differences(wanted: ConfigDict, found: ConfigDict) -> list[str]:
    """Returns one `key: found -> wanted` for each key whose values differ.

    Those of `RESUMABLE` may. A fingerprint differs from another one only.
    """
    new, old = flatten(wanted.to_dict()), flatten(found.to_dict())
    return [
        f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}"
        for key in sorted(new.keys() | old.keys())
        if new.get(key) != old.get(key)
        and key not in RESUMABLE
        and not (key == FINGERPRINT and None in (new.get(key), old.get(key)))
    ]


def _with_tuples(value: Any) -> Any:
    """Undoes JSON's lists: model fields must be hashable."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
