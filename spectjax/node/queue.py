"""What is to be done with which study, and what became of it: the memory of a node.

| state | what it means | what comes next |
|---|---|---|
| waiting | instances have come, or a try has failed | running, when it is due |
| running | a worker has it, until its lease ends | sending, nothing, waiting, failed |
| sending | there are results that are not yet where they belong | done, sent, failed |
| done | every destination has confirmed every result | |
| sent | likewise, but a destination is not asked whether it keeps them | |
| nothing | the model has no use for it, and says why | |
| failed | given up; files are kept until a person decides | retry, discard |
| discarded | a person has decided | |

An instance that comes makes any of them waiting. Each method is one change: whatever
ends the process, the next one finds the state before or after it. Times are seconds
since 1970.
"""

from spectjax.node.errands import Errands
from spectjax.node.studies import Studies
from spectjax.node.upkeep import Upkeep


class Queue(Studies, Errands, Upkeep):
    """The queue in a folder; any process may open it, one works on it."""
