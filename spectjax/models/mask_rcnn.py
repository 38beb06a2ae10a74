"""Mask R-CNN and Mask R-CNN-Att ([P1] Fig. 7, Fig. 8, after He et al., 2017).

Of B images with H by W pixels and at most G lesions each: N anchors, P proposals, R
sampled regions of which the first F may hold lesions, D detections, K classes.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from spectjax.models.bottleneck import BottleneckBody
from spectjax.models.detections import (
    Detections,
    choose_detections,
    mirror_anchors,
    mirror_boxes,
    mirror_deltas,
)
from spectjax.models.learning_targets import (
    Regions,
    Training,
    choose_anchors,
    choose_regions,
)
from spectjax.models.proposals import ProposalHead, Proposals, propose
from spectjax.models.pyramid import FeaturePyramid, cut_regions
from spectjax.models.roi_heads import BoxHead, MaskHead, choose_class, outline_used
from spectjax.ops.anchors import make_anchors
from spectjax.ops.instances import Truth
from spectjax.ops.mask_paste import crop_masks
from spectjax.system.messages import UserError, check_known

ATTENTIONS = ("none", "stage", "lateral", "pyramid", "block")
_COUNTS = "rpn_samples pre_nms proposals roi_samples detections max_instances".split()
BOX_SIZE, MASK_SIZE = 7, 14  # of the maps that are cut out for the two heads


class MaskRCNN(nn.Module):
    """ResNet, feature pyramid, proposals, and heads for boxes and masks.

    The defaults are for hotspots of 3 to 40 pixels in thorax images: the finest map has
    stride 2 and the anchors begin at 4 pixels. `torchvision` with its sizes gives
    torchvision's `maskrcnn_resnet50_fpn` (`spectjax.recipes.mask_rcnn_config`).

    Attributes:
        num_classes: K, background included.
        stage_sizes: blocks in each of the body's stages.
        features: inner channels of each stage; it gives four times as many.
        pyramid_features: channels of the pyramid.
        box_features: width of the box head.
        mask_features: channels of the mask head.
        stem_pool: see `BottleneckBody`.
        scale: how often an image is enlarged first, linearly; its pixels times this
            are the pixels of the network.
        norm: of the body: "batch", "frozen" or "group", see `bottleneck.normalise`.
        attention: where spatial attention weighs the features ([P1] Eq. 6): "none",
            "stage", "lateral", "pyramid" or "block".
        open_attention: see `SpatialAttention.is_open`.
        anchor_sizes: square roots of the anchors' areas on each level, pixels of the
            network; a level more than there are stages adds a coarser map.
        anchor_ratios: their heights over their widths.
        rpn_foreground_iou: an anchor with such an IoU with a lesion is one.
        rpn_background_iou: an anchor below this is background; others are ignored, but
            each lesion's best anchor is a lesion anyway.
        rpn_samples: anchors of an image that are learnt from.
        rpn_positive: the largest part of them that may be lesions.
        pre_nms: anchors of each level that are looked at, in training and in use.
        proposals: P, in training and in use.
        rpn_nms_iou: IoU above which the weaker of two proposals of a level goes.
        roi_iou: IoU with a lesion from which on a region is one.
        roi_samples: R.
        roi_positive: the largest part of them that may be lesions; gives F.
        min_score: probability that a detection exceeds.
        nms_iou: IoU above which the weaker of two detections of a class goes.
        detections: D.
        max_instances: G.
        torchvision: anchors, pooling, levels and masks as in torchvision, with its
            shifts of half a pixel and rounded boxes; needs `stem_pool`.
        dtype: type in which to convolve; boxes, losses and results are float32.
        axis_name: as in `VGG`.
    """

    num_classes: int
    stage_sizes: tuple[int, ...] = (3, 4, 6, 3)
    features: tuple[int, ...] = (64, 128, 256, 512)
    pyramid_features: int = 256
    box_features: int = 1024
    mask_features: int = 256
    stem_pool: bool = False
    scale: int = 1
    norm: str = "batch"
    attention: str = "none"
    open_attention: bool = False
    anchor_sizes: tuple[tuple[float, ...], ...] = ((4, 6), (8, 12), (16, 24), (32, 48))
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    rpn_foreground_iou: float = 0.5
    rpn_background_iou: float = 0.3
    rpn_samples: int = 256
    rpn_positive: float = 0.5
    pre_nms: tuple[int, int] = (500, 500)
    proposals: tuple[int, int] = (256, 256)
    rpn_nms_iou: float = 0.7
    roi_iou: float = 0.5
    roi_samples: int = 128
    roi_positive: float = 0.25
    min_score: float = 0.01
    nms_iou: float = 0.3
    detections: int = 50
    max_instances: int = 32
    torchvision: bool = False
    dtype: Dtype = jnp.float32
    axis_name: str | None = None

    def setup(self) -> None:
        """Builds the parts.

        Raises:
            ValueError: if a field is unknown or does not fit the others.
        """
        check_known("attention", self.attention, ATTENTIONS)
        if self.torchvision and not self.stem_pool:
            raise UserError("Expected stem_pool=True with torchvision=True.")
        if len({len(sizes) for sizes in self.anchor_sizes}) != 1:
            raise UserError(
                "Expected as many anchor sizes on each level, got "
                f"{self.anchor_sizes}: one head serves all."
            )
        for name in _COUNTS:
            if min(jax.tree.leaves(count := getattr(self, name))) < 1:
                raise UserError(f"Expected {name} of at least 1, got {count}.")
        attention = (self.attention, self.open_attention)
        self.backbone = BottleneckBody(
            self.stage_sizes,
            self.features,
            self.stem_pool,
            self.norm,
            *attention,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        self.pyramid = FeaturePyramid(
            self.pyramid_features, len(self.anchor_sizes), *attention, dtype=self.dtype
        )
        self.rpn = ProposalHead(
            len(self.anchor_sizes[0]) * len(self.anchor_ratios), dtype=self.dtype
        )
        self.box_head = BoxHead(self.num_classes, self.box_features, dtype=self.dtype)
        self.mask_head = MaskHead(
            self.num_classes, self.mask_features, dtype=self.dtype
        )

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the levels, in pixels of the network, the finest first."""
        first = 4 if self.stem_pool else 2
        return tuple(first * 2**level for level in range(len(self.anchor_sizes)))

    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool,
        mirrored: bool = False,
        truth: Truth | None = None,
        instances: jax.Array | None = None,
        keys: jax.Array | None = None,
    ) -> Detections | Training:
        """Returns what is found, or, with the truth, what the losses compare.

        Args:
            images: float, (B, H, W, C).
            train: normalise by the batch's own statistics.
            mirrored: look at the mirror images as well: what both say of an anchor, a
                proposal or a mask is averaged. Without `truth`, not for `torchvision`.
            truth: the lesions, each field with a leading axis B.
            instances: number of the lesion of each pixel, 0 for none, uint8, (B, H, W);
                with `truth`.
            keys: typed PRNG keys, (B,), for the samples; with `truth`.

        Raises:
            ValueError: if H or W is not a multiple of the coarsest map's stride, or
                `mirrored` cannot be had.
        """
        hw = self.find_network_hw(images)
        if self.scale > 1:
            shape = (images.shape[0], *hw, images.shape[-1])
            images = jax.image.resize(images, shape, "bilinear")
        sides = [images, images[:, :, ::-1]] if mirrored else [images]
        views = [self.pyramid(self.backbone(side, train=train)) for side in sides]
        objectness, deltas = self.rate_anchors(views, hw)
        anchors = [
            jnp.asarray(level)
            for level in make_anchors(
                hw,
                self.strides,
                self.anchor_sizes,
                self.anchor_ratios,
                rounded=self.torchvision,
            )
        ]
        learning = truth is not None
        found = jax.vmap(
            partial(
                propose,
                anchors=anchors,
                hw=hw,
                pre_nms=self.pre_nms[0 if learning else 1],
                count=self.proposals[0 if learning else 1],
                nms_iou=self.rpn_nms_iou,
            )
        )(objectness, deltas)
        if truth is None or instances is None or keys is None:
            return self.detect(views, found, hw)
        truth = truth._replace(boxes=truth.boxes * self.scale)
        anchor_keys, region_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        chosen = jax.vmap(
            partial(
                choose_anchors,
                anchors=jnp.concatenate(anchors),
                foreground_iou=self.rpn_foreground_iou,
                background_iou=self.rpn_background_iou,
                count=self.rpn_samples,
                max_positive=round(self.rpn_samples * self.rpn_positive),
            )
        )(anchor_keys, truth=truth)
        regions, covered = jax.vmap(
            partial(
                choose_regions,
                foreground_iou=self.roi_iou,
                count=self.roi_samples,
                max_positive=round(self.roi_samples * self.roi_positive),
            )
        )(region_keys, found, truth)
        # An anchor is sampled once: the gradient's scattered writes do not meet.
        pick = jax.vmap(lambda values, index: values[index])
        return Training(
            objectness=pick(jnp.concatenate(objectness, axis=1), chosen.index),
            anchor_positive=chosen.positive,
            anchors_valid=chosen.valid,
            anchor_deltas=pick(jnp.concatenate(deltas, axis=1), chosen.index),
            anchor_targets=chosen.targets,
            labels=regions.labels,
            regions_valid=regions.valid,
            targets=regions.targets,
            lesions=jnp.sum(truth.valid, axis=1),
            covered=covered,
            left_out=truth.left_out,
            **self.judge(views[0], regions, instances),
        )

    def rate_anchors(
        self, views: list[list[jax.Array]], hw: tuple[int, int]
    ) -> tuple[list[jax.Array], list[jax.Array]]:
        """Returns objectness logits (B, N_l) and deltas (B, N_l, 4) of each level.

        Args:
            views: the pyramid of the images, and perhaps that of their mirror images,
                whose ratings are averaged with the first.
            hw: height and width in pixels of the network.

        Raises:
            ValueError: if the mirror image of an anchor is none.
        """
        objectness, deltas = self.rpn(views[0])
        for levels in views[1:]:
            widths = [x.shape[2] * s for x, s in zip(levels, self.strides, strict=True)]
            if self.torchvision or any(width != hw[1] for width in widths):
                raise UserError(
                    "Expected anchors whose mirror images are anchors for "
                    "mirrored=True, got torchvision's or a coarsest map with a part "
                    "of a pixel."
                )
            for i, said in enumerate(zip(*self.rpn(levels), levels, strict=True)):
                other_objectness, other_deltas = mirror_anchors(*said)
                objectness[i] = (objectness[i] + other_objectness) / 2
                deltas[i] = (deltas[i] + other_deltas) / 2
        return objectness, deltas

    def judge(
        self, levels: list[jax.Array], regions: Regions, instances: jax.Array
    ) -> dict[str, jax.Array]:
        """Returns what the heads say of regions to learn from, and the masks' targets.

        Args:
            levels: maps (B, H_l, W_l, C).
            regions: each field with a leading axis B.
            instances: numbers of lesions, uint8, (B, H, W).

        Returns:
            Fields of `Training`.
        """
        logits, deltas = self.box_head(
            self.cut(levels, regions.boxes, regions.valid, BOX_SIZE)
        )
        first = slice(0, round(self.roi_samples * self.roi_positive))
        boxes, labels = regions.boxes[:, first], regions.labels[:, first]
        mask_logits = self.outline(levels, boxes, labels > 0)
        crop = partial(crop_masks, size=2 * MASK_SIZE, torchvision=self.torchvision)
        return {
            "logits": logits,
            "deltas": choose_class(
                jnp.swapaxes(deltas, 2, 3), regions.labels[:, :, None]
            ),
            "mask_logits": choose_class(mask_logits, labels[:, :, None, None]),
            "mask_targets": jax.vmap(crop)(
                instances, regions.numbers[:, first], boxes / self.scale
            ),
        }

    def find_network_hw(self, images: jax.Array) -> tuple[int, int]:
        """Returns height and width in pixels of the network.

        Raises:
            ValueError: if the coarsest map of the body has no whole number of pixels.
        """
        height, width = (self.scale * size for size in images.shape[1:3])
        stride = self.strides[0] * 2 ** (len(self.features) - 1)
        if height % stride or width % stride:
            raise UserError(
                f"Expected an image size in multiples of {stride} after enlarging it "
                f"{self.scale} times, got {height}x{width}."
            )
        return height, width

    def cut(
        self, levels: list[jax.Array], boxes: jax.Array, used: jax.Array, size: int
    ) -> jax.Array:
        """Returns the pyramid's features in boxes, see `cut_regions`."""
        # The coarser map that is added for large anchors serves proposals alone.
        count = min(len(levels), len(self.features))
        return cut_regions(
            levels[:count],
            boxes,
            used,
            size,
            strides=self.strides[:count],
            torchvision=self.torchvision,
        )

    def outline(
        self, levels: list[jax.Array], boxes: jax.Array, used: jax.Array
    ) -> jax.Array:
        """Returns mask logits of boxes, (B, R, 28, 28, K), 0 for those not used."""
        regions = self.cut(levels, boxes, used, MASK_SIZE)
        return outline_used(self.mask_head, regions, used)

    def detect(
        self, views: list[list[jax.Array]], found: Proposals, hw: tuple[int, int]
    ) -> Detections:
        """Returns what is found in the proposals.

        Args:
            views: the pyramid of the images, and perhaps that of their mirror images.
            found: of B images.
            hw: height and width in pixels of the network.
        """
        logits, deltas = self.box_head(
            self.cut(views[0], found.boxes, found.valid, BOX_SIZE)
        )
        for levels in views[1:]:
            there = mirror_boxes(found.boxes, hw[1])
            other_logits, other_deltas = self.box_head(
                self.cut(levels, there, found.valid, BOX_SIZE)
            )
            logits = (logits + other_logits) / 2
            deltas = (deltas + mirror_deltas(other_deltas)) / 2
        boxes, scores, labels, valid = jax.vmap(
            partial(
                choose_detections,
                hw=hw,
                min_score=self.min_score,
                nms_iou=self.nms_iou,
                count=self.detections,
            )
        )(logits, deltas, found)
        mask_logits = self.outline(views[0], boxes, valid)
        for levels in views[1:]:
            there = self.outline(levels, mirror_boxes(boxes, hw[1]), valid)
            mask_logits = (mask_logits + there[:, :, :, ::-1]) / 2
        masks = nn.sigmoid(choose_class(mask_logits, labels[:, :, None, None]))
        return Detections(boxes / self.scale, scores, labels, valid, masks)
