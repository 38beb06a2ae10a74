"""What every value of a config may be: one row for each key.

A config is judged before jax is there.
"""

from collections.abc import Mapping
from typing import Any

from spectjax.config.contradictions import Values, find_contradictions
from spectjax.config.models import MODEL_RULES
from spectjax.config.values import (
    FRAME,
    POSITIVE_SHARE,
    RATE,
    SEED,
    TEXT,
    YES_NO,
    Rule,
    number,
    one_of,
    or_none,
    several,
    whole,
)
from spectjax.tasks import TASKS
from tfds_spect.names import DATA_SETS, FOLDS, PHANTOM

_FOLD = whole(0, FOLDS[-1])
# Every key of `spectjax.config.base_config` outside of `model`.
RULES: dict[str, Rule] = {
    "seed": SEED,
    "dtype": one_of("float32", "bfloat16"),
    "num_epochs": whole(0, 1_000_000),
    "checkpoint_every_epochs": whole(1, 1_000_000),
    "checkpoint_every_minutes": number(0, 1e6),
    "parallel": one_of("jit", "pmap"),
    "steps_per_dispatch": whole(0, 10_000),
    "data.name": Rule(
        f"known are {', '.join(DATA_SETS)}",
        lambda x: type(x) is str and x.removesuffix(PHANTOM) in DATA_SETS,
    ),
    "data.fingerprint": or_none(TEXT),
    "data.fold": _FOLD,
    "data.validation_fold": or_none(_FOLD),
    "data.augmentation": one_of("copies", "online"),
    "data.count_level": POSITIVE_SHARE,
    "data.contrast": number(0, 10),
    "data.randomisation": number(0, 1),
    "data.feed": one_of("auto", "resident", "stream"),
    "data.batch_size": whole(1, 65_536),
    "data.train_hw": several(whole(1, FRAME), 2, 2, "(160, 160)"),
    "data.normalisation": one_of(
        "min_max", "square_root", "divide_by_255", "none", "imagenet"
    ),
    "image_score": one_of("none", "log_sum_exp", "top_k"),
    "class_weights": several(number(0, 1e6, without=(0,)), 0, 255, "(1.0, 2.0)"),
    "optimizer.name": one_of("sgd", "adamw"),
    "optimizer.learning_rate": number(0, 3e38, without=(0,)),
    "optimizer.schedule": one_of("constant", "cosine"),
    "optimizer.momentum": RATE,
    "optimizer.weight_decay": number(0, 1e6),
    "optimizer.average": RATE,
    "test_mirroring": YES_NO,
    "pretrained": or_none(TEXT),
    "frozen": several(TEXT, 0, 255, "('down0', 'down1')"),
}


def collect_rules() -> dict[str, Rule]:
    """Returns the rules of all keys but the models' own fields."""
    losses = dict.fromkeys(loss for row in TASKS.values() for loss in row.losses)
    return RULES | {
        "task": one_of(*TASKS),
        "loss": one_of(*losses),
        "model.name": one_of(*MODEL_RULES),
    }


def find_faults(tree: Values, *, together: bool = True) -> list[str]:
    """Returns a sentence for each value that cannot be used, each naming its flag.

    Args:
        tree: a config as nested dicts. Of keys that are not there only the model's name
            is missed.
        together: judge as well whether values fit each other.
    """
    values = flatten(tree)
    name = values.get("model.name")
    rules = collect_rules()
    if type(name) is str and name in MODEL_RULES:
        rules |= {
            f"model.{key}": rule for key, rule in MODEL_RULES[name].fields.items()
        }
    else:  # whose fields these are is not known
        rules |= dict.fromkeys(values.keys() - rules.keys(), Rule("", lambda _: True))
    faults = {}
    for key, value in values.items():
        if key not in rules:
            of = f"; {name} has {', '.join(MODEL_RULES[name].fields)}" if name else ""
            faults[key] = f"--config.{key}: there is no such key{of}"
        elif not rules[key].accepts(value):
            faults[key] = _say(values, key, rules[key].expected)
    if not together:
        return list(faults.values())
    if name is None:
        faults["model.name"] = f"--config.model.name: {rules['model.name'].expected}"
    good = {key: value for key, value in values.items() if key not in faults}
    unfit = (_say(values, key, expected) for key, expected in find_contradictions(good))
    return [*faults.values(), *unfit]


def flatten(tree: Values, prefix: str = "") -> dict[str, Any]:
    """Returns the values of nested dicts by their keys, joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _say(values: Values, key: str, expected: str) -> str:
    found = repr(values[key])
    shown = found if len(found) <= 80 else f"{found[:60]}..."
    colon = "" if expected.startswith("known") else "expected "
    return f"--config.{key}={shown}: {colon}{expected}"
