"""The queue: every state and what comes after it."""

import time

import pytest

from spectjax.node.queue import Queue
from spectjax.node.studies import ChangedResultError
from tests.support.fake_reader import make_results
from tests.support.nodes import make_instance, read

QUIET = 5.0


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self):
        """Seconds since 1970."""
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(tmp_path, clock):
    queue = Queue(tmp_path, clock)
    yield queue
    queue.close()


@pytest.fixture
def first(tmp_path):
    return read(make_instance(tmp_path))


@pytest.fixture
def second(tmp_path):
    return read(make_instance(tmp_path, uid="1.2.3.2"))


@pytest.fixture
def results(tmp_path):
    make_instance(tmp_path)
    return [read(each) for each in make_results([tmp_path / "instance.dcm"])]


def state(queue):
    (study,) = queue.list_studies()
    return study["state"]


def claim(queue, clock, worker="a", held=()):
    clock.now += QUIET
    return queue.claim(worker, 60, held)


def reach_sending(queue, clock, first, results, places=("pacs",)):
    queue.add(first, QUIET)
    job = claim(queue, clock)
    assert queue.finish(job, results, places)
    return job


def test_study_is_due_when_nothing_came_for_a_while(queue, clock, first, second):
    assert queue.add(first, QUIET) == "new"
    clock.now += 4
    assert queue.claim("a", 60) is None
    assert queue.add(second, QUIET) == "new"
    clock.now += 4
    assert queue.claim("a", 60) is None
    clock.now += 1
    job = queue.claim("a", 60)
    assert (job.study, len(job.digests), job.tries) == ("1.2.3", 2, 0)
    assert state(queue) == "running"
    assert queue.claim("b", 60) is None


def test_study_of_which_more_is_known_to_come_is_left(queue, clock, first):
    queue.add(first, QUIET)
    assert claim(queue, clock, held={"1.2.3"}) is None
    queue.touch({"1.2.3"}, QUIET)
    assert queue.claim("a", 60) is None
    assert claim(queue, clock)


def test_what_an_instance_is_to_the_queue(queue, clock, tmp_path, first, results):
    forged = read(make_instance(tmp_path, ImageComments="x"))
    assert queue.compare(first) == "new"
    reach_sending(queue, clock, first, results)
    assert queue.add(first, QUIET) == "same"
    assert queue.add(forged, QUIET) == "different"
    assert queue.add(results[0], QUIET) == "ours"
    assert state(queue) == "sending"


def test_what_comes_while_a_study_is_read_has_it_read_again(
    queue, clock, first, second, results
):
    queue.add(first, QUIET)
    job = claim(queue, clock)
    queue.add(second, QUIET)
    assert not queue.renew(job, 60)
    assert not queue.finish(job, results, ["pacs"])
    assert not queue.fail(job, "x")
    assert not queue.note_nothing(job, "x")
    assert state(queue) == "waiting"
    assert len(claim(queue, clock).digests) == 2
    # The same worker has it again: what it has of the first time is of a part.
    assert not queue.finish(job, results, ["pacs"])


def test_what_comes_while_results_are_sent_stops_them(
    queue, clock, first, second, results
):
    reach_sending(queue, clock, first, results)
    errand = queue.next_errand("pacs")
    assert queue.begin_sending(errand, results[0].uid)
    queue.note_sent(errand, results[0].uid)
    queue.add(second, QUIET)
    assert not queue.begin_sending(errand, results[1].uid)
    assert queue.next_errand("pacs") is None
    job = claim(queue, clock)
    # The model says the same as before in the first result, and has another second.
    assert queue.finish(job, results[:1], ["pacs"])
    (parcel,) = queue.next_errand("pacs").parcels
    assert (parcel.uid, parcel.state, parcel.attempts) == (results[0].uid, "sent", 1)
    assert not queue.has_digest("out", results[1].digest)


def test_result_with_a_known_uid_and_other_words_is_refused(
    queue, clock, tmp_path, first, second, results
):
    reach_sending(queue, clock, first, results)
    errand = queue.next_errand("pacs")
    queue.begin_sending(errand, results[0].uid)
    queue.add(second, QUIET)
    job = claim(queue, clock)
    changed = next(iter(make_results([tmp_path / "instance.dcm"])))
    changed.SOPInstanceUID, changed.InstanceNumber = results[0].uid, 99
    with pytest.raises(ChangedResultError):
        queue.finish(job, [read(changed)], ["pacs"])
    assert state(queue) == "running"
    # Only its dates differ: it is what was sent.
    changed.InstanceNumber, changed.ContentTime = 1, "000000"
    again = read(changed)
    assert again.content != results[0].content
    assert queue.finish(job, [again], ["pacs"])


def test_tries_pauses_and_failure(queue, clock, first):
    queue.add(first, QUIET)
    job = claim(queue, clock)
    assert queue.retry_later(job, "crashed", 10)
    assert state(queue) == "waiting"
    clock.now += 9
    assert queue.claim("a", 60) is None
    clock.now += 1
    job = queue.claim("a", 60)
    assert job.tries == 1
    queue.postpone(job, "full disk", 1)
    job = claim(queue, clock)
    assert job.tries == 1
    queue.give_back(job)
    job = queue.claim("a", 60)
    assert job.tries == 1
    assert queue.fail(job, "crashed")
    assert claim(queue, clock) is None
    assert queue.list_studies()[0]["note"] == "crashed"
    assert queue.retry("1.2.3") == "waiting"
    assert queue.claim("a", 60).tries == 0


def test_lease_that_ends_frees_a_study_and_counts(queue, clock, first):
    queue.add(first, QUIET)
    job = claim(queue, clock)
    clock.now += 50
    assert queue.renew(job, 60)
    clock.now += 50
    assert queue.claim("b", 60) is None
    clock.now += 11
    other = queue.claim("b", 60)
    assert (other.worker, other.tries) == ("b", 1)
    assert not queue.renew(job, 60)
    assert not queue.finish(job, [], ["pacs"])
    assert queue.renew(other, 60)


def test_nothing_is_an_end_from_which_one_can_retry(queue, clock, first):
    queue.add(first, QUIET)
    queue.note_nothing(claim(queue, clock), "no whole body")
    assert state(queue) == "nothing"
    assert queue.retry("1.2.3") == "waiting"


def test_only_what_failed_is_retried_or_discarded(queue, clock, first):
    queue.add(first, QUIET)
    assert queue.retry("1.2.3") is None
    assert not queue.discard("1.2.3")
    queue.fail(claim(queue, clock), "x")
    assert queue.discard("1.2.3")
    assert state(queue) == "discarded"


def test_study_is_done_when_every_destination_has_confirmed(
    queue, clock, first, results
):
    reach_sending(queue, clock, first, results, ["pacs", "archive"])
    for place in ("pacs", "archive"):
        errand = queue.next_errand(place)
        assert [each.state for each in errand.parcels] == ["waiting"] * 2
        for each in errand.parcels:
            queue.begin_sending(errand, each.uid)
            queue.note_sent(errand, each.uid)
        queue.note_found(errand, [each.uid for each in errand.parcels])
        assert state(queue) == "sending"
        assert queue.close_errand(errand, confirmed=True) == (
            "sending" if place == "pacs" else "done"
        )
        assert queue.next_errand(place) is None
    assert queue.count_deliveries() == {"sent": 4, "begun_again": 0}


def test_study_is_sent_if_a_destination_is_not_asked(queue, clock, first, results):
    reach_sending(queue, clock, first, results, ["pacs", "archive"])
    queue.close_errand(queue.next_errand("pacs"), confirmed=True)
    queue.close_errand(queue.next_errand("archive"), confirmed=False)
    assert state(queue) == "sent"


def send_all(queue):
    errand = queue.next_errand("pacs")
    for each in errand.parcels:
        if each.state in ("waiting", "lost"):
            queue.begin_sending(errand, each.uid)
            queue.note_sent(errand, each.uid)
    return queue.next_errand("pacs")


def test_report_confirms_what_is_kept_and_has_the_rest_sent_again(
    queue, clock, first, results
):
    reach_sending(queue, clock, first, results)
    errand = send_all(queue)
    queue.note_request(errand, "2.25.1", 300)
    assert queue.next_errand("pacs") is None
    kept, lost = (each.uid for each in errand.parcels)
    assert queue.take_report("2.25.9", ["pacs"], [kept, lost], [], 1) is None
    assert queue.take_report("2.25.1", ["archive"], [kept, lost], [], 1) is None
    assert queue.take_report("2.25.1", ["pacs"], [kept], [lost], 1) == "1.2.3"
    assert queue.take_report("2.25.1", ["pacs"], [kept], [lost], 1) is None
    assert queue.next_errand("pacs") is None
    clock.now += 1
    errand = queue.next_errand("pacs")
    assert [each.state for each in errand.parcels] == ["confirmed", "lost"]
    assert errand.tries == 1
    errand = send_all(queue)
    queue.note_request(errand, "2.25.2", 300)
    queue.take_report("2.25.2", ["pacs"], [lost], [], 1)
    assert {each.state for each in queue.next_errand("pacs").parcels} == {"confirmed"}
    assert queue.count_deliveries() == {"sent": 2, "begun_again": 1}


def test_report_confirms_nothing_that_was_not_sent(queue, clock, first, results):
    reach_sending(queue, clock, first, results)
    errand = queue.next_errand("pacs")
    queue.note_request(errand, "2.25.1", 0)
    queue.take_report("2.25.1", ["pacs"], [each.uid for each in results], [], 0)
    assert {each.state for each in queue.next_errand("pacs").parcels} == {"waiting"}


def test_request_without_an_answer_is_known(queue, clock, first, results):
    reach_sending(queue, clock, first, results)
    errand = send_all(queue)
    assert not queue.is_asked(errand)
    queue.note_request(errand, "2.25.1", 300)
    clock.now += 300
    assert queue.is_asked(queue.next_errand("pacs"))


def test_failed_errand_is_retried_where_it_ended(queue, clock, first, results):
    reach_sending(queue, clock, first, results)
    errand = send_all(queue)
    queue.delay(errand, "refuses", 1, tried=True)
    clock.now += 1
    errand = queue.next_errand("pacs")
    assert errand.tries == 1
    queue.fail_errand(errand, "refuses")
    assert state(queue) == "failed"
    assert queue.next_errand("pacs") is None
    assert queue.retry("1.2.3") == "sending"
    errand = queue.next_errand("pacs")
    assert (errand.tries, {e.state for e in errand.parcels}) == (0, {"sent"})


def test_files_of_what_is_done_are_forgotten_and_what_they_were_is_not(
    queue, clock, tmp_path, first, second, results
):
    reach_sending(queue, clock, first, results)
    queue.close_errand(queue.next_errand("pacs"), confirmed=True)
    assert queue.clean(100) == []
    clock.now += 100
    assert set(queue.clean(100)) == {
        ("in", first.digest),
        *(("out", each.digest) for each in results),
    }
    assert queue.clean(100) == []
    forged = read(make_instance(tmp_path, ImageComments="x"))
    assert queue.compare(forged) == "different"
    assert queue.compare(results[0]) == "ours"
    # More of it: what was cleaned is missing, until it comes again.
    queue.add(second, QUIET)
    job = claim(queue, clock)
    assert (len(job.digests), job.missing) == (1, 1)
    queue.fail(job, "missing")
    assert queue.add(first, QUIET) == "again"
    job = claim(queue, clock)
    assert (len(job.digests), job.missing) == (2, 0)


def test_files_of_what_failed_stay(queue, clock, first):
    queue.add(first, QUIET)
    queue.fail(claim(queue, clock), "x")
    clock.now += 1e6
    assert queue.clean(0) == []
    queue.discard("1.2.3")
    assert queue.clean(0) == [("in", first.digest)]


def test_incomplete_study_fails_only_while_it_waits(queue, clock, first):
    queue.add(first, QUIET)
    job = claim(queue, clock)
    assert not queue.fail_incomplete("1.2.3", "x")
    queue.give_back(job)
    assert queue.fail_incomplete("1.2.3", "x")
    assert state(queue) == "failed"


def test_study_is_found_by_either_name(queue, clock, first):
    queue.add(first, QUIET)
    (study,) = queue.list_studies()
    assert queue.find_study(study["study"]) == queue.find_study("1.2.3") == "1.2.3"
    assert queue.find_study("1.2") is None


def test_recovery_takes_up_what_ran(queue, clock, first):
    queue.add(first, QUIET)
    claim(queue, clock)
    assert queue.recover(QUIET, ["pacs"])["running"] == 1
    assert queue.claim("a", 60).tries == 0


def test_recovery_waits_for_senders_to_come_back(queue, clock, first):
    queue.add(first, QUIET)
    clock.now += 4
    queue.recover(QUIET, ["pacs"])
    clock.now += 4
    assert queue.claim("a", 60) is None


def test_clock_that_is_set_back_between_two_starts_holds_nothing(
    queue, clock, first, results
):
    reach_sending(queue, clock, first, results)
    queue.delay(queue.next_errand("pacs"), "away", 600, tried=False)
    clock.now -= 3600
    queue.recover(QUIET, ["pacs"])
    assert queue.next_errand("pacs")
    queue.close_errand(queue.next_errand("pacs"), confirmed=True)
    clock.now += 101
    assert len(queue.clean(100)) == 3


def test_clock_that_is_set_back_meanwhile_holds_nothing(tmp_path, monkeypatch, first):
    queue = Queue(tmp_path)
    queue.add(first, 0.0)
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert queue.claim("a", 60)
    queue.close()


def test_destination_that_is_no_more_keeps_no_study(queue, clock, first, results):
    reach_sending(queue, clock, first, results, ["pacs", "archive"])
    queue.close_errand(queue.next_errand("pacs"), confirmed=True)
    found = queue.recover(QUIET, ["pacs"])
    assert found["to_places_no_longer_configured"] == 1
    assert state(queue) == "done"


def test_results_that_went_nowhere_are_not_done(queue, clock, first, results):
    reach_sending(queue, clock, first, results)
    queue.recover(QUIET, ["archive"])
    assert state(queue) == "failed"


def test_study_whose_files_are_gone_fails(queue, clock, first, second):
    queue.add(first, QUIET)
    assert queue.note_lost_files("in", {first.digest}) == []
    (key,) = queue.note_lost_files("in", {second.digest})
    assert (state(queue), queue.find_study(key)) == ("failed", "1.2.3")
    assert queue.add(first, QUIET) == "again"
    assert state(queue) == "waiting"
