"""What the README shows runs, and what it points to is there."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_steps_of_how_groups_work_run_as_doctests():
    results = doctest.testfile(str(ROOT / "README.md"), module_relative=False, encoding="utf-8")
    assert results.attempted > 20
    assert results.failed == 0


def test_the_first_snippet_is_six_lines_and_runs():
    snippet = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    lines = [line for line in snippet.splitlines() if line]
    assert len(lines) <= 6
    names = {}
    exec(snippet, names)
    shape = re.search(r"channel: (\(.*?\))", lines[-1])[1]
    assert str(names["responses"].shape) == shape


@pytest.mark.parametrize("target", re.findall(r"\]\(([^):#]+)\)", README))
def test_what_it_links_to_exists(target):
    assert (ROOT / target).is_file()


def test_the_options_of_gconv_filter_are_all_there(capsys):
    from gconv.__main__ import main

    with pytest.raises(SystemExit):
        main(["filter", "--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help", "--output"}
    assert options == set(re.findall(r"^\| `(--[a-z]+)", README, re.MULTILINE))


def test_the_unpublished_name_is_never_installed():
    assert "pip install gconv" not in README
    assert "glibc" in README


@pytest.mark.parametrize("name", ["models", "speed"])
def test_the_measured_parts_can_be_found(name):
    assert README.index(f"<!-- {name}:begin -->") < README.index(f"<!-- {name}:end -->")
