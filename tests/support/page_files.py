"""Pages as a browser takes them apart: elements, texts, data, counts."""

import base64
import gzip
import json
from html.parser import HTMLParser

import numpy as np


class Page(HTMLParser):
    """The elements of a page in their order, and what stands in them."""

    def __init__(self, path):
        """Reads a page from its file."""
        super().__init__()
        self.elements, self.texts, self.open = [], [], False
        self.feed(path.read_text())
        self.close()

    def handle_starttag(self, tag, attrs):
        """Keeps an element."""
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        self.open = True

    def handle_endtag(self, tag):
        """Ends the text of the last element."""
        self.open = False

    def handle_data(self, data):
        """Keeps what stands in the last element, before any other begins or ends."""
        if self.open:
            self.texts[-1] += data

    def list_texts(self, tag, **attributes):
        """What stands in elements of a kind."""
        return [
            text
            for (name, attrs), text in zip(self.elements, self.texts, strict=True)
            if name == tag and attributes.items() <= attrs.items()
        ]

    def read_data(self, name="data"):
        """The JSON of a page."""
        (text,) = self.list_texts("script", id=name)
        return json.loads(text)


def unpack(packed):
    """The counts that `pack_counts` packed, float32, (H, W)."""
    height, width = packed["hw"]
    content = gzip.decompress(base64.b64decode(packed["gzip"]))
    cut = 4 * packed["levels"]
    levels = np.frombuffer(content[:cut], "<f4")
    planes = np.frombuffer(content[cut:], np.uint8).reshape(packed["planes"], -1)
    numbers = sum(plane.astype(int) << 8 * i for i, plane in enumerate(planes))
    return levels[numbers].reshape(height, width)
