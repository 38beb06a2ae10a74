"""K-means clusters of brightness: [P1] Fig. 11, there IoU 0.7421 at K = 9.

Nothing is trained: the brightest cluster of each image is its hotspots. K = 9 is the
best of K = 2 to 15 on the paper's own test images; on simulated ones it is 4.

    python -m spectjax.main --config=configs/kmeans.py --workdir=runs/kmeans

Another K, or more clusters as hotspots: `--config.model.clusters=4`,
`--config.model.hotspot_clusters=2`. On the images that `configs/unet.py:modern` and
`:quick` are scored on, normal ones among them: `:quick`. Seconds, to see that all parts
fit: `:smoke`. With another held-out fold: `:fold=3`.
"""

from ml_collections import ConfigDict

from spectjax.config import base_config, parse_arg


def get_config(arg: str | None = None) -> ConfigDict:
    """Accepts `modern`, `quick`, `smoke` and `fold=<int>` after the colon."""
    args = parse_arg(arg, modern=False, quick=False, smoke=False, fold=0)
    config = base_config()
    config.data.fold = args.fold
    config.num_epochs = 0
    # Clusters of counts are the same, moved and scaled; counts are exact.
    config.data.normalisation = "none"
    config.model.name = "kmeans"
    config.model.num_classes = 2  # background, metastasis
    config.model.clusters = 9  # K
    config.model.hotspot_clusters = 1  # the brightest ones
    config.model.restarts = 10
    config.model.max_iterations = 300
    config.model.seed = 0

    if args.modern or args.quick:
        config.data.name = "segmentation_mixed"
    if args.smoke:
        config.data.name = "segmentation_smoke"
        config.data.batch_size = 4
    return config
