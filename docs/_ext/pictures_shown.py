"""A warning where a page shows the words `<Figure size ...>` in the place of the picture."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging


def look(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Search a page that is about to be written, when one form of each output has been chosen."""
    for block in doctree.findall(nodes.literal_block):
        if block.astext().startswith("<Figure size"):
            logging.getLogger(__name__).warning("a picture is shown as text: %s", block.astext(), location=page)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-resolved", look)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
