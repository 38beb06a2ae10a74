"""The tables of docs/scaling.md follow from what was measured."""

import pytest

from benchmarks.scaling import (
    DOCUMENT,
    TABLES,
    Measured,
    fill,
    format_bytes,
    format_seconds,
    list_demands,
    list_disk,
    list_networks,
    list_preparation,
    list_reading,
    list_sums,
    list_training,
    read_measured,
)

# Round numbers: all tables below are worked out by hand.
MEASURED = Measured(
    costs={
        "dicom_bytes": 0.5e6,
        "read_s": 5e-3,
        "crop_s": 20e-3,
        "write_s": 5e-3,
        "copy_s": 10e-3,
        "beam_s": 20e-3,
        "beam_read_s": 30e-3,
        "original_bytes": 20e3,
        "copy_bytes": 10e3,
        "memory_bytes": 0.2e6,
        "decode_s": 2e-3,
    },
    words={},
    streaming_s=1e-3,
    reading_s=0.5e-3,
    rates={"U-Net-Res, batch 16, bfloat16": 1000.0},
)


def test_the_document_says_what_was_measured():
    text = DOCUMENT.read_text()
    assert fill(text, read_measured()) == text, "run python -m benchmarks.scaling"


def test_disk_holds_two_views_in_two_formats():
    # 2 x 0.5 MB; 2 x 2 x 20 kB; 19.357 copies an original: 2 x 2 x 193.57 kB more.
    assert list_disk(MEASURED)[0] == ("10³", "1 GB", "80 MB", "850 MB")
    assert list_disk(MEASURED)[3] == ("10⁶", "1 TB", "80 GB", "850 GB")


def test_preparation_ends_with_the_pass_that_one_machine_makes():
    # 2 x 30 ms; 2 x 193.57 ms more. Beam: 60 ms, and of 64 workers 2 x 55 ms; of copies
    # 2 x (30 + 19.357 x 30 ms) more.
    row = list_preparation(MEASURED)[2]
    assert row == ("10⁵", "100 min", "12 h", "100 min", "2.2 h")


def test_reading_counts_what_is_kept_and_what_is_decoded():
    # 2 x 0.2 MB, 20.357 times as much with copies; 2 x 2 ms.
    assert list_reading(MEASURED)[1] == ("10⁴", "4 GB", "81 GB", "40 s")


def test_eight_gpus_ask_for_less_than_eight_times_as_much():
    one, eight = list_demands(MEASURED)
    assert one[1:] == ("1", "1 000", "20 MB/s", "1", "200 MB/s")
    assert eight[1:] == ("8", "7 200", "140 MB/s", "7.2", "1.4 GB/s")


def test_training_shows_each_original_a_hundred_times():
    # 2 x 10⁵ images at 1 000 a second; 7.2 and 48 times as fast on more GPUs.
    row = list_training(MEASURED)[2]
    assert row[:5] == ("10⁵", "3.3 min", "5.6 h", "46 min", "6.9 min")
    assert row[5] == "17 / 19 / 22 USD"  # 3 USD an hour of each GPU


def test_what_ran_on_no_gpu_is_said_to_be_worked_out():
    measured, *others = list_networks(MEASURED)
    assert measured[1:] == ("1000", "5.6 h", "measured")
    assert others and all(row[3] == "worked out, not run on a GPU" for row in others)


def test_gradients_take_a_share_of_a_step():
    # 260 MB at 400 and 50 GB/s: 0.65 and 5.2 ms, of 16 and of 64 ms.
    assert list_sums(MEASURED) == [
        ("16", "16", "4 %", "32 %"),
        ("64", "64", "1 %", "8 %"),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.84, "1.8 s"),
        (119, "120 s"),
        (600, "10 min"),
        (7300, "2 h"),
        (2e5, "2.3 days"),
    ],
)
def test_durations_are_said_in_the_unit_of_their_size(seconds, text):
    assert format_seconds(seconds) == text


def test_amounts_of_memory_are_said_in_the_unit_of_their_size():
    found = [format_bytes(x) for x in (18.5e3, 0.53e6, 1.06e11, 1.39e12)]
    assert found == ["18 kB", "530 kB", "110 GB", "1.4 TB"]


@pytest.mark.parametrize("times", [0, 2])
def test_a_document_without_one_place_for_a_table_is_refused(times):
    places = "".join(f"<!-- table: {name} -->\n" for name in TABLES if name != "disk")
    text = places + times * "<!-- table: disk -->\n"
    with pytest.raises(ValueError, match=f"table: disk -->', found {times}"):
        fill(text, MEASURED)


def test_numbers_that_are_missing_are_named(tmp_path):
    (tmp_path / "costs.json").write_text("{}")
    with pytest.raises(ValueError, match=r"expected the numbers of .*streaming\.json"):
        read_measured(tmp_path)
