"""Modules that do the same in another way: their class is exchanged, and nothing else of them.

A module stays the object that it was, with its names, parameters, buffers and hooks; whatever
holds it, holds it still. Its class becomes a subclass of the one it had, with the same name and
home, so that `isinstance`, `repr` and `torch.fx` (whose leaves are the modules whose home is
torch.nn) find what they found. The subclass is made when it is first needed, as
`torch.nn.utils.parametrize` makes its own, because modules have any class.

What such a module does is fitted to this process and this CPU. A deep copy does it too; a pickle
holds the module of the class that it had, and can be read where gconv is not installed.
"""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import torch

#: Where a module keeps what its exchanged class needs: in its `__dict__`.
STATE = "_gconv"


class Swapped:
    """What the exchanged classes share; `_gconv_original` is the class that a module had."""

    _gconv_original: type

    def call(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a call does, beside the class's own forward."""
        raise NotImplementedError

    def __reduce_ex__(self, protocol: Any) -> Any:
        kind = type(self)
        reduced: Any = super().__reduce_ex__(protocol)
        function, args, *rest = reduced
        args = tuple(self._gconv_original if arg is kind else arg for arg in args)
        if function is copyreg.__newobj__:  # type: ignore[attr-defined]  # it would see the class
            function = copyreg._reconstructor  # type: ignore[attr-defined]
            args = args[0], object, None
        if rest and isinstance(rest[0], dict):
            rest[0] = {name: value for name, value in rest[0].items() if name != STATE}
        return function, args, *rest

    def __copy__(self) -> Any:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.__dict__[STATE] = self.__dict__[STATE].for_copy(twin)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin


@cache
def _class_of(mixin: Any, original: Any) -> type:
    """The class of modules of class `original` that do what the mixin says."""
    return type(
        original.__name__,
        (mixin, original),
        {
            "__module__": original.__module__,
            "__qualname__": original.__qualname__,
            "__doc__": original.__doc__,
            "_gconv_original": original,
            "forward": _forward(mixin.call, original.forward),
        },
    )


def _forward(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Our forward with the signature of theirs, which torch.export and others look at."""

    @wraps(theirs)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return ours(self, theirs, *args, **kwargs)

    return forward


def _is_parametrized(of: type) -> bool:
    """Whether a class was made for one module, by `torch.nn.utils.parametrize`."""
    return of.__name__.startswith("Parametrized") and len(of.__bases__) == 1 and (
        getattr(vars(of).get("__getstate__"), "__module__", None)
        == "torch.nn.utils.parametrize"
    )


def _with_base(of: type, base: type) -> type:
    """A class that was made for one parametrized module, over another base."""
    own = {
        name: value for name, value in vars(of).items() if name not in ("__dict__", "__weakref__")
    }
    return type(of.__name__, (base,), own)


def is_swapped(module: Any) -> bool:
    """Whether a module's class is an exchanged one."""
    return isinstance(module, Swapped)


def swap(module: torch.nn.Module, mixin: type[Swapped], state: Any) -> None:
    """Exchange a module's class; its own state goes into its `__dict__`."""
    of: Any = type(module)
    class_of: Any = _class_of  # for mypy classes cannot be hashed
    module.__dict__[STATE] = state
    if _is_parametrized(of):
        module.__class__ = _with_base(of, class_of(mixin, of.__bases__[0]))
    else:
        module.__class__ = class_of(mixin, of)


def unswap(module: torch.nn.Module) -> None:
    """Give a module the class back that it had."""
    of: Any = type(module)
    original: type = of._gconv_original
    # Parametrized before or since: the class that was made for the module stays.
    module.__class__ = _with_base(of, original) if _is_parametrized(of) else original
    module.__dict__.pop(STATE, None)
