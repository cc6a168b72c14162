"""The documentation: what pages show runs, what they draw is true, and links lead on."""

import doctest
import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path for path in DOCS.rglob("*.md")
    if not {"_build", "auto_gallery", "generated"} & set(path.relative_to(DOCS).parts)
)
NAMES = [str(path.relative_to(DOCS)) for path in PAGES]
DRAWN = re.compile(r"^```\{drawn\} (\w+)\.(\w+)$", re.MULTILINE)
FIGURES = sorted({found for page in PAGES for found in DRAWN.findall(page.read_text("utf-8"))})


@pytest.fixture
def figures(monkeypatch):
    """Import a module of docs/figures."""
    monkeypatch.syspath_prepend(str(DOCS))
    yield lambda name: importlib.import_module(f"figures.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "figures"]:
        del sys.modules[name]


def test_the_examples_of_how_groups_work_run():
    results = doctest.testfile(str(DOCS / "groups.md"), module_relative=False, encoding="utf-8")
    assert results.attempted > 20
    assert results.failed == 0


def test_one_input_channel_reaches_the_output_channels_of_its_group(figures):
    """What the first picture draws."""
    groups = figures("groups")
    for count in groups.GROUPS:
        outputs, inputs = groups.OUT_CHANNELS // count, groups.IN_CHANNELS // count
        want = np.kron(np.eye(count), np.ones((outputs, inputs)))
        np.testing.assert_array_equal(groups.reached(count), want)


def test_a_matrix_has_the_weights_in_blocks_and_zeros_beside_them(figures):
    """What the picture of matrices draws."""
    groups = figures("groups")
    for count in groups.GROUPS:
        blocks = groups.weights(count).reshape(count, groups.OUT_CHANNELS // count, -1)
        want = np.zeros((groups.OUT_CHANNELS, groups.IN_CHANNELS * 9))
        rows, columns = blocks.shape[1:]
        for g, block in enumerate(blocks):
            want[g * rows : (g + 1) * rows, g * columns : (g + 1) * columns] = block
        np.testing.assert_array_equal(groups.as_matrix(count), want)


def test_there_are_figures_to_draw():
    assert {module for module, _ in FIGURES} == {"groups", "speed"}
    assert len(FIGURES) > 5


@pytest.mark.parametrize(("module", "function"), FIGURES)
def test_a_figure_can_be_drawn(module, function, figures, tmp_path):
    """In a file with something on it, and no text that is cut off the page."""
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    figure = getattr(figures(module), function)()
    figure.savefig(tmp_path / "figure.svg")
    plt.close(figure)
    assert (tmp_path / "figure.svg").stat().st_size > 5000
    assert getattr(figures(module), function).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_relative_links_lead_to_files(name):
    """Also where a page is read by itself, without the documentation around it."""
    page = DOCS / name
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", text):
        path = (page.parent / target.replace("auto_gallery/", "gallery/")).resolve()
        if target.endswith("gallery/index.rst"):
            path = DOCS / "gallery" / "GALLERY_HEADER.rst"
        elif "auto_gallery/" in target:
            path = path.with_suffix(".py")
        assert path.is_file(), target


def test_every_page_is_in_a_table_of_contents():
    """So that it can be found from the first page."""
    listed = {"index"}
    for page in PAGES:
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for entry in block.splitlines():
                if entry and not entry.startswith(":"):
                    folder = page.parent.relative_to(DOCS)
                    found = DOCS.glob(str(folder / f"{entry.removesuffix('.md')}.md"))
                    listed |= {str(path.relative_to(DOCS).with_suffix("")) for path in found}
    assert {name.removesuffix(".md") for name in NAMES} <= listed
