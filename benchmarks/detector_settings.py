"""What `benchmarks.detectors` measures, the same on both sides."""

import dataclasses
from typing import Any

from spectjax.detector_sizes import QUICK_MASK_RCNN, SMOKE_MASK_RCNN, TORCHVISION
from spectjax.models import MaskRCNN

LESIONS = 8  # in each image
# torchvision's names for our fields, whose pairs are for training and for use.
_OPTIONS: dict[str, str | tuple[str, str]] = {
    "pre_nms": ("rpn_pre_nms_top_n_train", "rpn_pre_nms_top_n_test"),
    "proposals": ("rpn_post_nms_top_n_train", "rpn_post_nms_top_n_test"),
    "rpn_nms_iou": "rpn_nms_thresh",
    "rpn_foreground_iou": "rpn_fg_iou_thresh",
    "rpn_background_iou": "rpn_bg_iou_thresh",
    "rpn_samples": "rpn_batch_size_per_image",
    "rpn_positive": "rpn_positive_fraction",
    "roi_samples": "box_batch_size_per_image",
    "roi_positive": "box_positive_fraction",
    "min_score": "box_score_thresh",
    "nms_iou": "box_nms_thresh",
    "detections": "box_detections_per_img",
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network and the images that it sees.

    Attributes:
        fields: of `MaskRCNN`; the rest are its defaults.
        train: images in a batch to train on, and their height and width, pixels.
        inference: pairs likewise, each to find lesions in.
        lesion_px: smallest and largest diameter of a lesion.
        has_peer: torchvision has the same network.
    """

    fields: dict[str, Any]
    train: tuple[int, int]
    inference: tuple[tuple[int, int], ...]
    lesion_px: tuple[float, float]
    has_peer: bool = False

    def list_cases(self, mode: str) -> list[tuple[int, int]]:
        """Returns batch sizes and heights of images."""
        return [self.train] if mode == "train" else list(self.inference)


SETTINGS = {
    "torchvision": Setting(TORCHVISION, (2, 256), ((1, 256), (4, 256)), (25, 75), True),
    "torchvision_512": Setting(TORCHVISION, (2, 512), ((1, 512),), (50, 150), True),
    "default": Setting({}, (2, 256), ((1, 256),), (3, 40)),
    "quick": Setting(QUICK_MASK_RCNN, (4, 160), ((1, 256),), (3, 40)),
    "smoke": Setting(SMOKE_MASK_RCNN, (2, 64), ((1, 64),), (3, 20)),
}


def translate(setting: Setting) -> dict[str, Any]:
    """Returns the keywords that give torchvision's model the setting's sizes."""
    options: dict[str, Any] = {}
    for field, names in _OPTIONS.items():
        value = setting.fields.get(field, getattr(MaskRCNN, field))
        if isinstance(names, tuple):
            options |= dict(zip(names, value, strict=True))
        else:
            options[names] = value
    roi_iou = setting.fields.get("roi_iou", MaskRCNN.roi_iou)
    return options | {"box_fg_iou_thresh": roi_iou, "box_bg_iou_thresh": roi_iou}
