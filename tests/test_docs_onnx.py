"""docs/onnx.md runs as written, and says what there is."""

import re
from pathlib import Path

import numpy as np
import pytest
from oracles import oracle
from pages import BLOCK, run_block

from gconv.__main__ import main

PAGE = Path(__file__).parents[1] / "docs" / "onnx.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = list(BLOCK.finditer(TEXT))


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """Blocks of Python share their names; comments behind a print are what it prints."""
    oracle("onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gconv._cli.run.SECONDS", 0.01)
    names = {}
    for block in BLOCKS:
        printed, expected = run_block(PAGE, TEXT, block, names, capsys)
        assert printed[: len(expected)] == expected
        assert printed or block["language"] == "sh" or "print(" not in block["code"]
    assert len(BLOCKS) > 6
    assert np.load("results/scores.npy").shape == (1, 10)


def test_its_options_are_those_of_the_command(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
    assert options == set(re.findall(r"^\| `(--[a-z]+)", TEXT, re.MULTILINE))


@pytest.mark.parametrize("target", re.findall(r"\]\(([^):#]+)[^)]*\)", TEXT))
def test_what_it_links_to_exists(target):
    assert (PAGE.parent / target).is_file()


def test_lines_are_short():
    for number, line in enumerate(TEXT.splitlines(), 1):
        assert len(line) <= 120 or line.startswith("|"), number
