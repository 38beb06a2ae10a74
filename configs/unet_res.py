"""U-Net-Res on thorax images: [P1] Table 2, there IoU 0.6103 on its hospital's data.

The paper's setting; on a CPU it takes days:

    python -m spectjax.main --config=configs/unet_res.py --workdir=runs/unet_res

A minute and a half on two CPU cores; pooled IoU on held-out simulated patients 0.53 to
0.60, by the fold that is held out:

    python -m spectjax.main --config=configs/unet_res.py:quick --workdir=runs/quick

Seconds, to see that all parts fit: `:smoke`. With another held-out fold: `:fold=3`.
"""

from ml_collections import ConfigDict

from spectjax.config import base_config, parse_arg


def get_config(arg: str | None = None) -> ConfigDict:
    """Accepts `quick`, `smoke` and `fold=<int>` after the colon."""
    args = parse_arg(arg, quick=False, smoke=False, fold=0)
    config = base_config()
    config.data.fold = args.fold
    config.model.name = "unet_res"
    config.model.num_classes = 2  # background, metastasis
    config.model.features = (64, 128, 256, 512, 1024)
    config.model.batch_norm = True

    if args.quick or args.smoke:
        config.data.name = "segmentation_quick"
        config.data.batch_size = 4
        config.data.train_hw = (160, 160)
        config.data.normalisation = "square_root"
        config.loss = "dice_cross_entropy"
        config.optimizer.name = "adamw"
        config.optimizer.learning_rate = 1e-2
        config.optimizer.schedule = "cosine"
        config.optimizer.momentum = 0.9
        config.model.features = (8, 16, 32, 64)
        config.num_epochs = 10
    if args.smoke:
        config.data.name = "segmentation_smoke"
        config.data.batch_size = 4
        config.data.train_hw = (64, 64)
        config.model.features = (2, 4)
        config.num_epochs = 1
    return config
