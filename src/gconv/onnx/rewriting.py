"""From the nodes of a file to the nodes of a plan: everything that is done once, at load."""

from __future__ import annotations

from collections.abc import Iterable

from gconv.onnx.folding import fold, merge_equal, remove_unused
from gconv.onnx.fusing import (
    activations,
    affine,
    concatenation,
    convolution,
    elementwise,
    epilogue,
    matrix,
    normalization,
    padding,
    views,
)
from gconv.onnx.graph import Graph


def rewrite(graph: Graph, overridden: Iterable[str] = ()) -> None:
    """Fold and fuse the nodes of a graph as `load` returns it.

    Parameters
    ----------
    graph : Graph
        It is changed; its arrays are not.
    overridden : names
        Optional inputs that the caller gives, so that nothing may be folded that follows from
        them. The others are constants.
    """
    graph.override(overridden)
    fold(graph)
    for translate in (
        elementwise.translate,
        convolution.translate,
        matrix.translate,
        normalization.translate,
    ):
        translate(graph)
    merge_equal(graph)
    views.merge(graph)
    padding.absorb(graph)
    activations.recognise(graph)
    normalization.recognise(graph)
    concatenation.pass_on(graph)
    affine.fold_into_products(graph)
    affine.join(graph)
    epilogue.take_activations(graph)
    epilogue.take_residuals(graph)
    remove_unused(graph)
