"""A program: one way of mixing processes, threads and parallel convolutions.

    python fork_scenarios.py SCENARIO

Exit status 0 where every result was right and every process that should be parallel was. A child
that hangs is killed by its alarm, the program by whoever runs it.
"""

import concurrent.futures
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings

import numpy as np

# That is what this is about, and Python 3.12 and later warn of it.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

SECONDS = 30  # for a child, which needs a fraction of one
THREADS = 3

rng = np.random.default_rng(0)
X = rng.integers(-4, 4, (2, 32, 40, 40)).astype(np.float32)
WEIGHT = rng.integers(-4, 4, (64, 8, 3, 3)).astype(np.float32)
OPTIONS = {"padding": 1, "groups": 4}


def sliding_windows(x):
    """Return the convolution of whole numbers without gconv, exactly."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))).reshape(len(x), 4, 8, 42, 42)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(3, 4))
    y = np.einsum("ngchwij,gocij->ngohw", windows, WEIGHT.reshape(4, 16, 8, 3, 3))
    return y.reshape(len(x), 64, 40, 40)


WANT = sliding_windows(X)


def tasks():
    return len(os.listdir("/proc/self/task"))


def convolve(num_threads=THREADS):
    import gconv

    got = gconv.conv2d(X, WEIGHT, **OPTIONS, num_threads=num_threads)
    np.testing.assert_array_equal(got, WANT)


def convolve_in_parallel():
    """Convolve, and see in a process of one thread that the others were started."""
    from gconv._engine import openmp

    before = tasks()
    convolve()
    if openmp.library()[0]:
        assert tasks() >= THREADS, f"{before} threads before the call, {tasks()} after it"


def child(work):
    """Fork; do the work in the child; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(SECONDS)
    status = 1
    try:
        assert tasks() == 1
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def finished(pid):
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child's exit status is {os.waitstatus_to_exitcode(status)}"


def torch_in_parallel():
    import torch

    torch.set_num_threads(THREADS)
    assert torch.ones(1 << 22).exp_().sum() > 0
    assert tasks() >= THREADS


def after_use():
    convolve_in_parallel()
    finished(child(convolve_in_parallel))
    convolve_in_parallel()


def again_and_again():
    for _ in range(20):
        convolve()
        finished(child(convolve_in_parallel))
    # Several at once.
    for pid in [child(convolve_in_parallel) for _ in range(4)]:
        finished(pid)


def only_in_the_child():
    import gconv  # noqa: F401

    finished(child(convolve_in_parallel))


def imported_in_the_child():
    assert "gconv" not in sys.modules
    finished(child(convolve_in_parallel))


def in_the_grandchild():
    def use_and_fork():
        convolve_in_parallel()
        finished(child(convolve_in_parallel))
        convolve_in_parallel()

    convolve_in_parallel()
    finished(child(use_and_fork))


def in_the_grandchild_alone():
    import gconv  # noqa: F401

    finished(child(lambda: finished(child(convolve_in_parallel))))
    convolve_in_parallel()
    finished(child(lambda: finished(child(convolve_in_parallel))))


def after_torch_alone():
    import gconv  # noqa: F401

    torch_in_parallel()
    finished(child(convolve_in_parallel))
    convolve()


def after_torch_alone_imported_first():
    import torch  # noqa: F401

    after_torch_alone()


def after_both():
    convolve_in_parallel()
    torch_in_parallel()
    finished(child(convolve_in_parallel))
    torch_in_parallel()
    convolve()


def while_other_threads_compute():
    stop, wrong = threading.Event(), []

    def compute():
        try:
            while not stop.is_set():
                convolve(2)
        except BaseException as error:
            wrong.append(error)

    convolve()  # An import under way in another thread would be for ever under way in a child.
    threads = [threading.Thread(target=compute) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            finished(child(convolve_in_parallel))
            convolve()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong


def from_another_thread():
    convolve_in_parallel()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(convolve).result()
        finished(pool.submit(child, convolve_in_parallel).result())
        pool.submit(convolve).result()
    convolve()


def after_its_thread_has_ended():
    thread = threading.Thread(target=convolve)
    thread.start()
    thread.join()
    finished(child(convolve_in_parallel))
    convolve()


def pool_worker(number):
    convolve_in_parallel()
    return number


def pool(method):
    convolve_in_parallel()
    with multiprocessing.get_context(method).Pool(2) as workers:
        assert workers.map(pool_worker, range(6), chunksize=1) == list(range(6))
    convolve_in_parallel()


def fork_pool():
    pool("fork")


def spawn_pool():
    pool("spawn")


def forkserver_pool():
    pool("forkserver")


def program_started_after_use():
    import subprocess

    convolve_in_parallel()
    assert subprocess.check_output([sys.executable, "-c", "print(7)"]) == b"7\n"
    convolve_in_parallel()


def eight_threads_share_a_layer():
    """The images differ in size, so that the threads replace each other's plan."""
    import gconv

    layer = gconv.Conv2d(WEIGHT, **OPTIONS)
    images = [np.ascontiguousarray(X[:, :, : 40 - 5 * (i % 4)]) for i in range(8)]
    wants = [layer(image, num_threads=1) for image in images]
    np.testing.assert_array_equal(wants[0], WANT)
    start = threading.Barrier(8)

    def use(image, want):
        start.wait()
        for repetition in range(40):
            got = layer(image, num_threads=1 + repetition % 2)
            np.testing.assert_array_equal(got, want)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(use, *pair) for pair in zip(images, wants, strict=True)]:
            future.result()


SCENARIOS = [
    after_use,
    again_and_again,
    only_in_the_child,
    imported_in_the_child,
    in_the_grandchild,
    in_the_grandchild_alone,
    while_other_threads_compute,
    from_another_thread,
    after_its_thread_has_ended,
    fork_pool,
    spawn_pool,
    forkserver_pool,
    program_started_after_use,
    eight_threads_share_a_layer,
]
WITH_TORCH = [after_torch_alone, after_torch_alone_imported_first, after_both]


if __name__ == "__main__":
    {scenario.__name__: scenario for scenario in SCENARIOS + WITH_TORCH}[sys.argv[1]]()
