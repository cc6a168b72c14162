"""docs/inputs.md runs as written, and what it says of errors is so."""

import importlib.util
import os
import re
from pathlib import Path

import pytest
from oracles import oracle

PAGE = Path(__file__).parents[1] / "docs" / "inputs.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:<!-- (?P<needs>\w+) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = list(BLOCK.finditer(TEXT))
PACKAGES = sorted({block["needs"] for block in BLOCKS} - {None, "begin"})


def available():
    """The packages of which examples are run. Where nothing may be skipped, each pass of
    continuous integration has its own."""
    strict = os.environ.get("GCONV_NO_SKIPS")
    return [name for name in PACKAGES if not strict or importlib.util.find_spec(name)]


@pytest.mark.parametrize("package", [None, *available()])
def test_the_examples_run(package, tmp_path, monkeypatch, capsys):
    """Those that need nothing else, and those of one package; comments behind a print are what it
    prints."""
    if package is not None:
        oracle(package)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS:
        if block["needs"] not in (None, "begin", package):
            continue
        line = TEXT[: block.start("code")].count("\n")
        exec(compile("\n" * line + block["code"], str(PAGE), "exec"), names)
        expected = re.findall(r"^print\(.*\)  # (.*)$", block["code"], re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == expected


def test_the_page_has_an_example_of_each():
    assert PACKAGES == ["jax", "torch", "xarray"]
    assert len(BLOCKS) > 10
    assert TEXT.count("```") == 2 * len(BLOCKS)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^):#]+)[^)]*\)", TEXT))
def test_what_it_links_to_exists(target):
    assert (PAGE.parent / target).is_file()


def test_lines_are_short():
    for number, line in enumerate(TEXT.splitlines(), 1):
        assert len(line) <= 120 or line.startswith("|"), number
