"""Finds the weights of ours that a new run is to begin with, whatever holds them."""

import json
import pathlib

from ml_collections import ConfigDict

from spectjax.config import parse_config
from spectjax.inference.metadata import ModelFileError, hash_parameters, parse_metadata
from spectjax.inference.ready import FOLDER, read_document, read_weights
from spectjax.inference.trained import check_run, load_run
from spectjax.system.limits import WEIGHTS_BYTES, read_limited
from spectjax.system.messages import ConfigError
from spectjax.system.paths import read_path
from spectjax.training.start import OwnWeights
from spectjax.weights import WeightsError
from spectjax.weights.tensors import read_tensors_text, unpack_tensors

SHIPPED = "shipped"


def find_start(config: ConfigDict, workdir: pathlib.Path) -> OwnWeights | None:
    """Returns the weights of ours that `config.pretrained` names, if a run needs them.

    None if nothing is named, if the run has begun and has its own, or if it is a file
    of PyTorch's.

    Raises:
        ConfigError: if there is nothing of that name.
        ModelFileError: if what is there cannot be read.
        CheckpointError: if a run's checkpoint cannot be.
        WeightsError: if a file is not what spectjax wrote.
    """
    source = config.pretrained
    if source is None or (workdir / "checkpoints").is_dir():
        return None
    if source == SHIPPED:
        member = read_document()["members"][0]
        return OwnWeights(
            f"the model that ships ({member['file']})",
            parse_config(member["config"], str(FOLDER)),
            read_weights(FOLDER, member),
        )
    path = read_path(source, "--config.pretrained")
    if path.is_dir():
        check_run(path)
        run = load_run(path)
        return OwnWeights(str(path), run.config, run.variables)
    if not path.is_file():
        raise ConfigError(
            f"--config.pretrained={source!r}: expected the folder of a run, a file of "
            f"weights or {SHIPPED}, found none. Check the path."
        )
    return read_start(path)


def read_start(path: pathlib.Path) -> OwnWeights | None:
    """Returns the weights of a file; None if spectjax did not write it.

    Raises:
        ModelFileError: if its metadata cannot be read.
        WeightsError: if it is damaged.
    """
    with path.open("rb") as stream:
        if stream.read(9)[8:] != b"{":
            return None
    content = read_limited(path, WEIGHTS_BYTES, error=ModelFileError)
    text = read_tensors_text(content)
    if text is None:
        return None
    metadata = parse_metadata(path, text)
    variables = unpack_tensors(content)
    if hash_parameters(variables) != metadata["parameters_sha256"]:
        raise WeightsError(
            f"{path}: expected the weights that its metadata tell of, found others: "
            "the file is damaged. Copy or export it again."
        )
    config = metadata.get("config")
    if not isinstance(config, dict):
        raise WeightsError(
            f"{path}: expected the config of its run, found {json.dumps(config)[:40]}. "
            "Export it again."
        )
    return OwnWeights(str(path), parse_config(config, str(path)), variables)
