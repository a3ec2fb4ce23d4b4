"""`docs/formats.md` in a page's text, with or without backticks, becomes a link to that page.

Pages name each other as the repository does, so that they read well on GitHub and in an editor; a name that is
no page of the site is a warning.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

PAGE = re.compile(r"\bdocs/([\w/-]+)\.(?:md|rst)\b")
UNTOUCHED = (nodes.literal_block, nodes.reference, nodes.title, nodes.raw, nodes.math, addnodes.pending_xref)


class PathsAsLinks(SphinxTransform):
    """Replaces paths of pages in text and in inline code."""

    default_priority = 300

    def apply(self) -> None:
        for text in list(self.document.findall(nodes.Text)):
            parents = list(_parents(text))
            if any(isinstance(parent, UNTOUCHED) for parent in parents) or not PAGE.search(text):
                continue
            code = isinstance(text.parent, nodes.literal)
            if code and not PAGE.fullmatch(text):
                continue  # a command or a sentence of code that names a page among other things
            old = text.parent if code else text
            new = [self.link(text, code)] if code else self.split(text)
            index = old.parent.index(old)
            old.parent[index : index + 1] = new

    def split(self, text: nodes.Text) -> list[nodes.Node]:
        """The text's parts, its paths as links."""
        parts: list[nodes.Node] = []
        end = 0
        for match in PAGE.finditer(text):
            parts += [nodes.Text(text[end : match.start()]), self.link(nodes.Text(match.group()), code=False)]
            end = match.end()
        return [*(part for part in parts if part.astext()), nodes.Text(text[end:])]

    def link(self, path: nodes.Text, code: bool) -> addnodes.pending_xref:
        """A reference to the page, whose words are the path."""
        name = PAGE.fullmatch(path).group(1)
        link = addnodes.pending_xref(
            "", refdomain="std", reftype="doc", reftarget=f"/{name}", refexplicit=True, refwarn=True,
            refdoc=self.env.current_document.docname,
        )  # fmt: skip
        words = nodes.literal if code else nodes.inline
        link += words(path, str(path))
        return link


def _parents(node: nodes.Node) -> list[nodes.Node]:
    found = []
    while (node := node.parent) is not None:
        found.append(node)
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(PathsAsLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
