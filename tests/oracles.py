"""Other libraries as witnesses: their absence skips a test, but never in continuous integration."""

import importlib
import os

import pytest

#: What the extra `test` leaves out since it is large: a pass of its own runs every file that asks
#: for PyTorch, and `.ci/inputs` those that ask for one of the others.
LATER = {"torch", "jax", "xarray", "pandas", "array_api_strict", "dask", "h5py", "zarr"}


def oracle(name):
    """Return the module `name`, or skip the tests that need it.

    With GCONV_NO_SKIPS=1 a missing library is an error, with GCONV_NO_SKIPS=except-torch one that
    no later pass has.
    """
    strict = os.environ.get("GCONV_NO_SKIPS")
    if strict and not (strict == "except-torch" and name.split(".")[0] in LATER):
        return importlib.import_module(name)
    return pytest.importorskip(name)


def may_be_skipped(test_file, reason):
    """Whether a test of this file may be skipped for this reason.

    In the first pass (GCONV_NO_SKIPS=except-torch) those may that ask for a library of a later
    one: that runs every file that names the library.
    """
    strict = os.environ.get("GCONV_NO_SKIPS")
    return not strict or (
        strict == "except-torch"
        and any(
            f"could not import '{library}" in reason
            and library in test_file.read_text(encoding="utf-8")
            for library in LATER
        )
    )
