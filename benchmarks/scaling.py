"""Works out the tables of docs/scaling.md from what was measured.

    python -m benchmarks.scaling

writes them anew into that file, each behind the comment with its name. What a step
costs on a core stands in `docs/measured/costs.json`, what streaming does in
`streaming.json` (`python -m benchmarks.streaming`), what a GPU trains in a second in
`gpu_h200.json` (`python -m benchmarks.check_gpu`). Whatever else the tables rest on is
assumed, stands in `ASSUMED`, and is said to be assumed in the text around them.

A study has two views; an example is a view that is cropped to 256x256 pixels.
"""

import dataclasses
import json
import pathlib
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spectjax.system.commands import refuse_arguments, run_command
from spectjax.system.files import write_file
from spectjax.system.messages import UserError

_DOCS = pathlib.Path(__file__).parents[1] / "docs"
DOCUMENT = _DOCS / "scaling.md"
STUDIES = (3, 4, 5, 6)  # powers of ten
VIEWS = 2
EXAMPLES = 2280 / 112  # originals and copies, per original ([P1] Table 1)
FORMATS = 2  # TFRecord and ArrayRecord
PASSES = 100  # [P1]'s epochs
_IMAGES_A_GPU = 64  # of a batch that many GPUs share
_NAMES = {
    "unet_res": "U-Net-Res",
    "mask_rcnn": "Mask R-CNN",
    "specs_r34": "ResNet-34",
    "specs_v16": "VGG-16",
    "specs_d121": "DenseNet-121",
}
Rows = list[tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Assumed:
    """What nobody measured here.

    Attributes:
        workers: of Beam, all of them busy.
        first_pass_s: processor time of a study in the pass that one machine makes.
        gpus: GPUs, and what they train in a second, of that of one times their number.
        usd: for an hour of a GPU.
        inside: bytes a second between GPUs of a host.
        between: the same between hosts.
        gradient_bytes: of a U-Net-Res, summed over GPUs at each step.
        roofline: images a second of networks that ran on no GPU, at least and at most,
            worked out from operations and bytes of what is compiled for an H100.
    """

    workers: int = 64
    first_pass_s: float = 60e-3
    gpus: Mapping[int, float] = dataclasses.field(
        default_factory=lambda: {1: 1.0, 8: 0.9, 64: 0.75}
    )
    usd: float = 3.0
    inside: float = 400e9
    between: float = 50e9
    gradient_bytes: float = 130e6
    roofline: Mapping[str, tuple[int, int]] = dataclasses.field(
        default_factory=lambda: {
            "VGG-16, batch 32, bfloat16": (1950, 3170),
            "DenseNet-121, batch 32, bfloat16": (1650, 2510),
        }
    )


ASSUMED = Assumed()


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        costs: seconds or bytes of steps, by the names of `costs.json`.
        words: of each: what the step is, and per what.
        streaming_s: processor time of streaming an example, Grain's included.
        reading_s: of it, reading and decoding.
        rates: images a second that one GPU trains, by network and batch.
    """

    costs: Mapping[str, float]
    words: Mapping[str, tuple[str, str]]
    streaming_s: float
    reading_s: float
    rates: Mapping[str, float]


def read_measured(folder: pathlib.Path = _DOCS / "measured") -> Measured:
    """Returns what the files in a folder say.

    Raises:
        UserError: if one of them is missing or says something else.
    """
    try:
        costs, streaming, gpu = (
            json.loads((folder / f"{name}.json").read_text())
            for name in ("costs", "streaming", "gpu_h200")
        )
        parts = streaming["parts"]
        return Measured(
            costs={name: float(cost["value"]) for name, cost in costs.items()},
            words={name: (cost["step"], cost["per"]) for name, cost in costs.items()},
            streaming_s=sum(part["processor_s"] for part in parts)
            / sum(part["images"] for part in parts),
            reading_s=streaming["reading_s"],
            rates=_read_rates(gpu["parts"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder}: expected the numbers of benchmarks, found "
            f"{type(error).__name__}: {error}. Take the files as they are in the "
            "repository."
        ) from error


def _read_rates(parts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns images a second of what `check_gpu` trained, the fastest last."""
    rates: dict[str, float] = {}
    for part in parts:
        if part["status"] != "done" or part["kind"] not in ("speed", "beside_torch"):
            continue
        _, name, mode, dtype, batch = part["name"].split()
        if mode != "train":
            continue
        facts = part["facts"]
        if part["kind"] == "speed":
            rate = facts["batch_size"] / statistics.median(facts["seconds"])
        else:
            ours = [row for row in facts["rows"] if row["by"] == "spectjax"]
            rate = float(ours[0]["images/s"])
        rates.setdefault(f"{_NAMES.get(name, name)}, batch {batch}, {dtype}", rate)
    return dict(sorted(rates.items(), key=lambda item: item[1]))


def two_digits(number: float) -> str:
    """Returns a number with two significant digits, without an exponent."""
    return format(float(f"{number:.2g}"), ".15g")


def format_seconds(seconds: float) -> str:
    """Returns a duration in the unit that people say it in."""
    for most, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < most:
            return f"{two_digits(seconds / size)} {unit}"
    return f"{two_digits(seconds / 86400)} days"


def format_bytes(count: float) -> str:
    """Returns an amount of memory in kB, MB, GB or TB."""
    for unit, size in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if count < 1000 * size:
            return f"{two_digits(count / size)} {unit}"
    return f"{two_digits(count / 1e12)} TB"


def _per_study(cells: Callable[[int], Sequence[str]]) -> Rows:
    """Returns a row for each number of studies."""
    return [(f"10{'³⁴⁵⁶'[n - 3]}", *cells(10**n)) for n in STUDIES]


def list_costs(measured: Measured) -> Rows:
    """Returns what one step costs, a row a step."""
    rows: Rows = []
    for name, (step, per) in measured.words.items():
        value = measured.costs[name]
        if name.endswith("_bytes"):
            text = f"{value / 1000:.3g} kB"
        else:
            text = f"{1000 * value:.3g} ms" if value < 0.1 else f"{value:g} s"
        rows.append((step, per, text))
    streamed = (
        ("read and decode what is learned from", measured.reading_s),
        (
            "the same by Grain in batches of 16, shuffled, to a device",
            measured.streaming_s,
        ),
    )
    return rows + [(t, "example", f"{1000 * s:.2f} ms") for t, s in streamed]


def list_disk(measured: Measured) -> Rows:
    """Returns bytes on disk: DICOM, originals, originals and copies."""
    cost = measured.costs
    original = VIEWS * FORMATS * cost["original_bytes"]
    copies = VIEWS * FORMATS * (EXAMPLES - 1) * cost["copy_bytes"]
    each = (VIEWS * cost["dicom_bytes"], original, original + copies)
    return _per_study(lambda n: [format_bytes(n * count) for count in each])


def list_preparation(measured: Measured) -> Rows:
    """Returns the time to prepare: on one core, and by Beam; originals, and copies."""
    cost = measured.costs
    original = VIEWS * (cost["read_s"] + cost["crop_s"] + cost["write_s"])
    copies = VIEWS * (EXAMPLES - 1) * cost["copy_s"]
    # A worker reads each file once for the split of originals, once for that of copies.
    shared = VIEWS * (cost["beam_read_s"] + cost["beam_s"] + cost["write_s"])
    again = VIEWS * (cost["beam_read_s"] + (EXAMPLES - 1) * cost["beam_s"]) + copies
    each = (
        original,
        original + copies,
        ASSUMED.first_pass_s + shared / ASSUMED.workers,
        ASSUMED.first_pass_s + (shared + again) / ASSUMED.workers,
    )
    return _per_study(lambda n: [format_seconds(n * seconds) for seconds in each])


def list_reading(measured: Measured) -> Rows:
    """Returns memory of originals and of all; time to read originals into it."""
    originals = VIEWS * measured.costs["memory_bytes"]
    decoding = VIEWS * measured.costs["decode_s"]
    return _per_study(
        lambda n: (
            format_bytes(n * originals),
            format_bytes(n * originals * EXAMPLES),
            format_seconds(n * decoding),
        )
    )


def list_demands(measured: Measured) -> Rows:
    """Returns what GPUs ask of their host where examples stream, a row a network."""
    rows: Rows = []
    for name, rate in measured.rates.items():
        for count in (1, 8):
            images = rate * count * ASSUMED.gpus[count]
            rows.append(
                (
                    name,
                    f"{count}",
                    f"{images:,.0f}".replace(",", " "),
                    f"{format_bytes(images * measured.costs['original_bytes'])}/s",
                    two_digits(images * measured.streaming_s),
                    f"{format_bytes(images * measured.costs['memory_bytes'])}/s",
                )
            )
    return rows


def list_training(measured: Measured) -> Rows:
    """Returns the time of a pass and of 100, and what they cost; of the U-Net-Res."""
    rate = _find_unet(measured)

    def cells(studies: int) -> list[str]:
        one = VIEWS * studies / rate
        times, costs = [], []
        for count, share in ASSUMED.gpus.items():
            if VIEWS * studies < _IMAGES_A_GPU * count:  # not one step
                times.append("–")
                costs.append("–")
                continue
            seconds = PASSES * one / count / share
            times.append(format_seconds(seconds))
            costs.append(two_digits(count * seconds / 3600 * ASSUMED.usd))
        return [format_seconds(one), *times, f"{' / '.join(costs)} USD"]

    return _per_study(cells)


def list_networks(measured: Measured) -> Rows:
    """Returns the time of 100 passes over 10⁵ studies on a GPU, a row a network."""
    images = PASSES * VIEWS * 10**5
    rows: Rows = [
        (name, f"{rate:.0f}", format_seconds(images / rate), "measured")
        for name, rate in measured.rates.items()
    ]
    for name, (least, most) in ASSUMED.roofline.items():
        if name in measured.rates:
            continue
        times = [format_seconds(images / rate) for rate in (most, least)]
        said = "worked out, not run on a GPU"
        rows.append((name, f"{least}–{most}", " to ".join(times), said))
    return rows


def list_sums(measured: Measured) -> Rows:
    """Returns what summing gradients takes of a step, inside and between hosts."""
    step = 16 / _find_unet(measured)
    moved = 2 * ASSUMED.gradient_bytes  # as a ring sends them
    return [
        (
            f"{images}",
            f"{1000 * step * images / 16:.0f}",
            f"{moved / ASSUMED.inside / (step * images / 16):.0%}".replace("%", " %"),
            f"{moved / ASSUMED.between / (step * images / 16):.0%}".replace("%", " %"),
        )
        for images in (16, 64)
    ]


def _find_unet(measured: Measured) -> float:
    """Returns images a second of a U-Net-Res in bfloat16."""
    return measured.rates["U-Net-Res, batch 16, bfloat16"]


TABLES: dict[str, tuple[tuple[str, ...], Callable[[Measured], Rows]]] = {
    "costs": (("step", "per", "measured"), list_costs),
    "disk": (
        ("studies", "DICOM", "prepared, originals", "prepared, copies"),
        list_disk,
    ),
    "preparation": (
        (
            *("studies", "one core, originals", "one core, copies"),
            *("Beam, 64 workers, originals", "Beam, 64 workers, copies"),
        ),
        list_preparation,
    ),
    "reading": (
        (
            *("studies", "in memory, originals", "in memory, copies"),
            "decoding it once, one core, originals",
        ),
        list_reading,
    ),
    "demands": (
        (
            *("training step", "GPUs", "images/s", "off the disk"),
            *("cores that read", "over the bus"),
        ),
        list_demands,
    ),
    "training": (
        (
            *("studies", "one pass, 1 GPU", "100 passes, 1 GPU", "8 GPUs", "64 GPUs"),
            "cost, 1 / 8 / 64 GPUs",
        ),
        list_training,
    ),
    "networks": (
        ("training step", "images/s", "100 passes, 1 GPU", ""),
        list_networks,
    ),
    "sums": (
        ("images a GPU", "ms a step", "inside a host", "between hosts"),
        list_sums,
    ),
}


def fill(text: str, measured: Measured) -> str:
    """Returns a document with all tables anew.

    Raises:
        UserError: if there is not one place for each.
    """
    for name, (head, make) in TABLES.items():
        table = [head, ("---",) * len(head), *make(measured)]
        lines = "".join(f"| {' | '.join(cells)} |\n" for cells in table)
        place = f"<!-- table: {name} -->\n"
        text, count = re.subn(re.escape(place) + r"(\|.*\n)*", place + lines, text)
        if count != 1:
            raise UserError(
                f"{DOCUMENT}: expected one line {place.strip()!r}, found {count}. Take "
                "the file as it is in the repository."
            )
    return text


def main(argv: list[str]) -> None:
    """Writes the tables into the document."""
    refuse_arguments(argv)
    write_file(DOCUMENT, fill(DOCUMENT.read_text(), read_measured()))


if __name__ == "__main__":
    run_command(main)
