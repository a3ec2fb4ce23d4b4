"""Names of types in signatures become links where the site documents them, whatever path they were imported by.

A class is documented under its package (`mlff.graph.Graph`), while a signature knows its module (`mlff.graph.graph.Graph`),
and types of other packages (`Tensor`) have no page here. So a name is looked up by its last part, if that is unambiguous;
what is not found stays plain text.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

TYPES = ("class", "obj", "exc", "data")


def find(app: Sphinx, env: BuildEnvironment, node: pending_xref, words: nodes.TextElement) -> nodes.Node | None:
    """A link for a type that a signature or a base class names."""
    if node.get("refdomain") != "py" or node.get("reftype") not in TYPES:
        return None
    last = node["reftarget"].rpartition(".")[2]
    found = {
        (entry.docname, entry.node_id): entry
        for name, entry in env.domains["py"].objects.items()
        if name.rpartition(".")[2] == last and entry.objtype in ("class", "exception", "data") and not entry.aliased
    }
    if len(found) != 1:
        return words
    (page, anchor), _ = found.popitem()
    return make_refnode(app.builder, node["refdoc"], page, anchor, words, last)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("missing-reference", find)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
