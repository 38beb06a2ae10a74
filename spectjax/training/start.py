"""What a run begins with: weights of a model of ours.

A path is collection, modules from the outside in, array, as in
`params/down0/conv1/kernel`.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from spectjax.weights import WeightsError
from tfds_spect.names import PHANTOM

# Fields of models that weights do not depend on: how they are drawn, what training
# takes samples of, what is kept of the answers.
_FREE = set(
    "num_classes initial dropout deep_supervision rpn_foreground_iou "
    "rpn_background_iou rpn_samples rpn_positive pre_nms proposals rpn_nms_iou roi_iou "
    "roi_samples roi_positive min_score nms_iou detections max_instances".split()
)
# Layers that give a number for each class; `head1` and on, coarser logits of a U-Net.
_HEAD = re.compile(
    r"(params|batch_stats)/"
    r"((unet/)?head\d*|box_head/(logits|deltas)|mask_head/logits)/"
)
_NAMED = 4  # arrays that an error gives before it stops


@dataclasses.dataclass(frozen=True)
class OwnWeights:
    """Weights that spectjax trained.

    Attributes:
        source: where they come from, for the user.
        config: that they were trained with.
        variables: `params` and perhaps `batch_stats`, numpy arrays, float32.
    """

    source: str
    config: ConfigDict
    variables: Mapping[str, Any]

    def fill(
        self, config: ConfigDict, first: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """Returns a new run's variables with these weights in them.

        Heads are drawn anew for another number of classes, and where there is none.

        Args:
            config: of the new run.
            first: its variables as drawn: dicts of numpy arrays, float32.

        Returns:
            Variables of the same shapes, and a sentence on each thing that the user
            should know.

        Raises:
            WeightsError: if they are of another model or of other inputs, naming the
                keys that differ; or if they learned from patients held out here.
        """
        self._check_keys(config)
        self._check_patients(config)
        new_head = self.config.model.num_classes != config.model.num_classes
        own, found = (_flatten(tree) for tree in (first, self.variables))
        taken = {
            path: x
            for path, x in found.items()
            if path in own and not (new_head and _HEAD.match(path))
        }
        self._check_arrays(own, found, taken)
        notes = [f"Weights of {self.config.model.name} from {self.source}."]
        if new_head:
            notes.append(
                f"They tell {self.config.model.num_classes} classes apart, here are "
                f"{config.model.num_classes}: the head is drawn anew."
            )
        elif drawn := sorted(own.keys() - taken.keys()):
            notes.append(f"They have no {_name_modules(drawn)}: drawn anew.")
        if left := sorted(found.keys() - own.keys()):
            notes.append(f"Their {_name_modules(left)} has no place here: left out.")
        old_hw, hw = (tuple(c.data.train_hw) for c in (self.config, config))
        if old_hw != hw:
            notes.append(f"They learned from {_by(old_hw)} pixels, here are {_by(hw)}.")
        if not self.config.data.name.endswith(PHANTOM) and not self._is_same_data(
            config
        ):
            notes.append(
                f"They learned from patients of {self.config.data.name}: whether some "
                "of these are held out here was not checked."
            )
        whole = {path: np.asarray(taken.get(path, x)) for path, x in own.items()}
        tree = unflatten_dict(whole, sep="/")
        return {"params": {}, "batch_stats": {}, **tree}, notes

    def _check_keys(self, config: ConfigDict) -> None:
        """Raises WeightsError if a key says that weights would mean something else."""
        theirs, ours = (
            {f"model.{key}": value for key, value in c.model.to_dict().items()}
            | {"data.normalisation": c.data.normalisation}
            for c in (self.config, config)
        )
        free = {f"model.{key}" for key in _FREE}
        different = [
            f"--config.{key}={ours.get(key, 'absent')!s} here and "
            f"{theirs.get(key, 'absent')!s} there"
            for key in ours.keys() | theirs.keys()
            if key not in free and ours.get(key) != theirs.get(key)
        ]
        if different:
            raise WeightsError(
                f"{self.source}: expected weights of this config, found others: "
                f"{'; '.join(sorted(different))}. Set what differs as it is there, or "
                "leave --config.pretrained out."
            )

    def _check_arrays(
        self,
        own: Mapping[str, np.ndarray],
        found: Mapping[str, np.ndarray],
        taken: Mapping[str, np.ndarray],
    ) -> None:
        """Raises WeightsError if arrays are missing or of other shapes, heads aside."""
        wrong = [
            f"{path} {found[path].shape if path in found else 'missing'}"
            for path in sorted(own)
            if (path in taken and np.shape(own[path]) != np.shape(taken[path]))
            or (path not in taken and not _HEAD.match(path))
        ]
        wrong += [f"{p} unknown" for p in found if p not in own and not _HEAD.match(p)]
        if wrong:
            more = f" and {len(wrong) - _NAMED} more" * (len(wrong) > _NAMED)
            raise WeightsError(
                f"{self.source}: expected the arrays of {self.config.model.name}, "
                f"found {', '.join(wrong[:_NAMED])}{more}. The file is damaged or of "
                "another version of spectjax."
            )

    def _is_same_data(self, config: ConfigDict) -> bool:
        fingerprint = config.data.fingerprint
        return fingerprint is not None and fingerprint == self.config.data.fingerprint

    def _check_patients(self, config: ConfigDict) -> None:
        """Raises WeightsError if these weights have seen what is held out here."""
        theirs, ours = self.config.data, config.data
        unseen = {theirs.fold, theirs.validation_fold}
        wanted = {ours.fold, ours.validation_fold} - {None}
        if self._is_same_data(config) and not wanted <= unseen:
            raise WeightsError(
                f"{self.source}: expected weights that have not seen the patients held "
                f"out here, found those of a run on the same data that held out fold "
                f"{theirs.fold}. Set --config.data.fold={theirs.fold}, and "
                f"--config.data.validation_fold={theirs.validation_fold}, or begin "
                "with other weights."
            )


def _flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = flatten_dict(tree, sep="/")
    return flat


def _name_modules(paths: list[str]) -> str:
    """Returns the outermost modules of arrays."""
    return ", ".join(dict.fromkeys(path.split("/")[1] for path in paths))


def _by(hw: tuple[int, ...]) -> str:
    return "x".join(map(str, hw))
