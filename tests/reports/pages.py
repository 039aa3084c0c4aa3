"""What a browser would make of a page."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = {"meta", "img", "wbr", "br", "input", "link"}


class Page(HTMLParser):
    """Elements and texts of a page, as a browser would take them apart."""

    def __init__(self, source):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), "an attribute stands twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def text(self, tag):
        return [data for where, data in self.texts if where == tag]

    @property
    def words(self):
        joined = " ".join(data for where, data in self.texts if where not in ("style", "script"))
        return " ".join(joined.split())


def drawings(source):
    found = re.findall(r'<svg class="curve".*?</svg>', source, re.DOTALL)
    return [ElementTree.fromstring(drawing) for drawing in found]
