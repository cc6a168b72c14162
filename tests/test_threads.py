"""How many threads a call uses: who decides, in which order, and what they are kept from."""

import asyncio
import concurrent.futures
import os
import shutil
import subprocess
import threading

import numpy as np
import pytest
from interpreter import printed, run_python
from oracles import oracle

import gconv
from gconv._call import threads
from gconv._engine import openmp

IMAGE, WEIGHT = np.ones((1, 64, 64, 64), np.float32), np.ones((64, 64, 3, 3), np.float32)

counts_threads = pytest.mark.skipif(
    not (os.path.isdir("/proc/self/task") and openmp.library()[0]),
    reason="counts the threads that OpenMP starts, where Linux lists them",
)
default_of_one = pytest.mark.skipif(
    threads.available_cpus() < 2, reason="with one CPU the default is one thread anyway"
)

#: Begins a program: `call` convolves and returns how many threads there are then, `threads` those
#: that there are now.
COUNT = """
import os
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np, gconv

def threads():
    return len(os.listdir("/proc/self/task"))

def call(num_threads=None):
    gconv.conv2d(x, weight, num_threads=num_threads)
    return threads()

x, weight = np.ones((1, 64, 64, 64), np.float32), np.ones((64, 64, 3, 3), np.float32)
"""


@pytest.fixture
def process_wide():
    """Undo `set_num_threads` after the test."""
    yield gconv.set_num_threads
    gconv.set_num_threads(None)


# ---- precedence


def test_the_narrower_setting_wins(process_wide):
    """num_threads= itself is seen in what a call does: below."""
    default = gconv.get_num_threads()
    process_wide(5)
    assert gconv.get_num_threads() == 5
    with gconv.thread_limit(7):
        assert gconv.get_num_threads() == 7
        process_wide(4)
        assert gconv.get_num_threads() == 7
        with gconv.thread_limit(2):
            assert gconv.get_num_threads() == 2
        assert gconv.get_num_threads() == 7
    assert gconv.get_num_threads() == 4
    process_wide(None)
    assert gconv.get_num_threads() == default


@pytest.mark.parametrize(
    ("environment", "want"),
    [
        ({"GCONV_NUM_THREADS": 5}, 5),
        ({"GCONV_NUM_THREADS": 5, "OMP_NUM_THREADS": 1}, 5),
        ({"OMP_NUM_THREADS": 1}, 1),
        ({"GCONV_NUM_THREADS": ""}, gconv.get_num_threads()),
    ],
)
def test_the_environment_is_the_default(environment, want):
    program = "import gconv; print(gconv.get_num_threads())"
    assert int(printed("-c", program, **environment)) == want


def test_settings_win_over_the_environment():
    program = (
        "import gconv\n"
        "gconv.set_num_threads(2)\n"
        "print(gconv.get_num_threads())\n"
        "with gconv.thread_limit(3): print(gconv.get_num_threads())\n"
        "gconv.set_num_threads(None)\n"
        "print(gconv.get_num_threads())\n"
    )
    assert printed("-c", program, GCONV_NUM_THREADS=5).split() == ["2", "3", "5"]


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "2 threads", "99999999999999999999"])
def test_a_wrong_environment_is_an_error_that_names_it(value):
    program = "import gconv; gconv.conv1d([[1.0, 2.0]], [[[1.0]]])"
    done = run_python("-c", program, GCONV_NUM_THREADS=value)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: ")
    assert "GCONV_NUM_THREADS" in last
    assert value in last


@counts_threads
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_no_more_threads_than_cpus_to_run_on():
    program = (
        "import os\n"
        "cpus = sorted(os.sched_getaffinity(0))\n"
        "os.sched_setaffinity(0, cpus[:1])\n"
        "import gconv\n"
        "print(gconv.get_num_threads())\n"
    )
    assert printed("-c", program, OMP_NUM_THREADS=4) == "1"


@pytest.mark.parametrize(
    ("quota", "want"), [(0.1, [1]), (1.0, [1]), (1.5, [1, 2]), (2.0, [2]), (None, [4]), (64.0, [4])]
)
def test_no_more_threads_than_the_quota_lets_run(monkeypatch, quota, want):
    monkeypatch.setattr(threads, "cgroup_cpu_quota", lambda root="/": quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    assert threads.available_cpus() in want


# ---- what a call does


@counts_threads
def test_a_call_uses_exactly_the_threads_it_is_given():
    program = COUNT + "print(call(1), call(3), call(2), call(5))"
    one, three, _, five = (int(n) for n in printed("-c", program).split())
    assert (one, three, five) == (1, 3, 5)


@counts_threads
@pytest.mark.parametrize(
    ("setting", "want"),
    [
        ("gconv.set_num_threads(4)", 4),
        ("gconv.set_num_threads(1)", 1),
        ("gconv.set_num_threads(1); limit = gconv.thread_limit(3); limit.__enter__()", 3),
        ("gconv.set_num_threads(4); limit = gconv.thread_limit(1); limit.__enter__()", 1),
        ("", 5),
    ],
)
def test_a_call_obeys_the_settings(setting, want):
    program = f"{COUNT}{setting}\nprint(call())"
    assert int(printed("-c", program, GCONV_NUM_THREADS=5)) == want
    # The call's own number wins over all of them.
    program = f"{COUNT}{setting}\nprint(call(2))"
    assert int(printed("-c", program, GCONV_NUM_THREADS=5)) == 2


@counts_threads
def test_small_problems_start_no_thread():
    program = COUNT + (
        "gconv.conv2d(np.ones((1, 3, 8, 8)), np.ones((9, 1, 3, 3)), groups=3, num_threads=4)\n"
        "print(threads())\n"
    )
    assert printed("-c", program) == "1"


def test_the_interpreter_runs_on_during_a_call():
    """Another thread sees the output half written, which the lock of Python would hide."""
    layer = gconv.Conv2d(np.ones((64, 64, 5, 5), np.float32), padding=2)
    x = np.ones((8, 64, 96, 96), np.float32)
    out = np.empty((8, 64, 96, 96), np.float32)

    def half_written():
        out[...] = np.nan
        thread = threading.Thread(target=layer, args=(x,), kwargs={"out": out, "num_threads": 1})
        thread.start()
        seen = False
        while thread.is_alive() and not seen:
            seen = not np.isnan(out[0, 0, 0, 0]) and np.isnan(out[-1, -1, -1, -1])
        thread.join()
        return seen

    assert any(half_written() for _ in range(5))


def test_functions_may_be_called_from_many_threads_at_once(rng):
    """Every thread asks for geometries that are new, and for the same as the others."""
    weight = rng.integers(-4, 4, (8, 2, 3, 3)).astype(np.float32)
    x = rng.integers(-4, 4, (1, 8, 24, 200)).astype(np.float32)
    want = gconv.conv2d(x, weight, groups=4)

    def use(first):
        for i in range(150):
            width = 3 + (first * 37 + i) % 190
            got = gconv.conv2d(x[..., :width], weight, groups=4, num_threads=1 + i % 2)
            np.testing.assert_array_equal(got, want[..., : width - 2])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(use, first) for first in range(8)]:
            future.result()


# ---- whom a setting reaches


def test_a_limit_does_not_reach_another_thread():
    default, seen = gconv.get_num_threads(), []
    entered, looked, left = (threading.Event() for _ in range(3))

    def other():
        entered.wait(10)
        seen.append(gconv.get_num_threads())
        with gconv.thread_limit(9):
            seen.append(gconv.get_num_threads())
            looked.set()
            left.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    with gconv.thread_limit(7):
        entered.set()
        assert looked.wait(10)
        assert gconv.get_num_threads() == 7
    assert gconv.get_num_threads() == default
    left.set()
    thread.join()
    assert seen == [default, 9]


def test_a_limit_does_not_reach_another_task():
    default = gconv.get_num_threads()

    async def limited(number, turns):
        with gconv.thread_limit(number):
            for _ in range(turns):
                await asyncio.sleep(0)
                assert gconv.get_num_threads() == number

    async def unlimited():
        for _ in range(5):
            await asyncio.sleep(0)
            assert gconv.get_num_threads() == default

    async def main():
        await asyncio.gather(limited(6, 3), unlimited(), limited(7, 5))

    asyncio.run(main())


def test_a_limit_ends_with_an_exception():
    default = gconv.get_num_threads()
    with pytest.raises(KeyError), gconv.thread_limit(7):
        raise KeyError
    assert gconv.get_num_threads() == default


def test_a_process_wide_setting_reaches_every_thread(process_wide):
    seen = []
    start = threading.Event()

    def other():
        start.wait()
        seen.append(gconv.get_num_threads())

    thread = threading.Thread(target=other)
    thread.start()
    process_wide(6)
    start.set()
    thread.join()
    assert seen == [6]


def test_a_refused_setting_changes_nothing(process_wide):
    process_wide(3)
    for bad in (0, -1, 2.5, "2", True):
        with pytest.raises((ValueError, TypeError)):
            gconv.set_num_threads(bad)
    assert gconv.get_num_threads() == 3


# ---- other libraries


@default_of_one
def test_threadpoolctl_is_obeyed():
    threadpoolctl = oracle("threadpoolctl")
    default = gconv.get_num_threads()
    gconv.conv2d(IMAGE, WEIGHT)
    with threadpoolctl.threadpool_limits(1):
        assert gconv.get_num_threads() == 1
    assert gconv.get_num_threads() == default
    with threadpoolctl.threadpool_limits(1, user_api="openmp"):
        assert gconv.get_num_threads() == 1
        with gconv.thread_limit(3):
            assert gconv.get_num_threads() == 3
    assert gconv.get_num_threads() == default


@counts_threads
@default_of_one
def test_a_call_obeys_threadpoolctl():
    oracle("threadpoolctl")
    program = COUNT + (
        "import threadpoolctl\n"
        "with threadpoolctl.threadpool_limits(1): print(call())\n"
        "print(call())\n"
    )
    limited, after = (int(n) for n in printed("-c", program).split())
    assert limited == 1
    assert after > 1


@counts_threads
@default_of_one
@pytest.mark.parametrize("imports", ["import torch, gconv", "import gconv, torch"])
def test_torch_set_num_threads_is_obeyed_where_the_runtime_is_shared(imports):
    oracle("torch")
    oracle("threadpoolctl")
    program = f"""
{imports}
import threadpoolctl
runtimes = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "openmp"]
print(len(runtimes))
{COUNT}
torch.set_num_threads(1)
before = threads()
print(gconv.get_num_threads(), call() - before)
torch.set_num_threads(2)
print(gconv.get_num_threads(), call() - before)
"""
    runtimes, *counts = (int(n) for n in printed("-c", program).split())
    if runtimes != 1:
        pytest.skip(f"PyTorch brought a runtime of its own: there are {runtimes}")
    assert counts == [1, 0, 2, 1]


@pytest.fixture(scope="module")
def openmp_region(tmp_path_factory):
    """Return a C function that calls back from each of two threads of a parallel region."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("openmp")
    (folder / "region.c").write_text(
        "void region(void (*call)(void)) {\n"
        "    #pragma omp parallel num_threads(2)\n"
        "    call();\n"
        "}\n"
    )
    library = folder / "region.so"
    subprocess.run(
        [compiler, "-fopenmp", "-shared", "-fPIC", folder / "region.c", "-o", library], check=True
    )
    return library


@counts_threads
def test_a_call_from_an_openmp_region_is_serial_and_right(openmp_region):
    program = COUNT + (
        "import ctypes\n"
        f"library = ctypes.CDLL({str(openmp_region)!r})\n"
        "results = []\n"
        "@ctypes.CFUNCTYPE(None)\n"
        "def work():\n"
        "    results.append(gconv.conv2d(x, weight, num_threads=4))\n"
        "library.region(work)\n"
        "print(threads(), len(results))\n"
        "print(all((result == 64 * 9).all() for result in results))\n"
    )
    assert printed("-c", program).split() == ["2", "2", "True"]


@counts_threads
def test_a_child_forked_from_an_openmp_region_is_serial_and_warns_once(openmp_region):
    program = COUNT + (
        "import ctypes, warnings\n"
        f"library = ctypes.CDLL({str(openmp_region)!r})\n"
        "def in_the_child():\n"
        "    results = [gconv.conv2d(x, weight, num_threads=4) for _ in range(3)]\n"
        "    right = all((result == 64 * 9).all() for result in results)\n"
        "    print(threads(), right, flush=True)\n"
        "pids = []\n"
        "@ctypes.CFUNCTYPE(None)\n"
        "def work():\n"
        "    if pids: return\n"
        "    pids.append(None)\n"
        "    pids[0] = os.fork()\n"
        "    if pids[0] == 0:\n"
        "        in_the_child()\n"
        "        os._exit(0)\n"
        "warnings.simplefilter('always')\n"
        "library.region(work)\n"
        "assert os.waitpid(pids[0], 0)[1] == 0\n"
        "print(call(3))\n"
    )
    done = run_python("-c", program, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "True", "3"]
    assert done.stderr.count("RuntimeWarning") == 1


# ---- the quota of a control group


def files(root, **contents):
    """Write files under `root`."""
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


CGROUP = "proc/self/cgroup"
V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu"


def v1(folder, quota, period=100000):
    return {
        f"{folder}/cpu.cfs_quota_us": f"{quota}\n",
        f"{folder}/cpu.cfs_period_us": f"{period}\n",
    }


@pytest.mark.parametrize(
    ("contents", "want"),
    [
        pytest.param({}, None, id="no files"),
        pytest.param({CGROUP: "0::/\n", f"{V2}/cpu.max": "150000 100000\n"}, 1.5, id="v2"),
        pytest.param({CGROUP: "0::/\n", f"{V2}/cpu.max": "25000 50000\n"}, 0.5, id="v2 half"),
        pytest.param({CGROUP: "0::/\n", f"{V2}/cpu.max": "max 100000\n"}, None, id="v2 none"),
        pytest.param({CGROUP: "0::/\n"}, None, id="v2 root has no file"),
        pytest.param(
            {CGROUP: "0::/a/b\n", f"{V2}/a/b/cpu.max": "300000 100000\n"}, 3, id="v2 nested"
        ),
        pytest.param(
            {
                CGROUP: "0::/a/b\n",
                f"{V2}/a/b/cpu.max": "max 100000\n",
                f"{V2}/a/cpu.max": "200000 100000\n",
            },
            2,
            id="v2 the parent's quota holds",
        ),
        pytest.param(
            {
                CGROUP: "0::/a/b\n",
                f"{V2}/a/b/cpu.max": "400000 100000\n",
                f"{V2}/a/cpu.max": "200000 100000\n",
            },
            2,
            id="v2 the least quota holds",
        ),
        pytest.param(
            {CGROUP: "0::/host/path\n", f"{V2}/cpu.max": "100000 100000\n"},
            1,
            id="v2 in a container",
        ),
        pytest.param({CGROUP: "4:cpu,cpuacct:/\n"} | v1(V1, 250000), 2.5, id="v1"),
        pytest.param({CGROUP: "1:cpu:/\n"} | v1(V1, 50000, 25000), 2, id="v1 alone"),
        pytest.param({CGROUP: "4:cpu,cpuacct:/\n"} | v1(V1, -1), None, id="v1 none"),
        pytest.param(
            {CGROUP: "4:cpuacct,cpu:/a\n"} | v1("sys/fs/cgroup/cpuacct,cpu/a", 100000),
            1,
            id="v1 mounted under both names",
        ),
        pytest.param({CGROUP: "4:cpu:/docker/abc\n"} | v1(V1, 150000), 1.5, id="v1 in a container"),
        pytest.param(
            {CGROUP: "9:name=systemd:/s\n5:cpuset:/c\n4:cpu,cpuacct:/a:b\n0::/u\n"}
            | v1(f"{V1}/a:b", 300000)
            | v1("sys/fs/cgroup/cpuset/c", 100000),
            3,
            id="v1 among others",
        ),
        pytest.param(
            {CGROUP: "4:cpu:/a\n0::/a\n", f"{V2}/a/cpu.max": "max 100000\n"}
            | v1(f"{V1}/a", 200000),
            2,
            id="both versions",
        ),
        # What cannot be understood is no quota.
        pytest.param({CGROUP: "", f"{V2}/cpu.max": "100000 100000"}, None, id="empty list"),
        pytest.param({CGROUP: "nonsense\n\n::\n:\n"}, None, id="nonsense"),
        pytest.param({CGROUP: "0::/\n", f"{V2}/cpu.max": ""}, None, id="v2 empty"),
        pytest.param({CGROUP: "0::/\n", f"{V2}/cpu.max": "a b\n"}, None, id="v2 words"),
        pytest.param({CGROUP: "0::/\n", f"{V2}/cpu.max": "100000 0\n"}, None, id="v2 no period"),
        pytest.param({CGROUP: "0::/\n", f"{V2}/cpu.max": "-1 100000\n"}, None, id="v2 negative"),
        pytest.param({CGROUP: "0::/\n", f"{V2}/cpu.max": "0 100000\n"}, None, id="v2 zero"),
        pytest.param({CGROUP: "1:cpu:/\n"} | v1(V1, "x"), None, id="v1 words"),
        pytest.param({CGROUP: "1:cpu:/\n"} | v1(V1, 100000, 0), None, id="v1 no period"),
        pytest.param(
            {CGROUP: "1:cpu:/\n", f"{V1}/cpu.cfs_quota_us": "100000\n"}, None, id="v1 one file"
        ),
    ],
)
def test_the_quota_of_a_control_group(tmp_path, contents, want):
    files(tmp_path, **contents)
    assert threads.cgroup_cpu_quota(tmp_path) == want
    assert threads.cgroup_cpu_quota(str(tmp_path)) == want


def test_files_that_cannot_be_read_are_no_quota(tmp_path):
    (tmp_path / CGROUP).mkdir(parents=True)
    assert threads.cgroup_cpu_quota(tmp_path) is None
    (tmp_path / CGROUP).rmdir()
    (tmp_path / CGROUP).write_bytes(b"0::/\xff\xfe\n")
    assert threads.cgroup_cpu_quota(tmp_path) is None
    (tmp_path / CGROUP).write_text("0::/\n")
    (tmp_path / V2 / "cpu.max").mkdir(parents=True)
    assert threads.cgroup_cpu_quota(tmp_path) is None
    (tmp_path / V2 / "cpu.max").rmdir()
    (tmp_path / V2 / "cpu.max").write_bytes(b"\xff\xfe 100000")
    assert threads.cgroup_cpu_quota(tmp_path) is None


def test_the_quota_of_this_very_process_can_be_asked_for():
    quota = threads.cgroup_cpu_quota()
    assert quota is None or quota > 0
