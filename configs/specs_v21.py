"""SPECS V21 on thorax images: [P2] Table 3.

The paper's setting on D3, D2 or D1; on a CPU it takes weeks:

    python -m spectjax.main --config=configs/specs_v21.py:d3 --workdir=runs/specs_v21

A recipe that trains well from scratch on few patients: `:d3,modern`; the same with a
narrow network, for a CPU: `:d3,quick`. Seconds, to see that all parts fit: `:smoke`.
With another held-out fold: `:d3,quick,fold=3`.
"""

from ml_collections import ConfigDict

from spectjax.recipes import vgg_config


def get_config(arg: str | None = None) -> ConfigDict:
    """Accepts the arguments of `spectjax.recipes` after the colon."""
    return vgg_config(arg, "specs_v21", stage_sizes=(2, 2, 4, 5, 5))
