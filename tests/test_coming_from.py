"""Every snippet of docs/coming-from.md runs, and gives what the library it comes from gives."""

import importlib.util
import inspect
import os
import re
from pathlib import Path

import numpy as np
import pytest
from oracles import oracle

import gconv

PAGE = Path(__file__).parents[1] / "docs" / "coming-from.md"
#: What snippets may need; the other words behind their markers are features of gconv.
LIBRARIES = {"scipy", "cv2", "torch", "onnx", "jax"}
#: Those that the environment in which nothing may be skipped has.
ALWAYS = {"scipy", "torch", "onnx"}

BLOCK = re.compile(r"(?:<!-- (?P<needs>[^>]*) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)
TEXT = PAGE.read_text(encoding="utf-8")


def exists(feature):
    """Whether gconv has a function or a parameter of that name."""
    return hasattr(gconv, feature) or feature in inspect.signature(gconv.conv2d).parameters


class Snippet:
    """One block of code: its line on the page, what it needs, its text."""

    def __init__(self, match):
        self.line = TEXT[: match.start("code")].count("\n") + 1
        self.needs = set(filter(None, re.split(r",\s*", match["needs"] or "")))
        self.code = match["code"]
        self.libraries = self.needs & LIBRARIES
        self.features = self.needs - LIBRARIES - {"begin"}

    def compile(self):
        # Lines in an error are those of the page.
        return compile("\n" * (self.line - 1) + self.code, str(PAGE), "exec")


SNIPPETS = [Snippet(match) for match in BLOCK.finditer(TEXT)]
BEGIN, *REST = SNIPPETS


def collected():
    """Yield those for which gconv has the features. Where nothing may be skipped, those that need
    a library which is not always there are left out."""
    for snippet in REST:
        here = all(map(importlib.util.find_spec, snippet.libraries - ALWAYS))
        if all(map(exists, snippet.features)) and (here or not os.environ.get("GCONV_NO_SKIPS")):
            yield pytest.param(snippet, id=f"line-{snippet.line}")


def names_before(snippet):
    """What the snippets before it that need the same library, or none, have defined."""
    names = {}
    for other in SNIPPETS:
        if other is snippet:
            return names
        if other is BEGIN or (other.needs and other.needs <= snippet.needs):
            exec(other.compile(), names)
    raise AssertionError


@pytest.mark.parametrize("snippet", list(collected()))
def test_snippet(snippet):
    for library in snippet.libraries:
        oracle(library)
    names = names_before(snippet)
    for name in ("ours", "theirs"):
        names.pop(name, None)
    exec(snippet.compile(), names)
    ours, theirs = names["ours"], np.asarray(names["theirs"])
    assert type(ours) is np.ndarray
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    assert np.abs(theirs).max() > 0.1
    tolerance = 1e-12 if theirs.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_the_page_covers_what_it_says():
    needs = set().union(*(snippet.needs for snippet in REST))
    assert needs == {"scipy", "cv2", "torch", "onnx", "jax", "padding_mode", "conv_transpose2d"}
    assert len(REST) > 35
    assert BEGIN.needs == {"begin"}
    assert TEXT.count("```") == 2 * len(SNIPPETS)


@pytest.mark.parametrize("snippet", REST, ids=lambda snippet: f"line-{snippet.line}")
def test_every_snippet_compares(snippet):
    """Also one that is not run here."""
    assigned = re.findall(r"^(ours|theirs) = ", snippet.code, re.MULTILINE)
    assert sorted(assigned) == ["ours", "theirs"]


def test_lines_are_short():
    for number, line in enumerate(TEXT.splitlines(), 1):
        assert len(line) <= 120 or line.startswith("|"), number
