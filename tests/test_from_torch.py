"""`from_torch` makes the layer that computes what the module would, and refuses all others."""

import copy
import functools
import inspect
import re
import warnings
from collections import OrderedDict

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
    convolutions = [member for member in module.modules() if hasattr(member, "out_channels")]
    known = [of.__name__ for of in type(convolutions[0]).__mro__ if of.__name__ in KINDS]
    assert type(layer) is getattr(gconv, known[0])
    generator = torch.Generator().manual_seed(3)
    shape = (2, channels, *(size,) * dims_of(known[0]))
    x = torch.randn(shape, dtype=dtype, generator=generator)
    training = {member: member.training for member in module.modules()}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's about even kernels and "same"
        want = module.eval()(x).numpy()
    for member, mode in training.items():
        member.training = mode
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


class Called(nn.Conv2d):
    def __call__(self, x):
        return 2 * super().__call__(x)


class CalledWithin(nn.Conv2d):
    def _call_impl(self, x):
        return 2 * super()._call_impl(x)


@pytest.mark.parametrize(
    ("of", "method"), [(Called, "__call__"), (CalledWithin, "_call_impl")]
)
def test_subclasses_that_are_called_otherwise(of, method):
    with pytest.raises(TypeError, match=rf"{of.__name__} defines its own {method},"):
        gconv.from_torch(of(3, 3, 3))


# ---- what was set on the instance


def doubled(self, x, *rest):
    """Compute what no convolution does."""
    return 2 * nn.functional.relu(x)


def seamless(self, x, weight, bias):
    """Pad circularly along one axis, as patches for tiling pictures do."""
    x = nn.functional.pad(x, (1, 1, 0, 0), mode="circular")
    return nn.functional.conv2d(x, weight, bias, self.stride, (1, 0), self.dilation, self.groups)


OWN = ["forward", "_conv_forward", "_call_impl", "_compiled_call_impl"]


@pytest.mark.parametrize("attribute", OWN)
@pytest.mark.parametrize("name", TAKEN)
def test_methods_set_on_the_instance(name, attribute):
    module = getattr(nn, name)(8, 8, 3)
    setattr(module, attribute, doubled.__get__(module))
    pattern = rf"^from_torch: module has its own {attribute}, set on the instance \(.*doubled\)"
    with pytest.raises(TypeError, match=pattern):
        gconv.from_torch(module)
    with pytest.raises(TypeError, match=rf"module\[0\] has its own {attribute}.*doubled"):
        gconv.from_torch(nn.Sequential(module))
    delattr(module, attribute)
    assert_same(gconv.from_torch(module), module)


def test_a_patch_for_seamless_tiling():
    module = nn.Conv2d(8, 8, 3, padding=1)
    module._conv_forward = seamless.__get__(module, nn.Conv2d)
    with pytest.raises(TypeError, match=r"its own _conv_forward, .*seamless"):
        gconv.from_torch(module)


@pytest.mark.parametrize(
    ("of", "method"),
    [(nn.Conv2d, "_conv_forward"), (nn.Conv2d, "forward"), (nn.Conv2d, "__call__"),
     (nn.modules.conv._ConvNd, "_call_impl"), (nn.BatchNorm2d, "forward"), (nn.ReLU, "forward"),
     (nn.Sequential, "forward")],
)
def test_methods_replaced_in_pytorchs_classes(of, method, monkeypatch):
    monkeypatch.setattr(of, method, doubled, raising=False)
    module = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    pattern = rf": {method} of .*{of.__name__} was replaced by .*doubled"
    with pytest.raises(TypeError, match=pattern):
        gconv.from_torch(module)
    monkeypatch.undo()
    assert_same(gconv.from_torch(module), module)


def test_a_method_of_no_name_set_on_the_instance():
    module = nn.Conv1d(8, 8, 3)
    module.forward = functools.partial(doubled, module)
    with pytest.raises(TypeError, match=r"its own forward, set on the instance \(functools\."):
        gconv.from_torch(module)


@pytest.mark.parametrize("attribute", ["forward", "_conv_forward", "_call_impl"])
def test_a_method_that_was_reset_is_the_classs(attribute):
    """As tools leave it that wrap `forward` for a while."""
    module = nn.Conv2d(8, 8, 3)
    setattr(module, attribute, getattr(module, attribute))
    assert attribute in vars(module)
    assert_same(gconv.from_torch(module), module)


def test_a_compiled_module_is_the_same_convolution():
    module = nn.Conv2d(8, 8, 3)
    module.compile(backend="eager")
    plain = nn.Conv2d(8, 8, 3)
    plain.load_state_dict(module.state_dict())
    assert_same(gconv.from_torch(module), plain)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_that_was_set_too_late(mode):
    """With these modes a module pads what it was made for."""
    module = nn.Conv2d(8, 8, 3, padding=(1, 2), padding_mode=mode)
    module.padding = 3
    assert_same(gconv.from_torch(module), module)
    module = nn.Conv2d(8, 8, 3, padding=(1, 2))
    module.padding_mode = mode
    assert_same(gconv.from_torch(module), module)


# ---- hooks


class Hook:
    def __call__(self, *arguments):
        return None


def a_hook(*arguments):
    return None


def a_hook_with_kwargs(module, arguments, kwargs, result=None):
    return None


HOOKS = {
    "hook": lambda module: module.register_forward_hook(a_hook),
    "hook, prepended": lambda module: module.register_forward_hook(a_hook, prepend=True),
    "hook, always called": lambda module: module.register_forward_hook(a_hook, always_call=True),
    "hook with kwargs": lambda module: module.register_forward_hook(
        a_hook_with_kwargs, with_kwargs=True
    ),
    "pre-hook": lambda module: module.register_forward_pre_hook(a_hook),
    "pre-hook with kwargs": lambda module: module.register_forward_pre_hook(
        a_hook_with_kwargs, with_kwargs=True
    ),
    "hook, an object": lambda module: module.register_forward_hook(Hook()),
    "pre-hook, partial": lambda module: module.register_forward_pre_hook(
        functools.partial(a_hook, 1)
    ),
}
HOOK_NAMES = {"hook, an object": "Hook", "pre-hook, partial": "functools.partial"}


@pytest.mark.parametrize("kind", HOOKS)
@pytest.mark.parametrize("name", TAKEN)
def test_forward_hooks(name, kind):
    module = getattr(nn, name)(8, 8, 3)
    handle = HOOKS[kind](module)
    with pytest.raises(TypeError, match=r"^from_torch: module, a .* has a forward ") as caught:
        gconv.from_torch(module)
    message = str(caught.value)
    assert f" {re.match('(pre-)?hook', kind)[0]}, " in message
    assert f"a torch.nn.modules.conv.{name}, has a forward " in message
    assert HOOK_NAMES.get(kind, "a_hook") in message
    handle.remove()
    assert_same(gconv.from_torch(module), module)


@pytest.mark.parametrize("kind", HOOKS)
@pytest.mark.parametrize("place", ["module", "module[0]", "module[1]", "module[2]", "module[3]"])
def test_forward_hooks_in_a_sequential(kind, place):
    module = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout()).eval()
    HOOKS[kind](eval(place))
    with pytest.raises(TypeError, match=r"has a forward (pre-)?hook, ") as caught:
        gconv.from_torch(module)
    assert str(caught.value).startswith(f"from_torch: {place}, a torch.nn.modules.")


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("norm", ["weight_norm, a hook", "spectral_norm, a hook", "pruned"])
def test_a_hook_beside_one_that_makes_the_weight(norm):
    module = NORMS[norm](nn.Conv2d(8, 12, 3, groups=2))
    assert_same(gconv.from_torch(module), module)
    module.register_forward_pre_hook(a_hook)
    with pytest.raises(TypeError, match=r"has a forward pre-hook, .*\ba_hook,"):
        gconv.from_torch(module)


def test_backward_hooks_do_not_matter():
    module = nn.Conv2d(8, 8, 3)
    module.register_full_backward_hook(a_hook)
    module.register_full_backward_pre_hook(a_hook)
    module.register_state_dict_pre_hook(a_hook)
    plain = nn.Conv2d(8, 8, 3)
    plain.load_state_dict(module.state_dict())
    assert_same(gconv.from_torch(module), plain)


# ---- blocks: a convolution, a batch normalisation, an activation


def trained(module):
    """The module in evaluation, with statistics and parameters as training leaves them."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for member in module.modules():
            if getattr(member, "running_var", None) is not None:
                member.running_mean.uniform_(-1, 1, generator=generator)
                member.running_var.uniform_(0.2, 3, generator=generator)
                if member.affine:
                    member.weight.uniform_(-2, 2, generator=generator)
                    member.bias.uniform_(-1, 1, generator=generator)
    return module.eval()


def norm_for(name, channels=12, **options):
    return getattr(nn, f"BatchNorm{dims_of(name)}d")(channels, **options)


ACTIVATIONS = {
    nn.ReLU(): "relu",
    nn.ReLU(inplace=True): "relu",
    nn.ReLU6(): "relu6",
    nn.Hardtanh(): ("clip", -1.0, 1.0),
    nn.Hardtanh(-0.5, 2): ("clip", -0.5, 2.0),
    nn.LeakyReLU(): ("leaky_relu", 0.01),
    nn.LeakyReLU(0.3, inplace=True): ("leaky_relu", 0.3),
    nn.Sigmoid(): "sigmoid",
    nn.Tanh(): "tanh",
    nn.SiLU(): "silu",
    nn.Hardsigmoid(): "hardsigmoid",
    nn.Hardswish(): "hardswish",
    nn.GELU(): "gelu",
    nn.GELU(approximate="tanh"): "gelu_tanh",
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_normalisation(name, bias, affine, dtype):
    convolution = getattr(nn, name)(8, 12, 3, stride=2, padding=1, groups=4, bias=bias)
    norm = norm_for(name, affine=affine, eps=1e-3)
    module = trained(nn.Sequential(convolution, norm).to(dtype))
    layer = gconv.from_torch(module)
    assert_same(layer, module, dtype=dtype)
    assert layer.bias is not None


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("has_norm", [True, False])
def test_an_activation(name, activation, has_norm):
    members = [getattr(nn, name)(8, 12, 3, padding=1, groups=2), activation]
    if has_norm:
        members.insert(1, norm_for(name))
    module = trained(nn.Sequential(*members))
    layer = gconv.from_torch(module)
    assert f"activation={ACTIVATIONS[activation]!r}" in repr(layer)
    assert_same(layer, module)


def test_bounds_that_were_changed():
    activation = nn.ReLU6()
    activation.max_val = 1
    module = nn.Sequential(nn.Conv2d(8, 8, 3), activation)
    assert_same(gconv.from_torch(module), module)


def test_a_form_of_gelu_that_pytorch_does_not_have():
    module = nn.Sequential(nn.Conv2d(8, 8, 3), nn.GELU(approximate="sigmoid"))
    with pytest.raises(ValueError, match=r"^from_torch: approximate .* 'tanh', got 'sigmoid'"):
        gconv.from_torch(module)


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("kind", ["Dropout", "Dropout{}d", "AlphaDropout", "FeatureAlphaDropout"])
def test_what_does_nothing(name, kind):
    dropout = getattr(nn, kind.format(dims_of(name)))
    module = trained(nn.Sequential(OrderedDict(
        first=nn.Identity(), conv=getattr(nn, name)(8, 12, 3), drop=dropout(0.5),
        bn=norm_for(name), second=nn.Identity(), act=nn.SiLU(), last=dropout(0.9),
    )))
    assert_same(gconv.from_torch(module), module)


def test_a_sequential_of_a_convolution_alone():
    module = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1))
    assert repr(gconv.from_torch(module)) == repr(gconv.from_torch(module[0]))
    assert_same(gconv.from_torch(module), module)


class Block(nn.Sequential):
    """As vision models write it."""

    def __init__(self, *channels):
        super().__init__(nn.Conv2d(*channels, 3, bias=False), nn.BatchNorm2d(channels[1]))


def test_sequentials_in_sequentials_and_subclasses():
    module = trained(nn.Sequential(Block(8, 12), nn.Sequential(nn.ReLU(), nn.Sequential())))
    assert_same(gconv.from_torch(module), module)


def test_the_members_training_does_not_matter_but_the_norms():
    module = trained(nn.Sequential(nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU()))
    module.training = module[0].training = module[2].training = True
    assert_same(gconv.from_torch(module), module)


def test_a_synchronised_batch_normalisation():
    for name in TAKEN:
        module = trained(nn.Sequential(getattr(nn, name)(8, 12, 3), nn.SyncBatchNorm(12)))
        assert_same(gconv.from_torch(module), module)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("norm", NORMS)
def test_the_weight_in_use_in_a_block(norm):
    torch.manual_seed(5)
    convolution = NORMS[norm](nn.Conv2d(8, 12, 3, padding=1, groups=2))
    module = trained(nn.Sequential(convolution, nn.BatchNorm2d(12), nn.Tanh()))
    assert_same(gconv.from_torch(module), module)


def test_a_pruned_batch_normalisation():
    norm = prune.random_unstructured(nn.BatchNorm2d(12), "weight", 0.4)
    module = trained(nn.Sequential(nn.Conv2d(8, 12, 3), norm))
    assert_same(gconv.from_torch(module), module)


def test_fused_modules():
    """PyTorch's own pair of a convolution and an activation, and its folded batch norm."""
    intrinsic = oracle("torch.ao.nn.intrinsic")
    convolution, norm, relu = nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU()
    trained(nn.Sequential(convolution, norm, relu))
    for module in (
        intrinsic.ConvReLU2d(convolution, relu),
        intrinsic.ConvBn2d(convolution, norm).eval(),
        intrinsic.ConvBnReLU2d(convolution, norm, relu).eval(),
        nn.utils.fusion.fuse_conv_bn_eval(convolution, norm),
    ):
        assert_same(gconv.from_torch(module), module)


def test_modules_for_training_with_quantisation():
    qat = oracle("torch.ao.nn.intrinsic.qat")
    config = oracle("torch.ao.quantization").get_default_qat_qconfig()
    for module in (qat.ConvReLU2d(8, 8, 3, qconfig=config), qat.ConvBn2d(8, 8, 3, qconfig=config)):
        with pytest.raises(TypeError, match=r"is not a plain torch.nn.Conv2d: .* its own "):
            gconv.from_torch(module)


CONV = nn.Conv2d(8, 12, 3)


@pytest.mark.parametrize(
    ("members", "index"),
    [
        ([CONV, nn.Mish()], 1),
        ([CONV, nn.BatchNorm2d(12), nn.RReLU()], 2),
        ([CONV, nn.GroupNorm(2, 12)], 1),
        ([CONV, nn.InstanceNorm2d(12)], 1),
        ([CONV, nn.MaxPool2d(2)], 1),
        ([nn.ZeroPad2d(1), CONV], 0),
        ([nn.BatchNorm2d(8), CONV], 0),
        ([nn.ReLU(), CONV], 0),
        ([CONV, nn.ReLU(), nn.BatchNorm2d(12)], 2),
        ([CONV, nn.BatchNorm2d(12), nn.BatchNorm2d(12)], 2),
        ([CONV, nn.ReLU(), nn.ReLU()], 2),
        ([CONV, nn.Conv2d(12, 12, 3)], 1),
        ([CONV, nn.Linear(3, 3)], 1),
        ([CONV, nn.LazyBatchNorm2d()], 1),
    ],
    ids=str,
)
def test_blocks_of_anything_else(members, index):
    module = nn.Sequential(*members).eval()
    of = type(members[index])
    name = f"{of.__module__}.{of.__qualname__}"
    with pytest.raises(TypeError, match=r"^from_torch: module must be a torch.nn.Conv1d") as caught:
        gconv.from_torch(module)
    assert str(caught.value).endswith(f"but module[{index}] is a {name}")
    with pytest.raises(TypeError, match=rf"but module\[0\]\[{index}\] is a "):
        gconv.from_torch(nn.Sequential(module))


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Reversed(nn.Sequential):
    def __iter__(self):
        return reversed(list(super().__iter__()))


class Shifted(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) + 1


class Swish(nn.SiLU):
    def forward(self, x):
        return x * torch.sigmoid(2 * x)


@pytest.mark.parametrize(
    ("module", "owner", "method"),
    [
        (Residual(nn.Conv2d(3, 3, 3, padding=1)), Residual, "forward"),
        (Reversed(nn.Conv2d(3, 3, 3)), Reversed, "__iter__"),
        (nn.Sequential(Standardized(3, 3, 3)), Standardized, "forward"),
        (nn.Sequential(nn.Conv2d(3, 3, 3), Shifted(3)), Shifted, "forward"),
        (nn.Sequential(nn.Conv2d(3, 3, 3), Swish()), Swish, "forward"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_blocks_whose_members_compute_something_else(module, owner, method):
    pattern = rf"^from_torch: .*{owner.__name__} defines its own {method},"
    with pytest.raises(TypeError, match=pattern):
        gconv.from_torch(module.eval())


@pytest.mark.parametrize("index", [1, 2])
def test_methods_set_on_a_member(index):
    module = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.ReLU()).eval()
    module[index].forward = doubled.__get__(module[index])
    with pytest.raises(TypeError, match=rf"^from_torch: module\[{index}\] has its own forward,"):
        gconv.from_torch(module)
    del module[index].forward
    module.forward = doubled.__get__(module)
    with pytest.raises(TypeError, match=r"^from_torch: module has its own forward,"):
        gconv.from_torch(module)


NORM = r"^from_torch: module\[1\], a torch.nn.modules.batchnorm.BatchNorm[123]d, "


@pytest.mark.parametrize("name", TAKEN)
def test_batch_normalisations_that_cannot_be_folded(name):
    convolution = getattr(nn, name)(8, 12, 3)
    module = nn.Sequential(convolution, norm_for(name))
    with pytest.raises(ValueError, match=NORM + r"is in training mode.*eval\(\)"):
        gconv.from_torch(module)
    module = nn.Sequential(convolution, norm_for(name, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match=NORM + "has no running statistics.*of the batch"):
        gconv.from_torch(module)
    module = nn.Sequential(convolution, norm_for(name, 8)).eval()
    with pytest.raises(ValueError, match=NORM + "has 8 features, .* 12 output channels"):
        gconv.from_torch(module)
    module = nn.Sequential(convolution, norm_for(name).double()).eval()
    with pytest.raises(TypeError, match=NORM + "must be .*float32, .*running_mean is float64"):
        gconv.from_torch(module)
    for dims in {1, 2, 3} - {dims_of(name)}:
        module = nn.Sequential(convolution, getattr(nn, f"BatchNorm{dims}d")(12)).eval()
        with pytest.raises(TypeError, match=NORM + f"cannot follow a {name}"):
            gconv.from_torch(module)


def test_statistics_that_are_no_longer_tracked_are_used():
    """As the module does in evaluation."""
    module = trained(nn.Sequential(nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12)))
    module[1].track_running_stats = False
    assert_same(gconv.from_torch(module), module)


def test_dropout_in_training():
    module = nn.Sequential(nn.Conv2d(8, 12, 3), nn.Dropout2d(0.5))
    with pytest.raises(ValueError, match=r"^from_torch: module\[1\], .*Dropout2d, is in training"):
        gconv.from_torch(module)
    module[1].p = 0.0
    assert_same(gconv.from_torch(module), module)


def test_a_block_is_left_as_it_is():
    module = trained(nn.Sequential(nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU()))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    gconv.from_torch(module)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


LAZY = [name for name in TAKEN if hasattr(nn, f"Lazy{name}")]


@pytest.mark.parametrize("name", LAZY)
def test_lazy_modules(name):
    module = getattr(nn, f"Lazy{name}")(12, 3, groups=2)
    with pytest.raises(ValueError, match=r"^from_torch: weight is not initialised yet") as caught:
        gconv.from_torch(module)
    assert f"Lazy{name}" in str(caught.value)
    loaded = copy.deepcopy(module)
    module(torch.randn(1, 8, *(9,) * dims_of(name)))
    assert_same(gconv.from_torch(module), module)
    loaded.load_state_dict(module.state_dict())
    assert_same(gconv.from_torch(loaded), module)


@pytest.mark.parametrize(
    "thing",
    [
        nn.Linear(3, 3),
        nn.Sequential(),
        nn.Sequential(nn.ReLU()),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Identity(),
        nn.ModuleList([nn.Conv2d(3, 3, 3)]),
        nn.Conv2d,
        np.ones((3, 3, 3, 3)),
        None,
        lambda x: x,
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
@pytest.mark.parametrize(
    ("dtype", "hint"),
    [
        (torch.float16, "module.float()"),
        (torch.bfloat16, "module.float()"),
        (torch.complex64, "two layers"),  # module.float() would leave it complex
    ],
)
def test_other_dtypes(dtype, hint):
    module = nn.Conv2d(3, 3, 3).to(dtype)
    for thing, where in [(module, ""), (nn.Sequential(nn.Identity(), module), r"module\[1\]: ")]:
        with pytest.raises(TypeError, match=rf"^from_torch: {where}weight must be of ") as caught:
            gconv.from_torch(thing)
        assert str(dtype) in str(caught.value)
        assert hint in str(caught.value)


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
