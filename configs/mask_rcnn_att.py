"""Mask R-CNN-Att on thorax images: [P1] Table 2, there IoU 0.5427.

Mask R-CNN with spatial attention ([P1] Eq. 6). [P1] does not say where: here in every
block of the body, before the block's input is added, as in CBAM, where the equation
comes from; elsewhere with `--config.model.attention=stage` (`lateral`, `pyramid`).

The paper's setting, a ResNet-50; it wants a GPU:

    python -m spectjax.main --config=configs/mask_rcnn_att.py --workdir=runs/att

A recipe that trains well on few patients, normal ones among them: `:modern`. The same
with a narrow network, minutes on two CPU cores: `:quick`. Seconds, to see that all
parts fit: `:smoke`. With another held-out fold: `:fold=3`.

torchvision's `maskrcnn_resnet50_fpn`, from its COCO weights:

    python -m spectjax.main --config=configs/mask_rcnn_att.py:torchvision \
        --config.pretrained=maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth
"""

from ml_collections import ConfigDict

from spectjax.recipes import mask_rcnn_config


def get_config(arg: str | None = None) -> ConfigDict:
    """Accepts the arguments of `spectjax.recipes.mask_rcnn_config` after the colon."""
    return mask_rcnn_config(arg, "mask_rcnn_att")
