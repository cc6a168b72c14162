"""Files that Matplotlib ships: a font for the sheets, and a photograph to begin with."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def matplotlib_data(*parts: str) -> Path:
    """Return the path of a data file.

    Matplotlib is found but not imported, which would take longer than most pictures do.

    Raises
    ------
    ImportError
        Matplotlib is not installed.
    """
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise ImportError("needs Matplotlib, part of the extra gconv[cli]")
    path = Path(spec.origin).with_name("mpl-data").joinpath(*parts)
    if not path.exists():  # a distribution that keeps them elsewhere
        from matplotlib import get_data_path

        path = Path(get_data_path(), *parts)
    return path
