"""Opening a prepared data set: whole, undamaged and ours, or one line that says not."""

import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow_datasets as tfds

from spectjax.system.limits import DATA_SET_INFO_BYTES
from spectjax.system.schema import Each, Maybe, read_json
from tfds_spect.content import (
    KEY,
    Content,
    explain_damage,
    hash_file,
    join_fingerprints,
    measure_content,
)
from tfds_spect.errors import PrepareError
from tfds_spect.features import is_sheet, list_features
from tfds_spect.writers import ARRAY_RECORD, TFRECORD, has_array_record

_REMEDY = "Give the folder that python -m tfds_spect names in its last line."
_AGAIN = "Copy the data set again, or remove its folder and prepare it anew."
# In the metadata, and what is hashed there: data sets of one key have one hash.
KEY_OF_PSEUDONYMS = "pseudonym_key"
_SIZE = {"patients": int, "images": int, "copies": int}
# What the files beside the records must hold for us and for TFDS to read them.
_FILES: dict[str, Any] = {
    "dataset_info.json": {"name": str, "version": str, "splits": [{"name": str}]},
    "features.json": {},
    "metadata.json": {
        "fingerprint": Maybe(str),
        "leaking": Maybe(bool),
        "synthetic": Maybe(bool),
        "n_skipped": Maybe(int),
        "patients_per_fold": Maybe([int]),
        "diagnoses": Maybe(Each([int])),
        "parts": Maybe(Each(_SIZE)),
        "patients_on_both_sides": Maybe(int),
        "crops_by_hand": Maybe(Each(str)),
        "cameras": Maybe(Each(str)),
        KEY_OF_PSEUDONYMS: Maybe(str),
        "regions": Maybe(Each(int)),
        "readers": Maybe(
            {
                "images_by_number": Each(int),
                "n_compared": int,
                "n_unanimous": int,
                "n_dice": int,
                "dice": Maybe(float),
            }
        ),
        KEY: Maybe({"fingerprint": str, "splits": Each(str), "files": Each(str)}),
    },
}


def open_data_set(
    builder_dir: pathlib.Path, *, sheets: bool = False
) -> tfds.core.DatasetBuilder:
    """Returns the builder of a prepared data set all of whose record files are there.

    One of sheets with masks of bones is only taken where `sheets` says so.

    Raises:
        PrepareError: if no data set of ours is there, one without diagnoses, or one
            that is damaged or incomplete.
    """
    if not (builder_dir / "dataset_info.json").is_file():
        raise PrepareError(
            f"{builder_dir}: expected a prepared data set, found no dataset_info.json. "
            + _REMEDY
        )
    for name, schema in _FILES.items():
        if name != "metadata.json" or (builder_dir / name).exists():
            read_json(
                builder_dir / name,
                schema,
                what="a file of a prepared data set",
                remedy=_AGAIN,
                most=DATA_SET_INFO_BYTES,
                error=PrepareError,
            )
    try:
        builder = tfds.builder_from_directory(builder_dir)
        features, splits = builder.info.features, builder.info.splits
        sum(split.num_examples for split in splits.values())
    # TFDS and protobuf raise many types.
    except Exception as error:
        found = f"files that TFDS cannot read ({error})"
        raise explain_damage(builder_dir / "dataset_info.json", found) from error
    if features is not None and is_sheet(features):
        if not sheets:
            raise PrepareError(
                f"{builder_dir}: expected images with lesions, found sheets with masks "
                f"of bones. {_REMEDY}"
            )
        check_files(builder, splits, whole=False)
        return builder
    if features is None or "instance_masks" not in features:
        raise PrepareError(
            f"{builder_dir}: expected a tfds_spect data set, found "
            f"{builder.info.full_name}. {_REMEDY}"
        )
    if "diagnosis" not in features:
        raise PrepareError(
            f"{builder_dir}: expected version 2.0.0 or later, found "
            f"{builder.info.full_name}, which has no diagnoses. Prepare it anew."
        )
    _check_words(builder_dir, features)
    check_files(builder, splits, whole=False)
    return builder


def _check_words(builder_dir: pathlib.Path, features: Any) -> None:
    """Checks that numbers stand for the words that they stand for in our code.

    TFDS reads them from a file for each feature, and does without one that is missing.

    Raises:
        PrepareError: naming the file that differs.
    """
    for name, feature in list_features().items():
        if not isinstance(feature, tfds.features.ClassLabel):
            continue
        found = getattr(features[name], "names", None) if name in features else None
        if found != feature.names:
            wrong = f"{found} instead of {', '.join(feature.names)}"
            raise explain_damage(builder_dir / f"{name}.labels.txt", wrong)


def reads_array_record(folder: pathlib.Path) -> bool:
    """Says whether a data set is read from ArrayRecord files.

    It has none if it was prepared where they cannot be written.
    """
    return has_array_record() and any(folder.glob("*.array_record-*"))


def list_files(
    builder: tfds.core.DatasetBuilder, split: str, *, portable: bool = False
) -> list[pathlib.Path]:
    """Returns the record files of a split that are read here.

    The portable ones are TFRecord files, which are read everywhere.
    """
    folder = pathlib.Path(builder.data_path)
    names = sorted(builder.info.splits[split].filenames)
    if reads_array_record(folder) and not portable:
        old, new = (f".{each.file_suffix}-" for each in (TFRECORD, ARRAY_RECORD))
        names = [name.replace(old, new) for name in names]
    return [folder / name for name in names]


def check_files(
    builder: tfds.core.DatasetBuilder, splits: Iterable[str], *, whole: bool = True
) -> None:
    """Checks the record files of some splits, a second for 2 GB.

    If `whole`, their contents are compared with what was written as well, where the
    data set says what that was.

    Raises:
        PrepareError: naming the first file that is missing or differs.
    """
    known = stored_content(builder)
    for split in splits:
        for path in list_files(builder, split):
            if not path.is_file():
                raise explain_damage(path, "no such file")
            written = known.files.get(path.name) if known and whole else None
            if written is not None and hash_file(path) != written:
                raise explain_damage(path, "other contents than were written")


def stored_content(builder: tfds.core.DatasetBuilder) -> Content | None:
    """Returns the content that a data set states; None if it is older than that.

    Raises:
        PrepareError: if what it states contradicts itself.
    """
    document = (builder.info.metadata or {}).get(KEY)
    if document is None:
        return None
    path = pathlib.Path(builder.data_path, "metadata.json")
    content = Content(document["fingerprint"], document["splits"], document["files"])
    if content.fingerprint != join_fingerprints(content.splits):
        raise explain_damage(path, "a fingerprint that is not that of the splits")
    if set(content.splits) != set(builder.info.splits):
        raise explain_damage(path, "hashes of other splits")
    return content


def read_content(
    builder: tfds.core.DatasetBuilder, splits: Sequence[str] | None = None
) -> Content:
    """Returns the content of a data set: what it states, else what some splits hold.

    Raises:
        PrepareError: if it is damaged.
    """
    wanted = splits or list(builder.info.splits)
    return stored_content(builder) or measure_content(
        {split: list_files(builder, split, portable=True) for split in wanted}
    )
