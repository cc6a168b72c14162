"""`gconv run` runs a model, says so, and fails in one line without harm to anything."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from interpreter import run_python
from oracles import oracle

from gconv.__main__ import main

onnx = oracle("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from gconv._cli.compare import largest_difference  # noqa: E402
from gconv._cli.run import LEAST_RUNS  # noqa: E402


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A second of runs for each test would be a minute of tests.
    monkeypatch.setattr("gconv._cli.run.SECONDS", 0.01)


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save_model(path, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(
        nodes, "g", inputs, outputs,
        [numpy_helper.from_array(array, name) for name, array in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def save_net(path="net.onnx", *, batch=1):
    """A grouped convolution, ReLU, a sum over pixels: x (batch, 4, 8, 8) -> y (batch, 6)."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((6, 2, 3, 3)).astype(np.float32)
    save_model(
        path,
        [
            helper.make_node("Conv", ["x", "w"], ["c"], "conv", group=2, pads=[1] * 4),
            helper.make_node("Relu", ["c"], ["r"], "relu"),
            helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
            helper.make_node("Flatten", ["p"], ["y"], "flat"),
        ],
        [info("x", [batch, 4, 8, 8])],
        [info("y", [batch, 6])],
        [("w", weight)],
    )
    return weight


def by_reference(path, feeds):
    """What onnx itself computes, in the order of the outputs."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(path).run(None, feeds)


def files():
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def runs(capsys, *arguments):
    """Run ``gconv run``; return the lines that it prints."""
    assert main(["run", *map(str, arguments)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out.splitlines()


def fails_in_one_line(capsys, *arguments):
    """Run ``gconv run`` with something wrong; return the one line it says about it."""
    assert main(["run", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert said.out == ""
    assert line.startswith(f"gconv run: {arguments[0]}: ")
    return line


def one(lines, start):
    """The one line that begins so."""
    (line,) = (line for line in lines if line.strip().startswith(start))
    return line.strip()


class TestTheJob:
    def test_it_prints_inputs_outputs_time_and_memory(self, capsys):
        """Without inputs they are random, of the declared shape and dtype."""
        save_net()
        lines = runs(capsys, "net.onnx")
        assert re.fullmatch(r"net\.onnx: \d+ steps?", lines[0])
        assert one(lines, "input") == "input x (1, 4, 8, 8) float32, random"
        assert re.fullmatch(
            r"output y \(1, 6\) float32: min [\d.e-]+, mean [\d.e-]+, max [\d.e-]+",
            one(lines, "output"),
        )
        assert re.fullmatch(r"load: +[\d.]+ ms, first run [\d.]+ ms", one(lines, "load"))
        best, median, count = re.fullmatch(
            r"run: +([\d.]+) ms best, ([\d.]+) ms median of (\d+) runs, \d+ threads?",
            one(lines, "run"),
        ).groups()
        assert 0 < float(best) <= float(median)
        assert int(count) >= LEAST_RUNS
        assert "MB arena" in one(lines, "memory")
        assert files() == ["net.onnx"]

    def test_statistics_and_files_are_those_of_the_outputs(self, capsys):
        """On an input from a file they are what onnx computes from it."""
        save_net()
        x = np.random.default_rng(1).standard_normal((1, 4, 8, 8)).astype(np.float32)
        np.save("given.npy", x)
        lines = runs(capsys, "net.onnx", "--input", "x=given.npy", "--output", "made/here")
        (expected,) = by_reference("net.onnx", {"x": x})
        y = np.load("made/here/y.npy")
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
        said = one(lines, "output")
        assert said.endswith(f"-> {Path('made/here/y.npy')}")
        numbers = [float(text) for text in re.findall(r"(?:min|mean|max) ([-\d.e]+)", said)]
        np.testing.assert_allclose(numbers, [y.min(), y.mean(), y.max()], rtol=1e-4)
        assert one(lines, "input").endswith("float32, given.npy")

    def test_random_inputs_are_the_same_in_every_run(self, capsys):
        save_net()
        runs(capsys, "net.onnx", "--output", "a")
        runs(capsys, "net.onnx", "--output", "b")
        assert np.array_equal(np.load("a/y.npy"), np.load("b/y.npy"))

    def test_dimensions_that_the_model_leaves_open_are_one_or_given(self, capsys):
        save_net(batch="batch")
        assert "(1, 4, 8, 8)" in one(runs(capsys, "net.onnx"), "input")
        assert "(3, 4, 8, 8)" in one(runs(capsys, "net.onnx", "--dim", "batch=3"), "input")

    def test_every_type_of_numbers_can_be_random(self, capsys):
        """Integers are small, so that they may be indices."""
        kinds = (
            "FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT64", "INT32", "INT8", "UINT8", "BOOL")
        save_model(
            "types.onnx",
            [helper.make_node("Identity", [kind], [f"{kind}_out"]) for kind in kinds],
            [info(kind, [2, 3], getattr(TensorProto, kind)) for kind in kinds],
            [info(f"{kind}_out", [2, 3], getattr(TensorProto, kind)) for kind in kinds],
        )
        runs(capsys, "types.onnx", "--output", "out")
        assert len(files()) == 1 + len(kinds)
        assert set(np.load("out/INT64_out.npy").ravel()) <= {0, 1}
        assert np.load("out/BOOL_out.npy").dtype == bool
        assert np.load("out/FLOAT16_out.npy").dtype == np.float16

    def test_files_are_named_after_outputs_as_far_as_names_of_files_allow(self, capsys):
        names = ["/head/out:0", "head_out_0", "..", "A", "a"]
        save_model(
            "names.onnx",
            [helper.make_node("Identity", ["x"], [name]) for name in names],
            [info("x", [2])], [info(name, [2]) for name in names],
        )
        runs(capsys, "names.onnx", "--output", "out")
        assert sorted(path.name for path in Path("out").iterdir()) == [
            "A.npy", "a.2.npy", "head_out_0.2.npy", "head_out_0.npy", "output.npy"]

    def test_threads_are_those_asked_for(self, capsys):
        save_net()
        assert one(runs(capsys, "net.onnx", "--threads", "1"), "run").endswith("1 thread")

    def test_an_operator_that_the_reference_runs_is_named_on_stderr(self, capsys):
        save_model(
            "slow.onnx", [helper.make_node("Det", ["x"], ["y"])],
            [info("x", [2, 3, 3])], [info("y", [2])],
        )
        assert main(["run", "slow.onnx"]) == 0
        said = capsys.readouterr()
        (line,) = said.err.splitlines()
        assert line.startswith("gconv run: slow.onnx: ")
        assert "Det" in line
        assert "by ONNX's reference" in said.out


class TestProfile:
    def test_the_table_has_a_line_for_each_step(self, capsys):
        save_net()
        lines = runs(capsys, "net.onnx", "--profile")
        count = int(re.match(r"net\.onnx: (\d+)", lines[0])[1])
        table = lines[lines.index("") + 1 :]
        assert "made of" in table[0]
        assert sum(bool(re.match(r" *\d+  ", line)) for line in table[1:]) == count
        assert any("conv" in line for line in table)

    def test_the_plot_is_a_png(self, capsys):
        pytest.importorskip("matplotlib")
        save_net()
        lines = runs(capsys, "net.onnx", "--plot", "steps.png")
        assert Path("steps.png").read_bytes().startswith(b"\x89PNG")
        assert one(lines, "plot") == "plot:    steps.png"

    def test_a_plot_without_matplotlib_is_refused_before_anything_is_done(self):
        save_net()
        code = (
            "import sys, importlib.util as u; f = u.find_spec; "
            "u.find_spec = lambda name, *rest: None if name == 'matplotlib' else f(name, *rest); "
            "from gconv.__main__ import main; sys.exit(main())"
        )
        done = run_python("-c", code, "run", "net.onnx", "--plot", "steps.png")
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr == (
            "gconv run: net.onnx: needs Matplotlib for --plot, part of the extra gconv[cli]\n"
        )


class TestCompare:
    def test_everyone_has_a_line_or_a_reason(self, capsys):
        save_net()
        lines = runs(capsys, "net.onnx", "--compare", "--threads", "1")
        assert "each in a process of its own" in one(lines, "1 thread")
        ours = one(lines, "gconv session").split()
        assert [float(text) > 0 for text in ours[2:5]] == [True] * 3
        assert ours[5] == "1.00"
        for module, title in (("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")):
            if importlib.util.find_spec(module):
                cells = one(lines, title).removeprefix(title).split()
                assert float(cells[0]) > 0
                assert float(cells[4]) < 1e-4
            else:
                assert one(lines, f"without {title}").endswith(f"{module} is not installed")

    def test_differences_are_the_largest_beside_the_largest_value(self):
        ours = [np.array([1.0, 2.0]), np.array([[4.0, np.nan, np.inf]])]
        theirs = [np.array([1.0, 2.0]), np.array([[4.5, np.nan, np.inf]])]
        assert largest_difference(ours, ours) == "0.0e+00 of 4"
        assert largest_difference(ours, theirs) == "5.0e-01 of 4"

    @pytest.mark.parametrize(
        ("theirs", "words"),
        [([], "0 outputs"), ([np.ones(3)], "other shapes"), ([np.array([1, np.nan])], "NaN")])
    def test_results_of_another_kind_are_called_so(self, theirs, words):
        assert words in largest_difference([np.ones(2)], theirs)


REFUSED = {
    "write NAME=FILE.npy": ("--input", "x"),
    "there is no input z; there are x": ("--input", "z=a.npy"),
    "x has a file already": ("--input", "x=good.npy", "--input", "x=good.npy"),
    "--input x=nowhere.npy: No such file": ("--input", "x=nowhere.npy"),
    "not a .npy file": ("--input", "x=net.onnx"),
    "float64": ("--input", "x=double.npy"),
    "(1, 4, 8, 9)": ("--input", "x=wide.npy"),
    "there is no dimension batch; there are none": ("--dim", "batch=2"),
    "write NAME=SIZE": ("--dim", "batch"),
    "a size being a number from 1 on": ("--dim", "batch=0"),
    "a plot is called .png": ("--plot", "steps.jpg"),
    "num_threads": ("--threads", "0"),
    "--output net.onnx: File exists": ("--output", "net.onnx"),
    "there is no directory missing": ("--plot", "missing/steps.png"),
}


class TestRefusals:
    def test_a_model_that_is_not_there(self, capsys):
        assert "no model file" in fails_in_one_line(capsys, "nowhere.onnx")

    def test_a_file_that_is_no_model(self, capsys):
        Path("a.onnx").write_bytes(b"no model at all")
        fails_in_one_line(capsys, "a.onnx")

    def test_a_truncated_model(self, capsys):
        save_net()
        Path("short.onnx").write_bytes(Path("net.onnx").read_bytes()[:-40])
        fails_in_one_line(capsys, "short.onnx")

    @pytest.mark.parametrize("words", REFUSED)
    def test_what_is_wrong_with_an_option(self, words, capsys):
        save_net()
        np.save("good.npy", np.ones((1, 4, 8, 8), np.float32))
        np.save("double.npy", np.ones((1, 4, 8, 8)))
        np.save("wide.npy", np.ones((1, 4, 8, 9), np.float32))
        before = files()
        assert words in fails_in_one_line(capsys, "net.onnx", *REFUSED[words])
        assert files() == before

    def test_sizes_that_nobody_gave_are_mentioned_where_they_do_not_fit(self, capsys):
        save_model(
            "open.onnx",
            [helper.make_node("Conv", ["x", "w"], ["y"])],
            [info("x", [1, 1, "height", "width"])], [info("y", [1, 1, "h", "w"])],
            [("w", np.ones((1, 1, 3, 3), np.float32))],
        )
        line = fails_in_one_line(capsys, "open.onnx", "--dim", "width=8")
        assert "leaves height open, here 1: --dim NAME=SIZE" in line
        runs(capsys, "open.onnx", "--dim", "width=8", "--dim", "height=8")

    def test_a_declared_shape_beyond_memory_is_refused_before_memory_is_taken(self, capsys):
        save_model(
            "huge.onnx", [helper.make_node("ReduceMax", ["x"], ["y"])],
            [info("x", [2**20, 2**20])], [info("y", [1, 1])],
        )
        assert "too much memory" in fails_in_one_line(capsys, "huge.onnx")

    def test_strings_need_a_file(self, capsys):
        save_model(
            "words.onnx", [helper.make_node("Identity", ["x"], ["y"])],
            [info("x", [2], TensorProto.STRING)], [info("y", [2], TensorProto.STRING)],
        )
        assert "random values exist for numbers alone" in fails_in_one_line(capsys, "words.onnx")
        np.save("x.npy", np.array(["one", "two"]))
        runs(capsys, "words.onnx", "--input", "x=x.npy", "--output", "out")
        assert np.load("out/y.npy").tolist() == ["one", "two"]

    def test_without_onnx_the_extra_is_named(self):
        save_net()
        code = (
            "import sys, importlib.util as u; f = u.find_spec; "
            "u.find_spec = lambda name, *rest: None if name == 'onnx' else f(name, *rest); "
            "from gconv.__main__ import main; sys.exit(main())"
        )
        done = run_python("-c", code, "run", "net.onnx")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "gconv run: net.onnx: needs onnx, part of the extra gconv[onnx]\n"


class TestNothingIsOverwritten:
    @pytest.mark.parametrize(
        ("kept", "option"), [("y.npy", ("--output", ".")), ("p.png", ("--plot", "p.png"))])
    def test_a_file_that_exists_is_kept_unless_forced(self, kept, option, capsys):
        pytest.importorskip("matplotlib")
        save_net()
        Path(kept).write_text("precious")
        assert "--force" in fails_in_one_line(capsys, "net.onnx", *option)
        assert Path(kept).read_text() == "precious"
        runs(capsys, "net.onnx", *option, "--force")
        assert Path(kept).read_bytes() != b"precious"
        assert files() == sorted(["net.onnx", kept])

    def test_not_even_force_replaces_a_file_that_is_read(self, capsys):
        save_net()
        np.save("y.npy", np.ones((1, 4, 8, 8), np.float32))
        before = Path("y.npy").read_bytes()
        line = fails_in_one_line(
            capsys, "net.onnx", "--input", "x=y.npy", "--output", ".", "--force")
        assert "would replace a file that is read" in line
        assert Path("y.npy").read_bytes() == before

    def test_a_run_that_fails_leaves_no_files(self, capsys):
        save_net()
        np.save("wide.npy", np.ones((1, 4, 8, 9), np.float32))
        before = files()
        fails_in_one_line(capsys, "net.onnx", "--input", "x=wide.npy", "--output", "out")
        assert files() == before


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as end:
        main(["run", "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    for word in ("--input", "--dim", "--output", "--threads", "--profile", "--plot", "--compare",
                 "--force", "gconv[onnx]", "gconv[cli]", "Exit status"):
        assert word in said
