"""Pages of the documentation that run: their commands and their Python, block by block."""

import re
import shlex

from gconv.__main__ import main

BLOCK = re.compile(r"```(?P<language>python|sh)\n(?P<code>.*?)```", re.DOTALL)


def run_block(page, text, block, names, capsys):
    """Run a command, or Python that shares `names`; return the lines that it printed, and those
    that comments behind a print say. A command says nothing on stderr, and what it prints is
    left out."""
    code = block["code"]
    if block["language"] == "sh":
        program, *arguments = shlex.split(code)
        assert program == "gconv"
        assert main(arguments) == 0, code
        assert capsys.readouterr().err == ""
        return [], []
    line = text[: block.start("code")].count("\n")
    exec(compile("\n" * line + code, str(page), "exec"), names)
    expected = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    return capsys.readouterr().out.splitlines(), expected
