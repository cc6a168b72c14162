"""Other libraries as witnesses: their absence skips a test, but never in continuous integration."""

import importlib
import os

import pytest


def oracle(name):
    """Return the module `name`, or skip the tests that need it.

    With GCONV_NO_SKIPS=1 a missing library is an error, with GCONV_NO_SKIPS=except-torch one that
    is not part of PyTorch.
    """
    strict = os.environ.get("GCONV_NO_SKIPS")
    if strict and not (strict == "except-torch" and name.split(".")[0] == "torch"):
        return importlib.import_module(name)
    return pytest.importorskip(name)


def may_be_skipped(test_file, reason):
    """Whether a test of this file may be skipped for this reason.

    In a pass without PyTorch (GCONV_NO_SKIPS=except-torch) those may that ask for it: a pass with
    PyTorch runs every file that names it.
    """
    strict = os.environ.get("GCONV_NO_SKIPS")
    return not strict or (
        strict == "except-torch"
        and "could not import 'torch" in reason
        and "torch" in test_file.read_text(encoding="utf-8")
    )
