"""torchvision's Mask R-CNN, stage by stage: what ours must equal. Needs torchvision.

Arrays have torchvision's order of axes, boxes and deltas. Letters in shapes: images B,
channels C, anchors N, proposals P, classes K, detections D. All is in float64.
"""

from typing import Any

import numpy as np

from scripts.peers.mask_rcnn_cases import Setting, draw_weights

# Gradients of the sum of all losses are kept for these weights.
WEIGHTS = (
    "backbone.body.conv1.weight",
    "backbone.body.layer2.0.conv2.weight",
    "backbone.body.layer4.0.downsample.0.weight",
    "backbone.fpn.inner_blocks.0.0.weight",
    "backbone.fpn.layer_blocks.2.0.bias",
    "rpn.head.bbox_pred.weight",
    "roi_heads.box_head.fc6.weight",
    "roi_heads.box_predictor.bbox_pred.weight",
    "roi_heads.mask_predictor.conv5_mask.weight",
)


def build(setting: Setting, *, frozen: bool = False, noise: float = 0) -> Any:
    """Returns torchvision's network with drawn weights, in float64.

    Samples of the losses are all anchors and all proposals, so that nothing is drawn.

    Args:
        setting: its size.
        frozen: normalise by the running statistics in training too.
        noise: largest relative change of a weight.
    """
    import torch

    from benchmarks.torchvision_operators import import_torchvision

    import_torchvision()
    from torchvision.models.detection import MaskRCNN, faster_rcnn, mask_rcnn, rpn
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.resnet import Bottleneck, ResNet
    from torchvision.ops import FrozenBatchNorm2d

    norm = FrozenBatchNorm2d if frozen else torch.nn.BatchNorm2d
    body = ResNet(Bottleneck, list(setting.stage_sizes), norm_layer=norm)
    del body.fc
    channels, width = setting.pyramid_features, setting.mask_features
    backbone = BackboneWithFPN(
        body,
        {f"layer{i}": str(i - 1) for i in (1, 2, 3, 4)},
        [256, 512, 1024, 2048],
        channels,
    )
    sizes = tuple((size,) for size in setting.anchor_sizes)
    heads = {
        "box_head": faster_rcnn.TwoMLPHead(channels * 49, setting.box_features),
        "box_predictor": faster_rcnn.FastRCNNPredictor(
            setting.box_features, setting.num_classes
        ),
        "mask_head": mask_rcnn.MaskRCNNHeads(channels, (width,) * 4, 1),
        "mask_predictor": mask_rcnn.MaskRCNNPredictor(
            width, width, setting.num_classes
        ),
    }
    network = MaskRCNN(
        backbone,
        rpn_anchor_generator=rpn.AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5),
        rpn_pre_nms_top_n_train=setting.pre_nms,
        rpn_pre_nms_top_n_test=setting.pre_nms,
        rpn_post_nms_top_n_train=setting.proposals,
        rpn_post_nms_top_n_test=setting.proposals,
        rpn_batch_size_per_image=10**6,
        rpn_positive_fraction=1.0,
        box_batch_size_per_image=10**6,
        box_positive_fraction=1.0,
        box_detections_per_img=setting.detections,
        **heads,
    )
    shapes = {key: tuple(x.shape) for key, x in network.state_dict().items()}
    weights = draw_weights(shapes)
    network.load_state_dict({key: torch.from_numpy(weights[key]) for key in shapes})
    network.double()
    random = np.random.RandomState(11)
    with torch.no_grad():
        for x in network.parameters() if noise else ():
            x *= torch.from_numpy(1 + random.uniform(-noise, noise, tuple(x.shape)))
    return network


def compute_stages(network: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what each stage of the network makes of images in inference.

    Args:
        network: torchvision's.
        images: as its own transform would hand them over, (B, 3, H, W).

    Returns:
        "c2" to "c5" and "p2" to "p6" (B, C, h, w); "objectness" (B, N) and
        "rpn_deltas" (B, N, 4) of all levels in a row; "proposals" (B, P, 4); "boxes"
        (B, D, 4), "scores", "labels" (B, D); "box_logits" (B, P, K), "box_deltas"
        (B, P, K, 4); "masks" of the label (B, D, 28, 28) and "pasted"
        (B, D, H, W), probabilities.
    """
    import torch
    from torchvision.models.detection.image_list import ImageList
    from torchvision.models.detection.roi_heads import paste_masks_in_image
    from torchvision.models.detection.rpn import concat_box_prediction_layers

    network.eval()
    hw = tuple(images.shape[2:])
    batch = ImageList(torch.from_numpy(images).double(), [hw] * len(images))
    heads, sizes = network.roi_heads, batch.image_sizes
    with torch.inference_mode():
        maps = network.backbone.body(batch.tensors)
        # The pyramid changes the dict that it is given.
        levels = network.backbone.fpn(dict(maps))
        rpn = concat_box_prediction_layers(*network.rpn.head(list(levels.values())))
        proposals, _ = network.rpn(batch, levels)
        pooled = heads.box_roi_pool(levels, proposals, sizes)
        logits, deltas = heads.box_predictor(heads.box_head(pooled))
        found, _ = heads(levels, proposals, sizes)
        if {len(one["boxes"]) for one in found} != {heads.detections_per_img}:
            raise ValueError("Expected as many detections as there may be.")
        pasted = [
            paste_masks_in_image(one["masks"], one["boxes"], hw)[:, 0] for one in found
        ]
    count = len(images)
    stages = dict(zip(("c2", "c3", "c4", "c5"), maps.values(), strict=True))
    stages |= dict(zip(("p2", "p3", "p4", "p5", "p6"), levels.values(), strict=True))
    stages |= {
        "objectness": rpn[0].reshape(count, -1),
        "rpn_deltas": rpn[1].reshape(count, -1, 4),
        "proposals": torch.stack(proposals),
        "box_logits": logits.reshape(count, -1, logits.shape[-1]),
        "box_deltas": deltas.reshape(count, -1, logits.shape[-1], 4),
        "boxes": torch.stack([one["boxes"] for one in found]),
        "scores": torch.stack([one["scores"] for one in found]),
        "labels": torch.stack([one["labels"] for one in found]),
        "masks": torch.stack([one["masks"][:, 0] for one in found]),
        "pasted": torch.stack(pasted),
    }
    return {name: x.numpy() for name, x in stages.items()}


def make_targets(instances: np.ndarray, classes: np.ndarray) -> list[dict[str, Any]]:
    """Returns torchvision's form of the lesions of images, see `draw_truth`."""
    import torch

    targets = []
    for numbers, labels in zip(instances, classes, strict=True):
        masks = numbers == np.arange(1, numbers.max() + 1)[:, None, None]
        edges = [np.nonzero(mask) for mask in masks]
        boxes = [(x.min(), y.min(), x.max() + 1, y.max() + 1) for y, x in edges]
        kinds = [labels[mask].max() for mask in masks]
        targets.append(
            {
                "boxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
                "labels": torch.tensor(kinds, dtype=torch.int64),
                "masks": torch.from_numpy(masks.astype(np.uint8)),
            }
        )
    return targets


def compute_losses(
    network: Any, images: np.ndarray, instances: np.ndarray, classes: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the five losses, and gradients of their sum by some weights.

    Args:
        network: torchvision's, which keeps its running statistics.
        images: see `compute_stages`.
        instances: see `draw_truth`.
        classes: see `draw_truth`.

    Returns:
        "loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg" and
        "loss_mask", and "gradient of W" for W in `WEIGHTS` that can be learnt.
    """
    import torch
    from torchvision.models.detection.image_list import ImageList

    targets = make_targets(instances, classes)
    kept = {name: x.clone() for name, x in network.named_buffers()}
    network.train()
    network.zero_grad()
    hw = tuple(images.shape[2:])
    batch = ImageList(torch.from_numpy(images).double(), [hw] * len(images))
    levels = network.backbone(batch.tensors)
    proposals, losses = network.rpn(batch, levels, targets)
    _, others = network.roi_heads(levels, proposals, batch.image_sizes, targets)
    losses |= others
    sum(losses.values()).backward()
    for name, x in network.named_buffers():
        x.copy_(kept[name])
    gradients = {
        f"gradient of {name}": network.get_parameter(name).grad.numpy()
        for name in WEIGHTS
    }
    return {name: x.detach().numpy() for name, x in losses.items()} | gradients
