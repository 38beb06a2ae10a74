"""Runs of the tiny model in a process of its own: see `test_parallel`.

The argument is JSON: `devices` to simulate, perhaps `processes` (coordinator, number of
processes, number of this one), and `runs`: each a workdir, changes of the config, and
perhaps `stop`: ask for a stop after the first checkpoint, or `stored`: stream the
examples. Says how often the host waited for what all processes say.
"""

import contextlib
import json
import os
import pathlib
import signal
import sys

import jax

ORDERS = json.loads(sys.argv[1])
jax.config.update("jax_num_cpu_devices", ORDERS["devices"])

from spectjax.training import checkpoint_writer, parallel  # noqa: E402
from spectjax.training import loop as train  # noqa: E402
from tests.support.examples import make_spots, store  # noqa: E402 - devices first
from tests.support.tiny_runs import make_config  # noqa: E402

gathers = []
gather = parallel.multihost_utils.process_allgather


def count_and_gather(*args, **kwargs):
    gathers.append(args)
    return gather(*args, **kwargs)


parallel.multihost_utils.process_allgather = count_and_gather
train.SHORT_SECONDS = 0.0  # one step a dispatch, however fast the machine is
stack = contextlib.ExitStack()
stack.enter_context(
    parallel.start_processes(*ORDERS.get("processes", (None, None, None)))
)
for order in ORDERS["runs"]:
    save = checkpoint_writer.CheckpointWriter.save
    if order.get("stop"):

        def save_and_stop(self, *args, save=save):
            save(self, *args)
            os.kill(os.getpid(), signal.SIGTERM)

        checkpoint_writer.CheckpointWriter.save = save_and_stop
    before = len(gathers)
    try:
        config = make_config(**{"data.batch_size": 4} | order["changes"])
        examples = make_spots(9)
        train.train(
            config,
            pathlib.Path(order["workdir"]),
            store(examples) if order.get("stored") else examples,
        )
        print("finished")
    except (train.Stopped, ValueError) as error:
        print(error)
    checkpoint_writer.CheckpointWriter.save = save
    print(f"{len(gathers) - before} gathers")
stack.close()
