"""Bones of the whole body: a U-Net-Res that sees both views of an examination.

What the model that ships with the package learned with, on simulated patients; half an
hour on two CPU cores:

    python -m spectjax.main --config=configs/skeleton.py --workdir=runs/skeleton

On a hospital's own masks of bones (docs/skeleton.md): `--manual_dir=FOLDER`. A narrow
network in minutes: `:quick`. Seconds, to see that all parts fit: `:smoke`. With another
held-out fold: `:fold=3`.
"""

from ml_collections import ConfigDict

from spectjax.recipes import skeleton_config


def get_config(arg: str | None = None) -> ConfigDict:
    """Accepts the arguments of `spectjax.recipes.skeleton_config` after the colon."""
    return skeleton_config(arg)
