"""U-Net-Res on thorax images: [P1] Table 2, there IoU 0.6103 on its hospital's data.

The paper's setting; on a CPU it takes days:

    python -m spectjax.main --config=configs/unet_res.py --workdir=runs/unet_res

A recipe that trains well on few patients, normal ones among them: `:modern`. The same
with a narrow network, two minutes on two CPU cores:

    python -m spectjax.main --config=configs/unet_res.py:quick --workdir=runs/quick

What marks hotspots in whole bodies, fine-tuned from the model that ships, 45 minutes:
`:whole_body`.

Seconds, to see that all parts fit: `:smoke`. With another held-out fold: `:fold=3`.
"""

from ml_collections import ConfigDict

from spectjax.recipes import unet_config


def get_config(arg: str | None = None) -> ConfigDict:
    """Accepts the arguments of `spectjax.recipes.unet_config` after the colon."""
    return unet_config(arg, "unet_res")
