"""Streams a large data set from disk as training does: images a second, and memory.

    python -m benchmarks.streaming --data_dir=FOLDER --output=streaming.json
    python -m benchmarks.streaming --data_dir=FOLDER --images=2000 --different=200

Views of simulated patients are prepared, with so many moved copies as `--different`
says, and written again and again, under names of their own, to one ArrayRecord file in
FOLDER: 100 000 take 1.7 GB. A reader cannot know that images repeat, for each record is
read, decompressed and decoded by itself. Files that are there already are used again.

Then each record is read once, shuffled, by what feeds training (`StreamedFeed`), in a
process of its own, and nothing is done with it. Each tenth of the way is a row of the
table: memory that grows would show from row to row. Processor time is that of all
threads, so that it says how many cores were busy.
"""

import dataclasses
import multiprocessing
import pathlib
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from importlib.metadata import version
from typing import TYPE_CHECKING

from absl import flags

from benchmarks.processes import peak_rss_bytes
from benchmarks.table import describe_run, lay_out
from spectjax.system.commands import define_path, refuse_arguments, run_command
from spectjax.system.files import write_json
from spectjax.system.locks import hold
from spectjax.system.workers import count_cores

if TYPE_CHECKING:
    from spectjax.input_pipeline import StoredExamples

_DATA_DIR = define_path("data_dir", "Folder for the data set.", required=True)
_IMAGES = flags.DEFINE_integer("images", 100_000, "How many.", lower_bound=100)
_DIFFERENT = flags.DEFINE_integer("different", 2000, "Of these.", lower_bound=50)
_BATCH = flags.DEFINE_integer("batch", 16, "Images of a batch.", lower_bound=1)
_OUTPUT = define_path("output", "JSON file to write the numbers to.")
_PARTS = 10
_PATIENTS = 10
_SAMPLED = 500  # images that are read one after the other


@dataclasses.dataclass(frozen=True)
class Part:
    """What a part of the way took.

    Attributes:
        images: how many were read.
        seconds: by the clock.
        processor_s: of all threads of the process.
        bytes: of memory that the process held at its end.
    """

    images: int
    seconds: float
    processor_s: float
    bytes: int


@dataclasses.dataclass(frozen=True)
class Streamed:
    """What streaming took.

    Attributes:
        reading_s: processor time of reading and decoding an image, without Grain.
        parts: of the way, in their order.
        peak_bytes: the most memory that the process ever held.
    """

    reading_s: float
    parts: list[Part]
    peak_bytes: int


def prepare_images(data_dir: pathlib.Path, different: int) -> pathlib.Path:
    """Returns the folder of a data set of about so many images, made if need be."""
    from spectjax.imaging.diagnosis import DIAGNOSES
    from tfds_spect.configs import Phantom, SpectConfig
    from tfds_spect.copies import CopyRule
    from tfds_spect.prepare import build, explain_errors, quiet_tfds
    from tfds_spect.tfds_spect_dataset_builder import Builder

    ratio = max(Fraction(different, 2 * _PATIENTS), Fraction(1))  # of two views each
    config = SpectConfig(
        name=f"segmentation_streamed_{different}_phantom",
        description="Views of simulated patients, moved again and again.",
        copy_rules=(CopyRule(DIAGNOSES, ratio),),
        phantom=Phantom(_PATIENTS, "screening", seed=5),
    )
    with quiet_tfds(), explain_errors(data_dir):
        builder = Builder(config=config, data_dir=data_dir)
        if not builder.data_path.exists():
            build(builder, None)
    return pathlib.Path(builder.data_path)


def write_records(builder_dir: pathlib.Path, path: pathlib.Path, images: int) -> None:
    """Writes `images` records of a data set, each with a name of its own, to a file."""
    from tfds_spect.writers import ArrayRecordFile

    records = _open(builder_dir).source.records
    unfinished = path.with_suffix(".unfinished")
    file = ArrayRecordFile(str(unfinished))
    for number in range(images):
        file.write(_rename(records[number % len(records)], f"image{number}"))
    file.close()
    unfinished.rename(path)


def _rename(record: bytes, name: str) -> bytes:
    """Returns a record under another name."""
    from tensorflow_datasets.proto import tf_example_pb2

    example = tf_example_pb2.Example.FromString(record)
    example.features.feature["example_id"].bytes_list.value[0] = name.encode()
    return example.SerializeToString(deterministic=True)


def _open(builder_dir: pathlib.Path) -> "StoredExamples":
    """Opens all splits of a data set, left on disk."""
    from spectjax.input_pipeline import StoredExamples, open_examples
    from tfds_spect.opening import open_data_set

    splits = "+".join(open_data_set(builder_dir).info.splits)
    examples = open_examples(builder_dir, splits, max_bytes=0)
    assert isinstance(examples, StoredExamples)
    return examples


def stream(builder_dir: pathlib.Path, path: pathlib.Path, batch_size: int) -> Streamed:
    """Reads every record of a file once, as training does, in `_PARTS` parts."""
    import jax
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    from spectjax.training.feed import StreamedFeed
    from spectjax.training.parallel import MeshLayout

    examples = _open(builder_dir)
    examples.source.records = ArrayRecordDataSource(str(path))
    reading = _time_reading(examples)
    feed = StreamedFeed(examples, MeshLayout(), batch_size=batch_size, seed=0)
    size = max(len(examples) // batch_size // _PARTS, 1)
    parts: list[Part] = []
    start, before = time.perf_counter(), time.process_time()
    for number, dispatch in enumerate(feed.dispatches(0, 0), start=1):
        jax.block_until_ready(dispatch.data)
        if number % size == 0:
            now, processor = time.perf_counter(), time.process_time()
            costs = (now - start, processor - before, _count_bytes())
            parts.append(Part(size * batch_size, *costs))
            start, before = now, processor
    return Streamed(reading, parts, peak_rss_bytes())


def _time_reading(examples: "StoredExamples") -> float:
    """Returns the processor time of reading an example, one after the other, s."""
    rows = range(0, len(examples), max(len(examples) // _SAMPLED, 1))
    examples.read([0])  # opens the file
    start = time.process_time()
    for row in rows:
        examples.read([row])
    return (time.process_time() - start) / len(rows)


def _count_bytes() -> int:
    """Returns how much memory this process holds, without pages of files.

    Where the system does not say, the most that it ever held.
    """
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return 1024 * int(line.split()[1])
    return peak_rss_bytes()


def describe(streamed: Streamed, facts: Mapping[str, str]) -> str:
    """Returns what was measured as a Markdown section."""
    rows = [
        (
            f"{part.images}",
            f"{part.images / part.seconds:.0f}",
            f"{1000 * part.processor_s / part.images:.2f}",
            f"{part.processor_s / part.seconds:.2f}",
            f"{part.bytes / 1e6:.0f}",
        )
        for part in streamed.parts
    ]
    head = ("images", "images/s", "processor ms/image", "cores busy", "memory, MB")
    note = (
        f"most memory ever: {streamed.peak_bytes / 1e6:.0f} MB; reading and decoding "
        f"alone: {1000 * streamed.reading_s:.2f} ms of a core for an image"
    )
    return lay_out("Streaming", facts, head, rows, [note], words=0)


def main(argv: list[str]) -> None:
    """Prepares the images and streams them."""
    refuse_arguments(argv)
    folder, images = _DATA_DIR.value, _IMAGES.value
    assert folder is not None  # required
    path = folder / f"streamed_{images}_of_{_DIFFERENT.value}.array_record"
    with hold(folder):
        builder_dir = prepare_images(folder, _DIFFERENT.value)
        if not path.exists():
            write_records(builder_dir, path, images)
    # What preparing took of memory is not streaming's.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        streamed = pool.submit(stream, builder_dir, path, _BATCH.value).result()
    versions = {name: version(name) for name in ("jax", "grain", "array_record")}
    facts = describe_run(versions, "cpu", count_cores(), "benchmarks.streaming")
    facts |= {"file": f"{images} records, {path.stat().st_size / 1e9:.2f} GB"}
    print(describe(streamed, facts))
    if _OUTPUT.value:
        document = {"facts": facts, **dataclasses.asdict(streamed)}
        write_json(_OUTPUT.value, document)


if __name__ == "__main__":
    run_command(main)
