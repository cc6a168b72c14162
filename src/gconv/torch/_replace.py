"""The convolutions of a model on gconv, each where that is faster here."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from gconv._api import from_torch
from gconv.torch import _blocks, _memory
from gconv.torch._layer import Refused, TorchLayer
from gconv.torch._modules import (
    Block,
    BlockState,
    Chain,
    Convolution,
    ConvolutionState,
    Follower,
    FollowerState,
    Link,
    Pool,
    PoolState,
    chain_of,
    traced_link,
)
from gconv.torch._pool import POOLS, TorchPool
from gconv.torch._report import Report
from gconv.torch._swap import STATE, is_swapped, swap, unswap

TURN = 3e-3  # seconds that a contender has the machine for at a time
ROUNDS = 7
CLEAR = 1.3  # beyond this ratio three rounds are enough
#: A layer is replaced where it takes at most this part of PyTorch's time, less a call's overhead:
#: repeated turns of one contender differ by less.
MARGIN = 0.95
OVERHEAD = 1.5e-6
MOST_SHAPES = 4  # measured for one layer
#: Outputs that differ by more than this part of the largest one are no matter of rounding.
MOST_DIFFERENCE = 1e-2

Place = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]


def replace_convs_(model: torch.nn.Module, example_inputs: Any) -> Report:
    """Let the convolutions of a model run on gconv, in place, where that is faster here.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. It stays the object that it was, and so do its modules, with their names,
        parameters, buffers, hooks and classes' names.
    example_inputs : torch.Tensor, tuple or dict
        What the model is called with: one tensor, a tuple of arguments, or a dict of keyword
        arguments. The layers are measured on the shapes and memory orders that it produces, with
        the number of threads that PyTorch has now.

    Returns
    -------
    Report
        A table when printed.

    Notes
    -----
    Convolution modules, ordinary and transposed, of float32 or float64 and on the CPU are
    measured, in evaluation mode and without gradients, together with a batch normalisation and an
    activation that follow them directly; those that are clearly faster on gconv are replaced. So
    are max and average pooling modules of float32, which in contiguous memory may take PyTorch as
    long as a convolution. A call in training mode, under autocast, of another dtype or device, or
    that wants gradients runs PyTorch's own code, as if nothing had been replaced. If the whole
    model is not faster, it is left as it was.

    Changes of weights are noticed at the next call, except writes through ``.data``
    (``weight.data.mul_(2)``), which PyTorch does not count; call `replace_convs_` again then.

    See Also
    --------
    restore : undoes it.

    Examples
    --------
    >>> import torch, gconv.torch
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Conv2d(32, 32, 3, padding=1, groups=32), torch.nn.ReLU()).eval()
    >>> x = torch.rand(1, 32, 56, 56)
    >>> with torch.no_grad():
    ...     report = gconv.torch.replace_convs_(model, x)
    ...     y = model(x)
    >>> y.shape
    torch.Size([1, 32, 56, 56])
    """
    restore(model)
    call = _call_of(model, example_inputs)
    report = Report(threads=torch.get_num_threads(), notes=_notes(model))
    with _in_evaluation(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
        candidates, refusals = _candidates(model)
        pools = {module for module in model.modules() if _is_pool(module)}
        seen = _watched_call(model, candidates, pools, call)
        links, chains = _chains(model, candidates, seen)
        chosen: set[torch.nn.Module] = set()
        measured: dict[Any, tuple[float, float]] = {}
        for name, module in model.named_modules():
            if module in refusals:
                report.layers.append(_row(name, [module], None, None, None, refusals[module]))
            elif module in pools:
                _decide(name, [module], TorchPool([module]), seen[module], measured, chosen, report)
            elif module in candidates:
                parts = chains[module].modules if module in chains else [module]
                _decide(name, parts, TorchLayer(parts), seen[module], measured, chosen, report)
        before = call()
        exchanged = _exchange(model, chosen, links, chains, seen)
        after = call()
        _compare(before, after, report)
        del before, after
        _measure_model(call, exchanged, report)
        if report.difference > MOST_DIFFERENCE * max(report.magnitude, 1e-30):
            _take_back(model, report, "the outputs differ by more than rounding explains")
        elif report.after_ms > report.before_ms:
            _take_back(model, report, "the whole model is not faster")
    return report


def restore(model: torch.nn.Module) -> None:
    """Undo `replace_convs_`, and let go of the memory that was kept for results.

    Parameters
    ----------
    model : torch.nn.Module
        A model, or a part of one.
    """
    for module in model.modules():
        if is_swapped(module):
            unswap(module)
    _memory.release()


# ---- what is there -----------------------------------------------------------------------------


def _call_of(model: torch.nn.Module, example_inputs: Any) -> Callable[[], Any]:
    if isinstance(example_inputs, Mapping):
        return lambda: model(**example_inputs)
    if isinstance(example_inputs, (tuple, list)):
        return lambda: model(*example_inputs)
    return lambda: model(example_inputs)


def _notes(model: torch.nn.Module) -> list[str]:
    """What makes a call of the model as it is now run PyTorch's own code."""
    notes = []
    if model.training:
        notes.append(
            "the model is in training mode, in which it runs PyTorch's own code: call model.eval()")
    if torch.is_grad_enabled() and any(p.requires_grad for p in model.parameters()):
        notes.append(
            "parameters require grad, and gradients are enabled here: such calls run PyTorch's own "
            "code; call the model within torch.no_grad() or torch.inference_mode()")
    if torch.is_autocast_enabled("cpu"):
        notes.append("autocast is enabled here: such calls run PyTorch's own code")
    return notes


@contextmanager
def _in_evaluation(model: torch.nn.Module) -> Iterator[None]:
    """Every module in evaluation mode; after it as it was."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.autocast("cpu", enabled=False):
            yield
    finally:
        for module in training:
            module.training = True


def _candidates(
    model: torch.nn.Module,
) -> tuple[set[torch.nn.Module], dict[torch.nn.Module, str]]:
    """The convolution modules that gconv can compute, and why it cannot compute the others."""
    names = from_torch.layers()
    candidates, refusals = set(), {}
    for module in model.modules():
        if not any(
            of.__name__ in names and of.__module__ == "torch.nn.modules.conv"
            for of in type(module).__mro__
        ):
            continue
        try:
            TorchLayer([module]).make()
            candidates.add(module)
        except Refused as reason:
            refusals[module] = str(reason)
    return candidates, refusals


def _is_pool(module: torch.nn.Module) -> bool:
    """Whether a module is a pooling that does what its class does."""
    return type(module) in POOLS and "forward" not in vars(module)


def _watched_call(
    model: torch.nn.Module, candidates: set[torch.nn.Module], pools: set[torch.nn.Module],
    call: Callable[[], Any],
) -> dict[torch.nn.Module, Counter[Any]]:
    """What each convolution, pool and block gets in a call: how often which shapes and strides, and
    how many tensors."""
    seen: dict[torch.nn.Module, Counter[Any]] = {module: Counter() for module in candidates | pools}
    blocks = {block: Counter[Any]() for _, block in _blocks.blocks_of(model, candidates)}

    def module_called(module: Any, args: Any, kwargs: Any) -> None:
        if len(args) == 1 and isinstance(args[0], torch.Tensor) and not kwargs:
            (x,) = args
            seen[module][tuple(x.shape), x.stride(), x.dtype] += 1

    def block_called(module: Any, args: Any, kwargs: Any) -> None:
        plain = not kwargs and all(isinstance(arg, torch.Tensor) for arg in args)
        blocks[module][len(args) if plain else None] += 1

    handles = [
        module.register_forward_pre_hook(hook, with_kwargs=True)
        for modules, hook in ((seen, module_called), (blocks, block_called))
        for module in modules
    ]
    try:
        call()
    finally:
        for handle in handles:
            handle.remove()
    return seen | blocks


def _chains(
    model: torch.nn.Module,
    candidates: set[torch.nn.Module],
    seen: dict[torch.nn.Module, Counter[Any]],
) -> tuple[dict[torch.nn.Module, list[Link]], dict[torch.nn.Module, Chain]]:
    """What each block calls one after the other: by block, and by convolution."""
    places = Counter(module for _, module in model.named_modules(remove_duplicate=False))
    single = {module for module in candidates if places[module] == 1}
    links: dict[torch.nn.Module, list[Link]] = {}
    chains = {}
    for _, block in _blocks.blocks_of(model, single):
        (arguments, *others) = seen[block] or [None]
        if arguments is None or others:
            continue
        links[block] = _blocks.links_of(block, arguments, single)
        for link in links[block]:
            chain = chain_of(block, link)
            chains[chain.modules[0]] = chain
    return links, chains


# ---- measuring ---------------------------------------------------------------------------------


def _decide(
    name: str,
    modules: Sequence[torch.nn.Module],
    layer: TorchLayer | TorchPool,
    seen: Counter[Any],
    measured: dict[Any, tuple[float, float]],
    chosen: set[torch.nn.Module],
    report: Report,
) -> None:
    """Measure a convolution, with what follows it, or a pool on the shapes that it gets."""
    theirs = ours = 0.0
    rows = []
    for place, count in seen.most_common(MOST_SHAPES):
        key = (*map(repr, modules), place)
        times = measured.get(key)
        if times is None:
            times = _measure(modules, layer, place)
            if times is None:
                continue
            measured[key] = times
        rows.append(_row(name, modules, place[0], *times, ""))
        theirs += count * times[0]
        ours += count * times[1]
    if not rows:
        why = "the example does not call it" if not seen else "gconv does not take its input"
        report.layers.append(_row(name, modules, None, None, None, why))
        return
    faster = ours <= MARGIN * theirs - OVERHEAD
    if faster:
        chosen.add(modules[0])
        why = f"{theirs / ours:.2f} times as fast"
    else:
        why = f"gconv is not clearly faster ({theirs / ours:.2f} times)"
    for row in rows:
        row["chosen"] = "gconv" if faster else "PyTorch"
        row["why"] = why
    report.layers += rows


def _row(
    name: str,
    modules: Sequence[torch.nn.Module],
    shape: tuple[int, ...] | None,
    theirs: float | None,
    ours: float | None,
    why: str,
) -> dict[str, Any]:
    return {
        "layer": name,
        "module": " + ".join(type(module).__name__ for module in modules),
        "shape": shape,
        "pytorch_ms": None if theirs is None else theirs * 1e3,
        "gconv_ms": None if ours is None else ours * 1e3,
        "chosen": "PyTorch",
        "why": why,
    }


def _measure(
    modules: Sequence[torch.nn.Module], layer: TorchLayer | TorchPool, place: Place
) -> tuple[float, float] | None:
    """Seconds of PyTorch's modules and of gconv's layer on an input of a shape, strides, dtype."""
    shape, strides, dtype = place
    generator = torch.Generator().manual_seed(0)
    x = torch.empty_strided(shape, strides, dtype=dtype).normal_(generator=generator)
    if layer(x) is None:
        return None

    def theirs() -> Any:
        y = x
        for module in modules:
            y = module.forward(y)
        return y

    times = _interleaved([theirs, lambda: layer(x)])
    return times[0], times[1]


def _interleaved(
    contenders: Sequence[Callable[[], Any]],
    before_turn: Callable[[int], None] = lambda which: None,
    turn: float = TURN,
) -> list[float]:
    """Seconds that a call of each contender takes: the lower quartile over turns, in rotation."""
    calls = []
    for which, contender in enumerate(contenders):
        before_turn(which)
        contender()
        begin = time.perf_counter()
        contender()
        calls.append(max(1, round(turn / max(time.perf_counter() - begin, 1e-7))))
    turns: list[list[float]] = [[] for _ in contenders]
    quartiles: list[float] = []
    for number in range(ROUNDS):
        order = range(len(contenders)) if number % 2 else reversed(range(len(contenders)))
        for which in order:
            contender = contenders[which]
            before_turn(which)
            contender()  # brings its own data to the caches
            begin = time.perf_counter()
            for _ in range(calls[which]):
                contender()
            turns[which].append((time.perf_counter() - begin) / calls[which])
        quartiles = [sorted(times)[len(times) // 4] for times in turns]
        if number >= 2 and max(quartiles) > CLEAR * min(quartiles):
            break
    return quartiles


def _measure_model(
    call: Callable[[], Any], exchanged: list[tuple[Any, type, type]], report: Report
) -> None:
    """Seconds of the whole model, with the classes that its modules had and with those now."""
    def set_classes(which: int) -> None:
        for module, *classes in exchanged:
            module.__class__ = classes[which]

    try:
        before, after = _interleaved([call, call], set_classes, 5 * TURN)
    finally:
        set_classes(1)
    report.before_ms, report.after_ms = before * 1e3, after * 1e3


# ---- replacing ---------------------------------------------------------------------------------


def _exchange(
    model: torch.nn.Module,
    chosen: set[torch.nn.Module],
    links: dict[torch.nn.Module, list[Link]],
    chains: dict[torch.nn.Module, Chain],
    seen: dict[torch.nn.Module, Counter[Any]],
) -> list[tuple[Any, type, type]]:
    """Exchange the classes of the chosen convolutions and pools, of what is fused into them and of
    the blocks that call both: all of them, with the classes before and after."""
    states: dict[torch.nn.Module, tuple[type, Any]] = {
        module: (Pool, PoolState(module)) if type(module) in POOLS
        else (Convolution, ConvolutionState(module))
        for module in chosen
    }
    for block, all_links in links.items():
        kept = [
            link for link in all_links
            if block.get_submodule(link.names[0]) in chosen
        ]
        if kept:
            (arguments,) = seen[block]
            states[block] = Block, BlockState(block, kept, arguments)
    for module, chain in chains.items():
        if module in chosen:
            states |= {follower: (Follower, FollowerState()) for follower in chain.followers}
    exchanged = []
    for module, (mixin, state) in states.items():
        had = type(module)
        swap(module, mixin, state)
        exchanged.append((module, had, type(module)))
    for block in links:
        if is_swapped(block):
            block_state: BlockState = block.__dict__[STATE]
            block_state.set_links([_for_compilers(block, link) for link in block_state.links])
    return exchanged


def _for_compilers(block: torch.nn.Module, link: Link) -> Link:
    """A link with what torch.compile has to know about it."""
    followers = [block.get_submodule(name) for name in link.names[1:]]
    members = [
        member for follower in followers for member in from_torch.members(follower, "module")
    ]
    norms = [
        name for name, follower in zip(link.names[1:], followers, strict=True)
        if getattr(follower, "num_batches_tracked", None) is not None
    ]
    has_norm = any(of.__name__ in from_torch.NORMS for _, _, of in members)
    activation = next(
        (from_torch.ACTIVATIONS[of.__name__](member) for _, member, of in members
         if of.__name__ in from_torch.ACTIVATIONS), "")
    if not isinstance(activation, str) or has_norm != bool(norms):
        return link  # an activation with parameters, or a normalisation that nobody can watch
    return traced_link(block, link, norms[0] if norms else "", activation)


def _compare(before: Any, after: Any, report: Report) -> None:
    """How far the outputs are from those before."""
    for old, new in zip(tree_leaves(before), tree_leaves(after), strict=True):
        if isinstance(old, torch.Tensor) and old.is_floating_point() and old.numel():
            difference = (old.double() - new.double()).abs()
            both = torch.isfinite(difference)
            report.magnitude = max(
                report.magnitude, old[torch.isfinite(old)].abs().amax().item()
                if torch.isfinite(old).any() else 0.0)
            report.difference = max(
                report.difference, difference[both].amax().item() if both.any() else 0.0)


def _take_back(model: torch.nn.Module, report: Report, why: str) -> None:
    """Leave the model as it was."""
    restore(model)
    for row in report.layers:
        if row["chosen"] == "gconv":
            row["chosen"] = "PyTorch"
            row["why"] = f"{row['why']}, but {why}"
    report.notes.insert(0, f"nothing was replaced: {why}")
    report.after_ms = report.before_ms
