"""docs/stacks.md runs as written."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from oracles import oracle

from gconv.__main__ import main

PAGE = Path(__file__).parents[1] / "docs" / "stacks.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = list(re.finditer(r"```(?P<language>python|sh)\n(?P<code>.*?)```", TEXT, re.DOTALL))


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """Blocks of Python share their names; comments behind a print are what it prints."""
    zarr = oracle("zarr")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS:
        code = block["code"]
        if block["language"] == "sh":
            program, *arguments = shlex.split(code)
            assert program == "gconv"
            assert main(arguments) == 0, code
            assert capsys.readouterr().err == ""
            continue
        line = TEXT[: block.start("code")].count("\n")
        exec(compile("\n" * line + code, str(PAGE), "exec"), names)
        expected = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == expected
    assert len(BLOCKS) > 5
    assert Path("responses.png").exists()
    both = [zarr.open_array(name)[...] for name in ("responses.zarr", "volume.gconv.zarr")]
    np.testing.assert_array_equal(*both)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^):#]+)[^)]*\)", TEXT) or [PAGE.name])
def test_what_it_links_to_exists(target):
    assert (PAGE.parent / target).is_file()


def test_lines_are_short():
    for number, line in enumerate(TEXT.splitlines(), 1):
        assert len(line) <= 130 or line.startswith("|"), number
