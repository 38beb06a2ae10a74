"""The node is killed again and again while cameras send and results go out."""

import time

from scripts.node_trial.bench import Bench, compare, finish
from scripts.node_trial.rows import Row
from scripts.node_trial.senders import Outbox

_DONE_SECONDS = 300.0


def kill_under_load(bench: Bench) -> list[Row]:
    """SIGKILLs the node, or its child alone, at random moments of a load.

    After the last kill it works off what is left. Cameras send again what was not
    answered; the PACS is slow, so that kills fall into the sending too.
    """
    kills, studies = bench.count(20), bench.count(50)
    outbox = Outbox()
    with bench.set_up("kills") as (node, pacs):
        pacs.seconds = 0.05
        node.start()
        load = bench.make_studies(studies, "kills")
        # As long as the kills last: a study about every second.
        cameras = outbox.send_all(node.address, load, every=1.5 if kills > 5 else 0.1)
        whole, alone = 0, 0
        while whole + alone < kills:
            time.sleep(bench.draw.uniform(0.2, 3.0))
            if alone < kills // 4 and bench.draw.random() < 0.4 and node.kill_child():
                alone += 1
                continue
            node.kill()
            whole += 1
            node.start()
        sent = outbox.join(cameras, _DONE_SECONDS)
        done = finish(node, outbox, pacs, _DONE_SECONDS)
        return [
            Row(
                f"{whole} kills of the node, {alone} of its child, {studies} studies",
                f"{outbox.unanswered} times a camera got no answer; all sent: {sent}, "
                f"all done: {done}, {node.count_states()}",
                not sent or not done,
            ),
            compare(outbox, pacs),
            *node.find_remains(),
        ]
