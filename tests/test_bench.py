"""`gconv bench` measures what is installed, checks every result, and refuses in one line."""

import json
import os
import re

import pytest
from interpreter import run_python
from oracles import oracle

from gconv._bench import run
from gconv._bench.contenders import CONTENDERS
from gconv._bench.layers import read_layers
from gconv._bench.targets import TARGETS, outcomes
from gconv._bench.transposed import CASES

ROW = "article_3to9_g3"
TINY = ("--rows", ROW, "--threads", "1", "--rounds", "1", "--quick")
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; "


def bench(*arguments, before=""):
    """Run ``gconv bench`` in a process of its own."""
    code = f"{before}import sys; from gconv.__main__ import main; sys.exit(main())"
    return run_python("-c", code, "bench", *map(str, arguments), timeout=120)


def tables_of(text):
    """Return the markdown tables as lists of rows of cells, the rule left out."""
    tables, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            tables.append([rows[0], *rows[2:]])
            rows = []
    return tables


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A run of gconv alone on one row: the finished process, the results."""
    path = tmp_path_factory.mktemp("bench") / "results.json"
    done = bench(*TINY, "--contenders", "function,layer,layer-out,layer-f64", "--json", path)
    return done, json.loads(path.read_text())


def test_help_names_every_option_and_contender():
    done = bench("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: gconv bench ")
    options = {text for action in run.parser()._actions for text in action.option_strings}
    for word in [*options, *CONTENDERS, "Exit status", "gconv[bench]"]:
        assert word in done.stdout


def test_the_command_line_says_that_it_is_there():
    done = run_python("-m", "gconv", "--help")
    assert re.search(r"^ +bench +measure", done.stdout, re.MULTILINE)


def test_a_tiny_run_prints_its_tables_and_succeeds(tiny):
    done, _ = tiny
    assert done.returncode == 0, done.stderr
    targets, rows = tables_of(done.stdout)
    assert [line[0] for line in targets[1:]] == [target.what for target in TARGETS]
    assert rows[0][:6] == ["layer", "class", *(CONTENDERS[name].title for name in (
        "function", "layer", "layer-out", "layer-f64"))]
    assert [line[0] for line in rows[1:]] == [ROW]
    assert all(float(cell.split()[0]) > 0 for cell in rows[1][2:6])
    assert "1 rounds" in done.stdout


def test_its_json_holds_the_machine_and_every_time(tiny):
    _, results = tiny
    (layer,) = (layer for layer in read_layers() if layer.name == ROW)
    (row,) = results["rows"]
    assert {"cpu", "cores", "date", "versions", "reference", "rounds"} <= results.keys()
    assert results["rounds"] == 1
    assert (row["layer"], row["class"], row["threads"]) == (ROW, layer.kind, 1)
    assert (row["flops"], row["flops_inside"]) == (layer.flops, layer.flops_inside)
    assert set(row["seconds"]) == {"function", "layer", "layer-out", "layer-f64"}
    assert all(0 < seconds < 1 for seconds in row["seconds"].values())
    assert all(error <= 1 for error in row["errors"].values())
    assert row["peak"] > 0
    assert row["bandwidth"] > 0
    assert row["balance"] >= 1


def test_without_pytorch_the_plain_loop_nest_is_the_reference(tmp_path):
    path = tmp_path / "results.json"
    done = bench(*TINY, "--contenders", "layer,layer-f64,torch", "--json", path,
                 before=WITHOUT_TORCH)
    assert done.returncode == 0, done.stderr
    assert "without torch: " in done.stderr
    assert "checked against gconv's plain loop nest" in done.stderr
    assert "checked against gconv's plain loop nest" in done.stdout
    (row,) = json.loads(path.read_text())["rows"]
    assert set(row["seconds"]) == {"layer", "layer-f64"}
    assert all(error <= 1 for error in row["errors"].values())


def test_every_peer_that_is_installed_is_right_or_named():
    """Which are installed is their own affair; here it is the table that must have them."""
    oracle("torch")
    done = bench(*TINY)
    assert done.returncode == 0, done.stderr
    titles = tables_of(done.stdout)[1][0]
    for name, contender in CONTENDERS.items():
        if contender.is_peer:
            assert (contender.title in titles) != (f"without {name}: " in done.stderr)
    assert "PyTorch" in titles


REFUSED = {
    "no layer or class matches 'resnet_99'": ("--rows", "resnet_99"),
    "no layer or class matches 'class:sparse'": ("--rows", f"{ROW},class:sparse"),
    "'none' is not a number from 1 on": ("--threads", "1,none"),
    "'0' is not a number from 1 on": ("--rounds", "0"),
    "no contender 'caffe'": ("--contenders", "layer,caffe"),
    "nowhere is not a directory": ("--json", "nowhere/results.json"),
    "unrecognized arguments: --fast": ("--fast",),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_wrong_is_one_line_and_status_2(reason, capsys):
    with pytest.raises(SystemExit) as end:
        run.main(REFUSED[reason])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gconv bench: ")
    assert reason in line


def test_no_contender_that_is_installed_is_one_line_and_status_2():
    done = bench(*TINY, "--contenders", "torch", before=WITHOUT_TORCH)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("gconv bench: none of these contenders")
    assert done.stdout == ""


def test_plots_without_matplotlib_are_refused_before_anything_is_measured(tmp_path):
    blocked = "import sys; sys.modules['matplotlib'] = None; "
    done = bench(*TINY, "--plots", tmp_path / "plots", before=blocked)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "gconv[bench]" in line
    assert not (tmp_path / "plots").exists()


def test_tables_and_plots_are_written_where_asked(tmp_path):
    pytest.importorskip("matplotlib")
    done = bench(*TINY, "--contenders", "layer", "--markdown", tmp_path / "tables.md",
                 "--plots", tmp_path / "plots")
    assert done.returncode == 0, done.stderr
    assert ROW in (tmp_path / "tables.md").read_text(encoding="utf-8")
    plots = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert plots == ["ratio.png", "roofline.png"]


def test_the_layers_can_be_listed(capsys):
    assert run.main(["--list", "--rows", "class:conv3d"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [layer.name for layer in read_layers() if layer.kind == "conv3d"]


OTHERS = {
    "balance": ("--rows", ROW),
    "scaling": ("--rows", ROW, "--threads", "1,2", "--rounds", "1"),
    "memory": ("--rows", ROW, "--contenders", "layer"),
    "article": (),
    "overhead": (),
    "versus_torch": ("--rows", ROW, "--threads", "1", "--rounds", "1"),
    "beside_torch": ("--rows", ROW, "--rounds", "1"),
    "padding_modes": ("--rows", ROW, "--rounds", "1"),
    "epilogue": ("--rows", ROW, "--rounds", "1"),
}


@pytest.mark.parametrize("module", OTHERS)
def test_the_other_benchmarks_run(module):
    """A missed target is status 1: so small a run says nothing about it."""
    if module in ("overhead", "versus_torch", "beside_torch"):
        oracle("torch")
    if module == "memory" and not os.path.isfile("/proc/self/clear_refs"):
        pytest.skip("measures memory where Linux tells it")
    done = run_python("-m", f"gconv._bench.{module}", *OTHERS[module], timeout=120)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert (ROW if OTHERS[module] else "gconv") in done.stdout


def test_what_the_other_benchmarks_print_goes_to_a_file(tmp_path):
    target = tmp_path / "others.md"
    done = run_python("-m", "gconv._bench.others", "--markdown", str(target), "--only", "article",
                      timeout=120)
    assert done.returncode == 0, done.stderr
    text = target.read_text(encoding="utf-8")
    assert text.startswith("# Other benchmarks\n")
    assert "## article\n" in text
    assert "gconv" in text.partition("```text\n")[2]


def test_the_benchmark_of_transposed_convolution_runs_and_is_right():
    oracle("torch")
    arguments = ("--threads", "1", "--rounds", "1")
    done = run_python("-m", "gconv._bench.transposed", *arguments, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert "WRONG" not in done.stdout
    for case in CASES:
        assert case.name in done.stdout


# ---- the verdict -------------------------------------------------------------------------------


def a_row(name, threads, seconds, **others):
    """A row of results: 10 MFLOP, at most 10 GFLOP/s by arithmetic, no limit by memory."""
    row = {"layer": name, "class": "depthwise", "threads": threads, "flops": 1e7,
           "flops_inside": 1e7, "bytes": 1, "peak": 1e10, "bandwidth": 1e12, "balance": 1.0,
           "seconds": seconds, "errors": dict.fromkeys(seconds, 0.0)}
    return row | others


def verdicts(*rows):
    """Return the outcomes of the most threads by the target's first words."""
    found = outcomes({"rows": rows})
    return {one.target.what: one for one in found[max(found)]}


def test_a_target_names_the_rows_that_miss_it_worst_first():
    rows = [a_row(name, 1, {"layer": ours, "torch": 2.0})
            for name, ours in {"a": 4.0, "b": 1.0, "c": 5.0}.items()]
    one = verdicts(*rows)["every row, × best direct peer"]
    assert one.met is False
    assert one.measured == pytest.approx(0.4)
    assert list(one.missed_by) == ["c", "a"]


def test_a_mean_is_geometric():
    rows = [a_row(name, 1, {"layer": 1.0, "torch": torch}) for name, torch in (("a", 2), ("b", 8))]
    one = verdicts(*rows)["grouped classes*, × PyTorch, mean"]
    assert (one.measured, one.met) == (pytest.approx(4.0), True)


def test_a_wrong_or_winograd_peer_is_no_direct_peer():
    seconds = {"layer": 1.0, "torch": 3.0, "onnxruntime": 2.0, "ncnn": 0.5, "torch-f64": 0.1}
    row = a_row("a", 1, seconds)
    row["errors"]["onnxruntime"] = 7.0
    found = verdicts(row)
    assert found["every row, × best direct peer"].measured == pytest.approx(3.0)
    assert found["grouped classes*, × best peer, mean"].measured == pytest.approx(0.5)


def test_float64_is_held_against_the_layer_in_float32():
    one = verdicts(a_row("a", 1, {"layer": 1.0, "layer-f64": 2.0}))
    assert one["float64, every row, of the float32 rate"].measured == pytest.approx(0.5)


def test_two_threads_are_held_against_one_where_memory_is_not_the_limit():
    rows = [
        a_row("a", 1, {"layer": 3.0}),
        a_row("bound", 1, {"layer": 3.0}),
        a_row("small", 1, {"layer": 3.0}),
        a_row("a", 2, {"layer": 2.0}),
        a_row("bound", 2, {"layer": 3.0}, bytes=1e12),
        a_row("small", 2, {"layer": 3.0}, flops=1e6),
    ]
    one = verdicts(*rows)["every row above 5 MFLOP not bound by memory, × one thread"]
    assert one.missed_by == {"a": pytest.approx(1.5)}


def test_balance_is_a_most():
    rows = [a_row("a", 1, {"layer": 1.0}, flops=3e7, balance=1.2),
            a_row("b", 1, {"layer": 1.0}, flops=3e7, balance=1.1)]
    one = verdicts(*rows)["every row above 20 MFLOP, balance on 64 threads"]
    assert (one.measured, one.met, list(one.missed_by)) == (1.2, False, ["a"])


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert verdicts(a_row("a", 1, {"layer": 1.0}))["every row, × best direct peer"].met is None
