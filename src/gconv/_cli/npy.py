"""Arrays as ``.npy`` files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_npy(path: Path) -> NDArray[Any]:
    """Read an array.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is no such array. Pickled arrays are refused, because reading one runs its code.
    """
    with path.open("rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise ValueError("not a .npy file")
        file.seek(0)
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"cannot be read as a .npy file ({reason})") from error
        except MemoryError as error:
            raise ValueError("does not fit into memory") from error
