"""A page as one file: its parts put together, and nothing else let in.

All that a scan, a file name or a model brings is either HTML with its signs escaped or
JSON without `<`, and what runs or styles is named by its digest: a browser runs nothing
else, and asks nobody for anything.
"""

import base64
import hashlib
import html
import json
import string
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from spectjax.system.files import replace_undefined
from spectjax.system.messages import DISCLAIMER

# What stands above every page and every sheet of paper.
STATEMENT = f"Research only. {DISCLAIMER} Never use it to decide about a patient."


def fill_page(
    template: str,
    *,
    style: Sequence[str],
    script: Sequence[str] = (),
    foot: str = "",
    texts: Mapping[str, str] | None = None,
    data: Mapping[str, Any] | None = None,
    markup: Mapping[str, str] | None = None,
) -> str:
    """Returns a page.

    Args:
        template: name of a file beside this one, with `${name}` for each part: those
            below, `policy`, `style`, `paper`, `script` and `statement`.
        style: names of files of CSS, in their order.
        script: names of files of JavaScript, likewise.
        foot: stands below every sheet of paper, after the statement.
        texts: is shown as it is, whatever signs it has.
        data: becomes JSON.
        markup: HTML of ours.
    """
    css, code = (_read_all(names) for names in (style, script))
    paper = _make_foot(f"{STATEMENT} {foot}".strip())
    shown = {"statement": STATEMENT, **(texts or {})}
    # In one go: what was put in is not looked through again.
    return string.Template(_read_all([template])).substitute(
        {name: html.escape(text) for name, text in shown.items()},
        **{name: encode_json(value) for name, value in (data or {}).items()},
        **(markup or {}),
        style=css,
        paper=paper,
        script=code,
        policy=_make_policy(style=[css, paper], script=[code]),
    )


def encode_json(value: Any) -> str:
    """Returns JSON that ends no element that it stands in: `<` is written as a number.

    Numbers that are not finite become null, as in our JSON files.
    """
    text = json.dumps(replace_undefined(value), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _make_policy(**parts: Sequence[str]) -> str:
    """Returns a Content Security Policy that allows what is given and no request."""
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    rules.append("img-src data:")  # no icon, instead of asking for one
    for kind, texts in parts.items():
        digests = (hashlib.sha256(text.encode()).digest() for text in texts if text)
        named = [f"'sha256-{base64.b64encode(each).decode()}'" for each in digests]
        rules.append(f"{kind}-src {' '.join(named)}" if named else "")
    return "; ".join(filter(None, rules))


def _make_foot(text: str) -> str:
    """Returns CSS that prints a text below every sheet, in browsers that can.

    Whatever is no letter and no digit is written as a number: it ends no string.
    """
    shown = "".join(
        c if c.isalnum() and c.isascii() else f"\\{ord(c):06x}" for c in text
    )
    return (
        "@media print { @page { @bottom-left { width: 85%; "
        f'content: "{shown}"; font: 6.5pt sans-serif; vertical-align: top; '
        "padding-top: 3mm; } "
        '@bottom-right { content: counter(page) "/" counter(pages); '
        "font: 6.5pt sans-serif; vertical-align: top; padding-top: 3mm; } } }"
    )


def _read_all(names: Sequence[str]) -> str:
    folder = files(__package__)
    return "".join(folder.joinpath(name).read_text("utf-8") for name in names)
