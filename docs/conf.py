"""The documentation site: `make docs` builds it into build/docs, runs the tour, and fails on any warning."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import mlff

project = "mlff"
author = "the developers of mlff"
copyright = "the developers of mlff"
version = release = mlff.__version__
smartquotes = False
html_title = f"mlff {release}"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "command_pages",
    "paths_as_links",
    "pictures_shown",
    "plain_docstrings",
    "python_names",
    "settings_signatures",
]
exclude_patterns = ["_ext", "_static"]
copybutton_exclude = ".linenos, .gp, .go"

# Pages are read on GitHub, too: `docs/formats.md` in their text becomes a link here (paths_as_links).
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# The tour's pages are notebooks. They run at every build, from nothing, and an error or a failed `assert` ends it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 1200  # seconds a cell; they take ten at most where nothing else runs
nb_merge_streams = True
nb_output_stderr = "remove"

# Docstrings: Google's sections, types from the signatures, backticks for code.
default_role = "literal"
autodoc_default_options = {"members": True, "show-inheritance": True, "no-value": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = False
