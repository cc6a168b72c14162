"""The directive ``drawn``: a figure that the build draws, once for light and once for dark pages.

In MyST::

    ```{drawn} groups.channels
    :alt: What somebody hears who cannot see it.

    The caption.
    ```

calls ``figures.groups.channels()``, which returns a Matplotlib figure.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import themes
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

FOLDER = "_drawn"


class Drawn(SphinxDirective):
    """Two pictures of which the theme shows one, and their caption."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        module, _, function = name.partition(".")
        if "alt" not in self.options:
            raise self.error("a drawn figure needs :alt:")
        draw = getattr(import_module(f"figures.{module}"), function)
        figure = nodes.figure(classes=["drawn"])
        # In a box of their own, since the theme hides captions beside the picture that it hides.
        pictures = nodes.container()
        figure += pictures
        for theme in themes.THEMES:
            image = nodes.image(
                uri=f"/{self._save(draw, name, theme)}",
                alt=self.options["alt"],
                classes=[f"only-{theme}"],
            )
            pictures += image
        if self.content:
            caption = nodes.caption()
            children = self.parse_content_to_nodes()
            for paragraph in children:
                caption += paragraph.children
            figure += caption
        self.env.note_dependency(str(Path(self.env.srcdir, "figures", f"{module}.py")))
        return [figure]

    def _save(self, draw: Any, name: str, theme: str) -> str:
        """Draw the figure in a theme's colours; return its path below the sources."""
        path = f"{FOLDER}/{name.replace('.', '-')}-{theme}.svg"
        Path(self.env.srcdir, FOLDER).mkdir(exist_ok=True)
        themes.save(draw, theme, Path(self.env.srcdir, path))
        return path


class Measured(SphinxDirective):
    """The date, the CPU and the versions of a benchmark's newest results."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        speed = import_module("figures.speed")
        kind = {"layers": "", "models": "-models"}[self.arguments[0]]
        text = nodes.emphasis(text=speed.machine(kind))
        return [nodes.paragraph("", "", text, classes=["measured"])]


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("drawn", Drawn)
    app.add_directive("measured", Measured)
    return {"version": "1", "parallel_read_safe": False}
