"""Which modules a block calls one after the other, as its trace by `torch.fx` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
import torch.fx

from gconv._api import from_torch
from gconv.torch._modules import Link, chain_of


class _Tracer(torch.fx.Tracer):
    """Traces one module's own forward: what it calls is not looked into."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return True


def blocks_of(
    model: torch.nn.Module, convolutions: set[torch.nn.Module]
) -> Iterator[tuple[str, torch.nn.Module]]:
    """The modules whose forwards may call the convolutions: their parents, or the parents of the
    lists and dicts that hold them."""
    containers = torch.nn.ModuleList, torch.nn.ModuleDict
    modules = dict(model.named_modules())
    seen = set()
    for name, module in modules.items():
        if module not in convolutions or not name:
            continue
        parent = name
        while parent and (parent == name or isinstance(modules[parent], containers)):
            parent = parent.rpartition(".")[0]
        if parent not in seen:
            seen.add(parent)
            yield parent, modules[parent]


def links_of(
    block: torch.nn.Module, arguments: int, convolutions: set[torch.nn.Module]
) -> list[Link]:
    """The chains of a block that is called with so many tensors."""
    try:
        graph = _trace(block, arguments)
    except Exception:  # whatever a forward may raise that gets no tensors
        return []
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    links = []
    for node in graph.nodes:
        if node.op != "call_module" or calls[node.target] != 1:
            continue
        convolution = block.get_submodule(node.target)
        if convolution in convolutions:
            link = _link(block, node)
            if link is not None:
                links.append(link)
    return links


def _trace(block: torch.nn.Module, arguments: int) -> torch.fx.Graph:
    import inspect

    parameters = [*inspect.signature(block.forward).parameters.values()]
    defaults = {
        parameter.name: parameter.default
        for parameter in parameters[arguments:]
        if parameter.default is not parameter.empty
    }
    return _Tracer().trace(block, concrete_args=defaults)


def _link(block: torch.nn.Module, node: Any) -> Link | None:
    """The longest chain that begins with a call of a convolution."""
    names = [node.target]
    while len(node.users) == 1:
        (user,) = node.users
        if user.op != "call_module" or user.args != (node,) or user.kwargs:
            break
        if not _may_follow(block.get_submodule(user.target)):
            break
        names.append(user.target)
        node = user
    while type(block.get_submodule(names[-1])) is torch.nn.Identity:
        names.pop()
    while len(names) > 1:
        with suppress(AttributeError, KeyError):
            if chain_of(block, Link(tuple(names))).works():
                return Link(tuple(names))
        names.pop()
    return None


def _may_follow(module: torch.nn.Module) -> bool:
    """Whether a module is one that a layer has a place for; a convolution is not."""
    try:
        kinds = {of.__name__ for _, _, of in from_torch.members(module, "module")}
    except (TypeError, ValueError):
        return False
    return kinds.isdisjoint(from_torch.layers()) and type(module) is not torch.nn.Sequential
