"""The documentation site: python -m sphinx -W -n --keep-going -b html docs docs/_build."""

import logging
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, and the scripts beside this file
os.environ.setdefault("NCPS_BACKEND", "numpy")
os.environ["KERAS_BACKEND"] = "tensorflow"  # on which all faces of ncps 1.0.1 can be imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import ncps
from docs import reference

project = "ncps"
copyright = "the ncps contributors"  # noqa: A001 - the name that Sphinx reads
version = release = ncps.__version__

default_role = "code"
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "myst_nb",
    "docs.markup",
]
exclude_patterns = ["_build", "jupyter_execute"]
nitpicky = True
# Annotations are shown as they are written: with aliases (`Tensor`), and names of others, whose sites are not asked.
nitpick_ignore_regex = [
    ("py:class", r"[A-Z]\w*"),
    ("py:.*", r"(np|numpy|torch|keras|tf|tensorflow|jax|networkx|os|pathlib|collections|contextlib|typing)\..*"),
]

# -- reference

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

# -- pages

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # as GitHub has them
nb_execution_mode = "off"  # a test runs the notebook; its committed outputs are shown
# A pattern of a list of pages may match none; Sphinx gives this warning no name by which it could be suppressed.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda record: "toctree glob" not in str(record.msg))

# -- look

html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"ncps {version}"
html_static_path = ["static"]
html_css_files = ["ncps.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f6f54", "color-brand-content": "#1f6f54"},
    "dark_css_variables": {"color-brand-primary": "#6fd0a8", "color-brand-content": "#6fd0a8"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

reference.write()
