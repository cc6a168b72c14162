"""Who runs whole models: gconv's session and its peers, each behind the same small interface."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconv._bench.contenders.base import Unsupported
from gconv._bench.contenders.mnn import quiet
from gconv._bench.contenders.openvino import configuration

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be run over and over on the same input.

    Attributes
    ----------
    run
        Runs the model once; this is what is timed.
    results
        The results of the last run, by name, as arrays of their own; not timed.
    steps
        Runs once and returns what each step took (`gconv` alone; None for the others).
    """

    run: Callable[[], Any]
    results: Callable[[], dict[str, NDArray[Any]]]
    steps: Callable[[], list[dict[str, Any]]] | None = None


class Runner(ABC):
    """A library that runs models, or one way to have it do so.

    Attributes
    ----------
    name, title, package, direct, ours
        As in `contenders.base.Contender`; `package` is also the name of the module.
    reads
        The suffix of the file that it reads.
    """

    name: str
    title: str
    package: str
    direct = True
    ours = False
    is_peer = True
    reads = ".onnx"

    @property
    def is_installed(self) -> bool:
        """Whether the library is there; it is not imported."""
        return find_spec(self.package) is not None

    @abstractmethod
    def load(self) -> None:
        """Import the library; raise ImportError where it is missing."""

    @abstractmethod
    def open(self, path: Path, feeds: Arrays, threads: int) -> Loaded:
        """Read a model for these inputs.

        Raises
        ------
        Unsupported
            The library cannot run the model.
        """

    def prepare_files(self, directory: Path) -> None:  # noqa: B027  # most read what is there
        """Make the file that it reads, in the directory of an exported model."""


class GconvSession(Runner):
    name = "session"
    title = "gconv session"
    package = "gconv"
    ours = True
    is_peer = False

    def load(self) -> None:
        import gconv.onnx  # noqa: F401

    def open(self, path: Path, feeds: Arrays, threads: int) -> Loaded:
        import gconv.onnx

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about operators that the reference runs
            session = gconv.onnx.InferenceSession(path, num_threads=threads)
        names = [output.name for output in session.get_outputs()]
        given = dict(feeds)

        def run() -> list[NDArray[Any]]:
            return session.run(None, given)

        return Loaded(
            run,
            lambda: dict(zip(names, run(), strict=True)),
            lambda: session.run(None, given, profile=True)[1].rows,
        )


class OnnxRuntimeSession(Runner):
    name = "onnxruntime"
    title = "ONNX Runtime"
    package = "onnxruntime"

    def load(self) -> None:
        import onnxruntime  # noqa: F401

    def open(self, path: Path, feeds: Arrays, threads: int) -> Loaded:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3  # errors
        try:
            session = ort.InferenceSession(
                os.fspath(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # it has a class of its own for each status
            raise Unsupported(one_line(error)) from error
        names = [output.name for output in session.get_outputs()]
        given = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}

        # OrtValues, because session.run copies the results into NumPy arrays.
        def run() -> Any:
            return session.run_with_ort_values(names, given)

        return Loaded(
            run, lambda: {name: y.numpy() for name, y in zip(names, run(), strict=True)}
        )


class OpenVinoModel(Runner):
    name = "openvino"
    title = "OpenVINO"
    package = "openvino"

    def load(self) -> None:
        import openvino  # noqa: F401

    def open(self, path: Path, feeds: Arrays, threads: int) -> Loaded:
        import openvino as ov

        core = ov.Core()
        try:
            model = core.read_model(os.fspath(path))
            if any(model.input(name).partial_shape.is_dynamic for name in feeds):
                model.reshape({name: list(array.shape) for name, array in feeds.items()})
            request = core.compile_model(
                model, "CPU", configuration(threads)).create_infer_request()
            for name, array in feeds.items():
                request.set_tensor(name, ov.Tensor(array, shared_memory=True))
        except RuntimeError as error:
            raise Unsupported(one_line(error)) from error
        outputs = model.outputs

        # The results lie in the request's own tensors, written anew by every run.
        def results() -> dict[str, NDArray[Any]]:
            request.infer()
            return {
                next(iter(sorted(output.names))): np.array(request.get_tensor(output).data)
                for output in outputs
            }

        return Loaded(request.infer, results)


class MnnSession(Runner):
    name = "mnn"
    title = "MNN"
    package = "MNN"
    direct = False
    reads = ".mnn"

    def load(self) -> None:
        with quiet():
            import _tools  # noqa: F401
            import MNN  # noqa: F401

    def prepare_files(self, directory: Path) -> None:
        source, target = directory / "model.onnx", directory / "model.mnn"
        if target.exists():
            return
        # The converter as MNN's wheel installs it, below the command that reports usage; in a
        # process of its own, because it ends that where it does not know an operator.
        code = "import sys, _tools; _tools.mnnconvert(sys.argv[1:])"
        words = ["mnnconvert", "-f", "ONNX", "--modelFile", os.fspath(source)]
        words += ["--MNNModel", os.fspath(target), "--bizCode", "gconv"]
        subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=False)

    def open(self, path: Path, feeds: Arrays, threads: int) -> Loaded:
        import MNN

        if not path.exists():
            raise Unsupported("MNN's converter does not know an operator of it")
        interpreter = MNN.Interpreter(os.fspath(path))
        session = interpreter.createSession(
            {"backend": "CPU", "numThread": threads, "precision": "high"}
        )
        targets = interpreter.getSessionInputAll(session)
        for name, array in feeds.items():
            interpreter.resizeTensor(targets[name], array.shape)
        interpreter.resizeSession(session)
        order = MNN.Tensor_DimensionType_Caffe
        copies = [
            (targets[name], MNN.Tensor(array.shape, MNN.Halide_Type_Float, array, order))
            for name, array in feeds.items()
        ]
        outputs = interpreter.getSessionOutputAll(session)
        hosts = {}
        for name, output in outputs.items():
            shape = tuple(output.getShape())
            zeros = np.zeros(shape, np.float32)
            hosts[name] = (output, MNN.Tensor(shape, MNN.Halide_Type_Float, zeros, order))

        # Copies in and out belong to the run: they convert from and to its blocked layout.
        def run() -> None:
            for target, source in copies:
                target.copyFrom(source)
            interpreter.runSession(session)
            for output, host in hosts.values():
                output.copyToHostTensor(host)

        def results() -> dict[str, NDArray[Any]]:
            run()
            return {
                name: np.array(host.getNumpyData(), np.float32).reshape(output.getShape())
                for name, (output, host) in hosts.items()
            }

        return Loaded(run, results)


class TorchModule(Runner):
    name = "torch"
    title = "PyTorch"
    package = "torch"
    reads = ".pt"

    def load(self) -> None:
        import torch

        with suppress(ImportError):  # for modules of timm: not part of reading one
            from gconv._bench.zoo import import_timm

            import_timm()
        # For good: entering inference mode in each run would be counted. It ends with the object.
        self._mode = torch.inference_mode()
        self._mode.__enter__()

    def open(self, path: Path, feeds: Arrays, threads: int) -> Loaded:
        import torch

        torch.set_num_threads(threads)
        module = self._made(torch.load(path, weights_only=False))
        inputs = [self._given(torch.from_numpy(array)) for array in feeds.values()]
        return Loaded(lambda: module(*inputs), lambda: {"y": module(*inputs).numpy()})

    def _made(self, module: Any) -> Any:
        return module

    def _given(self, x: Any) -> Any:
        return x


class TorchModuleChannelsLast(TorchModule):
    name = "torch-cl"
    title = "PyTorch channels-last"

    def _made(self, module: Any) -> Any:
        import torch

        return module.to(memory_format=torch.channels_last)

    def _given(self, x: Any) -> Any:
        import torch

        if x.ndim != 4:
            raise Unsupported("only images have PyTorch's channels-last format")
        return x.contiguous(memory_format=torch.channels_last)


class TorchCompiled(TorchModule):
    name = "torch-compile"
    title = "torch.compile"

    def open(self, path: Path, feeds: Arrays, threads: int) -> Loaded:
        loaded = super().open(path, feeds, threads)
        try:
            loaded.run()  # compiles
        except Exception as error:  # of its many stages, or of the C++ compiler
            raise Unsupported(one_line(error)) from error
        return loaded

    def _made(self, module: Any) -> Any:
        import torch

        return torch.compile(module)


class TorchSwapped(TorchModule):
    name = "torch-gconv"
    title = "PyTorch, gconv's convolutions"
    ours = True

    def open(self, path: Path, feeds: Arrays, threads: int) -> Loaded:
        import torch

        from gconv.torch import replace_convs_

        torch.set_num_threads(threads)
        with torch.inference_mode(False):  # tensors made in it have no versions
            module = torch.load(path, weights_only=False)
        inputs = tuple(torch.from_numpy(array) for array in feeds.values())
        replace_convs_(module, inputs)
        return Loaded(lambda: module(*inputs), lambda: {"y": module(*inputs).numpy()})


def one_line(error: BaseException) -> str:
    """The first line of an error's message that says something."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    return next(filter(None, lines), type(error).__name__)


RUNNERS: dict[str, Runner] = {
    runner.name: runner
    for runner in (
        GconvSession(),
        TorchModule(),
        TorchModuleChannelsLast(),
        TorchCompiled(),
        TorchSwapped(),
        OnnxRuntimeSession(),
        OpenVinoModel(),
        MnnSession(),
    )
}
