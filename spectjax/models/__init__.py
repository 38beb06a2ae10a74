"""Models by name: the only place where a model's name meets a class."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flax import linen as nn

from spectjax.models import vgg
from spectjax.models.brightest_clusters import KMeans
from spectjax.models.densenet import DenseNet
from spectjax.models.mask_rcnn import MaskRCNN
from spectjax.models.resnet import ResNet
from spectjax.models.skeleton_unet import SkeletonUNet
from spectjax.models.unet import UNet
from spectjax.system.messages import check_known

MODELS: dict[str, Callable[..., nn.Module]] = {
    "unet": partial(UNet, residual=False),
    "unet_res": partial(UNet, residual=True),
    "kmeans": KMeans,
    "skeleton_unet": SkeletonUNet,
    "mask_rcnn": partial(MaskRCNN, attention="none"),
    "mask_rcnn_att": MaskRCNN,
    # [P2] says that V7's is not ReLU, and not what it is: ELU is our choice.
    "specs_v7": partial(vgg.VGG, stage_sizes=vgg.V7, activation="elu"),
    "specs_v16": partial(vgg.VGG, stage_sizes=vgg.V16),
    "specs_v19": partial(vgg.VGG, stage_sizes=vgg.V19),
    "specs_v21": partial(vgg.VGG, stage_sizes=vgg.V21),
    "specs_v24": partial(vgg.VGG, stage_sizes=vgg.V24),
    "specs_r34": ResNet,
    "specs_d121": DenseNet,
}


def create_model(name: str, fields: Mapping[str, Any]) -> nn.Module:
    """Builds the model registered as `name` from its own `fields`.

    Raises:
        ValueError: if `name` is not registered or `fields` has a key that the model
            does not define.
    """
    check_known("model", name, sorted(MODELS))
    try:
        return MODELS[name](**fields)
    except TypeError as error:
        raise ValueError(f"Model {name!r}: {error}") from error
