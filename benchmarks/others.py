"""Every benchmark but the table of layers, one after the other, into one file.

Usage::

    python -m gconv._bench.others --markdown FILE

What each of them says is in its own docstring; those that lack something (PyTorch, mostly) say
so in the file.
"""

from __future__ import annotations

import importlib
import subprocess
import sys

from gconv._bench import machine
from gconv._bench.options import Parser, writable
from gconv._bench.progress import tracked

BENCHMARKS = (
    "article", "overhead", "scaling", "memory", "beside_torch", "beside_numpy", "epilogue",
    "padding_modes", "transposed",
)


def section(name: str) -> str:
    """What a benchmark is for, and what it prints, as Markdown."""
    module = f"gconv._bench.{name}"
    about = (importlib.import_module(module).__doc__ or "").splitlines()[0]
    done = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True)
    printed = done.stdout.rstrip()
    if done.returncode > 1 or not printed:
        printed = f"{printed}\n{done.stderr.rstrip()}".strip()
    return f"## {name}\n\n{about}\n\n```text\n{printed}\n```\n"


def main(argv: list[str] | None = None) -> int:
    parser = Parser("others", __doc__)
    parser.add_argument(
        "--markdown", type=writable, required=True, metavar="FILE", help="write the tables here"
    )
    parser.add_argument(
        "--only", choices=BENCHMARKS, nargs="+", default=BENCHMARKS, metavar="NAME",
        help=f"which of {', '.join(BENCHMARKS)} (all)",
    )
    arguments = parser.parse_args(argv)
    about = machine.description(["gconv", "torch"])
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    parts = [
        "# Other benchmarks\n",
        f"{about['date']}, {about['cpu']} ({about['cores']} cores), {about['system']}. "
        f"{versions}.\n",
    ]
    for name in tracked(arguments.only, lambda name: name):
        parts.append(section(name))
        arguments.markdown.write_text("\n".join(parts))  # an interrupted run is not lost
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
