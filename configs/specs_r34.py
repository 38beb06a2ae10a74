"""SPECS R34 on thorax images: [P2] "ResNet based classifier".

The paper's setting on D3, D2 or D1; on a CPU it takes weeks:

    python -m spectjax.main --config=configs/specs_r34.py:d3 --workdir=runs/specs_r34

A recipe that trains well from scratch on few patients: `:d3,modern`; the same with a
narrow network, for a CPU: `:d3,quick`. Seconds, to see that all parts fit: `:smoke`.
With another held-out fold: `:d3,quick,fold=3`.
"""

from ml_collections import ConfigDict

from spectjax.recipes import classification_config


def get_config(arg: str | None = None) -> ConfigDict:
    """Accepts the arguments of `spectjax.recipes` after the colon."""
    return classification_config(
        arg,
        "specs_r34",
        fields={"stage_sizes": (3, 4, 6, 3), "features": (64, 128, 256, 512)},
        modern={},
        quick={"features": (8, 16, 32, 64)},
    )
