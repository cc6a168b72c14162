"""Right, parallel and without a hang after any fork, beside PyTorch, and among threads."""

import os
from pathlib import Path

import fork_scenarios
import pytest
from interpreter import run_python
from oracles import oracle

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="needs fork, and Linux to count threads"
)

PROGRAM = Path(fork_scenarios.__file__)


def run(scenario):
    done = run_python(PROGRAM, scenario.__name__, timeout=60)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
    assert not done.stderr


@pytest.mark.parametrize("scenario", fork_scenarios.SCENARIOS, ids=lambda s: s.__name__)
def test_scenario(scenario):
    run(scenario)


@pytest.mark.parametrize("scenario", fork_scenarios.WITH_TORCH, ids=lambda s: s.__name__)
def test_scenario_with_torch(scenario):
    oracle("torch")
    run(scenario)
