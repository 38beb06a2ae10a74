"""Settings that several config files share: what [P2] prints, and what trains well.

Imports nothing heavier than `ml_collections`, as `spectjax.config`.
"""

from typing import Any

from ml_collections import ConfigDict

from spectjax.config import ConfigError, base_config, parse_arg


def classification_config(
    arg: str | None, name: str, *, narrow: dict[str, Any], **fields: Any
) -> ConfigDict:
    """Returns the config of one of [P2]'s classifiers.

    Args:
        arg: what follows the colon: the data set, `d1`, `d2` or `d3` (the default);
            `modern` for a recipe that trains well on few patients; `quick` for the same
            with a narrow network, in minutes on a CPU; `smoke` for seconds, to see that
            all parts fit; `fold=<int>`, the fold that is held out.
        name: the model's registry name.
        narrow: fields of the model that `quick` uses.
        **fields: fields of the model.

    Raises:
        ConfigError: if `arg` is not understood or names two data sets.
    """
    args = parse_arg(
        arg,
        d1=False,
        d2=False,
        d3=False,
        modern=False,
        quick=False,
        smoke=False,
        fold=0,
    )
    data_sets = [word for word in ("d1", "d2", "d3") if getattr(args, word)]
    if len(data_sets) > 1:
        raise ConfigError(f"Config argument {arg!r}: choose one of d1, d2 and d3.")
    config = base_config()
    config.task = "classification"
    config.data.name = f"classification_{(data_sets or ['d3'])[0]}"
    config.data.fold = args.fold
    config.data.normalisation = "none"  # D2 comes normalised, D1 and D3 are not
    config.data.batch_size = 32  # [P2] Table 5, as the next two
    config.num_epochs = 500
    config.optimizer.learning_rate = 1e-3
    config.model.name = name
    config.model.num_classes = 2  # normal, metastasis
    config.model.update(fields)

    if args.modern or args.quick or args.smoke:
        config.data.augmentation = "online"
        config.data.normalisation = "square_root"
        config.optimizer.name = "adamw"
        config.optimizer.schedule = "cosine"
        config.optimizer.momentum = 0.9
        config.optimizer.weight_decay = 0.05
    if args.quick or args.smoke:
        config.data.train_hw = (192, 160)
        config.data.batch_size = 16
        config.num_epochs = 60
        config.model.update(narrow)
    if args.smoke:
        config.num_epochs = 1
    return config
