"""Text of files that people write: UTF-8, or the name of what it is instead."""

import codecs
import re

from spectjax.system.messages import UserError

_LOOKED_AT = 1024 * 1024  # bytes, to tell an encoding


def decode_text(contents: bytes) -> str:
    """Returns text in UTF-8, with or without its mark, or UTF-16 with its mark.

    Another encoding is named in the error as well as it can be told.
    """
    encoding = "utf-8-sig"
    if contents[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    try:
        text = contents.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(
            f"expected text in UTF-8, found {name_encoding(contents)}; save it in UTF-8"
        )
    return text


def name_encoding(contents: bytes) -> str:
    """Returns what a person would call the encoding of bytes that are not UTF-8.

    Chinese characters are pairs of high bytes in GBK; in Western European text a high
    byte stands alone among ASCII.
    """
    if b"\0" in contents:
        return "binary data, or UTF-16 or UTF-32 without its mark"
    contents = contents[:_LOOKED_AT]
    runs = re.findall(rb"[\x80-\xff]+", contents)
    pairs = sum(len(run) % 2 == 0 for run in runs)
    if 2 * pairs > len(runs) and _decodes(contents, "gb18030"):
        return "GBK (Chinese)"
    if _decodes(contents, "cp1252"):
        return "Latin-1 or Windows-1252 (Western European)"
    if _decodes(contents, "gb18030"):
        return "GBK (Chinese)"
    return "another encoding, or binary data"


def _decodes(contents: bytes, encoding: str) -> bool:
    try:
        # Of a character that the sample cuts in two, the rest may be missing.
        codecs.getincrementaldecoder(encoding)().decode(contents)
    except UnicodeDecodeError:
        return False
    return True
