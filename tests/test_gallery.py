"""Each script of the documentation's gallery runs, and what it asserts holds."""

import ast
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from oracles import oracle

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
SCRIPTS = {
    "plot_01_edge_maps",
    "plot_02_gabor_textures",
    "plot_03_border_modes",
    "plot_04_spectrogram",
    "plot_05_wav2vec_position",
    "plot_06_causal_stream",
    "plot_07_mobilenet_onnx",
    "plot_08_pytorch_swapped",
    "plot_09_dask_stack",
    "plot_10_separable_block",
}
#: Those that every run has, and those that come with an extra of gconv.
INSTALLED = {"gconv", "matplotlib", "numpy"} | sys.stdlib_module_names


def libraries(script):
    """The other libraries that a script imports: torch, skimage, ..."""
    tree = ast.parse((GALLERY / f"{script}.py").read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names - INSTALLED


@pytest.fixture
def pictures(monkeypatch):
    """The figures that a script has shown; afterwards none is open, and threads are as before."""
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(map(plt.figure, plt.get_fignums())))
    plt.switch_backend("Agg")
    torch = sys.modules.get("torch")
    threads = torch and torch.get_num_threads()
    yield shown
    plt.close("all")
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads or torch.get_num_threads())


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_a_script_runs_and_shows_a_picture(script, pictures):
    """What the script asserts is checked, and each of its figures can be drawn."""
    for library in sorted(libraries(script)):
        oracle(library)
    runpy.run_path(str(GALLERY / f"{script}.py"), run_name="__main__")
    assert pictures
    for figure in pictures:
        figure.canvas.draw()


def test_the_gallery_has_these_scripts_and_no_others():
    assert {path.stem for path in GALLERY.glob("*.py")} == SCRIPTS


def test_pytorch_is_what_two_scripts_need():
    assert {script for script in SCRIPTS if "torch" in libraries(script)} == {
        "plot_05_wav2vec_position", "plot_08_pytorch_swapped",
    }


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_a_script_says_what_it_is_about(script):
    """A title of reStructuredText, and a sentence or two, before anything is imported."""
    tree = ast.parse((GALLERY / f"{script}.py").read_text(encoding="utf-8"))
    title, line, empty, *text = ast.get_docstring(tree).splitlines()
    assert line == "=" * len(title)
    assert empty == ""
    assert len(" ".join(text)) > 60
