"""docs/dask.md runs as written."""

import re
from pathlib import Path

import numpy as np
import pytest
from oracles import oracle

PAGE = Path(__file__).parents[1] / "docs" / "dask.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = list(re.finditer(r"```python\n(?P<code>.*?)```", TEXT, re.DOTALL))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # distributed's connections, when it closes
def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """Its blocks share their names; comments behind a print are what it prints."""
    for name in ("dask.array", "distributed", "xarray"):
        oracle(name)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in BLOCKS:
        code = block["code"]
        line = TEXT[: block.start("code")].count("\n")
        exec(compile("\n" * line + code, str(PAGE), "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        expected = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
        assert printed[: len(expected)] == expected
        assert printed or "print(" not in code
        for named in re.findall(r"It says `(.*?)`", TEXT[block.end() : block.end() + 80]):
            assert named in printed[0]
    assert len(BLOCKS) > 8
    assert np.load("responses.npy").any()


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https:)([^)#]+)", TEXT))
def test_what_it_links_to_exists(target):
    assert (PAGE.parent / target).is_file()


def test_lines_are_short():
    for number, line in enumerate(TEXT.splitlines(), 1):
        assert len(line) <= 120 or line.startswith("|"), number
