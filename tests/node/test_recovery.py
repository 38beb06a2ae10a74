"""What a start finds in the folder, and what goes with time."""

import pytest

from spectjax.node.audit import Audit
from spectjax.node.disk import DamagedFileError, Disk
from spectjax.node.incoming import Keeper
from spectjax.node.objects import hide
from spectjax.node.queue import Queue
from spectjax.node.service import drop_orphans, recover
from tests.support.nodes import encode, make_config, make_instance, read


def open_folder(tmp_path):
    config = make_config(tmp_path, quiet_s=0.0)
    return config, Disk(config.node.folder), Queue(config.node.folder)


def test_half_written_files_are_removed(tmp_path, capsys):
    config, disk, queue = open_folder(tmp_path)
    (disk.folder / "in" / ".abc.dcm.12.partial").write_bytes(b"half")
    (disk.folder / "work" / "study").mkdir()
    recover(config, queue, disk)
    assert not list((disk.folder / "in").iterdir())
    assert not list((disk.folder / "work").iterdir())
    assert "half_written_files=1" in capsys.readouterr().err


def test_file_that_the_queue_does_not_know_is_taken_in(tmp_path, capsys):
    config, disk, queue = open_folder(tmp_path)
    scan = make_instance(tmp_path)
    disk.keep("in", read(scan).digest, encode(scan))
    recover(config, queue, disk)
    assert queue.claim("worker", 60).digests == (read(scan).digest,)
    assert "unknown_files_taken_in=1" in capsys.readouterr().err


def test_file_that_is_no_object_is_put_aside(tmp_path, capsys):
    config, disk, queue = open_folder(tmp_path)
    disk.keep("in", "0" * 64, b"damaged")
    recover(config, queue, disk)
    assert queue.list_studies() == []
    assert not disk.list_digests("in")
    assert (disk.folder / "log" / f"{'0' * 64}.dcm").read_bytes() == b"damaged"
    assert "put aside" in capsys.readouterr().err


def test_file_that_was_cleaned_is_not_taken_in_again(tmp_path):
    config, disk, queue = open_folder(tmp_path)
    scan = make_instance(tmp_path)
    disk.keep("in", read(scan).digest, encode(scan))
    queue.add(read(scan), 0.0)
    queue.note_nothing(queue.claim("worker", 60), "x")
    # The process ends before it removes what it has forgotten.
    assert queue.clean(-1.0) == [("in", read(scan).digest)]
    recover(config, queue, disk)
    assert not disk.list_digests("in")
    assert [each["state"] for each in queue.list_studies()] == ["nothing"]


def test_study_whose_file_is_gone_is_told(tmp_path, capsys):
    config, disk, queue = open_folder(tmp_path)
    queue.add(read(make_instance(tmp_path)), 0.0)
    recover(config, queue, disk)
    (study,) = queue.list_studies()
    assert study["state"] == "failed"
    assert f"failed study={study['study']}" in capsys.readouterr().err


def test_file_that_is_damaged_can_be_sent_again(tmp_path):
    config, disk, queue = open_folder(tmp_path)
    scan = make_instance(tmp_path)
    keeper = Keeper(queue, disk, Audit(disk.folder / "audit"), 0.0)
    assert keeper.keep(read(scan), encode(scan), {}) == "new"
    disk.find("in", read(scan).digest).write_bytes(b"damaged")
    with pytest.raises(DamagedFileError) as caught:
        disk.read("in", read(scan).digest)
    queue.forget_file("in", caught.value.digest)
    queue.fail(queue.claim("worker", 60), "damaged")
    assert keeper.keep(read(scan), encode(scan), {}) == "again"
    assert queue.claim("worker", 60).missing == 0
    assert disk.read("in", read(scan).digest) == encode(scan)


def test_results_of_no_study_are_removed_when_they_are_old(tmp_path):
    _, disk, queue = open_folder(tmp_path)
    scan = make_instance(tmp_path)
    disk.keep("out", read(scan).digest, encode(scan))
    assert drop_orphans(queue, disk, 3600.0) == 0
    assert drop_orphans(queue, disk, 0.0) == 1
    assert not disk.list_digests("out")


def test_texts_of_a_header_are_not_repeated(tmp_path):
    texts = {"SeriesDescription": "WB of Mrs. Doe", "PatientBirthDate": "19500102"}
    make_instance(tmp_path, **texts)
    said = "IM1: of secret name, ID-4711, 'WB OF MRS. DOE', 19500102, 1.2.3.1: NM, 2"
    shown = hide(said, [tmp_path / "instance.dcm"])
    assert shown == "IM1: of [...] [...], [...], '[...]', [...], [...]: NM, 2"
    (tmp_path / "garbage.dcm").write_bytes(b"garbage")
    assert "doe" not in hide("of doe", [tmp_path / "garbage.dcm"])
