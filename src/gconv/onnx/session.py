"""A model that is ready to run: what ONNX Runtime's users know as an InferenceSession."""

from __future__ import annotations

import copy
import os
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from gconv._call import isa
from gconv._call.arrays import as_array, is_list, list_as_array
from gconv._call.geometry import Shape
from gconv._call.threads import checked, resolve
from gconv._plan.choose import BoundedCache
from gconv._plan.memory import zeros
from gconv.onnx.checking import NodeError
from gconv.onnx.composed import OPERATORS
from gconv.onnx.constants import Constants
from gconv.onnx.eager import computed
from gconv.onnx.graph import OURS, Graph, Info, Node
from gconv.onnx.load import load
from gconv.onnx.plan import OtherShape, Plan
from gconv.onnx.reference import Reference
from gconv.onnx.rewriting import rewrite
from gconv.onnx.shapes import SHAPE_READERS, shapes_of
from gconv.onnx.table import Table, rows_of, unplanned_row

Array: TypeAlias = NDArray[Any]

PROVIDER = "CPUExecutionProvider"
PLAN_BYTES = 64 * 2**20  # of the plans that a session keeps, beside twice its constants
MOST_ARENAS = 8  # that a session keeps for the next runs
NAME = "InferenceSession"


@dataclass(frozen=True)
class NodeArg:
    """An input or output of a model.

    Attributes
    ----------
    name : str
    type : str
        As ONNX Runtime writes it: "tensor(float)", for example.
    shape : list
        A number, a name that stands for one, or None for each axis. Empty for a scalar, and where
        the rank is unknown.
    """

    name: str
    type: str
    shape: list[int | str | None]


class Memory(NamedTuple):
    """The bytes that a session holds for one set of input shapes.

    Attributes
    ----------
    arena : int
        Intermediate results, of each run that is under way at once.
    packed_weights : int
        Weights in the order in which kernels read them.
    constants : int
        Those of the model that the session holds as they are: others are held packed alone.
    """

    arena: int
    packed_weights: int
    constants: int


class Model:
    """A graph with some of its optional inputs given, and its plans.

    Attributes
    ----------
    graph : Graph
        Without its constants.
    constants : Constants
    inputs : list of Info
        What `run` takes.
    """

    def __init__(self, graph: Graph, constants: Constants, inputs: Iterable[Info]) -> None:
        self.graph = graph
        self.constants = constants
        self.inputs = list(inputs)
        self.plans: BoundedCache[Plan] = BoundedCache(PLAN_BYTES + 2 * constants.nbytes)
        self.references: dict[int, Reference] = {}
        self.unplannable: set[int] = set()
        self.arenas: list[Array] = []

    # ---- nodes that the reference runs ----

    def compute(self, node: Node, values: Sequence[Any]) -> list[Any]:
        """Run one node on arrays, one for each input and captured value."""
        if node.domain == OURS:
            return [computed(node, values)]
        reference = self.references.get(id(node))
        if reference is None:
            reference = self.references[id(node)] = Reference(node, self.graph)
        named = dict(zip((*node.inputs, *node.captured), values, strict=False))
        try:
            made = reference([named[name] for name in reference.reads])
        except Exception as error:
            shapes = ", ".join(str(getattr(named[name], "shape", type(named[name]).__name__))
                               for name in reference.reads)
            raise NodeError(
                f"{self.graph.describe(node)} on operands of shapes {shapes or 'none'}: {error}"
            ) from error
        results = dict(zip(reference.writes, made, strict=True))
        return [results.get(name) for name in node.outputs]

    def by_reference(self) -> list[Node]:
        """Nodes that no step of ours computes, those apart that follow from shapes alone."""
        known = set(self.constants)
        found = []
        for node in self.graph.nodes:
            if node.is_onnx(*SHAPE_READERS) or all(name in known for name in node.reads):
                known.update(node.writes)
            elif (node.domain, node.op) not in OPERATORS:
                found.append(node)
        return found

    # ---- plans ----

    def plan_for(
        self, key: tuple[Any, ...], nodes: Sequence[Node], constants: Constants,
        given: Mapping[str, tuple[Shape, np.dtype[Any]] | None], wanted: Sequence[str],
    ) -> Plan:
        """The plan of nodes for values of given shapes, from the cache or new."""
        plan = self.plans.get(key)
        if plan is not None:
            return plan
        needed = nodes_for(nodes, wanted)
        known = shapes_of(
            self.graph, needed, given, constants, self.compute, self.unplannable)
        reads = {name for node in (*known.unplanned, *known.deferred) for name in node.reads}
        made = {name for node in known.planned for name in node.writes}
        results = [name for name in dict.fromkeys((*wanted, *sorted(reads & made)))
                   if name in known.shape and (name in made or name in wanted)]
        inputs = [name for name, what in given.items() if what is not None]
        plan = Plan(self.graph, known, constants, inputs, results, self.compute)
        self.plans.put(key, plan)
        return plan

    # ---- runs ----

    def run(
        self, values: dict[str, Any], wanted: Sequence[str], threads: int,
        rows: list[dict[str, Any]] | None = None,
    ) -> list[Any]:
        """The wanted values; `rows` gets those of a table."""
        while True:
            try:
                return self._run(dict(values), wanted, threads, rows)
            except OtherShape as error:
                self.unplannable.add(id(error.node))
                self.plans = BoundedCache(self.plans.most_bytes)

    def _run(
        self, values: dict[str, Any], wanted: Sequence[str], threads: int,
        rows: list[dict[str, Any]] | None,
    ) -> list[Any]:
        nodes: Sequence[Node] = self.graph.nodes
        constants = self.constants
        names = tuple(dict.fromkeys(wanted))
        key: tuple[Any, ...] = (names, isa.setting())
        found: dict[str, Any] = {}
        while True:
            given = {name: (value.shape, value.dtype) if is_tensor(value) else None
                     for name, value in values.items()}
            key = (*key, tuple(given.values()))
            plan = self.plan_for(key, nodes, constants, given, names)
            inputs = [contiguous(values[name]) for name in plan.inputs]
            results = self.run_plan(plan, inputs, threads, rows)
            made = {result.name: array
                    for result, array in zip(plan.results, results, strict=True)}
            found.update((name, made[name]) for name in names if name in made)
            if not plan.known.unplanned:
                break
            values = {**values, **made}
            constants = constants.beside(plan.known.folded)
            fresh: dict[str, Any] = {}
            for node in plan.known.unplanned:
                begin = time.perf_counter_ns()
                arrays = [values.get(name, constants.get(name)) if name else None
                          for name in (*node.inputs, *node.captured)]
                for name, value in zip(node.outputs, self.compute(node, arrays), strict=False):
                    if name:
                        fresh[name] = np.asarray(value) if isinstance(value, np.generic) else value
                if rows is not None:
                    rows.append(unplanned_row(
                        node.op, node.made_of, (time.perf_counter_ns() - begin) / 1e6))
            found.update((name, copy.deepcopy(fresh[name])) for name in names if name in fresh)
            nodes = plan.known.deferred
            read = {name for node in nodes for name in node.reads}
            values = {name: value for name, value in {**values, **fresh}.items() if name in read}
            names = tuple(name for name in names if name not in found)
            if not names:
                break
        for name in wanted:
            if name not in found:  # an input that is no tensor
                found[name] = copy.deepcopy(values[name])
        return [found[name] for name in wanted]

    def run_plan(
        self, plan: Plan, inputs: Sequence[Array], threads: int,
        rows: list[dict[str, Any]] | None = None,
    ) -> list[Array]:
        """The results of a plan, in an arena that nobody else has meanwhile."""
        try:
            arena = self.arenas.pop()
        except IndexError:
            arena = zeros(plan.arena_bytes)
        if arena.nbytes < plan.arena_bytes:
            arena = zeros(plan.arena_bytes)
        try:
            if rows is None:
                return plan.run(inputs, arena, threads)
            times = np.zeros(len(plan.entries), np.int64)
            results = plan.run(inputs, arena, threads, times)
            rows.extend(rows_of(plan, times.tolist()))
            return results
        finally:
            if len(self.arenas) < MOST_ARENAS:
                self.arenas.append(arena)


def nodes_for(nodes: Sequence[Node], wanted: Iterable[str]) -> list[Node]:
    """The nodes that some values need, in their order."""
    needed = set(wanted)
    found = []
    for node in reversed(nodes):
        if any(name in needed for name in node.writes):
            needed.update(node.reads)
            found.append(node)
    return found[::-1]


def is_tensor(value: Any) -> bool:
    """Whether a value has a shape that plans can use, and elements that arenas can hold."""
    return isinstance(value, np.ndarray) and not value.dtype.hasobject and value.dtype.kind in (
        "biufcV")


def contiguous(array: Array) -> Array:
    """The array in C order, aligned."""
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.require(array, requirements=("C", "A"))


class InferenceSession:
    """An ONNX model, ready to run.

    Parameters
    ----------
    model : path or bytes
        An ONNX file, or what it holds. Data that lie outside the file must lie in its folder.
    num_threads : int, optional
        How many threads a run uses; if left out, as many as gconv's functions do.
    providers : sequence, optional
        As ONNX Runtime takes it; "CPUExecutionProvider" must be among them.

    Raises
    ------
    FileNotFoundError
        If the file, or one that it names, is not there.
    ValueError
        If the model is damaged, or has an operator or version that onnx does not know.
    TypeError
        If an argument is of another type.

    Warns
    -----
    UserWarning
        Where operators run by ONNX's reference, which is right and slow.

    Notes
    -----
    Several threads may call one session at once; it may be pickled, and used in a process that was
    forked. A result does not depend on the number of threads, nor, where the model keeps samples
    on axis 0, on the other samples of the batch.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        num_threads: int | None = None,
        providers: Sequence[Any] | None = None,
    ) -> None:
        check_providers(providers)
        if num_threads is not None:
            num_threads = checked(NAME, num_threads)
        source = load(model)
        self._make(source, num_threads, None)
        self._warn()

    def _make(self, source: Graph, num_threads: int | None, rewritten: Graph | None) -> None:
        """Set up everything; a `rewritten` graph is what `prepared` makes of the source."""
        self._num_threads = num_threads
        self._inputs = {info.name: info for info in source.inputs}
        self._optional = {info.name: info for info in source.optional}
        self._outputs = {info.name: info for info in source.outputs}
        self._output_names = tuple(info.name for info in source.outputs)
        self._named = shared_names([*source.inputs, *source.optional])
        self._name = source.name
        # What the file says is read again for other optional inputs, and where sizes of one name
        # differ. Otherwise its weights need not be kept beside those that were made of them.
        again = source.optional or self._named
        self._source = replace(source, constants={}) if again else None
        self._constants = Constants(source.constants if again else {})
        first = prepared(source, frozenset()) if rewritten is None else rewritten
        self._models: dict[tuple[frozenset[str], bool], Model] = {
            (frozenset(), True): self._model_of(
                first, self._inputs.values(), self._constants.arrays())}

    def _model(
        self, given: frozenset[str], shapes: Mapping[str, Shape] = MappingProxyType({})
    ) -> Model:
        """The model where some optional inputs are given, and inputs have these shapes.

        Nobody checks that a name stands for one size; where it does not, what was made of the
        names is left out.
        """
        agree = not self._named or names_agree(self._named, shapes)
        found = self._models.get((given, agree))
        if found is None:
            assert self._source is not None
            arrays = self._constants.arrays()
            graph = prepared(replace(self._source, constants=arrays), given, agree)
            inputs = [*self._inputs.values(), *(self._optional[name] for name in sorted(given))]
            found = self._models[given, agree] = self._model_of(graph, inputs, arrays)
        return found

    def _model_of(
        self, graph: Graph, inputs: Iterable[Info], arrays: Mapping[str, Array]
    ) -> Model:
        """The model of a rewritten graph; what it has of the source's arrays is kept once."""
        known = [(array, self._constants.by_name[name]) for name, array in arrays.items()]
        return Model(replace(graph, constants={}), Constants(graph.constants, known), inputs)

    def _warn(self) -> None:
        nodes = self._model(frozenset()).by_reference()
        for node in nodes:
            if node.domain != OURS:
                self._model(frozenset()).references[id(node)] = Reference(
                    node, self._model(frozenset()).graph)
        if nodes:
            names = ", ".join(sorted({node.op for node in nodes}))
            warnings.warn(
                f"{NAME}: these operators have no steps of gconv's own and are run by "
                f"onnx.reference, which is slow: {names}",
                stacklevel=3)

    def __getstate__(self) -> dict[str, Any]:
        graph, constants = self._source, self._constants
        if graph is None:
            model = self._model(frozenset())
            graph, constants = model.graph, model.constants
        whole = replace(graph, constants=constants.arrays())
        return {
            "source": whole, "rewritten": whole if self._source is None else None,
            "num_threads": self._num_threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._make(state["source"], state["num_threads"], state["rewritten"])

    def __repr__(self) -> str:
        inputs = ", ".join(f"{info.name} {info.shape}" for info in self._inputs.values())
        outputs = ", ".join(self._output_names)
        return f"<{NAME} {self._name!r}: {inputs} -> {outputs}>"

    # ---- what the model says of itself ----

    def get_inputs(self) -> list[NodeArg]:
        """The inputs that every run must be given."""
        return [node_arg(info) for info in self._inputs.values()]

    def get_overridable_initializers(self) -> list[NodeArg]:
        """The inputs that a run may be given, in place of their defaults."""
        return [node_arg(info) for info in self._optional.values()]

    def get_outputs(self) -> list[NodeArg]:
        """The outputs."""
        return [node_arg(info) for info in self._outputs.values()]

    def get_providers(self) -> list[str]:
        """What runs the model, in ONNX Runtime's words."""
        return [PROVIDER]

    # ---- runs ----

    @overload
    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], *,
        profile: Literal[False] = False,
    ) -> list[Any]: ...

    @overload
    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], *,
        profile: Literal[True],
    ) -> tuple[list[Any], Table]: ...

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        *,
        profile: bool = False,
    ) -> list[Any] | tuple[list[Any], Table]:
        """Run the model.

        Parameters
        ----------
        output_names : sequence of str, or None
            Which outputs; None: all.
        input_feed : dict
            An array for each input, or whatever `docs/inputs.md` names. They are never written
            to. Lists take the declared type where that holds their numbers.
        profile : bool
            Whether to measure every step.

        Returns
        -------
        list of numpy.ndarray
            The outputs, each an array of its own. With `profile`, a pair: they and a `Table` of
            the steps with their times.

        Raises
        ------
        ValueError
            Where an input is missing or unknown or has another shape, or an output is unknown.
        TypeError
            Where an input is no array, or one of another dtype.
        """
        threads = resolve(NAME, self._num_threads)
        wanted = self._output_names if output_names is None else self._wanted(output_names)
        values, given = self._values(input_feed)
        model = self._model(given, {} if not self._named else {
            name: value.shape for name, value in values.items() if is_tensor(value)})
        rows: list[dict[str, Any]] | None = [] if profile else None
        results = model.run(values, wanted, threads, rows)
        for number, name in enumerate(wanted):
            if wanted.index(name) < number:  # asked for twice
                results[number] = copy.deepcopy(results[number])
            elif isinstance(results[number], np.ndarray):
                results[number] = as_declared(results[number], self._outputs[name])
        return results if rows is None else (results, Table(rows))

    def _wanted(self, names: Sequence[str]) -> tuple[str, ...]:
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"{NAME}: output_names must be None or a list of names, got {names!r}")
        for name in names:
            if name not in self._outputs:
                raise ValueError(
                    f"{NAME}: there is no output {name!r}; the outputs are "
                    f"{', '.join(map(repr, self._output_names))}")
        return tuple(names)

    def _values(self, feed: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
        """The inputs as the model takes them, and which optional ones are among them."""
        if not isinstance(feed, Mapping):
            raise TypeError(
                f"{NAME}: input_feed must be a dict of arrays by their names, got "
                f"{type(feed).__name__}")
        values = {}
        for name, info in self._inputs.items():
            if name not in feed:
                raise ValueError(
                    f"{NAME}: input {name!r} is missing; the model takes {_declared(info)}")
            values[name] = as_input(feed[name], info)
        given: frozenset[str] = frozenset()
        if len(feed) > len(values):
            for name in feed:
                if name not in values and name not in self._optional:
                    raise ValueError(
                        f"{NAME}: there is no input {name!r}; the inputs are "
                        f"{', '.join(map(repr, (*self._inputs, *self._optional)))}")
            given = frozenset(name for name in feed if name in self._optional)
            for name in sorted(given):
                values[name] = as_input(feed[name], self._optional[name])
        return values, given

    # ---- what will be done ----

    def explain(self, shapes: Mapping[str, Sequence[int]] | None = None) -> Table:
        """The steps for inputs of given shapes, without running them.

        Parameters
        ----------
        shapes : dict, optional
            The shape of each input. One that is left out has the declared shape, with 1 for every
            size that is not a number.

        Returns
        -------
        Table
        """
        _, plan = self._plan(shapes)
        return Table(rows_of(plan))

    def memory(self, shapes: Mapping[str, Sequence[int]] | None = None) -> Memory:
        """The bytes that runs with inputs of given shapes take, beside their results.

        Parameters
        ----------
        shapes : dict, optional
            As in `explain`.

        Returns
        -------
        Memory
        """
        model, plan = self._plan(shapes)
        constants = model.constants.distinct
        packings = {id(array) for constant in constants for array in constant.packings}
        packed = {
            id(array): array.nbytes
            for entry in plan.entries if entry.step is not None
            for array in entry.step.keep if id(array) in packings
        }
        held = {id(constant): constant.held for constant in (*constants, *self._constants.distinct)}
        return Memory(plan.arena_bytes, sum(packed.values()), sum(held.values()))

    def _plan(self, shapes: Mapping[str, Sequence[int]] | None) -> tuple[Model, Plan]:
        shapes = {} if shapes is None else shapes
        if not isinstance(shapes, Mapping):
            raise TypeError(
                f"{NAME}: shapes must be a dict of shapes by the inputs' names, got "
                f"{type(shapes).__name__}")
        for name in shapes:
            if name not in self._inputs:
                raise ValueError(
                    f"{NAME}: there is no input {name!r}; the inputs are "
                    f"{', '.join(map(repr, self._inputs))}")
        given: dict[str, tuple[Shape, np.dtype[Any]] | None] = {}
        for name, info in self._inputs.items():
            if info.kind != "tensor" or info.dtype.hasobject:
                given[name] = None
                continue
            shape = shapes.get(name)
            if shape is None:
                shape = [size if isinstance(size, int) else 1 for size in info.shape or ()]
            shape = a_shape(info, shape)
            check_shape(info, shape)
            given[name] = (shape, inner_dtype(info.dtype))
        model = self._model(
            frozenset(), {name: what[0] for name, what in given.items() if what is not None})
        key = (self._output_names, isa.setting(), tuple(given.values()))
        plan = model.plan_for(
            key, model.graph.nodes, model.constants, given, self._output_names)
        return model, plan


def shared_names(inputs: Iterable[Info]) -> list[list[tuple[str, int]]]:
    """The axes of inputs that have one name, for each name that stands for several."""
    places: dict[str, list[tuple[str, int]]] = {}
    for info in inputs:
        for axis, size in enumerate(info.shape or ()):
            if isinstance(size, str):
                places.setdefault(size, []).append((info.name, axis))
    return [found for found in places.values() if len(found) > 1]


def names_agree(named: Iterable[Iterable[tuple[str, int]]], shapes: Mapping[str, Shape]) -> bool:
    """Whether every name stands for one size."""
    return all(
        len({shapes[name][axis] for name, axis in places if name in shapes}) < 2
        for places in named)


def nameless(info: Info) -> Info:
    """An info whose sizes are numbers or unknown."""
    if info.shape is None:
        return info
    return replace(info, shape=tuple(size if isinstance(size, int) else None
                                     for size in info.shape))


def prepared(source: Graph, given: frozenset[str], names: bool = True) -> Graph:
    """A copy of a graph, rewritten, for runs in which some optional inputs are given, and in
    which the names of sizes mean something."""
    graph = replace(
        source,
        constants=dict(source.constants),
        infos={name: info if names else nameless(info) for name, info in source.infos.items()},
        nodes=[replace(node, inputs=list(node.inputs), outputs=list(node.outputs),
                       attributes=dict(node.attributes), made_of=list(node.made_of))
               for node in source.nodes],
    )
    rewrite(graph, given)
    return graph


def check_providers(providers: Sequence[Any] | None) -> None:
    """Refuse providers without the CPU's."""
    if providers is None:
        return
    names = [each[0] if isinstance(each, tuple) and each else each for each in providers]
    if isinstance(providers, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{NAME}: providers must be a list of names, got {providers!r}")
    if PROVIDER not in names:
        raise ValueError(
            f"{NAME}: gconv runs on the CPU alone: providers must have {PROVIDER!r} among them, "
            f"got {list(names)}")


def node_arg(info: Info) -> NodeArg:
    """An input or output in public terms."""
    return NodeArg(info.name, info.type, list(info.shape or ()))


def inner_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type that a declared type is computed in."""
    return np.dtype(np.float32) if dtype.name in ("float16", "bfloat16") else dtype


def as_declared(array: Array, info: Info) -> Array:
    """A result in the type that the model declares; strings are objects, whatever made them."""
    if array.dtype.kind in "US":
        return array.astype(object)
    if array.dtype != info.dtype and inner_dtype(info.dtype) == array.dtype:
        return array.astype(info.dtype)
    return array


def as_input(value: Any, info: Info) -> Any:
    """An input as the model takes it, once its type and shape are right."""
    argument = f"input {info.name!r}"
    if info.kind != "tensor":
        if info.kind == "sequence" and isinstance(value, list | tuple):
            return [each if is_list(each) else as_array(NAME, argument, each, objects=True)
                    for each in value]
        return value
    if value is None:
        raise TypeError(
            f"{NAME}: {argument} must be an array, {_declared(info)}, got {type(value).__name__}")
    if is_list(value):
        value = _from_list(argument, value, info)
    else:
        value = as_array(NAME, argument, value, objects=info.dtype.hasobject)
    dtype = value.dtype
    if dtype != info.dtype:
        native = dtype.newbyteorder("=") if not dtype.isnative else dtype
        if info.dtype.hasobject and native.kind in "OUST":
            value = value.astype(object)
        elif native == info.dtype:
            value = value.astype(native)
        else:
            raise TypeError(
                f"{NAME}: {argument} must be of dtype {info.dtype}, got {dtype}")
    check_shape(info, value.shape)
    inner = inner_dtype(info.dtype)
    return value.astype(inner) if inner != info.dtype else value


def _from_list(argument: str, value: Any, info: Info) -> Array:
    """A list, or a number of Python's, as an array of the declared dtype, where that holds it:
    floats are rounded, everything else must be exact."""
    array = list_as_array(NAME, argument, value)
    found, declared = array.dtype.kind, inner_dtype(info.dtype).kind
    if found not in ("biufc" if declared == "c" else "biuf"):
        return array
    with np.errstate(all="ignore"):
        converted = array.astype(info.dtype)
        if declared in "fc" or np.array_equal(converted.astype(array.dtype), array):
            return converted
    return array


def a_shape(info: Info, shape: Any) -> Shape:
    """The shape of an input as the caller gives it: whole numbers that are not negative."""
    if isinstance(shape, str | bytes) or not isinstance(shape, Iterable):
        raise TypeError(
            f"{NAME}: the shape of input {info.name!r} must be a sequence of whole numbers, got "
            f"{shape!r}")
    sizes = tuple(shape)
    for size in sizes:
        if isinstance(size, bool | np.bool_) or not isinstance(size, int | np.integer):
            raise TypeError(
                f"{NAME}: the shape of input {info.name!r} must be a sequence of whole numbers, "
                f"got {size!r} in {shape!r}")
        if size < 0:
            raise ValueError(
                f"{NAME}: the shape of input {info.name!r} must have no negative sizes, got "
                f"{shape!r}")
    return tuple(map(int, sizes))


def check_shape(info: Info, shape: Shape) -> None:
    """Refuse a shape that does not fit the declared one."""
    if info.shape is None:
        return
    if len(shape) != len(info.shape) or any(
        isinstance(wanted, int) and wanted != size
        for wanted, size in zip(info.shape, shape, strict=True)
    ):
        raise ValueError(
            f"{NAME}: input {info.name!r} must be {_declared(info)}, got shape {shape}")


def _declared(info: Info) -> str:
    if info.shape is None:
        return f"{info.name!r}, {info.type}"
    shape = ", ".join("?" if size is None else str(size) for size in info.shape)
    return f"{info.type} of shape ({shape})"
