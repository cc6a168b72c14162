"""How Sphinx makes the documentation: `python -m sphinx -W --keep-going docs docs/_build`.

gconv must be installed with the extra ``docs``. Where PyTorch is missing, its pages are shown
without their output, and say so.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gconv

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE)]

WITH_TORCH = find_spec("torch") is not None

project = "gconv"
author = "The gconv developers"
project_copyright = author
version = release = gconv.__version__

extensions = [
    "drawn",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery", "figures"]
if not WITH_TORCH:
    exclude_patterns.append("api/torch.md")
default_role = "py:obj"  # in docstrings: a link where there is something of that name
highlight_language = "text"

# ---- pages -----------------------------------------------------------------------------------

myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]

#: The pages in docs/ are read on their own too, and link to files that are other pages here.
PAGES = {
    "../README.md": "index.md",
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../benchmarks/README.md": "benchmarks.md",
}

NO_OUTPUT = """.. note:: PyTorch was not installed where this page was built: it shows the code alone.

"""
NO_REFERENCE = "`gconv.torch` is missing here: PyTorch was not installed where this page was built."


def to_page(link: re.Match[str]) -> str:
    """A link to a file outside of docs/ as one to the page that shows it; else the file's name."""
    text, path, anchor = link.groups(default="")
    if path in PAGES:
        return f"[{text}]({PAGES[path]}{anchor})"
    return f"{text} (`{path.removeprefix('../')}`)"


def prepare(app: Any, docname: str, source: list[str]) -> None:
    """Make what is read on its own a page among pages, and say where PyTorch was missing."""
    (text,) = source
    if "/" not in docname:
        text = re.sub(r"\[([^]]+)]\((\.\./[\w./-]+\.md)(#[\w-]+)?\)", to_page, text)
        # The last example of a block ends with an empty line, for doctest's sake.
        text = text.replace("\n\n```\n", "\n```\n")
    if not WITH_TORCH and docname == "api/index":
        text = text.replace("\ntorch\n", "\n") + f"\n{NO_REFERENCE}\n"
    elif not WITH_TORCH and re.search(r"^ +import torch", text, re.MULTILINE):
        text = text.replace(".. GENERATED FROM PYTHON", f"{NO_OUTPUT}.. GENERATED FROM PYTHON", 1)
    source[0] = text


# ---- API -------------------------------------------------------------------------------------

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False


def escape_stars(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:
    """In docstrings "(N, C, *spatial)" is a shape, and no emphasis begins there."""
    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else
        re.sub(r"(?<=[ (])\*(?=[a-z]\w*\b[^*`]*$|[a-z]\w*[),])", r"\*", line)
        for line in lines
    ]


def plain_signature(
    app: Any, what: str, name: str, of: Any, options: Any, signature: str | None, returned: Any
) -> tuple[str | None, Any] | None:
    """Layers take more positions only to say what they are not made from."""
    return signature and (signature.replace("*extra", "*"), returned)


# ---- gallery ---------------------------------------------------------------------------------

NEEDS_TORCH = re.compile(r"^import torch\b", re.MULTILINE)
SCRIPTS = sorted((HERE / "gallery").glob("plot_*.py"))
RUN = [
    script.name
    for script in SCRIPTS
    if WITH_TORCH or not NEEDS_TORCH.search(script.read_text(encoding="utf-8"))
]

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": f"({'|'.join(map(re.escape, RUN))})$",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("gallery_figures.scraper",),
    "reset_modules": ("gallery_figures.reset",),
    "reset_modules_order": "before",
    "abort_on_example_error": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1,
    "copyfile_regex": r".*\.rst",
    "thumbnail_size": (480, 320),
    "plot_gallery": "True",
}

# ---- HTML ------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "gconv"
html_static_path = ["_static"]
html_css_files = ["gconv.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options: dict[str, Any] = {
    "logo": {"text": "gconv"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {page: [] for page in ("index", "groups", "speed", "changelog")}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app: Any) -> None:
    app.connect("source-read", prepare)
    app.connect("autodoc-process-signature", plain_signature)
    app.connect("autodoc-process-docstring", escape_stars, priority=100)  # before numpydoc
