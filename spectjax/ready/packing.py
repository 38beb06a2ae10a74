"""From trained runs to the folder of a model that is ready to use."""

import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from spectjax.config import load_config
from spectjax.inference.answers import measure_difference
from spectjax.inference.conversion import make_test_images
from spectjax.inference.ensembles import check_agreement, combine
from spectjax.inference.metadata import hash_parameters, make_metadata
from spectjax.inference.ready import DOCUMENT, FORMAT, load_ready
from spectjax.inference.trained import TrainedRun, check_run, load_run, parse_operation
from spectjax.phantom.frames import USUAL_PIXEL_MM
from spectjax.system.files import write_file, write_json
from spectjax.system.jax_setup import start_jax
from spectjax.system.limits import METADATA_BYTES, READY_BYTES
from spectjax.system.machine import find_commit
from spectjax.system.messages import DISCLAIMER, UserError
from spectjax.system.schema import read_json

# How far a probability may be from the run's own: with float32 weights as far as any
# other program for the same formula's, with float16 so far that no score shows it.
TOLERANCES = {"float32": 1e-4, "float16": 1e-2}


class PackError(UserError):
    """Runs that cannot be packed; one line for the user."""


def pack(
    workdirs: Sequence[pathlib.Path],
    output_dir: pathlib.Path,
    *,
    data_dir: pathlib.Path | None = None,
    manual_dir: pathlib.Path | None = None,
    operation: pathlib.Path | None = None,
    dtype: str = "float32",
) -> None:
    """Writes runs as the model of a folder, asks it, and says what was written.

    Args:
        workdirs: folders of finished runs.
        output_dir: folder to write to.
        data_dir: where the data sets lie that they were trained on.
        manual_dir: folder of simulated patients that the data set was made of, if it
            was named in training.
        operation: what the model knows about its use; None: of a single run what it
            measured itself, of several it is measured on the patients that validated
            all of them.
        dtype: of the kernels in the files, one of `TOLERANCES`.

    Raises:
        ModelFileError: if a folder holds no run, or they do not agree.
        PackError: if the files would be too large, or answer otherwise than the runs.
        PrepareError: if a run was not trained on simulated patients alone.
        OtherDataError: if its data set has another content now.
        WriteError: if a file cannot be written.
    """
    if not workdirs:
        raise PackError("Expected --workdir=RUN, a trained run, found none.")
    for workdir in workdirs:
        check_run(workdir)
    if len(workdirs) > 1:
        check_agreement(workdirs)
    start_jax()
    runs = [load_run(workdir) for workdir in workdirs]
    members, files = [], {}
    for number, (workdir, run) in enumerate(zip(workdirs, runs, strict=True)):
        member, content = _pack_member(run, f"member{number}.safetensors", dtype)
        member["trained_on"] = _describe_data(workdir, data_dir, manual_dir)
        members.append(member)
        files[member["file"]] = content
    _check_size(files)
    document = _describe(runs[0], members) | {
        "operation": _read_operation(runs, operation)
        or _measure_operation(workdirs, runs, data_dir, manual_dir),
        "members": members,
    }
    _write(output_dir, files, document)
    difference = _compare(runs, output_dir)
    if not difference <= TOLERANCES[dtype]:  # nor NaN
        raise PackError(
            f"{output_dir}: expected the answers of the runs within "
            f"{TOLERANCES[dtype]:g}, found them {difference:.2g} away. Do not ship it; "
            "pack the runs as float32, or report this."
        )
    size = sum(map(len, files.values()))
    print(
        f"{output_dir}: {document['name']}, {len(members)} of {dtype}, "
        f"{size / 1e6:.2f} MB, answers within {difference:.1g} of the runs'.\n"
        f"Its model card: python -m spectjax.predict --about\n{DISCLAIMER}"
    )


def _pack_member(
    run: TrainedRun, name: str, dtype: str
) -> tuple[dict[str, Any], bytes]:
    """Returns what `model.json` says of a run, but its data, and its weights' file."""
    # Here, since --help need not wait for it.
    from spectjax.weights.tensors import pack_tensors, unpack_tensors

    content = pack_tensors(run.variables, dtype=dtype)
    metadata = make_metadata(
        run.config.to_dict(),
        run.origin,
        parameters_sha256=hash_parameters(unpack_tensors(content)),
    )
    member = {
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters_sha256": metadata["parameters_sha256"],
        "dtype": dtype,
        "model": metadata["model"],
        "normalisation": {
            key: metadata["normalisation"][key] for key in ("name", "formula")
        },
        "config": metadata["config"],
    }
    return member, content


def _describe_data(
    workdir: pathlib.Path,
    data_dir: pathlib.Path | None,
    manual_dir: pathlib.Path | None,
) -> dict[str, Any]:
    """Returns which simulated patients a run was trained on, see `pack`."""
    # Here, since TFDS takes a while to load.
    from spectjax.training.run_data import find_data
    from tfds_spect.configs import list_configs
    from tfds_spect.names import choose_splits
    from tfds_spect.origin import describe_origin

    data = load_config(workdir / "config.json").data
    builder_dir = find_data([workdir], data_dir, manual_dir)
    splits = choose_splits(
        data.name,
        data.fold,
        data.validation_fold,
        copies=data.augmentation == "copies",
    )
    source = manual_dir
    if source is None:
        (phantom,) = (x.phantom for x in list_configs() if x.name == data.name)
        folder = phantom.folder if phantom else "none"
        source = builder_dir.parents[2] / "phantom" / folder
    return describe_origin(builder_dir, splits, source)


def _check_size(files: Mapping[str, bytes]) -> None:
    """Raises PackError if all weights together are too large to ship."""
    size = sum(map(len, files.values()))
    if size > READY_BYTES:
        raise PackError(
            f"Expected weights of at most {READY_BYTES / 1e6:g} MB in all, found "
            f"{size / 1e6:.1f} MB. Pack fewer runs, narrower ones, or --dtype=float16."
        )


def _describe(run: TrainedRun, members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what `model.json` says of all members together."""
    metadata = make_metadata(run.config.to_dict(), {}, parameters_sha256="")
    digest = hashlib.sha256("".join(x["parameters_sha256"] for x in members).encode())
    return {
        "format": FORMAT,
        "name": f"{run.config.model.name}-{digest.hexdigest()[:8]}",
        "disclaimer": DISCLAIMER,
        "task": metadata["task"],
        "class_names": metadata["class_names"],
        "input": metadata["input"] | {"pixel_mm": _find_pixel(run.config)},
        "commit": find_commit(),
    }


def _find_pixel(config: Any) -> float | None:
    """Returns the side of the pixels, mm, on which the model wants to see images.

    One that learned from stretched images and marks pixels wants those of the phantom.
    """
    if config.task == "segmentation" and config.data.randomisation > 0:
        return USUAL_PIXEL_MM
    return None


def _read_operation(
    runs: Sequence[TrainedRun], path: pathlib.Path | None
) -> dict[str, Any] | None:
    """Returns what the model knows about its use; None if nobody measured it."""
    if path is None:
        operation = runs[0].operation if len(runs) == 1 else None
    else:
        document = read_json(
            path,
            {},
            what="what a model knows about its use",
            remedy="Score the run again.",
            most=METADATA_BYTES,
        )
        operation = parse_operation(document, runs[0].task, path)
    return None if operation is None else operation.to_json()


def _measure_operation(
    workdirs: Sequence[pathlib.Path],
    runs: Sequence[TrainedRun],
    data_dir: pathlib.Path | None,
    manual_dir: pathlib.Path | None,
) -> dict[str, Any] | None:
    """Returns what several runs know about their use as one; None of a single run."""
    # Here, since TFDS takes a while to load.
    from spectjax.inference.scoring import measure_operation
    from spectjax.training.run_data import find_data

    if len(runs) == 1:
        return None
    folds = {run.config.data.validation_fold for run in runs}
    if len(folds) > 1 or None in folds:
        print(
            "note: no patients validated all runs (--config.data.validation_fold): the "
            "model will know no operating points. --operation names what was measured "
            "elsewhere."
        )
        return None
    operation = measure_operation(runs, find_data(workdirs, data_dir, manual_dir))
    return None if operation is None else operation.to_json()


def _write(
    folder: pathlib.Path, files: Mapping[str, bytes], document: Mapping[str, Any]
) -> None:
    """Writes all files, the document last, and removes those of another model."""
    for name, content in files.items():
        write_file(folder / name, content)
    for old in folder.glob("member*.safetensors"):
        if old.name not in files:
            old.unlink()
    write_json(folder / DOCUMENT, document)


def _compare(runs: Sequence[TrainedRun], folder: pathlib.Path) -> float:
    """Returns how far the packed model's answers are from those of the runs at most."""
    counts = make_test_images(runs[0].input_hw)
    model = combine(runs, [str(n) for n in range(len(runs))]) if runs[1:] else runs[0]
    return measure_difference(load_ready(folder).predict(counts), model.predict(counts))
