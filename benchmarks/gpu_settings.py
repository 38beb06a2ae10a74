"""Which programs of the product are compiled for GPUs."""

import dataclasses
import itertools
import pathlib
from collections.abc import Collection, Sequence

CONFIGS = sorted(
    path.stem
    for path in (pathlib.Path(__file__).parents[1] / "configs").glob("[!_]*.py")
)
MODES, DTYPES, DEVICES = ("predict", "train"), ("float32", "bfloat16"), ("1", "8")
_LEARNS_NOTHING = ("kmeans",)
# Each value of each kind once.
FEW = (("float32", "1", "h100"), ("bfloat16", "8", "h200"))


@dataclasses.dataclass(frozen=True, order=True)
class Setting:
    """A program to compile.

    Attributes:
        config: its file's name in `configs`, and after a colon its argument.
        mode: train or predict.
        dtype: of the network.
        devices: how many share its batch.
        card: a key of `CARDS`.
        batch_size: images of all devices; None: the config's.
    """

    config: str
    mode: str
    dtype: str
    devices: int
    card: str
    batch_size: int | None = None

    @property
    def title(self) -> str:
        """What tables call it."""
        batch = "" if self.batch_size is None else f", batch {self.batch_size}"
        devices = "" if self.devices == 1 else f" {self.devices} x"
        return f"{self.config} {self.mode} {self.dtype}{batch},{devices} {self.card}"


def plan(
    configs: Sequence[str],
    modes: Collection[str],
    *,
    full: bool = False,
    ways: Sequence[tuple[str, str, str]] = (),
    batch_size: int | None = None,
) -> list[Setting]:
    """Returns what to compile.

    Args:
        configs: names, each with an argument of its own after a colon or without.
        modes: of `MODES`.
        full: as the configs are, and not `:smoke`.
        ways: type, number of devices and card. None: models take turns at predicting in
            the first of `FEW` and training in the second, and the other way round.
        batch_size: see `Setting`.
    """
    settings = []
    for (place, name), (turn, mode) in itertools.product(
        enumerate(configs), enumerate(MODES)
    ):
        if mode not in modes or (mode == "train" and name in _LEARNS_NOTHING):
            continue
        config = name if full or ":" in name else f"{name}:smoke"
        for dtype, devices, card in ways or [FEW[(place + turn) % len(FEW)]]:
            # What predicts is one device; with several, each has images of its own.
            count = int(devices) if mode == "train" else 1
            settings.append(Setting(config, mode, dtype, count, card, batch_size))
    return list(dict.fromkeys(settings))
