"""Tests of `spectjax.system.messages`."""

import pytest

from spectjax.system.messages import MAX_CHARACTERS, UserError, make_printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë/scan 1.dcm", "Zoë/scan 1.dcm"),
        ("two\nlines", r"two\nlines"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("left\u202eright", r"left\u202eright"),
        (b"caf\xe9.dcm".decode("utf-8", "surrogateescape"), r"caf\udce9.dcm"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert str(UserError(text)) == shown


def test_a_long_text_keeps_its_file_and_its_remedy():
    shown = make_printable(f"scan.dcm: found {'x' * 9000}. Export it again.")
    assert len(shown) <= MAX_CHARACTERS
    assert shown.startswith("scan.dcm: found x")
    assert shown.endswith("x. Export it again.")
