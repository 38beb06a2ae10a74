"""The items of the checklists: which facts answer them, what remains for authors.

Topics are in our words, as short as they can be. Numbers and topics are those of
[CLAIM 2024] Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300;
[TRIPOD+AI] Collins et al., BMJ 2024;385:e078378; the sections of a model card those of
Mitchell et al., FAT* 2019, doi:10.1145/3287560.3287596.
"""

import csv
import pathlib
from dataclasses import dataclass

TITLES = {
    "claim_2024": "CLAIM 2024 (Tejani et al., Radiology: Artificial Intelligence 2024)",
    "tripod_ai": "TRIPOD+AI (Collins et al., BMJ 2024)",
    "model_card": "Model card (Mitchell et al., FAT* 2019)",
}
_TABLE = pathlib.Path(__file__).with_name("items.csv")


@dataclass(frozen=True)
class Item:
    """An item of a checklist.

    Attributes:
        number: as the checklist counts; of a model card the name of the section.
        section: where it stands there; empty of a model card.
        topic: what it asks.
        facts: names of the facts that answer it.
        authors: what only the authors can say; empty if facts can answer it all.
    """

    number: str
    section: str
    topic: str
    facts: tuple[str, ...]
    authors: str


def read_items() -> dict[str, list[Item]]:
    """Returns the items of each checklist, in its order."""
    items: dict[str, list[Item]] = {name: [] for name in TITLES}
    with _TABLE.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            item = Item(
                number=row["item"],
                section=row["section"],
                topic=row["topic"],
                facts=tuple(row["facts"].split()),
                authors=row["authors"],
            )
            items[row["list"]].append(item)
    return items
