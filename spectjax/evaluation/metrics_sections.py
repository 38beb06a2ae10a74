"""The sections of `metrics.json` that all tasks write; `docs/metrics.md` explains them.

What is None in the file, an undefined score, is NaN until it is written.
"""

from typing import Any, NotRequired, TypedDict

Score = float | None


class Data(TypedDict):
    """What was scored."""

    name: str
    split: str
    synthetic: bool
    leaking: bool
    regions: NotRequired[list[str]]
    config: NotRequired[str]
    fingerprint: NotRequired[str | None]
    held_out_fold: NotRequired[int | None]
    external: NotRequired[bool]


class External(TypedDict):
    """What is known of images that the model was not prepared with."""

    scored_model: dict[str, Any]
    checked: list[str]
    not_checked: list[str]
    left_out: dict[str, int]
    warnings: NotRequired[list[str]]


class Document(TypedDict):
    """What `metrics.json` of a run and of a cross-validation have in common."""

    task: str
    data: Data
    n_images: int
    n_patients: int
    spectjax_version: str
    disclaimer: str


class RunDocument(Document):
    """`metrics.json` of a run, also where a model met images of elsewhere."""

    model: str
    external: NotRequired[External]


class Spread(TypedDict):
    """One score over repetitions."""

    mean: Score
    sd: Score
    n: int


class Spreads(TypedDict):
    """Scores over repetitions, by name."""

    scores: dict[str, Spread]
    runs: dict[str, list[Score]]


class Network(TypedDict):
    """How large a model is and how long it learned."""

    num_parameters: int
    num_epochs: int
    image_hw: list[int]


class Learned(TypedDict):
    """What all models of a cross-validation tell of themselves."""

    model: str
    folds: Spreads
    network: Network
    training_seconds: list[float]


class Comparison(TypedDict):
    """Two models on the same patients."""

    models: list[str]
    differences: dict[str, float]
    intervals: dict[str, list[Score]]


# [low, high] by the path of a score, and `undefined`, `resamples`, `level`.
Intervals = dict[str, Any]
