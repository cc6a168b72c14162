"""Everything of gconv that takes arrays: each call with the shapes of its arrays."""

import numpy as np

import gconv

FUNCTIONS = {
    "conv1d": {"x": (4, 7), "weight": (2, 4, 3), "bias": (2,), "residual": (2, 5)},
    "conv2d": {"x": (2, 4, 7, 7), "weight": (2, 4, 3, 3), "bias": (2,), "residual": (2, 2, 5, 5)},
    "conv3d": {"x": (1, 3, 3, 3), "weight": (2, 1, 3, 3, 3), "bias": (2,)},
    "conv_transpose1d": {"x": (4, 7), "weight": (4, 2, 3), "bias": (2,), "residual": (2, 9)},
    "conv_transpose2d": {
        "x": (4, 3, 3), "weight": (4, 2, 3, 3), "bias": (2,), "residual": (2, 5, 5)},
    "conv_transpose3d": {"x": (1, 4, 3, 3, 3), "weight": (4, 2, 3, 3, 3), "bias": (2,)},
    "filter_bank": {"x": (3, 7, 7), "kernels": (2, 3, 3)},
}


def called(layer):
    """A layer's call: `layer_weight` makes the layer."""
    return lambda layer_weight, x, residual: layer(layer_weight)(x, residual=residual)


def folded(layer):
    """A layer's `fold_batch_norm`."""
    return lambda layer_weight, **statistics: layer(layer_weight).fold_batch_norm(**statistics)


def causal_step(layer_weight, chunk, state):
    return gconv.CausalConv1d(layer_weight).step(chunk, state)


#: The function that takes arrays by name, and their shapes. `layer_weight` is of the layer that is
#: called, and not among what the call itself is given.
CALLS = {name: (getattr(gconv, name), shapes) for name, shapes in FUNCTIONS.items()}
for _name, _shapes in FUNCTIONS.items():
    if _name != "filter_bank":
        _layer = getattr(gconv, "Conv" + _name.removeprefix("conv").replace("_t", "T"))
        _weight = _shapes["weight"]
        CALLS[_layer.__name__] = _layer, {"weight": _weight, "bias": (2,)}
        CALLS[f"{_layer.__name__}.__call__"] = called(_layer), {
            "layer_weight": _weight, "x": _shapes["x"],
            "residual": _layer(np.ones(_weight)).out_shape(_shapes["x"])}
CALLS |= {
    "CausalConv1d": (gconv.CausalConv1d, {"weight": (2, 4, 3), "bias": (2,)}),
    "CausalConv1d.__call__": (
        called(gconv.CausalConv1d), {"layer_weight": (2, 4, 3), "x": (4, 7), "residual": (2, 7)}),
    "CausalConv1d.step": (
        causal_step, {"layer_weight": (2, 4, 3), "chunk": (4, 7), "state": (4, 2)}),
    "Conv2d.fold_batch_norm": (
        folded(gconv.Conv2d),
        {"layer_weight": (2, 4, 3, 3), "mean": (2,), "var": (2,), "weight": (2,), "bias": (2,)}),
    "ConvTranspose1d.fold_batch_norm": (
        folded(gconv.ConvTranspose1d),
        {"layer_weight": (4, 2, 3), "mean": (2,), "var": (2,), "weight": (2,), "bias": (2,)}),
}


def arguments_of(name):
    """The arrays that a call itself is given."""
    return [argument for argument in CALLS[name][1] if argument != "layer_weight"]


def arrays_for(name, rng, dtype):
    """Whole numbers of the right shapes, and positive ones for a variance."""
    return {
        argument: rng.integers(1, 7, shape).astype(dtype)
        for argument, shape in CALLS[name][1].items()
    }


def results_of(value):
    """The arrays of a result: those of a layer are its weight and bias."""
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, np.ndarray) else (value.weight, value.bias)
