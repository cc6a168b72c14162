"""Other libraries as witnesses: their absence skips a test, but never in continuous integration."""

import importlib
import os

import pytest


def oracle(name):
    """Return the module `name`, or skip the tests that need it.

    With GCONV_NO_SKIPS set, a missing library is an error.
    """
    if os.environ.get("GCONV_NO_SKIPS"):
        return importlib.import_module(name)
    return pytest.importorskip(name)
