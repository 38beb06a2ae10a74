"""Settings that several config files share: what the papers print and what trains well.

Imports nothing heavier than `ml_collections`, as `spectjax.config`.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from spectjax.config import ConfigError, base_config, parse_arg
from spectjax.detector_sizes import QUICK_MASK_RCNN, SMOKE_MASK_RCNN, TORCHVISION


def _learn_from_few_patients(config: ConfigDict, *, learning_rate: float) -> None:
    """Sets what `modern` and narrower recipes of all tasks share."""
    config.data.augmentation = "online"
    config.data.normalisation = "square_root"
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = learning_rate
    config.optimizer.schedule = "cosine"
    config.optimizer.momentum = 0.9
    config.num_epochs = 60
    if config.task != "classification":
        config.data.name = "segmentation_mixed"
        config.data.batch_size = 4
        config.test_mirroring = True


def _run_in_seconds(config: ConfigDict) -> None:
    """Sets what `smoke` means for all that marks hotspots."""
    config.data.name = "segmentation_smoke"
    config.data.augmentation = "copies"
    config.data.train_hw = (64, 64)
    config.num_epochs = 1


def unet_config(arg: str | None, name: str) -> ConfigDict:
    """Returns the config of one of [P1]'s U-Nets.

    Args:
        arg: what follows the colon: `modern` for a recipe that trains well on few
            patients (docs/segmentation.md has what was tried); `quick` for the same
            with a narrow network, in minutes on a CPU; `smoke` for seconds, to see that
            all parts fit; `ready` for what the shipped model learned with;
            `whole_body` for what the one of whole bodies did, which begins with the
            former; `whole_body,smoke` for seconds; `fold=<int>`, the fold that is held
            out.
        name: the model's registry name.

    Raises:
        ConfigError: if `arg` is not understood.
    """
    flags = dict.fromkeys(("modern", "quick", "smoke", "ready", "whole_body"), False)
    args = parse_arg(arg, **flags, fold=0)
    config = base_config()
    config.data.fold = args.fold
    config.model.name = name
    config.model.num_classes = 2  # background, metastasis
    config.model.features = (64, 128, 256, 512, 1024)
    config.model.batch_norm = True
    config.model.deep_supervision = False

    if any(getattr(args, flag) for flag in flags):
        _learn_from_few_patients(config, learning_rate=1e-3)
        config.loss = "dice_cross_entropy"
        config.model.deep_supervision = True
    if args.quick or args.smoke:
        config.data.train_hw = (160, 160)
        config.optimizer.learning_rate = 1e-2
        config.model.features = (8, 16, 32, 64)
        config.num_epochs = 16
    if args.smoke:
        _run_in_seconds(config)
        config.model.features = (2, 4)
    if args.ready or args.whole_body:
        config.data.name = "segmentation_screening"
        config.data.validation_fold = (args.fold + 1) % 5  # of five folds
        config.data.train_hw = (208, 160)
        config.data.randomisation = 0.7
        config.data.batch_size = 8
        # Overlap asked for teaches to mark; here half of the images have nothing.
        config.loss = "cross_entropy"
        config.optimizer.learning_rate = 1e-2
        config.optimizer.average = 0.998
        config.model.features = (12, 24, 48, 96, 96)
        config.num_epochs = 8
    if args.whole_body:
        _see_whole_bodies(config, smoke=args.smoke)
    return config


def skeleton_config(arg: str | None) -> ConfigDict:
    """Returns the config of the network that tells the bones of a whole body.

    Args:
        arg: what follows the colon: nothing for what the shipped model learned with;
            `quick` for a narrow network, in minutes on a CPU; `smoke` for seconds, to
            see that all parts fit; `fold=<int>`, the fold that is held out.

    Raises:
        ConfigError: if `arg` is not understood.
    """
    args = parse_arg(arg, quick=False, smoke=False, fold=0)
    config = base_config()
    config.task = "skeleton"
    config.data.name = "skeleton_smoke" if args.smoke else "skeleton"
    config.data.fold = args.fold
    config.data.augmentation = "online"
    config.data.batch_size = 4
    config.data.train_hw = (512, 256)
    config.data.normalisation = "divide_by_255"
    config.loss = "dice_cross_entropy"
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 5e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.momentum = 0.9
    config.optimizer.average = 0.99
    config.test_mirroring = True
    config.num_epochs = 8
    config.model.name = "skeleton_unet"
    config.model.num_classes = 23  # none, and the regions of `spectjax.bones.regions`
    config.model.features = (12, 24, 48, 64, 64, 64)
    config.model.batch_norm = True
    if args.quick or args.smoke:
        config.model.features = (6, 12, 24, 32, 32, 32)
        config.num_epochs = 2
    if args.smoke:
        config.model.features = (2, 2, 2)
        config.num_epochs = 1
    return config


def _see_whole_bodies(config: ConfigDict, *, smoke: bool) -> None:
    """Sets what learning from whole frames changes: it goes on with the shipped model.

    Two frames have as many pixels as twelve images that the latter learned from.
    """
    config.data.name = "segmentation_whole_body"
    config.data.train_hw = (896, 224)
    config.data.batch_size = 2
    config.data.feed = "stream"  # a frame takes 0.8 MB
    config.pretrained = "shipped"
    config.optimizer.learning_rate = 5e-3
    config.optimizer.average = 0.995
    config.num_epochs = 6
    if smoke:
        config.data.name += "_smoke"
        config.data.augmentation = "online"
        config.data.train_hw = (64, 64)
        config.pretrained = None
        config.model.features = (2, 4)
        config.num_epochs = 1


def mask_rcnn_config(arg: str | None, name: str) -> ConfigDict:
    """Returns the config of one of [P1]'s Mask R-CNNs.

    Args:
        arg: what follows the colon: `modern`, `quick`, `smoke` and `fold=<int>` as of
            `unet_config`; `torchvision` for the very network of torchvision's
            `maskrcnn_resnet50_fpn`, on images that are enlarged four times, so that its
            weights are of use (`--config.pretrained=FILE`).
        name: the model's registry name.

    Raises:
        ConfigError: if `arg` is not understood, or asks for `torchvision` with another
            recipe.
    """
    args = parse_arg(
        arg, modern=False, quick=False, smoke=False, torchvision=False, fold=0
    )
    if args.torchvision and (args.modern or args.quick or args.smoke):
        raise ConfigError(
            f"Config argument {arg!r}: torchvision is a setting of its own; give it "
            "alone, or with fold."
        )
    config = base_config()
    config.task = "instance_segmentation"
    config.loss = "mask_rcnn"
    config.data.fold = args.fold
    config.model.name = name
    config.model.num_classes = 2  # background, metastasis
    config.model.stage_sizes = (3, 4, 6, 3)  # ResNet-50 ([P1])
    config.model.features = (64, 128, 256, 512)
    config.model.pyramid_features = 256
    config.model.box_features = 1024
    config.model.mask_features = 256
    config.model.norm = "batch"
    config.model.scale = 1  # how often images are enlarged
    # Square roots of the anchors' areas on each level, pixels of the enlarged image.
    config.model.anchor_sizes = ((4, 6), (8, 12), (16, 24), (32, 48))
    config.model.max_instances = 32  # of an image; more are left out, and counted
    config.model.min_score = 0.01  # of a detection
    config.model.nms_iou = 0.3  # of two detections, above which the weaker one goes
    config.model.detections = 50  # of an image, at most
    if name == "mask_rcnn_att":
        config.model.attention = "block"  # as in CBAM; [P1] leaves the place open
        config.model.open_attention = False

    if args.torchvision:
        config.data.normalisation = "imagenet"
        config.data.batch_size = 2
        config.model.update(TORCHVISION)
        config.model.scale = 4
        config.model.norm = "frozen"
    if args.modern or args.quick or args.smoke:
        _learn_from_few_patients(config, learning_rate=5e-4)
        config.optimizer.average = 0.99
    if args.quick or args.smoke:
        config.data.train_hw = (160, 160)
        config.optimizer.learning_rate = 2e-3
        config.num_epochs = 24
        config.model.update(QUICK_MASK_RCNN)
    if args.smoke:
        _run_in_seconds(config)
        config.model.update(SMOKE_MASK_RCNN)
    return config


def vgg_config(
    arg: str | None,
    name: str,
    *,
    stage_sizes: tuple[int, ...],
    activation: str = "relu",
    l2: float = 0.0,
) -> ConfigDict:
    """Returns the config of one of [P2]'s VGG networks.

    Args:
        arg: see `classification_config`.
        name: the model's registry name.
        stage_sizes: convolutions before each pooling.
        activation: of the hidden layers.
        l2: lambda of [P2] Eq. 3, L = e + lambda sum w^2, in the paper's setting. Its
            gradient 2 lambda w is the weight decay of SGD; the loss in the log is e.
    """
    config = classification_config(
        arg,
        name,
        fields={
            "stage_sizes": stage_sizes,
            "features": (64, 128, 256, 512, 512),
            "hidden": 4096,
            "pool_hw": (7, 7),
            "activation": activation,
            "batch_norm": False,
            "dropout": 0.5,
        },
        modern={"batch_norm": True, "dropout": 0.0},
        quick={"features": (8, 16, 32, 64, 64), "hidden": 64, "pool_hw": (3, 2)},
    )
    if config.optimizer.name == "sgd":
        config.optimizer.weight_decay = 2 * l2
    return config


def classification_config(
    arg: str | None,
    name: str,
    *,
    fields: Mapping[str, Any],
    modern: Mapping[str, Any],
    quick: Mapping[str, Any],
) -> ConfigDict:
    """Returns the config of one of [P2]'s classifiers.

    Args:
        arg: what follows the colon: the data set, `d1`, `d2` or `d3` (the default);
            `modern` for a recipe that trains well on few patients; `quick` for the same
            with a narrow network, in minutes on a CPU; `smoke` for seconds, to see that
            all parts fit; `fold=<int>`, the fold that is held out.
        name: the model's registry name.
        fields: of the model, in the paper's setting.
        modern: those that all three recipes change.
        quick: further ones that `quick` and `smoke` change.

    Raises:
        ConfigError: if `arg` is not understood or names two data sets.
    """
    flags = dict.fromkeys(("d1", "d2", "d3", "modern", "quick", "smoke"), False)
    args = parse_arg(arg, **flags, fold=0)
    data_sets = [word for word in ("d1", "d2", "d3") if getattr(args, word)]
    if len(data_sets) > 1:
        raise ConfigError(f"Config argument {arg!r}: choose one of d1, d2 and d3.")
    config = base_config()
    config.task = "classification"
    config.data.name = f"classification_{(data_sets or ['d3'])[0]}"
    config.data.fold = args.fold
    # D2 comes normalised, D1 and D3 are not.
    config.data.normalisation = "none" if args.d2 else "divide_by_255"
    config.data.batch_size = 32  # [P2] Table 5, as the next two
    config.num_epochs = 500
    config.optimizer.learning_rate = 1e-3
    config.model.name = name
    config.model.num_classes = 2  # normal, metastasis
    config.model.initial = "he"  # or "normal", as [P2] says
    config.model.update(fields)

    if args.modern or args.quick or args.smoke:
        _learn_from_few_patients(config, learning_rate=1e-3)
        config.data.batch_size = 8
        config.optimizer.weight_decay = 0.05
        config.model.update(modern)
    if args.quick or args.smoke:
        config.data.train_hw = (208, 160)
        config.optimizer.learning_rate = 2e-3
        config.num_epochs = 15
        config.model.update(quick)
    if args.smoke:
        config.num_epochs = 1
    return config
