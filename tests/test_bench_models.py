"""`gconv bench --models`: everyone is right or named, the report says what was measured."""

import json

import numpy as np
import pytest
from interpreter import run_python
from oracles import oracle
from test_bench import tables_of

from gconv._bench import models, models_report, report, run, worker
from gconv._bench.contenders.whole_models import RUNNERS
from gconv._bench.zoo import GROUPS, ZOO, Exported, names_of

TINY = ("--models", "--names", "chain50", "--threads", "1", "--rounds", "1")


def bench(*arguments, timeout=120):
    """Run ``gconv bench`` in a process of its own."""
    return run_python("-m", "gconv", "bench", *map(str, arguments), timeout=timeout)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A directory with the smallest model of the zoo in it."""
    oracle("torch")
    oracle("onnx")
    folder = tmp_path_factory.mktemp("zoo")
    done = bench(*TINY, "--export", "--keep", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def tiny(kept, tmp_path_factory):
    """A run of the smallest model: the finished process, the results."""
    folder = tmp_path_factory.mktemp("bench")
    present = [name for name, runner in RUNNERS.items()
               if runner.is_installed and name != "torch-compile"]
    done = bench(*TINY, "--keep", kept, "--contenders", ",".join(present),
                 "--json", folder / "results.json", "--markdown", folder / "tables.md")
    assert done.returncode == 0, done.stderr
    text = (folder / "tables.md").read_text(encoding="utf-8")
    return done, json.loads((folder / "results.json").read_text()), text


class TestARun:
    def test_every_contender_is_right_and_has_its_figures(self, tiny):
        """Time, time to load and growth of memory, or why it was left out."""
        _, results, _ = tiny
        (row,) = results["rows"]
        assert (row["model"], row["kind"]) == ("chain50", "small")
        assert (row["batch"], row["threads"]) == (1, 1)
        assert {"session", "torch"} <= set(row["seconds"]) | set(row["skipped"])
        assert "session" not in row["skipped"]
        for name in row["seconds"]:
            assert 0 < row["best"][name] <= row["seconds"][name] < 1
            assert 0 < row["load"][name] < 60
            assert row["errors"][name] <= 1, name
            assert row["waited"][name] >= 0
        assert 0 <= row["outside"] <= 1

    def test_the_report_has_times_costs_and_targets(self, tiny):
        done, results, text = tiny
        assert done.stdout == ""
        targets, times, costs = tables_of(text)
        assert [line[0] for line in targets[1:]] == [
            target.what for target in models_report.targets(1, 1)]
        (row,) = results["rows"]
        titles = [RUNNERS[name].title for name in RUNNERS if name in row["seconds"]]
        assert times[0] == ["model", *titles, "× best direct", "× best", "outside"]
        assert costs[0] == ["model", "M weights", *titles]
        assert times[1][0] == costs[1][0] == "chain50"
        assert all("/" in cell for cell in costs[1][2:])

    def test_results_of_several_runs_make_one_report(self, tiny, tmp_path):
        """Of rows that both have, those of the later run."""
        _, results, _ = tiny
        other = json.loads(json.dumps(results))
        other["rows"][0]["batch"] = 8
        other["rows"].append({**results["rows"][0], "weights": 5e6})
        for name, run_ in (("a.json", results), ("b.json", other)):
            (tmp_path / name).write_text(json.dumps(run_))
        done = bench("--models", "--read", tmp_path / "a.json", tmp_path / "b.json",
                     "--json", tmp_path / "both.json")
        assert done.returncode == 0, done.stderr
        rows = json.loads((tmp_path / "both.json").read_text())["rows"]
        assert sorted((row["batch"], row["weights"] == 5e6) for row in rows) == [
            (1, True), (8, False)]
        assert "## Batch 1, 1 thread" in done.stdout
        assert "## Batch 8, 1 thread" in done.stdout

    def test_the_plot_is_written_where_asked(self, tiny, tmp_path):
        pytest.importorskip("matplotlib")
        (tmp_path / "a.json").write_text(json.dumps(tiny[1]))
        done = bench("--models", "--read", tmp_path / "a.json", "--plots", tmp_path / "plots",
                     "--markdown", tmp_path / "tables.md")
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [str(tmp_path / "plots" / "models.png")]
        assert (tmp_path / "plots" / "models.png").read_bytes().startswith(b"\x89PNG")


class TestWorkers:
    def test_one_that_fails_says_why_and_leaves_nothing(self, kept):
        """A file that is no model is not to be run; a crash is the last line that was said."""
        files = Exported(kept / "chain50-1")
        with pytest.raises((worker.Failed, models.Unsupported)) as caught:
            worker.Worker("torch", files.onnx, files.feeds, 1)
        assert len(str(caught.value).splitlines()) == 1

    def test_channels_last_is_for_images_alone(self, kept, tmp_path):
        files = Exported(kept / "chain50-1")
        worker.write_arrays(tmp_path / "x.npz", {"x": np.ones((1, 16, 8), np.float32)})
        with pytest.raises(models.Unsupported, match="channels-last"):
            worker.Worker("torch-cl", files.module, tmp_path / "x.npz", 1)

    def test_the_session_s_steps_have_times(self, kept):
        files = Exported(kept / "chain50-1")
        with worker.Worker("session", files.onnx, files.feeds, 1) as ours:
            steps = ours.steps(3)
            assert ours.growth is None or isinstance(ours.growth, int)
        assert all(step["ms"] > 0 for step in steps)
        assert any(step["by"] == "convolution" for step in steps)

    def test_turns_rotate_and_are_told(self):
        """Nobody is always first."""
        order, told = [], []

        class Fake:
            def __init__(self, name):
                self.name = name

            def turn(self, seconds):
                order.append(self.name)
                return [seconds], 0.5

        timed = worker.interleave(
            [Fake("a"), Fake("b")], 3, 0.25, lambda done, of: told.append((done, of)))
        assert order == ["a", "b", "b", "a", "a", "b"]
        assert told == [(index, 6) for index in range(1, 7)]
        assert timed == {"a": ([0.25] * 3, 0.5), "b": ([0.25] * 3, 0.5)}

    def test_arrays_of_any_name_come_back(self, tmp_path):
        arrays = {"file": np.arange(3), "/a:0": np.ones((2, 2), np.float16), "": np.array(True)}
        worker.write_arrays(tmp_path / "a.npz", arrays)
        found = worker.read_arrays(tmp_path / "a.npz")
        assert list(found) == list(arrays)
        for name in arrays:
            assert found[name].dtype == arrays[name].dtype
            assert np.array_equal(found[name], arrays[name])


class TestTheZoo:
    def test_its_groups_have_what_they_are_for(self):
        assert names_of("six") == ["resnext50_32x4d", "resnet50", "mobilenetv2_100",
                                   "efficientnet_b0", "regnety_016", "ghostnet_100"]
        assert len(names_of("others")) >= 10
        assert not set(names_of("six")) & set(names_of("others"))
        assert set(names_of("all")) == set(ZOO)
        assert names_of("unet") == ["unet"]
        assert {entry.kind for entry in ZOO.values()} == {"grouped", "dense", "small"}
        with pytest.raises(ValueError, match="no model 'lenet'"):
            names_of("lenet")

    @pytest.mark.parametrize(("name", "size"), [("chain50", None), ("unet", 32), ("tcn", 50),
                                                ("shufflenet_g3", 64), ("segformer", 64)])
    def test_a_model_is_the_same_in_every_build_and_none_of_its_parts_are_dead(self, name, size):
        torch = oracle("torch")
        from gconv._bench.zoo import build

        module, x = build(name, 2, size)
        again, same_x = build(name, 2, size)
        assert torch.equal(x, same_x)
        assert x.shape[0] == 2
        with torch.inference_mode():
            y = module(x)
            assert torch.equal(y, again(x))
        assert not module.training
        assert torch.isfinite(y).all()
        assert 1e-3 < float(y.std()) < 1e3
        for key, weight in module.named_parameters():
            if weight.ndim == 1 and "bias" not in key:
                assert float(weight.detach().abs().max()) > 0.01, key

    def test_a_dynamic_export_leaves_the_batch_open(self, tmp_path):
        oracle("torch")
        onnx = oracle("onnx")
        from gconv._bench.zoo import export

        for dynamic, size in ((False, 3), (True, "batch")):
            export("chain50", tmp_path / "a.onnx", 3, dynamic=dynamic)
            model = onnx.load(tmp_path / "a.onnx")
            onnx.checker.check_model(model)
            axis = model.graph.input[0].type.tensor_type.shape.dim[0]
            assert (axis.dim_param if dynamic else axis.dim_value) == size
            assert len(model.graph.node) == 50


# ---- the verdict -------------------------------------------------------------------------------


def a_row(model, kind, seconds, **others):
    """A row of results, on one thread and for one sample unless `others` says so."""
    row = {"model": model, "kind": kind, "batch": 1, "threads": 1, "weights": 5e6,
           "seconds": seconds, "best": seconds, "waited": dict.fromkeys(seconds, 0.0),
           "errors": dict.fromkeys(seconds, 0.0), "skipped": {},
           "load": dict.fromkeys(seconds, 0.5), "growth": dict.fromkeys(seconds, 2**20),
           "outside": 0.05}
    return row | others


def verdicts(*rows):
    """Return the outcomes of the rows' batch and threads, by the target's first words."""
    (found,) = models_report.outcomes({"rows": rows}).values()
    return {one.target.what: one for one in found}


def test_nets_of_grouped_convolutions_are_held_against_everyone_dense_ones_not_against_winograd():
    seconds = {"session": 1.0, "onnxruntime": 2.0, "mnn": 0.5}
    found = verdicts(a_row("a", "grouped", seconds), a_row("b", "dense", seconds))
    one = found["nets of grouped convolutions, each × best peer"]
    assert (one.measured, one.met, list(one.missed_by)) == (0.5, False, ["a"])
    other = found["dense nets, each × best direct peer"]
    assert (other.measured, other.met) == (2.0, True)


def test_a_wrong_peer_is_nobody_s_peer():
    row = a_row("a", "grouped", {"session": 1.0, "torch": 3.0, "openvino": 0.5})
    row["errors"]["openvino"] = 2.0
    assert models_report.to_best(row) == 3.0


def test_growth_load_and_the_share_outside_are_mosts():
    row = a_row("a", "dense", {"session": 1.0, "onnxruntime": 2.0}, weights=25e6, outside=0.09)
    row["growth"]["session"] = 2**21
    row["load"]["session"] = 1.6
    found = verdicts(row)
    for what, measured in {
        "every net, growth of the resident set, of ONNX Runtime's": 2.0,
        "nets of 20 to 30 million weights, seconds to load": 1.6,
        "grouped and dense nets, share outside convolutions and matrix products": 0.09,
    }.items():
        assert (found[what].measured, found[what].met) == (measured, False)
    row["threads"] = 2
    assert verdicts(row)[what].met is True


def test_errors_are_held_against_that_of_pytorch_s_float32_result():
    about = {"error": 1e-5, "largest": 1.0}
    expected = np.zeros(3)
    off = np.array([0.0, 4e-5, 0.0])
    assert models.error(off, expected, about, RUNNERS["session"]) == pytest.approx(0.5)
    assert models.error(off, expected, about, RUNNERS["mnn"]) == pytest.approx(0.0625)
    assert models.error(off[:2], expected, about, RUNNERS["session"]) == np.inf
    assert models.error(off * np.nan, expected, about, RUNNERS["session"]) == np.inf


def test_a_wrong_result_of_gconv_is_status_1(tmp_path):
    row = a_row("a", "dense", {"session": 1.0, "torch": 2.0})
    row["errors"]["session"] = 3.0
    head = {"date": "d", "cpu": "c", "cores": 2, "isas": ["i"], "system": "s", "versions": {},
            "rounds": 1}
    (tmp_path / "a.json").write_text(json.dumps({**head, "rows": [row]}))
    done = bench("--models", "--read", tmp_path / "a.json")
    assert done.returncode == 1
    assert "a (batch=1, threads=1): gconv session is off by 3.0 times" in done.stderr
    assert "†" in done.stdout


def test_the_readme_s_section_is_rewritten_between_its_markers(tmp_path):
    row = a_row("a", "grouped", {"session": 0.0123, "torch": 0.0246})
    head = {"date": "d", "cpu": "c", "cores": 2, "isas": ["i"], "system": "s", "versions": {},
            "rounds": 1}
    (tmp_path / "a.json").write_text(json.dumps({**head, "rows": [row]}))
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- models:begin -->\nformer\n<!-- models:end -->\nafter\n")
    assert report.main([str(tmp_path / "a.json"), "--readme", str(readme)]) == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- models:begin -->\n")
    assert text.endswith("<!-- models:end -->\nafter\n")
    (table,) = tables_of(text)
    assert table[1] == ["a", "1", "12.3", "**24.6**", "2.00"]
    assert "former" not in text


REFUSED = {
    "no model 'lenet'; there are ": ("--names", "six,lenet"),
    "no contender 'caffe'": ("--contenders", "caffe"),
    "'0' is not a number from 1 on": ("--batch", "1,0"),
    "cannot be read": ("--read", "nowhere.json"),
    "nowhere is not a directory": ("--json", "nowhere/results.json"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_wrong_is_one_line_and_status_2(reason, capsys):
    with pytest.raises(SystemExit) as end:
        run.main(["--models", *REFUSED[reason]])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gconv bench --models: ")
    assert reason in line


def test_export_wants_a_directory(capsys):
    assert run.main(["--models", "--export"]) == 2
    assert capsys.readouterr().err == "gconv bench --models: --export wants --keep DIR\n"


def test_help_names_every_option_contender_model_and_group(capsys):
    with pytest.raises(SystemExit):
        run.main(["--models", "--help"])
    said = capsys.readouterr().out
    options = {text for action in models.parser()._actions for text in action.option_strings}
    for word in [*options, *RUNNERS, *ZOO, *GROUPS, "Exit status"]:
        assert word in "".join(said.split("\n")) or word in said


def test_the_models_can_be_listed(capsys):
    assert run.main(["--models", "--list", "--names", "written"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == names_of("written")


def test_models_that_cannot_be_made_are_named_and_none_at_all_is_status_2(monkeypatch, capsys):
    def fails(name, batch, directory):
        raise worker.Failed("No module named 'torch'")

    monkeypatch.setattr(models, "exported", fails)
    assert run.main([*TINY, "--contenders", "session"]) == 2
    *_, named, last = capsys.readouterr().err.splitlines()
    assert named == "without chain50: No module named 'torch'"
    assert last == (
        "gconv bench --models: none of these models can be made: No module named 'torch'")
