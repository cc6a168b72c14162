"""What the whole suite shares: how much hypothesis tries, and each instruction set in turn."""

import os

import numpy as np
import pytest
from hypothesis import settings
from oracles import may_be_skipped

from gconv._call.isa import usable, use_isa

# GCONV_HYPOTHESIS names one of these; continuous integration repeats the same examples.
settings.register_profile("fast", max_examples=250, deadline=None)
settings.register_profile("ci", max_examples=250, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("few", max_examples=15, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("GCONV_HYPOTHESIS", "ci" if os.environ.get("CI") else "fast"))


@pytest.fixture
def rng():
    """Random numbers, the same in every run."""
    return np.random.default_rng(20)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    """Run the test once in each precision."""
    return request.param


@pytest.fixture(params=usable())
def isa(request):
    """Run the test once on each instruction set that this CPU has."""
    with use_isa(request.param):
        yield request.param


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where nothing may be missing, a skipped test has failed."""
    report = yield
    if report.skipped and not may_be_skipped(item.path, str(report.longrepr)):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {report.longrepr}"
    return report
