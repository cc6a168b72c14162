#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
"""The repository's jobs, each in an environment of its own: `nox -s tests docs bench lint`."""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, or those named after `--`, against the installed package."""
    session.install(".[test]")
    session.chdir("tests")
    # Threads that wait leave the CPU to the other processes.
    session.run(
        "python", "-m", "pytest", "-q", "-n", "auto", *session.posargs,
        env={"OMP_WAIT_POLICY": "passive"},
    )


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html; a warning is an error."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Run `gconv bench` with the arguments after `--`."""
    session.install(".[bench]")
    session.run("gconv", "bench", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Look through the code without running it: hooks, types and imports."""
    session.install(".[test]", "pre-commit", "mypy", "import-linter")
    session.run("pre-commit", "run", "--all-files", *session.posargs)
    config = f"{session.invoked_from}/pyproject.toml"
    session.chdir(session.create_tmp())  # the installed package, not src
    session.run("mypy", "--config-file", config)
    session.run("lint-imports", "--config", config)


if __name__ == "__main__":
    nox.main()
