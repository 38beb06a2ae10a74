"""What models learned from, and whether they meet it again in the images to be scored.

Nothing here is taken for granted: what cannot be looked up is listed as not checked.
"""

import os
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spectjax.config import load_config
from spectjax.inference.metadata import ModelFileError
from spectjax.inference.model_files import read_model_file
from spectjax.inference.ready import read_document
from spectjax.inference.regions import UNKNOWN, is_unknown
from spectjax.inference.runtimes import find_model
from spectjax.inference.trained import TrainedModel
from spectjax.system.messages import UserError
from tfds_spect.names import LEAKING, PHANTOM, name_fold

if TYPE_CHECKING:
    from tfds_spect.overlap import Original, Shared

_Folder = str | os.PathLike[str] | None
# What no search finds.
NEVER_FOUND = (
    "two acquisitions of one patient under two names or pseudonym keys, and images "
    "without their noise: smoothed, or compressed by more than a hundred"
)


@dataclass(frozen=True)
class Candidate:
    """A model that is to be scored.

    Attributes:
        name: names it in tables, and its folder.
        model: what answers.
        configs: of the trainings behind it, one for each member.
        workdir: folder of the run; None of a file or of what ships.
    """

    name: str
    model: TrainedModel
    configs: tuple[Mapping[str, Any], ...]
    workdir: pathlib.Path | None = None


@dataclass
class Seen:
    """What a model learned from among the images to be scored.

    Attributes:
        images: what is shared with the training, by example id.
        checked: what was compared, a line for each training.
        not_checked: what could not be, a line each.
    """

    images: dict[str, str] = field(default_factory=dict)
    checked: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)


def load_candidates(
    workdirs: Sequence[pathlib.Path], files: Sequence[pathlib.Path]
) -> list[Candidate]:
    """Returns the models of runs and of files, else the one that ships.

    Raises:
        ModelFileError: if one is missing, damaged or named twice.
    """
    found: list[Candidate] = []
    for workdir in workdirs:
        model = find_model(workdirs=[workdir], file=None, runtime=None)()
        config = load_config(workdir / "config.json").to_dict()
        found.append(Candidate(workdir.resolve().name, model, (config,), workdir))
    for file in files:
        model = find_model(workdirs=[], file=file, runtime=None)()
        told = read_model_file(file).metadata.get("config")
        configs = (told,) if isinstance(told, dict) and "data" in told else ()
        found.append(Candidate(file.name.partition(".")[0], model, configs))
    if not found:
        model = find_model(workdirs=[], file=None, runtime=None)()
        document = read_document()
        configs = tuple(member["config"] for member in document["members"])
        found.append(Candidate("shipped", model, configs))
    for name, count in Counter(each.name for each in found).items():
        if count > 1:
            raise ModelFileError(
                f"Expected models that differ in name, found {count} called {name!r}. "
                "Give each once; rename a folder or a file that has another's name."
            )
    return found


def find_seen(
    candidates: Sequence[Candidate],
    scored: Sequence["Original"],
    *,
    key: str | None,
    data_dir: _Folder,
) -> dict[str, Seen]:
    """Returns, by the names of the models, what they learned from.

    The patients who picked a run's checkpoint count: its operating points were measured
    on them.

    Args:
        candidates: models.
        scored: originals of the data set that is to be scored.
        key: what tells its pseudonym key, see `tfds_spect.overlap.read_key`.
        data_dir: where the data sets of the trainings live, None: TFDS's own default.

    Raises:
        PrepareError: if a data set is damaged.
    """
    searched: dict[pathlib.Path, list[Shared]] = {}
    return {
        each.name: _find_seen_by(each, scored, key, data_dir, searched)
        for each in candidates
    }


def _find_seen_by(
    candidate: Candidate,
    scored: Sequence["Original"],
    key: str | None,
    data_dir: _Folder,
    searched: dict[pathlib.Path, list["Shared"]],
) -> Seen:
    """Returns what one model learned from; `searched` keeps what was found so far."""
    # Here, since TFDS takes a while to load.
    from tfds_spect.errors import PrepareError
    from tfds_spect.overlap import choose_seen, find_shared, list_originals, read_key
    from tfds_spect.prepare import check_prepared, find_prepared

    seen = Seen()
    if is_unknown(candidate.model.info):
        seen.not_checked.append(UNKNOWN)
    if not candidate.configs:
        seen.not_checked.append("its file does not say what it learned from")
    for config in candidate.configs:
        data = config["data"]
        name = data["name"]
        if config.get("pretrained") is not None:
            seen.not_checked.append(
                f"what the weights that it began from ({config['pretrained']}) "
                "learned from"
            )
        expected, missing = data.get("fingerprint"), ""
        try:
            folder = find_prepared(name, data_dir=data_dir)
            found = check_prepared(folder).fingerprint
            if expected not in (None, found):
                missing = (
                    f"{folder} has another content ({found[:12]}) than what it learned "
                    f"from ({expected[:12]}); name the right --data_dir"
                )
        except PrepareError as error:
            missing = str(error)
        simulated = any(each.synthetic for each in scored)
        if missing and name.endswith(PHANTOM) and not simulated:
            # A picture does not say what it is of: where the data set is, it is asked.
            seen.checked.append(
                f"{name}: simulated patients alone; no image says that it is of one"
            )
            continue
        if missing:
            seen.not_checked.append(
                f"patients and acquisitions of its training, {name}: {missing}"
            )
            continue
        if expected is None:
            seen.not_checked.append(
                f"that {folder} is what it learned from: it is older than fingerprints"
            )
        others = list_originals(folder)
        if folder not in searched:
            searched[folder] = find_shared(scored, others)
        splits = {each.split for each in others}
        if LEAKING not in name:
            splits.discard(name_fold(data["fold"]))
        seen.images |= choose_seen(searched[folder], splits)
        number = sum(each.split in splits for each in others)
        seen.checked.append(
            f"{name}, {number} images: patients by pseudonym, acquisitions by "
            "pseudonym and by their noise"
        )
        other_key = read_key(folder)
        if key is None or other_key is None:
            seen.not_checked.append(
                f"that {name} has pseudonyms of the same key: a data set is older than "
                "the note of it; if keys differ, no patient was recognised"
            )
        elif key != other_key:
            seen.not_checked.append(
                f"patients by pseudonym: {name} was prepared with another "
                "SPECTJAX_PSEUDONYM_KEY, so that none could be recognised"
            )
    return seen


def refuse_seen(seen: Mapping[str, Seen], source: pathlib.Path) -> None:
    """Refuses images that a model learned from.

    Raises:
        UserError: naming the model, how many there are and the first.
    """
    for name, each in seen.items():
        if not each.images:
            continue
        counts = Counter(each.images.values())
        kinds = ", ".join(f"{what}: {n}" for what, n in sorted(counts.items()))
        same = ""
        if "patient" in counts:
            same = (
                " If they are other people whose numbers are the same, give them other "
                "Patient IDs or an Issuer of Patient ID."
            )
        raise UserError(
            f"{source}: expected images that {name} did not learn from, found "
            f"{len(each.images)} that share with its training ({kinds}), such as "
            f"{min(each.images)}. Leave them out with --leave_out_seen, or name parts "
            f"that it did not learn from with --split.{same}"
        )
