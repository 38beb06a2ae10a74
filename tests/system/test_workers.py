"""Tests of `spectjax.system.workers`: order, memory, errors, and how processes end."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from spectjax.system.workers import WorkerError, Workers

ROOT = pathlib.Path(__file__).parents[2]


def wait_and_return(job):
    """The first jobs take longest, so they end in another order than they began."""
    time.sleep(0.2 if job < 2 else 0)
    return job, os.getpid()


def fail(job):
    if job == 1:
        raise ValueError(f"job {job} failed")
    return job


def die(job):
    os._exit(9)


class Jobs(list):
    """Jobs that count how many were taken."""

    taken = 0

    def __iter__(self):
        """Counts each job as it is taken."""
        for job in super().__iter__():
            self.taken += 1
            yield job


def test_little_work_is_done_here_without_processes():
    with Workers() as workers:
        done = list(workers.map(wait_and_return, [5, 6], seconds=1))
    assert done == [(5, os.getpid()), (6, os.getpid())]


def test_processes_return_results_in_the_order_of_jobs_and_few_at_a_time():
    jobs = Jobs(range(40))
    with Workers(2) as workers:
        results = workers.map(wait_and_return, jobs, seconds=0)
        assert next(results)[0] == 0
        assert jobs.taken <= 6
        done = [0, *(job for job, _ in results)]
        # The same processes go on with what comes next.
        pids = {pid for _, pid in workers.map(wait_and_return, [7, 8, 9], seconds=0)}
        with pytest.raises(ValueError, match="job 1 failed"):
            list(workers.map(fail, [0, 1, 2], seconds=0))
        with pytest.raises(WorkerError, match="--processes"):
            list(workers.map(die, [0, 1], seconds=0))
    assert done == list(range(40))
    assert os.getpid() not in pids and len(pids) <= 2


def children_of(group):
    listing = subprocess.run(
        ["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    return [row for row in rows if row[0] == str(group) and row[1][0] != "Z"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_preparation_leaves_no_process_and_nothing_half_written(
    hospital, tmp_path, number
):
    command = [sys.executable, "-m", "tfds_spect", f"--data_dir={tmp_path}"]
    command += [f"--manual_dir={hospital}", "--processes=2"]
    # A shell that starts tests in the background has them, and so their children,
    # ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        running = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=ROOT,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    config_dir, deadline = tmp_path / "tfds_spect" / "segmentation", time.time() + 60
    while not list(config_dir.glob("incomplete.*")) and time.time() < deadline:
        time.sleep(0.05)
    time.sleep(2)  # into the work of the processes
    if number == signal.SIGINT:
        os.killpg(running.pid, number)  # as Ctrl-C does
        out, err = running.communicate(timeout=60)
        assert (running.returncode, out) == (130, "")
        assert err.startswith("Stopped. ") and err.count("\n") == 1
        assert not list(config_dir.glob("incomplete.*"))
    else:
        running.kill()
        running.communicate(timeout=60)
    deadline = time.time() + 10
    while children_of(running.pid) and time.time() < deadline:
        time.sleep(0.1)
    assert children_of(running.pid) == []
    assert not (config_dir / "2.0.0").exists()
    # The same command starts anew, and clears away what a killed one left.
    again = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert again.returncode == 0, again.stderr
    assert not list(config_dir.glob("incomplete.*"))
