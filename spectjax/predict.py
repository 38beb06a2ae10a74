"""Finds hotspots in new bone scans. Research software, not a medical device.

    python -m spectjax.predict --workdir=RUN --output_dir=OUT PATH...
    python -m spectjax.predict --model=FILE --output_dir=OUT PATH...

PATH is a DICOM file or a folder of them; RUN is the folder that a training run wrote,
FILE what `spectjax.export` made of it. JAX runs the first; an ONNX file needs no JAX.
For every whole-body view OUT receives `<name>.json` (hotspots with category, score,
box and mask in thorax and whole-body pixels, area, counts) and `<name>.png` (the same
as a picture). Files that cannot be used are named on stderr and passed over; the exit
status is 0 if at least one view was written.
"""

import json
import pathlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import app, flags, logging

from spectjax.files import write_json
from spectjax.hotspots import Hotspot, encode_rle, find_hotspots
from spectjax.imaging.dicom import BoneScan, ScanError, View, find_bone_scans
from spectjax.imaging.thorax import ThoraxImage, crop_thorax
from spectjax.report import DISCLAIMER
from spectjax.runtimes import RUNTIMES, PredictProbs, find_model

if TYPE_CHECKING:  # matplotlib takes a third of a second: not before --help
    from matplotlib.figure import Figure


def main(argv: list[str]) -> None:
    """Runs the command; errors become one line and exit status 1."""
    flag_values = flags.FLAGS
    # Libraries log what they do, and tracebacks of what is one line of ours here.
    logging.set_verbosity(logging.FATAL)
    try:
        run(
            [pathlib.Path(name) for name in argv[1:]],
            workdir=_to_path(flag_values.workdir),
            model=_to_path(flag_values.model),
            runtime=flag_values.runtime,
            output_dir=pathlib.Path(flag_values.output_dir),
            view=flag_values.view,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def run(
    paths: Sequence[pathlib.Path],
    *,
    output_dir: pathlib.Path,
    workdir: pathlib.Path | None = None,
    model: pathlib.Path | None = None,
    runtime: str | None = None,
    view: View | None = None,
) -> None:
    """Finds the hotspots in all scans below `paths`, with what is quick checked first.

    Args:
        paths: DICOM files or folders.
        output_dir: folder to write to.
        workdir: folder of the training run whose model is used, or None.
        model: exported model to use instead, or None.
        runtime: what runs the model; None: what `find_model` chooses.
        view: view of every image, whatever its file says.

    Raises:
        ValueError: if there is no trained model, nothing that runs it, or no scan that
            could be used.
        WriteError: if a file cannot be written.
    """
    load_model = find_model(workdir=workdir, file=model, runtime=runtime)
    if not paths:
        raise ValueError("Expected DICOM files or folders after the flags, found none.")
    scans, errors = find_bone_scans(paths, view=view)
    for error in errors:
        _report_skip(error)
    if not scans:
        raise ValueError(f"No bone scan found, {len(errors)} files skipped.")

    loaded = load_model()
    written, uncropped = predict_scans(
        scans, loaded.predict_probs, output_dir=output_dir, model_info=loaded.info
    )
    n_skipped = len(errors) + len(uncropped)
    summary = f"{written} views written to {output_dir}, {n_skipped} files skipped."
    if not written:
        raise ValueError(summary)
    print(f"{summary}\n{DISCLAIMER}")


def predict_scans(
    scans: Sequence[BoneScan],
    predict_probs: PredictProbs,
    *,
    output_dir: pathlib.Path,
    model_info: Mapping[str, Any],
) -> tuple[int, list[ScanError]]:
    """Finds the hotspots of every view and writes them as JSON and as a picture.

    The JSON file is written last: where it is, the picture is too.

    Args:
        scans: whole-body views.
        predict_probs: maps counts (1, H, W, 1) to probabilities (1, H, W, K).
        output_dir: folder to write to.
        model_info: where the model comes from, for the JSON file.

    Returns:
        Number of views written, and the errors of the views without a thorax, which
        have been reported and passed over.

    Raises:
        ValueError: if the model's output has the wrong shape or is not finite.
        WriteError: if a file cannot be written.
    """
    from spectjax.report.figures import save_figure

    errors: list[ScanError] = []
    for scan, name in zip(scans, name_outputs(scans, output_dir), strict=True):
        try:
            thorax = crop_thorax(scan)
        except ScanError as error:
            _report_skip(error)
            errors.append(error)
            continue
        probs = np.asarray(predict_probs(thorax.counts[np.newaxis, :, :, np.newaxis]))
        # What lies on the canvas around the crop shows no patient.
        valid = thorax.transform.apply(np.ones(scan.counts.shape, dtype=bool))
        hotspots = find_hotspots(probs[0], valid)

        document = describe_view(thorax, hotspots, model_info)
        save_figure(_draw_view(thorax, hotspots, document), output_dir / f"{name}.png")
        write_json(output_dir / f"{name}.json", document)
        doubts = f", CROP FLAGGED: {'; '.join(thorax.flags)}" if thorax.flags else ""
        print(f"{name}: {scan.view} view, hotspots: {len(hotspots)}{doubts}")
    return len(scans) - len(errors), errors


def name_outputs(scans: Sequence[BoneScan], output_dir: pathlib.Path) -> list[str]:
    """Returns one file name per view, without suffix, that no other image has.

    Usually `<file stem>_<view>`. But many exports call every file `IM0001`: where
    several views would share a name, or the folder holds another image's result under
    it, the image key is appended. Names that differ in upper and lower case alone
    count as shared, since some file systems do not tell them apart.
    """
    shared = Counter(scan.name.casefold() for scan in scans)
    return [
        f"{scan.name}_{scan.image_key}"
        if shared[scan.name.casefold()] > 1
        or _holds_another(output_dir / f"{scan.name}.json", scan)
        else scan.name
        for scan in scans
    ]


def describe_view(
    thorax: ThoraxImage, hotspots: Sequence[Hotspot], model_info: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what is written as JSON about one view.

    Boxes are (y0, x0, y1, x1) in pixels, half-open; masks are COCO's uncompressed run
    lengths (see `hotspots.encode_rle`). Areas in mm2 are null when the file does not
    tell its pixel spacing.
    """
    scan, transform = thorax.scan, thorax.transform
    return {
        "source": {
            "file": scan.path.name,
            "frame": scan.frame,
            "image_key": scan.image_key,
            "view": scan.view,
            "view_evidence": scan.view_evidence,
            "spacing_mm": scan.spacing_mm,
            "frame_hw": scan.counts.shape,
            "synthetic": scan.synthetic,
            "notes": scan.notes,
        },
        "model": model_info,
        "crop": {
            "box": transform.box,
            "canvas_hw": transform.canvas_hw,
            "corner_on_canvas": transform.corner,
            "flags": thorax.flags,
        },
        "rule": "8-connected regions of pixels whose most probable class is not "
        "background; score: mean probability of the class over the region",
        "hotspots": [_describe_hotspot(hotspot, thorax) for hotspot in hotspots],
        "disclaimer": DISCLAIMER,
    }


def _describe_hotspot(hotspot: Hotspot, thorax: ThoraxImage) -> dict[str, Any]:
    """Returns the JSON entry of one hotspot."""
    scan, transform = thorax.scan, thorax.transform
    frame_mask = transform.undo(hotspot.mask)
    counts = scan.counts[frame_mask]
    area_px = int(frame_mask.sum())
    spacing = scan.spacing_mm
    return {
        "category": hotspot.category,
        "score": hotspot.score,
        "max_probability": hotspot.max_probability,
        "area_px": area_px,
        "area_mm2": area_px * spacing[0] * spacing[1] if spacing else None,
        "counts": float(counts.sum(dtype=np.float64)),
        "max_counts": float(counts.max()),
        "thorax": {"box": hotspot.box, "mask": encode_rle(hotspot.mask)},
        "whole_body": {
            "box": transform.box_to_frame(hotspot.box),
            "mask": encode_rle(frame_mask),
        },
    }


def _draw_view(
    thorax: ThoraxImage, hotspots: Sequence[Hotspot], document: Mapping[str, Any]
) -> "Figure":
    """Returns the picture of one view."""
    from spectjax.report.figures import draw_hotspots

    scan = thorax.scan
    warnings = [f"Crop flagged: {flag}" for flag in thorax.flags]
    if document["model"].get("trained_on_synthetic_data"):
        warnings.append("The model was trained on simulated patients.")
    return draw_hotspots(
        scan.counts,
        thorax.counts,
        crop_box=thorax.transform.box,
        hotspots=hotspots,
        frame_masks=[thorax.transform.undo(hotspot.mask) for hotspot in hotspots],
        areas=[
            f"{entry['area_px']} px"
            if entry["area_mm2"] is None
            else f"{entry['area_mm2']:.0f} mm²"
            for entry in document["hotspots"]
        ],
        title=f"{scan.path.name}: {scan.view} view",
        warnings=warnings,
        synthetic=scan.synthetic,
    )


def _holds_another(path: pathlib.Path, scan: BoneScan) -> bool:
    """Whether `path` exists and is not an earlier result of the same image."""
    try:
        return json.loads(path.read_text())["source"]["image_key"] != scan.image_key
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):
        return True  # not ours: keep it


def _to_path(name: str | None) -> pathlib.Path | None:
    return None if name is None else pathlib.Path(name)


def _report_skip(error: ScanError) -> None:
    """Prints one line about a file or view that is passed over."""
    print(f"skipped: {error}", file=sys.stderr)


def _define_flags() -> None:
    """Defines the flags; only the command does, since flags are global to a process."""
    flags.DEFINE_string("workdir", None, "Folder of the training run to take.")
    flags.DEFINE_string("model", None, "Exported model to take instead of a run.")
    flags.DEFINE_enum(
        "runtime",
        None,
        RUNTIMES,
        "What runs the model. Default: jax, and onnxruntime for an ONNX file.",
    )
    flags.DEFINE_string("output_dir", None, "Folder to write to; made if missing.")
    flags.DEFINE_enum(
        "view",
        None,
        ["anterior", "posterior"],
        "View of each given file (of its first detector, if it has two), for files "
        "that do not tell it.",
    )
    flags.mark_flags_as_required(["output_dir"])


if __name__ == "__main__":
    _define_flags()
    app.run(main)
