"""`checklist.json`: every item, its answer, where that stands, and who has to say more.

A state is `run` where facts answer an item, `part` where authors have to add something
or a fact is not known, and `authors` where the run says nothing.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import spectjax
from spectjax.reporting.data_facts import DATA_FACTS
from spectjax.reporting.external_facts import EXTERNAL_FACTS
from spectjax.reporting.facts import Fact
from spectjax.reporting.items import TITLES, Item, read_items
from spectjax.reporting.limits import find_limits
from spectjax.reporting.model_facts import MODEL_FACTS
from spectjax.reporting.score_facts import SCORE_FACTS
from spectjax.reporting.subject import Subject
from spectjax.system.messages import DISCLAIMER, make_printable

FORMAT = 1  # raise it when a name changes or what it means
RUN, PART, AUTHORS = "run", "part", "authors"
FACTS = {
    **MODEL_FACTS,
    **DATA_FACTS,
    **SCORE_FACTS,
    **EXTERNAL_FACTS,
    "limits": ("Limits", find_limits),
}


class SourceEntry(TypedDict):
    """Where something stands."""

    file: str
    key: str


class FactEntry(TypedDict):
    """What is known of something, and what not."""

    title: str
    lines: list[str]
    sources: list[SourceEntry]
    missing: str


class ItemEntry(TypedDict):
    """An item and what answers it."""

    item: str
    section: str
    topic: str
    state: str
    facts: list[str]
    authors: str


class Checklist(TypedDict):
    """All items of one checklist."""

    title: str
    items: list[ItemEntry]


class Filled(TypedDict):
    """The whole file."""

    format: int
    subject: str
    limits: list[str]
    facts: dict[str, FactEntry]
    checklists: dict[str, Checklist]
    spectjax_version: str
    disclaimer: str


def fill(subject: Subject) -> Filled:
    """Returns what a subject says of all checklists.

    Raises:
        UserError: if a file of it holds what no score can be.
    """
    facts = {
        name: _write_fact(title, find(subject)) for name, (title, find) in FACTS.items()
    }
    lists = read_items()
    if subject.shipped is not None:
        del lists["model_card"]  # it has a card, see `spectjax.inference.card`
    return {
        "format": FORMAT,
        "subject": subject.name,
        "limits": facts["limits"]["lines"],
        "facts": facts,
        "checklists": {
            name: {"title": TITLES[name], "items": _answer(items, facts)}
            for name, items in lists.items()
        },
        "spectjax_version": spectjax.__version__,
        "disclaimer": DISCLAIMER,
    }


def _write_fact(title: str, fact: Fact) -> FactEntry:
    return {
        "title": title,
        "lines": [make_printable(line) for line in fact.lines],
        "sources": [{"file": each.file, "key": each.key} for each in fact.sources],
        "missing": make_printable(fact.missing),
    }


def _answer(items: Sequence[Item], facts: Mapping[str, FactEntry]) -> list[ItemEntry]:
    return [
        {
            "item": item.number,
            "section": item.section,
            "topic": item.topic,
            "state": _judge(item, [facts[name] for name in item.facts]),
            "facts": list(item.facts),
            "authors": item.authors,
        }
        for item in items
    ]


def _judge(item: Item, facts: Sequence[FactEntry]) -> str:
    """Returns who answers an item."""
    if not any(fact["lines"] for fact in facts):
        return AUTHORS
    lacking = item.authors or any(f["missing"] or not f["lines"] for f in facts)
    return PART if lacking else RUN
