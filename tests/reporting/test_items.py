"""Tests of the table of items: all numbers, and facts that there are."""

from spectjax.reporting.document import FACTS
from spectjax.reporting.items import read_items

# Items of TRIPOD+AI that have parts.
PARTS = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef"}
PARTS |= {20: "abc", 23: "ab", 27: "abc"}


def test_every_item_of_every_checklist_is_there_once_and_in_order():
    items = {name: [x.number for x in found] for name, found in read_items().items()}
    assert items["claim_2024"] == [str(number) for number in range(1, 45)]
    assert items["tripod_ai"] == [
        f"{number}{part}" for number in range(1, 28) for part in PARTS.get(number, [""])
    ]
    assert len(items["model_card"]) == 9


def test_items_name_the_facts_that_there_are_and_every_fact_is_asked_for():
    items = [item for found in read_items().values() for item in found]
    assert {fact for item in items for fact in item.facts} == set(FACTS)


def test_what_no_fact_answers_is_asked_of_the_authors():
    items = [item for found in read_items().values() for item in found]
    assert [item for item in items if not item.facts and not item.authors] == []
