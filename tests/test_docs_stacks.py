"""docs/stacks.md runs as written."""

import re
from pathlib import Path

import numpy as np
import pytest
from oracles import oracle
from pages import BLOCK, run_block

PAGE = Path(__file__).parents[1] / "docs" / "stacks.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = list(BLOCK.finditer(TEXT))


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """Blocks of Python share their names; comments behind a print are what it prints."""
    zarr = oracle("zarr")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS:
        printed, expected = run_block(PAGE, TEXT, block, names, capsys)
        assert printed == expected
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
