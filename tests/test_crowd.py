"""Beside others' threads, calls use fewer of their own: decided by readings of the clock alone.

Times are milliseconds here. A call on two threads that takes 1 computes for 2, unless it is late.
"""

import concurrent.futures
import itertools
import os

import numpy as np
import pytest
from interpreter import printed

import gconv
from gconv._engine import call

CPUS = 2
#: What `crowd.h` says.
FIRST_PAUSE, LONGEST_PAUSE, LATE_CALLS, FORGOTTEN_AFTER = 10, 1600, 5, 1000


class Program:
    """A program that makes calls, by a clock of its own."""

    def __init__(self, threads=2, cpus=CPUS):
        self.detector = call.CrowdDetector()
        self.now, self.threads, self.cpus, self.seen = 0, threads, cpus, 0

    def clock(self):
        """Return nanoseconds."""
        return 5_000_000_000 + round(self.now * 1e6)

    def call(self, late=0.0, work=2.0):
        """Return the threads of a call that takes `work` on one thread; several begin `late`."""
        begin = self.clock()
        used = self.detector.begin(self.threads, self.cpus, begin)
        self.now += work / used + (late if used > 1 else 0)
        computed = round(work * 1e6) if used > 1 else 0
        self.seen = self.detector.end(used, begin, self.clock(), computed)
        return used

    def rest(self, milliseconds):
        self.now += milliseconds

    def until_one(self, late=8.0, **options):
        """Return the number of calls on several threads, all of them late, before one on one."""
        return sum(1 for _ in itertools.takewhile(
            lambda used: used > 1, (self.call(late, **options) for _ in range(1000))))

    def pause(self):
        """Go to the end of a pause; return how long calls have been on one thread."""
        begin = self.now
        while self.detector.begin(self.threads, self.cpus, self.clock()) == 1:
            self.detector.end(1, 0, 0, 0)
            self.now += 1
        self.detector.end(1, 0, 0, 0)
        return self.now - begin


@pytest.fixture
def program():
    return Program()


def test_calls_that_are_never_late_use_all_their_threads(program):
    for work in itertools.islice(itertools.cycle([0.02, 0.5, 30.0, 0.1]), 10_000):
        assert program.call(work=work) == 2
    assert program.seen == 0


def test_late_calls_are_followed_by_calls_on_one_thread(program):
    assert program.until_one() == LATE_CALLS
    assert program.seen == 1
    assert [program.call(), program.call()] == [1, 1]


def test_waking_threads_after_a_rest_is_no_crowd(program):
    for _ in range(1000):
        program.rest(50)
        assert program.call(late=0.5, work=0.1) == 2


@pytest.mark.parametrize("late", [4, 20, 500])
def test_bursts_of_other_processes_are_no_crowd(program, late):
    """Three late calls in a row, however late, and 15 ms without."""
    for _ in range(100):
        for delay in [late] * 3 + [0] * 15:
            assert program.call(delay) == 2
    assert program.seen == 0


def test_rare_late_calls_do_not_add_up(program):
    for _ in range(100):
        assert program.call(late=8, work=0.02) == 2
        program.rest(FORGOTTEN_AFTER + 1)
    assert program.seen == 0


def test_late_calls_that_many_threads_speed_up_all_the_same_change_nothing():
    """16 threads take 1 + 4 ms where one would take 16."""
    program = Program(threads=16, cpus=16)
    for _ in range(1000):
        assert program.call(late=4, work=16) == 16
    assert program.until_one(work=1) == LATE_CALLS


def test_the_pause_doubles_with_every_trial_that_fails(program):
    assert program.until_one() == LATE_CALLS
    pauses = [program.pause()]
    for _ in range(9):
        assert program.until_one() <= 2
        pauses.append(program.pause())
    want = [min(FIRST_PAUSE * 2**i, LONGEST_PAUSE) for i in range(10)]
    assert pauses == pytest.approx(want, abs=6)
    assert program.seen == 10


def test_in_a_crowd_little_time_is_lost_by_trials(program):
    """Against one thread, in five seconds."""
    lost, work, calls = 0.0, 1.2, 0
    while program.now < 5000:
        before = program.now
        program.call(late=4, work=work)
        lost += program.now - before - work
        calls += 1
    assert 0 < lost < 0.02 * 5000


def test_a_trial_may_begin_late(program):
    """The threads have gone to sleep meanwhile."""
    program.until_one()
    program.pause()
    assert program.call(late=8) == 2
    for _ in range(100):
        assert program.call() == 2


def test_after_a_crowd_all_is_as_before(program):
    for _ in range(3):
        program.until_one()
        for _ in range(4):
            program.pause()
            program.until_one()
        program.pause()
        for _ in range(20):  # what was lost is gained again
            assert program.call() == 2
        assert program.until_one() == LATE_CALLS
        assert program.pause() == pytest.approx(FIRST_PAUSE, abs=2)


def test_a_crowd_is_forgotten_where_nobody_calls(program):
    program.until_one()
    program.pause()
    program.call()
    program.rest(FORGOTTEN_AFTER + 1)
    assert program.until_one() == LATE_CALLS


@pytest.mark.parametrize(
    ("callers", "threads", "cpus", "want"),
    [(1, 2, 2, 2), (1, 5, 2, 5), (2, 2, 2, 1), (8, 2, 2, 1), (2, 16, 16, 8), (3, 16, 16, 5),
     (8, 2, 16, 2), (9, 2, 16, 1)],
)
def test_calls_at_once_share_the_cpus(callers, threads, cpus, want):
    detector = call.CrowdDetector()
    used = [detector.begin(threads, cpus, 1) for _ in range(callers)]
    assert used[-1] == want
    for number in used:
        detector.end(number, 1, 2, 1)
    assert detector.begin(threads, cpus, 3) == threads


# ---- what a program sees of it

WEIGHT = np.ones((64, 64, 3, 3), np.float32)


def test_callers_at_once_get_the_bits_of_one_caller(rng):
    layer = gconv.Conv2d(rng.standard_normal((24, 8, 3, 3), np.float32), groups=4, padding=1)
    x = rng.standard_normal((2, 32, 40, 40), np.float32)
    want = [layer(x, num_threads=threads) for threads in (1, 2, 7)]
    np.testing.assert_array_equal(want[0], want[1])
    np.testing.assert_array_equal(want[0], want[2])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda threads: layer(x, num_threads=threads), [2, 4, 1, 3] * 25):
            np.testing.assert_array_equal(got, want[0])


def test_a_call_in_turn_with_products_of_numpy_gets_the_same_bits(rng):
    """NumPy's own threads spin beside it: nobody may have limited them."""
    layer = gconv.Conv2d(rng.standard_normal((64, 64, 3, 3), np.float32), padding=1)
    x = rng.standard_normal((1, 64, 30, 30), np.float32)
    a = rng.standard_normal((500, 500), np.float32)
    want = layer(x, num_threads=1)
    for _ in range(50):
        a @ a
        np.testing.assert_array_equal(layer(x, num_threads=2), want)


def test_calls_are_counted_where_they_end_only():
    """Were one left over, the next calls would get a part of the CPUs for ever."""
    for _ in range(100):
        gconv.conv2d(np.ones((1, 64, 16, 16), np.float32), WEIGHT, num_threads=2)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: gconv.conv2d(
            np.ones((1, 64, 16, 16), np.float32), WEIGHT, num_threads=2), range(100)))
    assert call.calls_now() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_calls_of_a_parent_are_not_counted_in_its_child():
    program = """
import os, threading, numpy as np, gconv
from gconv._engine import call
layer = gconv.Conv2d(np.ones((64, 64, 5, 5), np.float32), padding=2)
x = np.ones((8, 64, 96, 96), np.float32)
thread = threading.Thread(target=lambda: [layer(x, num_threads=2) for _ in range(20)])
thread.start()
while not call.calls_now(): pass
pid = os.fork()
if pid == 0: os._exit(call.calls_now())
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
thread.join()
"""
    assert printed("-c", program) == "0"


def test_show_config_says_whether_a_crowd_was_seen(capsys, monkeypatch):
    def line():
        gconv.show_config()
        return next(li for li in capsys.readouterr().out.splitlines() if "crowd" in li)

    monkeypatch.setattr(call, "crowds_seen", lambda: (0, False))
    assert "none seen" in line()
    monkeypatch.setattr(call, "crowds_seen", lambda: (3, False))
    assert "3 times" in line()
    assert "now" not in line()
    monkeypatch.setattr(call, "crowds_seen", lambda: (3, True))
    assert "one thread now" in line()


def test_gconv_info_says_so_in_a_process_that_has_called_nothing():
    assert "none seen" in printed("-m", "gconv", "info")
