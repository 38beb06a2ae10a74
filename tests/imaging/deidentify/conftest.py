"""Every test of this room has a key for pseudonyms."""

import pytest

from tests.support.deidentified import KEY


@pytest.fixture(autouse=True)
def pseudonym_key(monkeypatch):
    monkeypatch.setenv("SPECTJAX_PSEUDONYM_KEY", KEY)
