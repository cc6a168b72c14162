"""Fresh interpreters, for what a process does once: import, environment, fork, threads, a fault."""

import os
import subprocess
import sys


def run_python(*arguments, timeout=60, cwd=None, **environment):
    """Run this interpreter on `arguments`; return the finished process, its output as text.

    A keyword sets an environment variable, or removes it where the value is None. Those that would
    decide the number of threads or the instruction set are not inherited. `timeout` is in seconds:
    a hang is a failure.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GCONV_", "OMP_", "GOMP_", "KMP_"))
    }
    for name, value in environment.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = str(value)
    return subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", *arguments],
        capture_output=True,
        check=False,
        cwd=cwd,
        env=env,
        text=True,
        timeout=timeout,
    )


def printed(*arguments, **options):
    """Return what the interpreter printed, stripped; fail with its errors where it failed."""
    done = run_python(*arguments, **options)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()
