"""The files of a node, while others come and go."""

import shutil
import threading

from spectjax.node.disk import Disk


def test_the_size_is_told_while_folders_go(tmp_path):
    disk, over = Disk(tmp_path), threading.Event()
    disk.keep("in", "0" * 64, bytes(1000))

    def come_and_go():
        while not over.is_set():
            shutil.rmtree(disk.make_work("x"))

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert {disk.measure_used() for _ in range(500)} == {1000}
    finally:
        over.set()
        for thread in threads:
            thread.join()
