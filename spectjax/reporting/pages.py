"""Checklists as Markdown."""

from collections.abc import Sequence

from spectjax.reporting.document import (
    AUTHORS,
    PART,
    RUN,
    Checklist,
    FactEntry,
    Filled,
    ItemEntry,
    SourceEntry,
)

_STATES = {RUN: "from the run", PART: "**in part**", AUTHORS: "**AUTHORS**"}


def write_page(filled: Filled, name: str) -> str:
    """Returns one checklist as a page: what is known, and what is to be written."""
    checklist = filled["checklists"][name]
    lines = [
        f"# {checklist['title']}: {filled['subject']}",
        "",
        f"{filled['disclaimer']} Filled by spectjax {filled['spectjax_version']} from "
        "what the files say; nobody has checked it. Topics are shortened: read the "
        "checklist itself.",
        "",
        *(f"> {limit}" + "  " for limit in filled["limits"]),
        "",
        f"{count_states(checklist)}.",
        "",
    ]
    section, told = "", dict[str, str]()
    for item in checklist["items"]:
        if item["section"] != section:
            section = item["section"]
            lines += [f"## {section}", ""]
        lines += _write_item(item, filled, told)
    lines += ["## What only the authors can say", ""]
    for item in checklist["items"]:
        asked = [item["authors"], *_find_gaps(item, filled)]
        if any(asked):
            lines.append(f"- [ ] {_name(item)}: {'; '.join(filter(None, asked))}")
    return "\n".join([*lines, ""])


def count_states(checklist: Checklist) -> str:
    """Returns how many items are answered by whom."""
    states = [item["state"] for item in checklist["items"]]
    return (
        f"{len(states)} items: {states.count(RUN)} from the run, {states.count(PART)} "
        f"in part, {states.count(AUTHORS)} for the authors alone"
    )


def _name(item: ItemEntry) -> str:
    return f"{item['item']}. {item['topic']}"


def _write_item(item: ItemEntry, filled: Filled, told: dict[str, str]) -> list[str]:
    """Returns the lines of an item; `told` has the items that facts stand under."""
    lines = [f"### {_name(item)} ({_STATES[item['state']]})", ""]
    shown: list[list[str]] = []
    for name in item["facts"]:
        fact = filled["facts"][name]
        if fact["lines"] in shown:  # that nothing is trained is said once
            continue
        shown.append(fact["lines"])
        if name in told:
            lines += [f"- {fact['title']}: see {told[name]}."] * bool(fact["lines"])
        elif fact["lines"]:
            told[name] = item["item"]
            *first, last = (f"- {line}" for line in fact["lines"])
            lines += [*first, f"{last} {_cite(fact['sources'])}".rstrip()]
    lines += [f"- **Not known:** {gap}" for gap in _find_gaps(item, filled)]
    if item["authors"]:
        lines.append(f"- **Authors:** {item['authors']}")
    return [*lines, ""]


def _find_gaps(item: ItemEntry, filled: Filled) -> list[str]:
    """Returns what the facts of an item lack."""
    facts: list[FactEntry] = [filled["facts"][name] for name in item["facts"]]
    return list(dict.fromkeys(fact["missing"] for fact in facts if fact["missing"]))


def _cite(sources: Sequence[SourceEntry]) -> str:
    """Returns where a fact comes from, file by file."""
    by_file: dict[str, list[str]] = {}
    for each in sources:
        keys = by_file.setdefault(each["file"], [])
        if each["key"] and each["key"] not in keys:
            keys.append(each["key"])
    told = [
        f"`{file}`{': ' if keys else ''}{', '.join(keys)}"
        for file, keys in by_file.items()
    ]
    return f"*({'; '.join(told)})*" if told else ""
