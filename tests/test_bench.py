"""`gconv bench` measures what is installed, checks every result, and refuses in one line."""

import json
import os
import re

import numpy as np
import pytest
from interpreter import run_python
from oracles import oracle

from gconv._bench import run
from gconv._bench.choices import Contenders, ways_of, words_of
from gconv._bench.contenders import CONTENDERS
from gconv._bench.generated import KINDS, generate
from gconv._bench.layers import read_layers
from gconv._bench.targets import TARGETS, outcomes
from gconv._bench.transposed import CASES
from gconv._call import isa
from gconv._engine.call import is_image
from gconv._plan import choose
from gconv._plan.tuning import RECORDS

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


# ---- the planner's choices ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def choices(tmp_path_factory):
    """A run of a layer of each of three classes: the finished process, results, tables."""
    folder = tmp_path_factory.mktemp("choices")
    done = bench("--choices", "--layers", 3, "--seed", 5,
                 "--classes", "grouped,depthwise,transposed",
                 "--json", folder / "choices.json", "--markdown", folder / "choices.md")
    assert done.returncode == 0, done.stderr
    text = (folder / "choices.md").read_text(encoding="utf-8")
    return done, json.loads((folder / "choices.json").read_text()), text


def test_choices_are_held_against_the_best_way_that_was_tried(choices):
    done, results, _ = choices
    assert done.stdout == ""
    assert [row["class"] for row in results["rows"]] == ["grouped", "depthwise", "transposed"]
    assert results["isa"] in isa.PREFERENCE
    assert results["tuning"] in [record.name for record in RECORDS]
    assert results["threads"] == 1
    for row in results["rows"]:
        assert row["seed"] == 5
        assert row["regret"] >= 1
        assert row["regret"] == row["chosen"]["seconds"] / row["best"]["seconds"]
        words = [way["words"] for way in row["tried"]]
        assert words[0] == row["chosen"]["words"]
        assert row["best"]["words"] in words
        assert len(words) == len(set(words)) > 1
        assert all(way["seconds"] > 0 for way in row["tried"])


def test_choices_are_reported_by_class_and_the_worst_by_layer(choices):
    _, results, text = choices
    assert f"tuning record `{results['tuning']}`" in text
    classes, worst = tables_of(text)
    assert [line[:2] for line in classes[1:]] == [
        ["grouped", "1"], ["depthwise", "1"], ["transposed", "1"], ["all", "3"]]
    regrets = sorted((row["regret"] for row in results["rows"]), reverse=True)
    assert [line[4] for line in worst[1:]] == [f"{regret:.2f}" for regret in regrets]


def test_several_runs_of_choices_become_one_table(choices, tmp_path):
    _, results, _ = choices
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for seed, file in enumerate(files):
        rows = [row | {"seed": seed} for row in results["rows"]]
        file.write_text(json.dumps(results | {"rows": rows}))
    done = bench("--choices", "--read", *files)
    assert done.returncode == 0, done.stderr
    assert "6 generated layers, seeds 0, 1." in done.stdout
    assert tables_of(done.stdout)[0][-1][:2] == ["all", "6"]


def test_generated_layers_are_the_same_for_a_seed_however_many():
    layers = generate(20, 3)
    assert layers[:7] == generate(7, 3)
    assert layers != generate(20, 4)
    assert [layer.kind for layer in layers] == [*KINDS, *KINDS]


def test_generated_layers_are_of_every_sort():
    """Dimensions, memory orders, strides, dilations, padding on one side, ragged channels."""
    layers = generate(300, 0)
    assert {len(layer.spatial) for layer in layers if layer.kind == "transposed"} == {1, 2, 3}
    assert {layer.channels_last for layer in layers} == {False, True}
    for several in ("stride", "dilation", "kernel"):
        assert any(set(getattr(layer, several)) == {1} for layer in layers)
        assert any(max(getattr(layer, several)) > 1 for layer in layers)
    assert any(before != after for layer in layers for before, after in layer.padding)
    assert any(layer.out_channels // layer.groups % 4 for layer in layers)


@pytest.mark.parametrize("layer", generate(10, 1), ids=lambda layer: layer.kind)
def test_a_generated_layer_has_the_shapes_that_it_says(layer):
    x = layer.x()
    assert layer.layer()(x).shape == (1, layer.out_channels, *layer.out_spatial)
    assert is_image(x, True, not layer.channels_last)


def test_every_way_that_is_tried_is_forced_and_differs():
    """Also those that wrappers make of a layer; the first is the planner's own choice."""
    for layer in generate(20, 2):
        contenders = Contenders(layer, 1)
        ways = ways_of(contenders.problem, contenders.engine)
        chosen = choose.choose(contenders.problem, contenders.engine)
        assert words_of(chosen) == (ways[0].words, ways[0].family)
        for way in ways[1:]:
            forced = choose.choose(contenders.problem, contenders.engine, way.forced)
            assert forced.forced
            assert words_of(forced)[0] == way.words
            assert forced.cycles >= chosen.cycles
        assert len({way.words for way in ways}) == len(ways)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_record_has_other_values_for_shorter_vectors_and_plans_take_them(record):
    for size, values in record.shorter.items():
        shorter = record.with_vectors(size)
        assert {name: getattr(shorter, name) for name in values} == values
        assert all(getattr(record, name) != value for name, value in values.items())
    assert record.with_vectors(64) == record
    for name in isa.usable():
        dtype = np.dtype(np.float32)
        found = choose.machine_of(name, isa.engine(name, dtype), dtype.itemsize, record)
        assert found.tuning == record.with_vectors(found.lanes * dtype.itemsize)


@pytest.mark.parametrize(
    ("reason", "arguments"),
    [("no class 'sparse'", ("--classes", "dense,sparse")),
     ("'0' is not a number from 1 on", ("--layers", "0")),
     ("cannot be read", ("--read", "nowhere.json"))])
def test_what_is_wrong_with_choices_is_one_line_and_status_2(reason, arguments, capsys):
    with pytest.raises(SystemExit) as end:
        run.main(["--choices", *arguments])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gconv bench --choices: ")
    assert reason in line


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
