"""Fresh interpreters, for what a process does once: import, environment, fork, threads, a fault."""

import os
import signal
import subprocess
import sys

import pytest


def run_python(*arguments, timeout=60, cwd=None, **environment):
    """Run this interpreter on `arguments`; return the finished process, its output as text.

    A keyword sets an environment variable. Those that decide the number of threads or the
    instruction set are not inherited. After `timeout` seconds, times PATIENCE if that is set, the
    process is killed, with all that it started: a hang is a failure.
    """
    timeout *= float(os.environ.get("PATIENCE", "1"))
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GCONV_", "OMP_", "GOMP_", "KMP_"))
    }
    with subprocess.Popen(
        [sys.executable, "-W", "error::RuntimeWarning", *arguments],
        cwd=cwd,
        env=inherited | {name: str(value) for name, value in environment.items()},
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def on_a_terminal(*arguments):
    """Run the command line with stderr on a terminal; return (what that shows, stdout)."""
    pty = pytest.importorskip("pty")
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gconv", *arguments],
        stdout=subprocess.PIPE,
        stderr=end,
        text=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(end)
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(terminal)
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 0, shown
    return shown.decode(), out


def printed(*arguments, **options):
    """Return what the interpreter printed, stripped; fail with its errors where it failed."""
    done = run_python(*arguments, **options)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()
