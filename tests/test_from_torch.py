"""`from_torch` makes the layer that computes what the module would, and refuses all others."""

import inspect
import warnings

import numpy as np
import pytest
from interpreter import run_python
from oracles import oracle

import gconv

torch = oracle("torch")
nn = torch.nn
prune = oracle("torch.nn.utils.prune")
parametrizations = oracle("torch.nn.utils.parametrizations")

KINDS = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]
#: Those that this gconv has a layer for.
TAKEN = [name for name in KINDS if hasattr(gconv, name)]
CONVOLUTIONS = [name for name in TAKEN if "Transpose" not in name]
TRANSPOSED = [name for name in TAKEN if "Transpose" in name]


def dims_of(name):
    return int(name[-2])


def assert_same(layer, module, channels=8, dtype=torch.float32, size=12):
    """Assert that the layer is of the module's name and computes what it does in evaluation."""
    known = [of.__name__ for of in type(module).__mro__ if of.__name__ in KINDS]
    assert type(layer) is getattr(gconv, known[0])
    generator = torch.Generator().manual_seed(3)
    shape = (2, channels, *(size,) * dims_of(known[0]))
    x = torch.randn(shape, dtype=dtype, generator=generator)
    training = module.training
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's about even kernels and "same"
        want = module.eval()(x).numpy()
    module.train(training)
    got = layer(x.numpy())
    assert got.dtype == want.dtype
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


# ---- what the modules say


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "groups": 4},
        {"stride": 2, "padding": 2, "dilation": 3, "groups": 2, "bias": False},
    ],
    ids=str,
)
def test_every_class_and_option(name, options, dtype):
    module = getattr(nn, name)(8, 12, 3, **options).to(dtype)
    layer = gconv.from_torch(module)
    np.testing.assert_array_equal(layer.weight, module.weight.detach().numpy())
    assert (layer.bias is None) == (not options.get("bias", True))
    assert_same(layer, module, dtype=dtype)


@pytest.mark.parametrize("name", TAKEN)
def test_options_that_differ_by_dimension(name):
    dims = dims_of(name)
    stride, padding, dilation = (2, 1, 3)[:dims], (0, 2, 1)[:dims], (1, 2, 1)[:dims]
    kernel = (4, 2, 3)[:dims]
    module = getattr(nn, name)(8, 8, kernel, stride, padding, dilation=dilation)
    assert_same(gconv.from_torch(module), module)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [3, 4])
def test_padding_by_name(name, padding, kernel):
    module = getattr(nn, name)(8, 4, kernel, padding=padding, dilation=2)
    assert_same(gconv.from_torch(module), module)


# What gconv does not have yet is not collected, rather than skipped.
if "padding_mode" in inspect.signature(gconv.Conv2d).parameters:

    @pytest.mark.parametrize("name", CONVOLUTIONS)
    @pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
    @pytest.mark.parametrize("padding", [2, "same"])
    def test_padding_modes(name, mode, padding):
        module = getattr(nn, name)(8, 4, 3, padding=padding, padding_mode=mode)
        assert_same(gconv.from_torch(module), module)


if TRANSPOSED:

    @pytest.mark.parametrize("name", TRANSPOSED)
    def test_output_padding(name):
        module = getattr(nn, name)(8, 12, 3, stride=3, padding=1, output_padding=2, groups=2)
        assert_same(gconv.from_torch(module), module)


@pytest.mark.parametrize("training", [True, False])
def test_training_does_not_matter_and_the_module_stays_as_it_is(training):
    module = parametrizations.spectral_norm(nn.Conv2d(8, 8, 3)).train(training)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    gconv.from_torch(module)
    assert module.training == training
    assert module.parametrizations.weight[0].training == training
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


def test_the_layer_has_copies():
    module = nn.Conv1d(8, 8, 3)
    layer = gconv.from_torch(module)
    want = layer.weight.copy()
    with torch.no_grad():
        module.weight.zero_()
        module.bias.zero_()
    np.testing.assert_array_equal(layer.weight, want)
    assert layer.bias.any()


def test_in_any_memory_format():
    module = nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
    assert_same(gconv.from_torch(module), module)


# ---- weights that are computed


def changed(module):
    """Change every parameter, as loading a state does, so that what was computed is stale."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5).add_(0.1)
    return module


NORMS = {
    "weight_norm, a hook": lambda module: nn.utils.weight_norm(module),
    "weight_norm, a hook, another dimension": lambda module: nn.utils.weight_norm(module, dim=1),
    "weight_norm of the whole": lambda module: nn.utils.weight_norm(module, dim=None),
    "weight_norm": lambda module: parametrizations.weight_norm(module),
    "spectral_norm, a hook": lambda module: nn.utils.spectral_norm(module),
    "spectral_norm": lambda module: parametrizations.spectral_norm(module),
    "orthogonal": lambda module: parametrizations.orthogonal(module),
    "pruned": lambda module: prune.random_unstructured(module, "weight", 0.4),
    "pruned twice": lambda module: prune.ln_structured(
        prune.random_unstructured(module, "weight", 0.2), "weight", 0.3, n=2, dim=0
    ),
    "pruned bias": lambda module: prune.random_unstructured(module, "bias", 0.5),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("stale", [False, True])
def test_the_weight_in_use(norm, name, stale):
    torch.manual_seed(5)
    module = NORMS[norm](getattr(nn, name)(8, 12, 3, padding=1, groups=2))
    module(torch.randn(2, 8, *(9,) * dims_of(name)))
    if stale:
        changed(module)
    layer = gconv.from_torch(module)
    assert_same(layer, module)


def test_a_parametrisation_of_ones_own():
    class Symmetric(nn.Module):
        def forward(self, weight):
            return weight + weight.flip(-1)

    class Doubled(nn.Module):
        def forward(self, bias):
            return 2 * bias

    module = nn.Conv1d(8, 8, 3)
    nn.utils.parametrize.register_parametrization(module, "weight", Symmetric())
    nn.utils.parametrize.register_parametrization(module, "bias", Doubled())
    assert_same(gconv.from_torch(module), module)


# ---- other classes


class Subclass(nn.Conv2d):
    """A convolution with a constructor of its own."""

    def __init__(self, channels):
        super().__init__(channels, channels, 3, padding=1, groups=channels)

    def extra_repr(self):
        return "depthwise"


def test_subclasses():
    module = Subclass(8)
    assert_same(gconv.from_torch(module), module)


class Standardized(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean()
        return self._conv_forward(x, weight, self.bias)


class Padded(nn.Conv1d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(nn.functional.pad(x, (2, 0)), weight, bias)


class FurtherStandardized(Standardized):
    pass


@pytest.mark.parametrize(
    ("module", "owner", "method"),
    [
        (Standardized(3, 3, 3), "Standardized", "forward"),
        (FurtherStandardized(3, 3, 3), "Standardized", "forward"),
        (Padded(3, 3, 3), "Padded", "_conv_forward"),
    ],
)
def test_subclasses_that_compute_something_else(module, owner, method):
    with pytest.raises(TypeError, match=r"^from_torch: ") as caught:
        gconv.from_torch(module)
    message = str(caught.value)
    assert f"{owner} defines its own {method}," in message
    assert type(module).__qualname__ in message


LAZY = [name for name in TAKEN if hasattr(nn, f"Lazy{name}")]


@pytest.mark.parametrize("name", LAZY)
def test_lazy_modules(name):
    module = getattr(nn, f"Lazy{name}")(12, 3, groups=2)
    with pytest.raises(ValueError, match=r"^from_torch: weight is not initialised yet") as caught:
        gconv.from_torch(module)
    assert f"Lazy{name}" in str(caught.value)
    module(torch.randn(1, 8, *(9,) * dims_of(name)))
    assert_same(gconv.from_torch(module), module)


@pytest.mark.parametrize(
    "thing",
    [
        nn.Linear(3, 3),
        nn.Sequential(nn.Conv2d(3, 3, 3)),
        nn.Conv2d,
        np.ones((3, 3, 3, 3)),
        None,
        type("Conv2d", (), {})(),
        gconv.Conv2d(np.ones((3, 3, 3, 3))),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_everything_else(thing):
    with pytest.raises(TypeError, match=r"^from_torch: ") as caught:
        gconv.from_torch(thing)
    message = str(caught.value)
    assert all(name in message for name in TAKEN)
    assert type(thing).__qualname__ in message


# ---- refusals


@pytest.mark.filterwarnings("ignore:Complex modules:UserWarning")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_other_dtypes(dtype):
    module = nn.Conv2d(3, 3, 3).to(dtype)
    with pytest.raises(TypeError, match=r"^from_torch: weight must be of .*float\(\)") as caught:
        gconv.from_torch(module)
    assert str(dtype) in str(caught.value)


def test_a_bias_of_another_dtype():
    module = nn.Conv2d(3, 3, 3)
    module.bias = nn.Parameter(module.bias.detach().double())
    with pytest.raises(TypeError, match="weight is float32, bias is float64"):
        gconv.from_torch(module)


def test_other_devices():
    with pytest.raises(ValueError, match=r"^from_torch: weight must be on the CPU.*'meta'"):
        gconv.from_torch(nn.Conv2d(3, 3, 3, device="meta"))
    if torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"^from_torch: .*'cuda:0'"):
            gconv.from_torch(nn.Conv2d(3, 3, 3, device="cuda"))


def test_the_library_does_not_import_pytorch():
    done = run_python(
        "-c",
        "import sys, gconv\n"
        "try: gconv.from_torch(object())\n"
        "except TypeError as error: print(error)\n"
        "assert 'torch' not in sys.modules\n",
    )
    assert done.returncode == 0, done.stderr
    assert "torch.nn.Conv1d" in done.stdout
