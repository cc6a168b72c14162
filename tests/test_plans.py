"""What plans are kept, how they are chosen, and which tuning record they take."""

import math
import pickle
import sys
import threading
from types import ModuleType

import numpy as np
import pytest
from arrays import integers
from interpreter import printed, run_python
from kernels import tuned

import gconv
from gconv._api import functional
from gconv._call import isa as isa_module
from gconv._families import FAMILIES
from gconv._plan import choose, machine, tuning
from gconv._plan.choose import ENTRY_BYTES, BoundedCache

# ---- caches


class Entry:
    """A value of some size."""

    def __init__(self, nbytes):
        self.nbytes = nbytes


def held(cache):
    """Bytes of what a cache holds, counted anew."""
    return sum(entry.nbytes + ENTRY_BYTES for entry in cache._entries.values())


def test_a_cache_is_bounded_in_bytes_and_drops_the_oldest():
    cache = BoundedCache(10 * ENTRY_BYTES)
    for key in range(100):
        cache.put(key, Entry(1000 * (key % 7)))
        assert held(cache) <= 10 * ENTRY_BYTES
    assert cache.get(99) is not None
    assert cache.get(0) is None
    kept = [key for key in range(100) if cache.get(key) is not None]
    assert kept == list(range(kept[0], 100))
    assert len(cache) == len(kept)


def test_a_value_that_is_put_again_counts_once():
    cache = BoundedCache(10 * ENTRY_BYTES)
    for size in (5, 50, 5000):
        cache.put("key", Entry(size))
    cache.put("other", Entry(0))
    assert len(cache) == 2
    assert cache.get("key").nbytes == 5000
    assert cache._bytes == held(cache)


def test_one_value_larger_than_a_cache_is_kept_alone():
    cache = BoundedCache(10)
    cache.put("small", Entry(1))
    cache.put("large", Entry(10**9))
    assert len(cache) == 1
    assert cache.get("large") is not None


def test_a_cache_is_shared_by_threads():
    cache = BoundedCache(20 * ENTRY_BYTES)
    failed = []

    def use(first):
        try:
            for key in range(first, first + 3000):
                cache.put(key % 50, Entry(key % 900))
                found = cache.get((key * 7) % 50)
                assert found is None or found.nbytes < 900
        except Exception as error:
            failed.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        workers = [threading.Thread(target=use, args=(i * 17,)) for i in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(before)
    assert not failed
    assert cache._bytes == held(cache) <= 20 * ENTRY_BYTES
    assert cache._sizes.keys() == cache._entries.keys()


def test_calls_of_many_shapes_keep_a_bounded_number_of_bytes(monkeypatch, rng):
    """Plans and short cuts, from several threads; the sums stay right."""
    most = 12 * ENTRY_BYTES
    monkeypatch.setattr(choose, "plans", BoundedCache(most))
    monkeypatch.setattr(functional, "short_cuts", BoundedCache(most))
    weight = integers(rng, (4, 2, 3), np.float32)
    x = integers(rng, (2, 4, 300), np.float32)
    want = gconv.conv1d(x, weight, groups=2)
    failed = []

    def use(first):
        for width in range(first, 300, 7):
            for _ in range(2):
                got = gconv.conv1d(x[..., :width], weight, groups=2)
                if not np.array_equal(got, want[..., : width - 2]):
                    failed.append(width)

    workers = [threading.Thread(target=use, args=(3 + i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed
    for cache in (choose.plans, functional.short_cuts):
        assert 0 < held(cache) <= most
        assert cache._bytes == held(cache)


def test_a_plan_counts_the_tables_that_it_keeps_alive():
    """A kernel of many taps has long ones."""
    cache = {}
    for taps in (3, 3000):
        with tuned():
            gconv.conv1d(np.ones((1, 4000), np.float32), np.ones((1, 1, taps), np.float32))
            (cache[taps],) = choose.plans._entries.values()
    assert cache[3000].nbytes > cache[3].nbytes + 3000 * 8


# ---- what every family says


WHY = {
    "depthwise": ((1, 64, 30, 31), (64, 1, 3, 3), {"padding": 1, "groups": 64}),
    "dense": ((1, 64, 14, 14), (64, 64, 3, 3), {"padding": 1}),
    "one dimension": ((1, 8, 300), (8, 4, 5), {"groups": 2}),
    "no padding of zeros": ((1, 8, 30, 31), (8, 1, 3, 3), {
        "padding": 1, "groups": 8, "padding_mode": "reflect"}),
}


@pytest.mark.parametrize("name", WHY)
def test_why_lists_every_family_with_an_estimate_or_a_refusal(name, isa, dtype):
    shape, weight, options = WHY[name]
    layer = getattr(gconv, f"Conv{len(weight) - 2}d")(np.ones(weight, dtype), **options)
    assert layer.explain(shape).why == ()
    how = layer.explain(shape, why=True)
    assert [verdict.family for verdict in how.why] == [family.name for family in FAMILIES]
    for verdict in how.why:
        assert bool(verdict.refusal) == (verdict.cycles is None)
        if verdict.refusal:
            assert len(verdict.refusal.split()) >= 3, "words, not a code"
            assert (verdict.tile_rows, verdict.tile_vectors) == (0, 0)
        else:
            assert verdict.cycles > 0
            assert verdict.tile_rows > 0 < verdict.tile_vectors
        assert f"{verdict.family:<24}{verdict}" in str(how)
    served = [verdict for verdict in how.why if verdict.cycles is not None]
    best = min(served, key=lambda verdict: verdict.cycles)
    assert math.isfinite(best.cycles)
    assert (best.tile_rows, best.tile_vectors) == (how.tile_rows, how.tile_vectors)
    assert next(v for v in how.why if v.family == "plain").cycles == math.inf
    assert how.as_dict()["why"][0]["family"] == "width"


def test_why_of_transposed_layers(isa):
    layer = gconv.ConvTranspose2d(np.ones((8, 4, 4, 4)), stride=2, padding=1)
    verdicts = {verdict.family: verdict for verdict in layer.explain((1, 8, 9, 9), why=True).why}
    assert verdicts["transposed"].cycles > 0
    assert "ordinary" in verdicts["width"].refusal


# ---- the tuning record


RECORD = (
    "import numpy as np, gconv\n"
    "print(gconv.Conv1d(np.ones((1, 1, 1))).explain((1, 1, 9)).tuning)\n"
)


@pytest.mark.parametrize("name", [record.name for record in tuning.RECORDS])
def test_the_environment_forces_a_record(name):
    assert printed("-c", RECORD, GCONV_TUNING=name).strip() == name


def test_without_it_the_cpu_decides():
    cpu = machine.identity()
    own = tuning.record_for(cpu.vendor, cpu.family, cpu.model).name
    assert printed("-c", RECORD, GCONV_TUNING="").strip() == own


@pytest.mark.parametrize("name", ["zen9", "ZEN4", "zen4 ", "0"])
def test_an_unknown_record_is_a_clear_error(name):
    done = run_python("-c", RECORD, GCONV_TUNING=name)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ValueError: gconv: GCONV_TUNING={name!r}")
    for record in tuning.RECORDS:
        assert record.name in last


def test_the_same_record_gives_the_same_plans_whatever_the_caches(monkeypatch):
    """What plans use of the caches is the record's; the system is not asked."""
    monkeypatch.setattr(machine, "caches", None)
    monkeypatch.setattr(machine, "identity", None)
    with tuned():
        layer = gconv.Conv2d(np.ones((48, 48, 3, 3)), padding=1)
        assert layer(np.ones((1, 48, 20, 20)))[0, 0, 5, 5] == 9 * 48


def cpuinfo(**fields):
    """The file of a system with two such CPUs."""
    one = "".join(f"{name.replace('_', ' ')}\t: {value}\n" for name, value in fields.items())
    return f"processor\t: 0\n{one}\nprocessor\t: 1\n{one}\n"


AMD, INTEL = {"vendor_id": "AuthenticAMD"}, {"vendor_id": "GenuineIntel"}
#: What the file says, who that is, and the record.
CPUS = {
    "Zen 4": (
        {**AMD, "cpu_family": 25, "model": 17, "model_name": "AMD EPYC 9R14"},
        ("AuthenticAMD", 25, 17, "AMD EPYC 9R14"), "zen4"),
    "Zen 4, desktop": (
        {**AMD, "cpu_family": 25, "model": 97, "model_name": "Ryzen 7950X"},
        ("AuthenticAMD", 25, 97, "Ryzen 7950X"), "zen4"),
    "Zen 3": (
        {**AMD, "cpu_family": 25, "model": 1, "model_name": "AMD EPYC 7763"},
        ("AuthenticAMD", 25, 1, "AMD EPYC 7763"), "general"),
    "Intel": (
        {**INTEL, "cpu_family": 6, "model": 143, "model_name": "Xeon: Platinum"},
        ("GenuineIntel", 6, 143, "Xeon: Platinum"), "general"),
    "ARM": (
        {"BogoMIPS": "243.75", "CPU implementer": "0x41", "CPU architecture": 8,
         "CPU part": "0xd40"},
        ("0x41", 8, 0xD40, "unknown"), "general"),
    "nothing": ({}, ("unknown", 0, 0, "unknown"), "general"),
    "no numbers": (
        {**AMD, "cpu_family": "many", "model": "?"}, ("AuthenticAMD", 0, 0, "unknown"), "general"),
}
linux = pytest.mark.skipif(sys.platform == "darwin", reason="files of Linux")


@linux
@pytest.mark.parametrize("name", CPUS)
def test_the_record_is_chosen_from_the_identity(name, tmp_path, monkeypatch):
    monkeypatch.delenv(tuning.VARIABLE, raising=False)
    fields, want, record = CPUS[name]
    text = cpuinfo(**fields).replace("vendor id", "vendor_id")
    (tmp_path / "cpuinfo").write_text(text)
    cpu = machine.identity(str(tmp_path / "cpuinfo"))
    assert cpu == want
    assert tuning.record_for(cpu.vendor, cpu.family, cpu.model).name == record


@linux
def test_a_system_without_the_file_is_unknown(tmp_path):
    assert machine.identity(str(tmp_path / "none")) == machine.UNKNOWN


def cache_folder(path, *levels):
    """The folder of a core's caches: (index, type, level, size, ways, line)."""
    names = ("type", "level", "size", "ways_of_associativity", "coherency_line_size")
    for index, *values in levels:
        (path / f"index{index}").mkdir()
        for name, value in zip(names, values, strict=True):
            (path / f"index{index}" / name).write_text(f"{value}\n")
    return str(path)


@linux
def test_caches_as_the_system_tells_them(tmp_path):
    """Data caches and unified ones, first level first; instructions apart."""
    folder = cache_folder(
        tmp_path, (3, "Unified", 3, "32M", 16, 64), (0, "Data", 1, "48K", 12, 64),
        (1, "Instruction", 1, "32K", 8, 64), (2, "Unified", 2, "2048K", 16, 64))
    assert machine.caches(folder) == (
        (1, 48 * 1024, 12, 64), (2, 2048 * 1024, 16, 64), (3, 32 * 1024**2, 16, 64))


@linux
def test_caches_where_the_system_does_not_say(tmp_path):
    assert machine.caches(str(tmp_path / "none")) == machine.FALLBACK
    (tmp_path / "index0").mkdir()  # of no files, as in some containers
    assert machine.caches(str(tmp_path)) == machine.FALLBACK


# ---- engines and layers of other builds


def test_an_engine_of_another_build_is_an_import_error(isa, dtype):
    """Before any plan is made for it."""
    module = isa_module.engine(isa, np.dtype(dtype))
    other = ModuleType("gconv._engine.other")
    vars(other).update(vars(module), __name__="gconv._engine.other")
    for changes in (
        {"struct_sizes": {**module.struct_sizes, "PLAN": module.struct_sizes["PLAN"] + 8}},
        {"families": {**module.families, "width": (0, 8, {})}},
        {"families": {**module.families, "another": (99, 8, {})}},
    ):
        vars(other).update(vars(module), __name__="gconv._engine.other")
        vars(other).update(changes)
        with pytest.raises(ImportError, match=r"_engine\.other has (other plans|another plan)"):
            choose.machine_of(isa, other, dtype().itemsize, tuning.GENERAL)


#: Layers made by version 0.1, pickled by protocol 4.
PICKLES = {
    "Conv1d": (
        b"\x80\x04\x95\xcc\x01\x00\x00\x00\x00\x00\x00\x8c\rgconv._layers\x94\x8c\x08_"
        b"rebuild\x94\x93\x94(\x8c\x05gconv\x94\x8c\x06Conv1d\x94\x93\x94"
        b"\x8c\x16numpy._core.multiarray\x94\x8c\x0c_re"
        b"construct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94"
        b"\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x04K\x02K\x03\x87\x94h\t\x8c\x05d"
        b"type\x94\x93\x94\x8c\x02f4\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff"
        b"\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89C`\x00\x00\x00\x00\x00\x00\x80?\x00\x00\x00"
        b"@\x00\x00@@\x00\x00\x80@\x00\x00\xa0@\x00\x00\xc0@\x00\x00\xe0@\x00\x00\x00A\x00\x00"
        b"\x10A\x00\x00 A\x00\x000A\x00\x00@A\x00\x00PA\x00\x00`A\x00\x00pA\x00\x00\x80A"
        b"\x00\x00\x88A\x00\x00\x90A\x00\x00\x98A\x00\x00\xa0A\x00\x00\xa8A\x00\x00\xb0A\x00\x00"
        b"\xb8A\x94t\x94bh\x08h\x0bK\x00\x85\x94h\r\x87\x94R\x94(K\x01K\x04\x85\x94h\x15\x89"
        b"C\x10\x00\x00\x00\x00\x00\x00\x80?\x00\x00\x00@\x00\x00@@\x94t\x94b}\x94(\x8c\x06str"
        b"ide\x94K\x01\x85\x94\x8c\x07padding\x94K\x01K\x00\x86\x94\x85\x94\x8c\x08di"
        b"lation\x94K\x01\x85\x94\x8c\x06groups\x94K\x02\x8c\x0cpaddin"
        b"g_mode\x94\x8c\x05zeros\x94\x8c\nactivation\x94\x8c\x04"
        b"clip\x94G\x00\x00\x00\x00\x00\x00\x00\x00G@D\x00\x00\x00\x00\x00\x00\x87\x94ut\x94R\x94"
        b"."
    ),
    "ConvTranspose2d": (
        b"\x80\x04\x95{\x01\x00\x00\x00\x00\x00\x00\x8c\rgconv._layers\x94\x8c\x08_"
        b"rebuild\x94\x93\x94(\x8c\x05gconv\x94\x8c\x0fConvTrans"
        b"pose2d\x94\x93\x94\x8c\x16numpy._core.multiar"
        b"ray\x94\x8c\x0c_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c"
        b"\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01(K\x02K"
        b"\x01K\x02K\x02t\x94h\t\x8c\x05dtype\x94\x93\x94\x8c\x02f8\x94\x89\x88\x87\x94R\x94"
        b"(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89C@\x00\x00"
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00\x00\x00\x00\x00@\x00"
        b"\x00\x00\x00\x00\x00\x08@\x00\x00\x00\x00\x00\x00\x10@\x00\x00\x00\x00\x00\x00\x14@\x00"
        b"\x00\x00\x00\x00\x00\x18@\x00\x00\x00\x00\x00\x00\x1c@\x94t\x94bN}\x94(\x8c\x06strid"
        b"e\x94K\x02K\x02\x86\x94\x8c\x07padding\x94K\x00K\x00\x86\x94K\x00K\x00\x86\x94"
        b"\x86\x94\x8c\x0eoutput_padding\x94K\x00K\x00\x86\x94\x8c\x08dil"
        b"ation\x94K\x01K\x01\x86\x94\x8c\x06groups\x94K\x02\x8c\nactiv"
        b"ation\x94Nut\x94R\x94."
    ),
    "CausalConv1d": (
        b"\x80\x04\x95U\x01\x00\x00\x00\x00\x00\x00\x8c\rgconv._layers\x94\x8c\x08_"
        b"rebuild\x94\x93\x94(\x8c\x05gconv\x94\x8c\x0cCausalCon"
        b"v1d\x94\x93\x94\x8c\x16numpy._core.multiarray"
        b"\x94\x8c\x0c_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07nd"
        b"array\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x04K\x02K\x03\x87"
        b"\x94h\t\x8c\x05dtype\x94\x93\x94\x8c\x02f4\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<"
        b"\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89C`\x00\x00\x00\x00\x00\x00\x80?"
        b"\x00\x00\x00@\x00\x00@@\x00\x00\x80@\x00\x00\xa0@\x00\x00\xc0@\x00\x00\xe0@\x00\x00\x00"
        b"A\x00\x00\x10A\x00\x00 A\x00\x000A\x00\x00@A\x00\x00PA\x00\x00`A\x00\x00pA\x00"
        b"\x00\x80A\x00\x00\x88A\x00\x00\x90A\x00\x00\x98A\x00\x00\xa0A\x00\x00\xa8A\x00\x00\xb0A"
        b"\x00\x00\xb8A\x94t\x94bN}\x94(\x8c\x08dilation\x94K\x02\x85\x94\x8c\x06g"
        b"roups\x94K\x02\x8c\nactivation\x94Nut\x94R\x94."
    ),
}
LAYERS = {
    "Conv1d": lambda weight: gconv.Conv1d(
        weight, np.arange(4, dtype=np.float32), padding=((1, 0),), groups=2,
        activation=("clip", 0, 40)),
    "ConvTranspose2d": lambda weight: gconv.ConvTranspose2d(
        np.arange(8.0).reshape(2, 1, 2, 2), stride=2, groups=2),
    "CausalConv1d": lambda weight: gconv.CausalConv1d(weight, groups=2, dilation=2),
}


@pytest.mark.parametrize("name", PICKLES)
def test_layers_pickled_by_version_0_1_load(name, rng):
    layer = pickle.loads(PICKLES[name])
    want = LAYERS[name](np.arange(24, dtype=np.float32).reshape(4, 2, 3))
    assert type(layer) is type(want)
    assert repr(layer) == repr(want)
    shape = (1, 2, 5, 6) if name == "ConvTranspose2d" else (2, 4, 9)
    x = integers(rng, shape, layer.weight.dtype)
    assert layer(x).tobytes() == want(x).tobytes()
    assert pickle.loads(pickle.dumps(layer))(x).tobytes() == want(x).tobytes()
