"""SPECS D121 on thorax images: [P2] Table 4.

The paper's setting on D3, D2 or D1; on a CPU it takes weeks:

    python -m spectjax.main --config=configs/specs_d121.py:d3 --workdir=runs/specs_d121

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
        "specs_d121",
        fields={
            "stage_sizes": (6, 12, 24, 16),
            "growth": 32,
            "stem_features": 64,
            "bottleneck": 4,
        },
        modern={},
        quick={"growth": 8, "stem_features": 16},
    )
