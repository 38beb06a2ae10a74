"""Sizes of Mask R-CNN that recipes and benchmarks share. Imports nothing."""

# What makes `MaskRCNN` torchvision's `maskrcnn_resnet50_fpn`; the rest are defaults.
TORCHVISION = {
    "min_score": 0.05,
    "nms_iou": 0.5,
    "stem_pool": True,
    "anchor_sizes": ((32,), (64,), (128,), (256,), (512,)),
    "rpn_foreground_iou": 0.7,
    "pre_nms": (2000, 1000),
    "proposals": (2000, 1000),
    "roi_samples": 512,
    "detections": 100,
    "torchvision": True,
}
# Narrow and shallow, for a CPU.
QUICK_MASK_RCNN = {
    "stage_sizes": (2, 2, 2, 2),
    "features": (8, 16, 32, 64),
    "pyramid_features": 32,
    "box_features": 128,
    "mask_features": 32,
    "pre_nms": (200, 200),
    "proposals": (100, 100),
    "roi_samples": 64,
    "detections": 30,
}
SMOKE_MASK_RCNN = {
    "stage_sizes": (1, 1, 1, 1),
    "features": (2, 2, 4, 4),
    "pyramid_features": 4,
    "box_features": 8,
    "mask_features": 4,
    "pre_nms": (20, 20),
    "proposals": (20, 20),
    "roi_samples": 16,
    "detections": 10,
}
