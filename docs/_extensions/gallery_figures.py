"""How the gallery's figures are styled and saved: one file that light and dark pages can show."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import themes
from sphinx_gallery.scrapers import figure_rst


def reset(gallery_conf: dict[str, Any], script: str) -> None:
    """Give every script the same style and the same random numbers."""
    plt.rcdefaults()
    plt.rcParams.update(themes.style("both"))
    np.random.seed(0)  # noqa: NPY002  # of libraries that draw from it


def scraper(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the open figures, and return the text that shows them."""
    paths = []
    for number in plt.get_fignums():
        path = next(block_vars["image_path_iterator"])
        plt.figure(number).savefig(path, dpi=150)
        paths.append(path)
    plt.close("all")
    return str(figure_rst(paths, gallery_conf["src_dir"]))
