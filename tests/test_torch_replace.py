"""A PyTorch model whose convolutions run on gconv does what it did: outputs, names, state, modes.

Which modules are replaced is measured, so these tests let every convolution be faster than
PyTorch's. Whether gconv computes is seen by its layers: they are made and called, or not.
"""

import copy
import doctest
import gc
import io
import pickle
import re
import subprocess
import sys
import threading
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from oracles import oracle

import gconv

torch = oracle("torch")
import gconv.torch  # noqa: E402  # needs PyTorch
from gconv._bench.zoo import import_timm  # noqa: E402
from gconv.torch import _layer, _pool, _replace  # noqa: E402

prune = oracle("torch.nn.utils.prune")
nn = torch.nn
F = torch.nn.functional


@pytest.fixture(autouse=True)
def always_faster(monkeypatch):
    """Let gconv win every measurement, in no time."""
    monkeypatch.setattr(_replace, "_interleaved", lambda contenders, *rest: [2.0, 1.0])
    torch.manual_seed(0)


def counted_calls(monkeypatch, kind, entry):
    """Return a list that grows by an entry for each result that objects of a class compute."""
    calls = []
    original = kind.__call__

    def counted(self, x):
        y = original(self, x)
        if y is not None:
            calls.append(entry(self.modules))
        return y

    monkeypatch.setattr(kind, "__call__", counted)
    return calls


@pytest.fixture
def gconv_calls(monkeypatch):
    """Return a list that grows by the number of modules for each convolution by gconv."""
    return counted_calls(monkeypatch, _layer.TorchLayer, len)


def close(ours, theirs, dtype=torch.float32):
    """Assert that two results differ by rounding alone."""
    few = 2e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(ours, theirs, rtol=few, atol=few)


class Residual(nn.Module):
    """A depthwise and a pointwise convolution around one ReLU, and a sum."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + x)


def net():
    """Return a small model: a stem, a residual block, two branches, a transposed convolution."""
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU()),
        Residual(8),
        nn.Sequential(nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2), nn.Hardswish()),
        nn.Conv2d(6, 5, 3, padding=1, padding_mode="reflect"),
    )
    return settled(model)


def settled(model):
    """Return a model in evaluation mode whose batch normalisations do something."""
    for module in model.modules():
        if hasattr(module, "running_mean"):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return model.eval()


X = (2, 3, 10, 12)


def replaced(model=None, x=None):
    """Return a model, the same replaced, and an input."""
    model = net() if model is None else model
    x = torch.randn(X) if x is None else x
    theirs = copy.deepcopy(model)
    with torch.no_grad():
        report = gconv.torch.replace_convs_(model, x)
    assert {row["chosen"] for row in report.layers} == {"gconv"}, str(report)
    return theirs, model, x


# ---- the outputs -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_replaced_model_computes_what_it_did_on_gconv(gconv_calls, mode):
    """A replaced model computes what it did, on gconv, with followers fused."""
    theirs, model, x = replaced()
    gconv_calls.clear()
    with mode():
        y = model(x)
        close(y, theirs(x))
    # The convolution with its normalisation and activation, and so on; the second ReLU of the
    # residual block follows a sum.
    assert gconv_calls == [3, 3, 2, 2, 1]
    assert y.is_inference() == (mode is torch.inference_mode)


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batched", [True, False])
def test_every_convolution_module_is_replaced(gconv_calls, kind, dims, dtype, batched):
    """Every convolution module is replaced: all dimensions, both dtypes, with and without batch."""
    options = {"output_padding": 1} if kind == "ConvTranspose" else {}
    module = getattr(nn, f"{kind}{dims}d")(4, 6, 3, stride=2, padding=1, groups=2, **options)
    shape = (2, 4, *(9, 7, 5)[:dims])[not batched:]
    theirs, module, x = replaced(module.to(dtype).eval(), torch.randn(shape, dtype=dtype))
    gconv_calls.clear()
    with torch.no_grad():
        close(module(x), theirs(x), dtype)
    assert gconv_calls == [1]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [1, "same", "valid"])
def test_every_padding_is_replaced(gconv_calls, dims, padding_mode, padding):
    """Every padding and padding mode is replaced, an even kernel's odd padding too."""
    kernel = (3, 4, 2)[:dims] if padding != 1 else 3
    module = getattr(nn, f"Conv{dims}d")(4, 4, kernel, padding=padding, padding_mode=padding_mode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says that odd padding costs a copy
        theirs, module, x = replaced(module.eval(), torch.randn(2, 4, *(8, 7, 6)[:dims]))
        gconv_calls.clear()
        with torch.no_grad():
            close(module(x), theirs(x))
    assert gconv_calls == [1]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("of", ["x", "weight", "both"])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_results_lie_in_memory_as_pytorchs_do(gconv_calls, dims, of, kind):
    """A result has PyTorch's own strides: channels-last where x or the weight is."""
    order = {2: torch.channels_last, 3: torch.channels_last_3d}[dims]
    module = getattr(nn, f"{kind}{dims}d")(4, 6, 3, padding=1, groups=2).eval()
    x = torch.randn(2, 4, *(5,) * dims)
    if of != "x":
        module = module.to(memory_format=order)
    if of != "weight":
        x = x.contiguous(memory_format=order)
    theirs, module, x = replaced(module, x)
    gconv_calls.clear()
    with torch.no_grad():
        ours, wanted = module(x), theirs(x)
    close(ours, wanted)
    assert ours.stride() == wanted.stride()
    assert ours.is_contiguous(memory_format=order)
    assert gconv_calls == [1]


@pytest.mark.parametrize("view", [
    lambda x: x[:, 2:6], lambda x: x[..., ::2], lambda x: x.flip(3),
    lambda x: x[:1].expand(3, -1, -1, -1),
    lambda x: x.transpose(2, 3), lambda x: x[:0], lambda x: x.narrow(2, 1, 5),
])
def test_views_give_what_they_gave(view):
    """Inputs that are views of other tensors give what they gave, in the same order."""
    module = nn.Conv2d(4, 4, 3, padding=1).eval()
    whole = torch.randn(2, 8, 6, 8)
    theirs, module, _ = replaced(module, whole[:, :4].contiguous())
    x = view(whole)
    x = x if x.shape[1] == 4 else x[:, :4]
    with torch.no_grad():
        ours, wanted = module(x), theirs(x)
    close(ours, wanted)
    if ours.numel():
        assert ours.stride() == wanted.stride()


def test_tensors_share_their_memory_with_gconv():
    """A contiguous and a channels-last input is read, and a result written, in place."""
    module = nn.Conv2d(4, 4, 3, padding=1).eval()
    _, module, x = replaced(module, torch.randn(2, 4, 6, 6))
    seen = []

    class Spy:
        def __call__(self, x, *, out, num_threads):
            seen.append((x.ctypes.data, out.ctypes.data))
            out[...] = 0

    with torch.no_grad():
        for order in (torch.contiguous_format, torch.channels_last):
            x = x.contiguous(memory_format=order)
            module(x)
            layer = module._gconv.layer
            key = x.shape, x.stride()
            layer._ready[key] = (Spy(), *layer._ready[key][1:])
            y = module(x)
            assert seen.pop() == (x.data_ptr(), y.data_ptr())


def test_the_number_of_threads_is_pytorchs(monkeypatch):
    """A replaced module runs on as many threads as PyTorch has, and gives the same bits on each."""
    _, module, x = replaced(nn.Conv2d(16, 16, 3).eval(), torch.randn(1, 16, 40, 40))
    asked, before = [], torch.get_num_threads()
    bits = set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with torch.no_grad():
                bits.add(module(x).numpy().tobytes())
                layer = module._gconv.layer
                (key,) = layer._ready
                inner = layer._ready[key]

                def spy(*args, num_threads, inner=inner, **kwargs):
                    asked.append(num_threads)
                    return inner[0](*args, num_threads=num_threads, **kwargs)

                layer._ready[key] = (spy, *inner[1:])
                module(x)
                layer._ready[key] = inner
    finally:
        torch.set_num_threads(before)
    assert asked == [1, 2, 3]
    assert len(bits) == 1


def test_errors_are_pytorchs():
    """What PyTorch refuses it refuses with its own words."""
    theirs, module, _ = replaced(nn.Conv2d(4, 4, 3).eval(), torch.randn(1, 4, 6, 6))
    for wrong in (torch.randn(1, 5, 6, 6), torch.randn(1, 4, 2, 2), torch.randn(4),
                  torch.ones(1, 4, 6, 6).int()):
        with torch.no_grad():
            with pytest.raises(RuntimeError) as wanted:
                theirs(wrong)
            with pytest.raises(RuntimeError) as got:
                module(wrong)
        assert str(got.value) == str(wanted.value)


# ---- nothing else changes ----------------------------------------------------------------------


def test_names_and_state_are_as_before():
    """Names, repr, classes, parameters, buffers and state_dict are what they were."""
    theirs, model, _ = replaced()
    assert repr(model) == repr(theirs)
    assert [name for name, _ in model.named_modules()] == [n for n, _ in theirs.named_modules()]
    for ours, wanted in zip(model.modules(), theirs.modules(), strict=True):
        assert isinstance(ours, type(wanted))
        assert type(ours).__name__ == type(wanted).__name__
        assert type(ours).__module__ == type(wanted).__module__
        assert {*vars(ours)} - {*vars(wanted)} <= {"_gconv"}
    for list_of in ("named_parameters", "named_buffers"):
        ours, wanted = (dict(getattr(m, list_of)()) for m in (model, theirs))
        assert [*ours] == [*wanted]
        assert all(torch.equal(ours[name], wanted[name]) for name in ours)
        assert all(type(ours[name]) is type(wanted[name]) for name in ours)
    assert [*model.state_dict()] == [*theirs.state_dict()]


def test_state_dicts_load_both_ways(gconv_calls):
    """A state_dict of the replaced model loads into PyTorch's and the other way round."""
    theirs, model, x = replaced()
    other = net()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
        model(x)
        model.load_state_dict(other.state_dict())
        close(model(x), other(x))
        theirs.load_state_dict(model.state_dict())
        close(theirs(x), other(x))
    assert gconv_calls


def test_hooks_are_called_as_before(gconv_calls):
    """Hooks see the tensors that they saw, and what lies between two modules is then computed."""
    theirs, model, x = replaced()
    seen = {}
    for which, m in (("theirs", theirs), ("ours", model)):
        seen[which] = []
        for module in m.modules():
            module.register_forward_hook(
                lambda mod, args, y, to=seen[which]: to.append(
                    (type(mod).__name__, args[0].clone(), y.clone())))
            module.register_forward_pre_hook(
                lambda mod, args, to=seen[which]: to.append((type(mod).__name__, args[0].clone())))
    gconv_calls.clear()
    with torch.no_grad():
        close(model(x), theirs(x))
    assert gconv_calls == [1] * 5
    assert len(seen["ours"]) == len(seen["theirs"]) > 20
    for ours, wanted in zip(seen["ours"], seen["theirs"], strict=True):
        assert ours[0] == wanted[0]
        for a, b in zip(ours[1:], wanted[1:], strict=True):
            close(a, b)


@pytest.mark.parametrize("where", [
    "0.0 hook", "0.1 hook", "0.1 pre_hook", "0.2 pre_hook", "0.2 hook", "global",
])
def test_one_hook_between_is_enough(gconv_calls, where):
    """A hook on one module, or on all, sees what it saw; removed, the modules are fused again."""
    theirs, model, x = replaced()
    seen = []

    def pre_hook(module, args):
        seen.append(args[0].clone())

    def hook(module, args, y):
        seen.extend((args[0].clone(), y.clone()))

    def register(m):
        if where == "global":
            return nn.modules.module.register_module_forward_hook(hook)
        name, kind = where.split()
        return getattr(m.get_submodule(name), f"register_forward_{kind}")(
            pre_hook if kind == "pre_hook" else hook)

    with torch.no_grad():
        for m in (theirs, model):
            handle = register(m)
            m(x)
            handle.remove()
        half = len(seen) // 2
        assert half > 0
        for wanted, ours in zip(seen[:half], seen[half:], strict=True):
            close(ours, wanted)
        gconv_calls.clear()
        model(x)
    assert gconv_calls[0] == 3


def test_a_pre_hook_that_changes_the_input_of_a_fused_convolution_counts(gconv_calls):
    """A pre-hook on the convolution itself sees and changes what it did; fusing goes on."""
    theirs, model, x = replaced()
    for m in (theirs, model):
        m[0][0].register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    gconv_calls.clear()
    with torch.no_grad():
        close(model(x), theirs(x))
    assert gconv_calls[0] == 3


def test_parts_of_a_block_do_their_own_work_for_other_callers():
    """A convolution called on its own is not fused, nor is a normalisation skipped."""
    theirs, model, x = replaced()
    with torch.no_grad():
        for name in ("0.0", "1.conv2", "2.0"):
            ours, wanted = model.get_submodule(name), theirs.get_submodule(name)
            a = torch.randn(2, 3 if name == "0.0" else 8, 6, 6)
            close(ours(a), wanted(a))
        y = model[0][0](x)
        close(y, theirs[0][0](x))
        close(model[0][1](y), theirs[0][1](y))
        stem = copy.deepcopy(model[0][0])  # and neither does a copy of it
        close(stem(x), theirs[0][0](x))


def test_nested_calls_from_a_hook_are_not_fused():
    """A convolution that a hook calls, while its block runs, is not taken for the block's call."""
    theirs, model, x = replaced()
    got = []
    for m in (theirs, model):
        m[0].register_forward_pre_hook(lambda module, args: got.append(module[0](args[0])))
    with torch.no_grad():
        close(model(x), theirs(x))
    close(got[0], got[1])


def test_a_block_that_changes_its_mind_is_not_fused():
    """Where a forward no more calls what follows, because of an attribute, nothing is missing."""
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn, self.normalise = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), True

        def forward(self, x):
            y = self.conv(x)
            return self.bn(y) if self.normalise else y

    theirs, model, x = replaced(settled(Gated()))
    with torch.no_grad():
        close(model(x), theirs(x))
        model.normalise = theirs.normalise = False
        close(model(x), theirs(x))
        model.normalise = theirs.normalise = True
        close(model(x), theirs(x))


def test_followers_that_were_exchanged_are_not_fused(gconv_calls):
    """A module that took the place of one that was fused does its own work."""
    theirs, model, x = replaced()
    for m in (theirs, model):
        m[0][1] = nn.Identity()
        m[1].bn2 = nn.InstanceNorm2d(8)
    gconv_calls.clear()
    with torch.no_grad():
        close(model(x), theirs(x))
    assert gconv_calls == [1, 3, 1, 2, 1]


def test_readers_in_a_forward_keep_a_block_from_being_fused(gconv_calls):
    """What another reader in the block's forward wants is there: nothing of it is fused."""
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
            self.bn, self.relu = nn.BatchNorm2d(4), nn.ReLU(inplace=True)
            self.pair = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.ReLU()])

        def forward(self, x):
            a = self.a(x)
            y = self.relu(self.bn(a)) + a
            z = self.b(x)
            return self.pair[1](self.pair[0](y)) + z * torch.sigmoid(z)

    theirs, model, x = replaced(settled(Two()))
    gconv_calls.clear()
    with torch.no_grad():
        close(model(x), theirs(x))
    assert gconv_calls == [1, 1, 2]


@pytest.mark.parametrize("twin", [
    copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m)),
    lambda m: saved_and_loaded(m),
], ids=["deepcopy", "copy", "pickle", "torch.save"])
def test_copies_are_their_own_models(twin):
    """Copies and pickles compute the same and share nothing that they did not share before."""
    theirs, model, x = replaced()
    other = twin(model)
    assert repr(other) == repr(theirs)
    with torch.no_grad():
        close(other(x), theirs(x))
        if twin is not copy.copy:
            for parameter in model.parameters():
                parameter.zero_()
            close(other(x), theirs(x))
            assert not model(x).any()


def saved_and_loaded(model):
    """Return a model as torch.save and torch.load bring it back."""
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def test_a_deep_copy_runs_on_gconv(gconv_calls):
    """A deep copy is replaced too, fused likewise, and outlives its original."""
    theirs, model, x = replaced()
    twin = copy.deepcopy(model)
    del model
    gc.collect()
    gconv_calls.clear()
    with torch.no_grad():
        close(twin(x), theirs(x))
    assert gconv_calls == [3, 3, 2, 2, 1]


def test_a_saved_model_needs_no_gconv(tmp_path):
    """A file written by torch.save is read where gconv cannot be imported."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    theirs, model, x = replaced(model)
    torch.save(model, tmp_path / "model.pt")
    with torch.no_grad():
        torch.save((x, theirs(x)), tmp_path / "x.pt")
    program = """
import sys
sys.modules["gconv"] = None
import torch
model = torch.load("model.pt", weights_only=False)
x, y = torch.load("x.pt")
assert type(model[0]) is torch.nn.Conv2d and type(model) is torch.nn.Sequential
with torch.no_grad():
    torch.testing.assert_close(model(x), y)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)


def test_restore_undoes_it():
    """restore gives every module the class back that it had, and leaves nothing behind."""
    theirs, model, x = replaced()
    modules = [*model.modules()]
    gconv.torch.restore(model)
    assert [*model.modules()] == modules
    for ours, wanted in zip(modules, theirs.modules(), strict=True):
        assert type(ours) is type(wanted)
        assert vars(ours).keys() == vars(wanted).keys()
    with torch.no_grad():
        assert torch.equal(model(x), theirs(x))
    gconv.torch.restore(model)


def test_replacing_again_measures_again(gconv_calls):
    """A replaced model may be replaced again, and restored by one restore."""
    _, model, x = replaced()
    _, model, x = replaced(model, x)
    gconv.torch.restore(model)
    assert all(type(m).__mro__[0].__module__ != "gconv.torch._swap" for m in model.modules())
    gconv_calls.clear()
    with torch.no_grad():
        model(x)
    assert gconv_calls == []


def test_from_torch_takes_replaced_modules():
    """gconv.from_torch makes the same layer of a replaced module."""
    theirs, model, x = replaced()
    x = x.numpy()
    assert np.array_equal(gconv.from_torch(model[0])(x), gconv.from_torch(theirs[0])(x))


def test_subclasses_keep_their_class(gconv_calls):
    """A module of a user's own class stays one, with its attributes and methods."""
    class Named(nn.Conv2d):
        label = "mine"

        def describe(self):
            return f"{self.label} {self.out_channels}"

    theirs, model, x = replaced(nn.Sequential(Named(3, 4, 3)).eval())
    assert isinstance(model[0], Named)
    assert model[0].describe() == theirs[0].describe() == "mine 4"
    gconv_calls.clear()
    with torch.no_grad():
        close(model(x), theirs(x))
    assert gconv_calls == [1]


# ---- modes, dtypes, devices --------------------------------------------------------------------


def test_gradients_are_pytorchs(gconv_calls):
    """Where a gradient is wanted PyTorch computes: of parameters, and of the input alone."""
    theirs, model, x = replaced()
    gconv_calls.clear()
    for m in (theirs, model):
        m(x).square().sum().backward()
    for ours, wanted in zip(model.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(ours.grad, wanted.grad)
    for m in (theirs, model):
        m.requires_grad_(False)
    inputs = [x.clone().requires_grad_() for _ in "ab"]
    for m, a in zip((theirs, model), inputs, strict=True):
        m(a).square().sum().backward()
    assert torch.equal(inputs[0].grad, inputs[1].grad)
    assert gconv_calls == []
    close(model(x), theirs(x))  # frozen, and no gradient wanted
    assert gconv_calls == [3, 3, 2, 2, 1]


def test_training_mode_is_pytorchs(gconv_calls):
    """In training mode PyTorch computes, and statistics are updated; eval() uses the new ones."""
    theirs, model, x = replaced()
    with torch.no_grad():
        model(x)
        gconv_calls.clear()
        for m in (theirs, model):
            m.train()
            m(x)
            m(x + 1)
        assert gconv_calls == []
        for m in (theirs, model):
            m.eval()
        close(model(x), theirs(x))
        for ours, wanted in zip(model.buffers(), theirs.buffers(), strict=True):
            assert torch.equal(ours, wanted)
        assert gconv_calls == [3, 3, 2, 2, 1]
        # A normalisation alone in training mode: its convolution runs on gconv, unfused.
        for m in (theirs, model):
            m[0][1].train()
        gconv_calls.clear()
        close(model(x), theirs(x))
        assert gconv_calls == [1, 3, 2, 2, 1]


@pytest.mark.parametrize("optimiser", ["AdamW", "SGD"])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_training_step_is_pytorchs_and_noticed(optimiser, fused, mode):
    """A step of an optimiser changes the same bits as before, and the next call notices it."""
    theirs, model, x = replaced()
    for m in (theirs, model):
        with torch.no_grad():
            m(x)
        steps = getattr(torch.optim, optimiser)(m.parameters(), 0.01, fused=fused)
        m.train(mode == "train")(x).square().mean().backward()
        steps.step()
        m.eval()
    for ours, wanted in zip(model.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(ours, wanted)
    with torch.no_grad():
        close(model(x), theirs(x))


def test_a_fused_step_from_elsewhere_is_noticed():
    """A fused optimiser's step with gradients that did not come through the model is noticed."""
    theirs, model, x = replaced()
    for m in (theirs, model):
        with torch.no_grad():
            m(x)
        for parameter in m.parameters():
            parameter.grad = torch.ones_like(parameter)
        torch.optim.SGD(m.parameters(), 0.1, fused=True).step()
    with torch.no_grad():
        close(model(x), theirs(x))


def test_an_optimiser_with_its_own_kernels_is_noticed():
    """Weights that change uncounted after a call that wanted gradients are noticed."""
    theirs, model, x = replaced()
    for m in (theirs, model):
        with torch.no_grad():
            m(x)
        m(x).sum().backward()
        for parameter in m.parameters():
            parameter.data.sub_(parameter.grad, alpha=0.01)
    with torch.no_grad():
        close(model(x), theirs(x))


def test_autocast_is_pytorchs(gconv_calls):
    """Under autocast PyTorch computes, in its own dtype."""
    theirs, model, x = replaced()
    gconv_calls.clear()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        ours, wanted = model(x), theirs(x)
    assert ours.dtype == wanted.dtype == torch.bfloat16
    assert torch.equal(ours, wanted)
    assert gconv_calls == []


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_another_dtype_computes_in_it_and_comes_back(gconv_calls, dtype):
    """.to(dtype) takes effect at once; back in float32 the model is what it was."""
    theirs, model, x = replaced()
    with torch.no_grad():
        model(x)
        model.to(dtype)
        gconv_calls.clear()
        y = model(x.to(dtype))
        assert y.dtype == dtype
        wanted = copy.deepcopy(theirs).to(dtype)(x.to(dtype))
        if dtype == torch.float64:
            close(y, wanted, dtype)
            assert gconv_calls == [3, 3, 2, 2, 1]
        else:
            assert torch.equal(y, wanted)
            assert gconv_calls == []
        model.float()
        close(model(x), copy.deepcopy(theirs).to(dtype).float()(x))


def test_other_devices_are_pytorchs(gconv_calls):
    """Off the CPU PyTorch computes; back on it the model runs on gconv again."""
    theirs, model, x = replaced()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model(x)
        gconv_calls.clear()
        model.to("meta")
        assert model(x.to("meta")).device.type == "meta"
        assert gconv_calls == []
        model.to_empty(device="cpu")
        model.load_state_dict(state)
        close(model(x), theirs(x))
    assert gconv_calls == [3, 3, 2, 2, 1]


@pytest.mark.filterwarnings("ignore")
def test_other_kinds_of_tensors_are_pytorchs():
    """Transforms, dispatch modes, tensor subclasses, forward-mode AD and tracing go their way."""
    from torch.utils.flop_counter import FlopCounterMode

    class Own(torch.Tensor):
        pass

    theirs, model, x = replaced(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()).eval())
    with torch.no_grad():
        wanted = theirs(x)
        close(torch.vmap(model)(x[:, None]), wanted[:, None])
        assert type(model(x.as_subclass(Own))) is Own
        with FlopCounterMode(display=False) as counter:
            model(x)
        assert counter.get_total_flops() > 0
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
            with torch.enable_grad():
                tangent = torch.autograd.forward_ad.unpack_dual(theirs(dual)).tangent
                ours = torch.autograd.forward_ad.unpack_dual(model(dual)).tangent
            assert torch.equal(ours, tangent)
        close(model(torch.view_as_complex(torch.stack([x, x], -1)).conj().imag), theirs(-x))
    graph = torch.fx.symbolic_trace(model)
    assert [node.op for node in graph.graph.nodes] == [
        "placeholder", "call_module", "call_module", "output"]
    with torch.no_grad():
        close(graph(x), wanted)


def test_torch_jit_trace_sees_pytorchs_operators():
    """A trace of a replaced model holds PyTorch's convolutions, and nothing of gconv."""
    theirs, model, x = replaced()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, x)
        close(traced(x), theirs(x))
        assert "convolution" in str(traced.inlined_graph)
        assert "batch_norm" in str(traced.inlined_graph)


def test_threads_do_not_disturb_each_other():
    """Threads that call one model at once, fused and with hooks, get their own results."""
    theirs, model, x = replaced()
    inputs = [x + i for i in range(4)]
    with torch.no_grad():
        wanted = [theirs(a) for a in inputs]
        stem = [theirs[0][0](a) for a in inputs]
    failures = []

    def work(i):
        try:
            with torch.no_grad():
                for _ in range(50):
                    close(model(inputs[i]), wanted[i])
                    close(model[0][0](inputs[i]), stem[i])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# ---- weights that change -----------------------------------------------------------------------


@torch.no_grad()
def change_in_place(model):
    """Multiply every parameter and move every statistic."""
    for parameter in model.parameters():
        parameter.mul_(1.25)
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.add_(0.125)


@torch.no_grad()
def change_parameters(model):
    """Set new parameters."""
    for module in model.modules():
        for name, parameter in [*module._parameters.items()]:
            if parameter is not None:
                setattr(module, name, nn.Parameter(parameter * 1.25))


@torch.no_grad()
def change_data(model):
    """Give the parameters other memory."""
    for parameter in model.parameters():
        parameter.data = parameter.data * 1.25


@torch.no_grad()
def change_settings(model):
    """Set what modules read at every call."""
    model[0][0].padding = (2, 0)
    model[0][1].eps = 0.5
    model[1].conv1.dilation = (2, 2)
    model[1].conv1.padding = (2, 2)
    model[2][0].output_padding = (1, 1)


@torch.no_grad()
def remove_biases(model):
    """Remove and add biases."""
    model[0][0].bias = None
    model[1].conv1.bias = nn.Parameter(torch.arange(8.0))


@torch.no_grad()
@pytest.mark.parametrize(
    ("activation", "name", "value"),
    [(nn.GELU(), "approximate", "tanh"), (nn.LeakyReLU(0.1), "negative_slope", 0.3),
     (nn.ReLU6(), "max_val", 0.5), (nn.Hardtanh(-1, 1), "min_val", -0.25)],
    ids=lambda value: value if isinstance(value, str) else "")
def test_a_fused_activation_whose_settings_change_is_made_anew(activation, name, value):
    """What activations read at every call is looked at again at every call."""
    theirs, model, x = replaced(nn.Sequential(nn.Conv2d(3, 8, 3), activation).eval())
    for each in (theirs, model):
        setattr(each[1], name, value)
    with torch.no_grad():
        close(model(x), theirs(x))


def swap_tensors(model):
    """Exchange the tensors of parameters, as `load_state_dict(assign=True)` does."""
    model.load_state_dict(
        {name: (t * 1.25 if t.is_floating_point() else t)
         for name, t in model.state_dict().items()},
        assign=True)


@pytest.mark.parametrize("change", [
    change_in_place, change_parameters, change_data, change_settings, remove_biases, swap_tensors,
])
def test_changes_are_noticed_at_the_next_call(gconv_calls, change):
    """Whatever changes a weight or a setting is noticed at the next call, which gconv computes."""
    theirs, model, x = replaced()
    with torch.no_grad():
        before = model(x)
        change(theirs)
        change(model)
        gconv_calls.clear()
        y = model(x)
        close(y, theirs(x))
    assert y.shape != before.shape or not torch.allclose(y, before)
    assert len(gconv_calls) == 5


def test_weights_made_in_inference_mode_are_compared(gconv_calls):
    """Weights that PyTorch does not count the versions of are compared with what they were."""
    with torch.inference_mode():
        theirs, model, x = replaced()
        model(x)
        change_in_place.__wrapped__(theirs)
        change_in_place.__wrapped__(model)
        gconv_calls.clear()
        close(model(x), theirs(x))
    assert gconv_calls == [3, 3, 2, 2, 1]


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_parametrised_weights_follow_their_parameters(gconv_calls, norm, when):
    """Parametrisations, put on before or after, follow what they are made from; taken off, too."""
    parametrise = getattr(nn.utils.parametrizations, norm)
    model = nn.Sequential(nn.Conv1d(4, 6, 3, groups=2), nn.ReLU()).eval()
    if when == "before":
        parametrise(model[0])
    theirs, model, x = replaced(model, torch.randn(2, 4, 9))
    for m in (theirs, model):
        if when == "after":
            torch.manual_seed(1)
            parametrise(m[0])
    m = copy.deepcopy(model)
    assert repr(model) == repr(theirs)
    assert [*model.state_dict()] == [*theirs.state_dict()]
    with pytest.raises(RuntimeError, match="parametrized modules"):
        pickle.dumps(model)
    with torch.no_grad():
        gconv_calls.clear()
        close(model(x), theirs(x))
        close(m(x), theirs(x))
        for m in (theirs, model):
            for parameter in m.parameters():
                parameter.add_(0.25)
        close(model(x), theirs(x))
        assert gconv_calls == [2] * 3
        for m in (theirs, model):
            nn.utils.parametrize.remove_parametrizations(m[0], "weight")
        close(model(x), theirs(x))
    gconv.torch.restore(model)
    assert type(model[0]) is nn.Conv1d


def test_restore_keeps_parametrisations():
    """A module that was parametrised before or since is that still, after restore."""
    for when in ("before", "after"):
        model = nn.Sequential(nn.Conv1d(4, 6, 3)).eval()
        if when == "before":
            nn.utils.parametrizations.weight_norm(model[0])
        theirs, model, x = replaced(model, torch.randn(2, 4, 9))
        if when == "after":
            for m in (theirs, model):
                nn.utils.parametrizations.weight_norm(m[0])
        gconv.torch.restore(model)
        assert repr(model) == repr(theirs)
        assert nn.utils.parametrize.is_parametrized(model[0])
        with torch.no_grad():
            assert torch.equal(model(x), theirs(x))
            nn.utils.parametrize.remove_parametrizations(model[0], "weight")
        assert type(model[0]) is nn.Conv1d


def test_parametrisations_of_a_users_own_are_computed_at_each_call():
    """A parametrisation may depend on anything: its weight is compared at every call."""
    class Scaled(nn.Module):
        scale = 1.0

        def forward(self, weight):
            return weight * self.scale

    model = nn.Sequential(nn.Conv1d(4, 6, 3)).eval()
    nn.utils.parametrize.register_parametrization(model[0], "weight", Scaled())
    theirs, model, x = replaced(model, torch.randn(2, 4, 9))
    with torch.no_grad():
        for m in (theirs, model):
            m(x)
            m[0].parametrizations.weight[0].scale = 3.0
        close(model(x), theirs(x))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("hook", [
    nn.utils.weight_norm, nn.utils.spectral_norm,
    lambda module: prune.random_unstructured(module, "weight", 0.5),
], ids=["weight_norm", "spectral_norm", "prune"])
def test_weights_that_hooks_make_follow_their_parameters(gconv_calls, hook):
    """Weight normalisation, spectral normalisation and pruning by hooks are followed."""
    def made():
        torch.manual_seed(3)
        module = nn.Conv1d(4, 6, 3)
        hook(module)
        return nn.Sequential(module, nn.ReLU()).eval()

    theirs, model, x = made(), made(), torch.randn(2, 4, 9)
    report = gconv.torch.replace_convs_(model, x)
    assert report.layers[0]["chosen"] == "gconv"
    with torch.no_grad():
        close(model(x), theirs(x))
        for m in (theirs, model):
            for parameter in m.parameters():
                parameter.add_(0.25)
        gconv_calls.clear()
        close(model(x), theirs(x))
    assert gconv_calls == [2]


# ---- the report --------------------------------------------------------------------------------


def test_only_what_is_faster_is_replaced(monkeypatch, gconv_calls):
    """A layer that gconv does not compute faster stays PyTorch's, and the report says so."""
    model = net()
    times = iter([[1.0, 1.0], [2.0, 1.0], [1.0, 2.0], [1.0, 0.99], [1.0, 0.5], [2.0, 1.0]])
    monkeypatch.setattr(_replace, "_interleaved", lambda contenders, *rest: next(times))
    with torch.no_grad():
        report = gconv.torch.replace_convs_(model, torch.randn(X))
        chosen = {row["layer"]: row["chosen"] for row in report.layers}
        assert chosen == {
            "0.0": "PyTorch", "1.conv1": "gconv", "1.conv2": "PyTorch", "2.0": "PyTorch",
            "3": "gconv"}
        assert type(model[0][0]) is nn.Conv2d
        gconv_calls.clear()
        model(torch.randn(X))
    assert gconv_calls == [3, 1]
    assert report.before_ms == 2000
    assert report.after_ms == 1000


@pytest.mark.parametrize("reason", ["slower", "wrong"])
def test_a_model_that_is_no_better_is_left_alone(monkeypatch, reason):
    """Where the whole model is not faster, or not right, it is restored."""
    model = net()
    if reason == "slower":
        times = iter([[2.0, 1.0]] * 5 + [[1.0, 1.5]])
        monkeypatch.setattr(_replace, "_interleaved", lambda contenders, *rest: next(times))
    else:
        monkeypatch.setattr(_replace, "MOST_DIFFERENCE", -1.0)
    report = gconv.torch.replace_convs_(model, torch.randn(X))
    assert type(model[0][0]) is nn.Conv2d
    assert report.notes[0].startswith("nothing was replaced: the ")
    assert {row["chosen"] for row in report.layers} == {"PyTorch"}
    assert report.speedup == 1


def test_the_report_is_a_table():
    """The report prints, makes Markdown and dicts, and measures the outputs' difference."""
    model = net()
    report = gconv.torch.replace_convs_(model, torch.randn(X))
    text, markdown = str(report), report.to_markdown()
    for name in ("0.0", "1.conv1", "1.conv2", "2.0", "3"):
        assert name in text
        assert f"| {name} |" in markdown
    assert "Conv2d + BatchNorm2d + SiLU" in text
    assert "2×3×10×12" in text
    assert "5 of 5 convolutions and pools on gconv" in text
    rows = report.as_dicts()
    assert {*rows[0]} == {"layer", "module", "shape", "pytorch_ms", "gconv_ms", "chosen", "why"}
    assert rows[0]["shape"] == X
    assert 0 < report.difference < 1e-4
    assert report.magnitude > 0.1


def test_the_report_says_what_keeps_gconv_from_computing():
    """The report says why: gradients, training mode, dtypes, own forwards, never called."""
    class Own(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) * 2

    model = nn.ModuleDict({"own": Own(3, 3, 1), "narrow": nn.Conv2d(3, 3, 1).half(),
                           "idle": nn.Conv2d(3, 3, 1), "used": nn.Conv2d(3, 3, 1)})
    model.forward = lambda x: model["used"](model["own"](x))
    report = gconv.torch.replace_convs_(model, torch.randn(X))
    why = {row["layer"]: row["why"] for row in report.layers}
    assert "defines its own forward" in why["own"]
    assert "torch.float16" in why["narrow"]
    assert "does not call it" in why["idle"]
    assert any("requires_grad" in note or "require grad" in note for note in report.notes)
    assert any("training mode" in note for note in report.notes)
    assert all(m.training for m in model.modules())
    quiet = gconv.torch.replace_convs_(net().requires_grad_(False), torch.randn(X))
    assert quiet.notes == []


@pytest.mark.parametrize("inputs", ["tensor", "tuple", "dict"])
def test_examples_may_be_tensors_tuples_or_dicts(gconv_calls, inputs):
    """The example is a tensor, a tuple of arguments or a dict of keyword arguments."""
    class Keyed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x, scale=None):
            y = self.conv(x)
            return {"y": y if scale is None else y * scale, "none": None}

    x = torch.randn(X)
    example = {"tensor": x, "tuple": (x, torch.tensor(2.0)), "dict": {"x": x}}[inputs]
    model = Keyed().eval()
    report = gconv.torch.replace_convs_(model, example)
    assert [row["chosen"] for row in report.layers] == ["gconv"]
    gconv_calls.clear()
    with torch.no_grad():
        model(x)
    assert gconv_calls == [1]


def test_an_example_that_fails_leaves_the_model_alone():
    """An error of the model itself is raised, and the model is as it was."""
    model = net().train()
    with pytest.raises(RuntimeError):
        gconv.torch.replace_convs_(model, torch.randn(2, 5, 9, 9))
    assert type(model[0][0]) is nn.Conv2d
    assert not model[0][0]._forward_pre_hooks
    assert all(module.training for module in model.modules())


def test_contenders_are_measured_in_turns(monkeypatch):
    """Turns of the contenders alternate, and the faster one is found."""
    monkeypatch.undo()
    order = []
    quick, slow = _replace._interleaved(
        [lambda: order.append("a"), lambda: [order.append("b") for _ in range(400)]],
        turn=1e-4)
    assert 0 < quick < slow
    turns = "".join(order).replace("b" * 400, "B")
    assert "aB" in turns
    assert "Ba" in turns


# ---- operators ---------------------------------------------------------------------------------

CASES = {
    "conv1d": ((2, 4, 9), (6, 2, 3), {"stride": 2, "padding": 1, "groups": 2}),
    "conv2d": ((2, 4, 9, 8), (6, 4, 3, 2), {"padding": (1, 0), "dilation": (1, 2)}),
    "conv3d": ((2, 4, 5, 5, 5), (4, 1, 3, 3, 3), {"groups": 4}),
    "conv_transpose1d": ((2, 4, 7), (4, 3, 3), {"stride": 2, "groups": 2, "output_padding": 1}),
    "conv_transpose2d": ((2, 4, 5, 5), (4, 3, 3, 2), {"stride": (2, 1), "padding": 1}),
    "conv_transpose3d": ((1, 4, 3, 4, 3), (4, 2, 2, 2, 2), {"stride": 2, "dilation": 2}),
}


def operands(name, dtype=torch.float64, requires_grad=True):
    """Return x, weight, bias and options of a case."""
    x, weight, options = CASES[name]
    channels = weight[1] * options.get("groups", 1) if "transpose" in name else weight[0]
    tensors = [
        torch.randn(shape, dtype=dtype, requires_grad=requires_grad)
        for shape in (x, weight, (channels,))
    ]
    return tensors, options


def numbers_of(name, options):
    """Return the numbers that the operator takes, in its order."""
    dims = int(name[-2])
    order = gconv.torch._operators.NUMBERS["transpose" in name]
    plain = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1, **options}
    return [
        plain[n] if n == "groups" else [plain[n]] * dims if isinstance(plain[n], int)
        else [*plain[n]]
        for n in order
    ]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("with_bias", [True, False])
def test_operators_give_pytorchs_results_and_gradients(name, with_bias):
    """Each operator gives what PyTorch's function gives, and its gradients, to any order."""
    (x, weight, bias), options = operands(name)
    bias = bias if with_bias else None
    ours, theirs = getattr(gconv.torch, name), getattr(F, name)
    y, wanted = ours(x, weight, bias, **options), theirs(x, weight, bias, **options)
    close(y, wanted, torch.float64)
    inputs = [t for t in (x, weight, bias) if t is not None]
    for a, b in zip(torch.autograd.grad(y.square().sum(), inputs),
                    torch.autograd.grad(wanted.square().sum(), inputs), strict=True):
        close(a, b, torch.float64)
    few = [t.detach()[..., :4].requires_grad_() if t is x else t for t in inputs]
    assert torch.autograd.gradcheck(lambda *t: ours(*t, **options), few)
    assert torch.autograd.gradgradcheck(lambda *t: ours(*t, **options), few)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("order", ["contiguous", "channels_last"])
@pytest.mark.filterwarnings("ignore")
def test_opcheck_passes(name, order):
    """PyTorch's own checks of operators pass, in both memory orders."""
    tensors, options = operands(name, torch.float32)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    if order == "channels_last" and tensors[0].ndim in formats:
        tensors[0] = tensors[0].detach().contiguous(
            memory_format=formats[tensors[0].ndim]).requires_grad_()
    operator = getattr(torch.ops.gconv, name).default
    torch.library.opcheck(operator, (*tensors, *numbers_of(name, options)))
    torch.library.opcheck(operator, (*tensors[:2], None, *numbers_of(name, options)))
    few = [tensor.detach() for tensor in tensors]
    torch.library.opcheck(torch.ops.gconv.convolution.default, fused(name, few, options))
    torch.library.opcheck(torch.ops.gconv.convolution.default, fused(name, few, options, False))


@pytest.mark.parametrize("padding", ["same", "valid", 1])
def test_operators_take_paddings_by_name_and_images_without_batch(padding):
    """`padding=` may be a name, and x may be one image."""
    x, weight = torch.randn(4, 9, 8), torch.randn(6, 4, 4, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        close(gconv.torch.conv2d(x, weight, padding=padding), F.conv2d(x, weight, padding=padding))


def test_operators_refuse_what_they_cannot_compute():
    """Other dtypes and ranks, and unknown paddings, are errors that say so."""
    x, weight = torch.randn(1, 4, 9, 9), torch.randn(4, 4, 3, 3)
    with pytest.raises(RuntimeError, match="float32 or both float64"):
        gconv.torch.conv2d(x.half(), weight.half())
    with pytest.raises(RuntimeError, match="4 dimensions"):
        torch.ops.gconv.conv2d(x[0], weight, None, [1, 1], [0, 0], [1, 1], 1)
    with pytest.raises(RuntimeError, match="'same'"):
        gconv.torch.conv2d(x, weight, padding="same", stride=2)
    with pytest.raises(ValueError, match="groups"):
        gconv.torch.conv2d(x, weight, groups=3)


def fused(name, tensors, options, norm=True, activation="silu"):
    """Return what the operator of replaced modules takes, with a normalisation or without."""
    dims = int(name[-2])
    more = {"output_padding": 0} if "transpose" in name else {}
    numbers = {"stride": 1, "padding": 0, "dilation": 1, **more, **options}
    groups = numbers.pop("groups", 1)
    lists = {key: [n] * dims if isinstance(n, int) else n for key, n in numbers.items()}
    (x, *tensors), names = tensors, ["weight", "bias"]
    if norm:
        channels = tensors[1].shape[0]
        tensors += [torch.randn(channels), torch.rand(channels) + 1]
        names += ["mean", "var"]
    return x, tensors, 1e-3, gconv.torch._operators.description(
        name, lists, groups, names, activation)


def test_weights_that_the_operator_of_replaced_modules_keeps_are_noticed():
    """The operator that keeps a packed weight notices writes to it, and to all else."""
    x, weight, bias = torch.randn(1, 4, 9, 9), torch.randn(4, 4, 3, 3), torch.randn(4)
    arguments = fused("conv2d", [x, weight, bias], {}, activation="")
    mean, var = arguments[1][2:]
    for change in (lambda: None, lambda: weight.mul_(2), lambda: bias.add_(1),
                   lambda: weight.set_(torch.randn(4, 4, 3, 3)), lambda: mean.add_(1)):
        change()
        for _ in range(2):
            y = torch.ops.gconv.convolution(*arguments)
            close(y, F.batch_norm(F.conv2d(x, weight, bias), mean, var, eps=1e-3))


# ---- pools -------------------------------------------------------------------------------------


@pytest.fixture
def pool_calls(monkeypatch):
    """Return a list that grows by the module for each pool by gconv."""
    return counted_calls(monkeypatch, _pool.TorchPool, lambda modules: modules[0])


POOL_OPTIONS = [
    {"kernel_size": 3}, {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 2, "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True},
    {"kernel_size": 4, "stride": 1, "padding": 2}, {"kernel_size": 1, "stride": 3},
]


@pytest.mark.parametrize("kind", ["MaxPool", "AvgPool"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("options", POOL_OPTIONS, ids=str)
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("own", [{}, {"dilation": 2}, {"count_include_pad": False}], ids=str)
def test_pools_give_what_pytorchs_give(pool_calls, kind, dims, options, batched, own):
    """Max and average pools of every setting run on gconv."""
    if not {*own} <= {{"MaxPool": "dilation", "AvgPool": "count_include_pad"}[kind]}:
        return
    module = getattr(nn, f"{kind}{dims}d")(**options, **own)
    x = torch.randn((2, 3, *(11, 9, 8)[:dims])[not batched:])
    theirs, model, x = replaced(nn.Sequential(module), x)
    pool_calls.clear()
    with torch.no_grad():
        y = model(x)
        torch.testing.assert_close(y, theirs(x), rtol=1e-6, atol=1e-6)
    assert pool_calls == [model[0]]
    assert y.stride() == theirs(x).stride()


def test_pools_of_another_size_per_axis_and_of_nan(pool_calls):
    """A NaN is the largest of its windows; settings may be tuples."""
    module = nn.MaxPool2d((3, 2), (2, 1), (1, 0))
    x = torch.randn(1, 2, 9, 7)
    x[0, 1, 4, 3] = torch.nan
    x[0, 0, 0, 0] = -torch.inf
    theirs, model, x = replaced(nn.Sequential(module), x)
    pool_calls.clear()
    with torch.no_grad():
        torch.testing.assert_close(model(x), theirs(x), equal_nan=True)
    assert pool_calls


@pytest.mark.parametrize("why", [
    "float64", "channels-last", "gradient", "indices", "divisor", "integers", "autocast", "slice",
])
def test_pools_that_pytorch_computes(pool_calls, why):
    """Whatever the step has no place for runs PyTorch's own code."""
    module = nn.AvgPool2d(2, divisor_override=3) if why == "divisor" else nn.MaxPool2d(
        2, return_indices=why == "indices")
    x = torch.randn(2, 4, 8, 8)
    model = nn.Sequential(module)
    theirs = copy.deepcopy(model)
    with torch.no_grad():
        gconv.torch.replace_convs_(nn.Sequential(model), x)
    if why == "float64":
        x = x.double()
    elif why == "channels-last":
        x = x.to(memory_format=torch.channels_last)
    elif why == "gradient":
        x.requires_grad_()
    elif why == "integers":
        x = (10 * x).to(torch.int32)
    elif why == "slice":
        x = x[:, :, ::2]
    pool_calls.clear()
    with torch.autocast("cpu", enabled=why == "autocast"):
        y, wanted = model(x), theirs(x)
    torch.testing.assert_close(y, wanted, rtol=0, atol=0)
    assert not pool_calls
    if why == "gradient":
        y.sum().backward()
        assert x.grad.sum() == y.numel()


def test_a_pool_that_changes(pool_calls):
    """Settings set anew, hooks, copies, pickles and restoring, as of any module."""
    theirs, model, x = replaced(nn.Sequential(nn.MaxPool2d(3, 2, 1)), torch.randn(2, 4, 9, 9))
    seen = []
    with torch.no_grad():
        for net in (model, theirs):
            net[0].kernel_size, net[0].padding = (2, 3), (0, 1)
        torch.testing.assert_close(model(x), theirs(x))
        model[0].register_forward_hook(lambda module, args, y: seen.append(y))
        y = model(x)
        assert seen[0] is y
        for twin in (copy.deepcopy(model), copy.copy(model)):
            pool_calls.clear()
            twin[0].kernel_size = 3
            assert not torch.equal(twin(x), y)
            assert pool_calls == [twin[0]]
            twin[0].kernel_size = (2, 3)
        model[0]._forward_hooks.clear()
        loaded = pickle.loads(pickle.dumps(model))
        assert type(loaded[0]) is nn.MaxPool2d
        assert repr(model) == repr(theirs)
        model[0].kernel_size = 90
        with pytest.raises(RuntimeError, match="size"):
            model(x)
        gconv.torch.restore(model)
        assert type(model[0]) is nn.MaxPool2d


@pytest.mark.parametrize("stride", [None, (), []], ids=str)
@pytest.mark.parametrize("kind", [nn.MaxPool2d, nn.AvgPool2d])
def test_pools_without_a_stride(pool_calls, kind, stride):
    """The windows' size is the stride then."""
    theirs, model, x = replaced(nn.Sequential(kind(2)), torch.randn(2, 3, 8, 8))
    for net in (theirs, model):
        net[0].stride = stride
    torch.testing.assert_close(model(x), theirs(x))


@pytest.mark.parametrize("size", [np.int64(2), torch.tensor(2), [2, 2], 2.5, "2", 2**40, -1, ()])
@pytest.mark.parametrize("name", ["kernel_size", "stride", "padding"])
def test_settings_that_a_pool_may_not_know(name, size):
    """Whatever is set, it does what PyTorch does."""
    module = nn.AvgPool2d(2)
    setattr(module, name, size)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(module))
    theirs = copy.deepcopy(model)
    x = torch.randn(1, 3, 10, 10)
    with torch.no_grad():
        try:
            wanted = theirs(x)
        except (TypeError, RuntimeError) as error:
            with pytest.raises(type(error)):
                gconv.torch.replace_convs_(model, x)
            return
        gconv.torch.replace_convs_(model, x)
        close(model(x), wanted)


@pytest.mark.parametrize("kind", [nn.MaxPool1d, nn.AvgPool1d])
def test_windows_that_are_far_apart(pool_calls, kind):
    """Only what lies in windows is read."""
    theirs, model, x = replaced(nn.Sequential(kind(100_000)), torch.randn(2, 64, 200_000))
    with torch.no_grad():
        torch.testing.assert_close(model(x), theirs(x), rtol=1e-4, atol=1e-4)
    assert pool_calls


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own
@pytest.mark.parametrize("module", [nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, groups=1)], ids=str)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_forward_mode_gradients(module, mode):
    """A tangent passes through PyTorch's own code."""
    module = module.requires_grad_(False)
    theirs, model, x = replaced(nn.Sequential(module), torch.randn(1, 3, 8, 8))
    forward_ad = torch.autograd.forward_ad
    with mode(), forward_ad.dual_level():
        ours, wanted = (
            forward_ad.unpack_dual(net(forward_ad.make_dual(x, torch.ones_like(x)))).tangent
            for net in (model, theirs))
    assert (ours is None) == (wanted is None)
    if wanted is not None:
        torch.testing.assert_close(ours, wanted)


def test_a_pool_with_a_forward_of_its_own_is_left(pool_calls):
    """A subclass, or an instance with its own forward, is nobody's plain pool."""
    class Own(nn.MaxPool2d):
        def forward(self, x):
            return super().forward(x) + 1

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Own(2), nn.MaxPool2d(2))
    model[2].forward = lambda x: x
    theirs = copy.deepcopy(model)
    with torch.no_grad():
        gconv.torch.replace_convs_(model, torch.randn(X))
        x = torch.randn(X)
        close(model(x), theirs(x))
    assert not pool_calls


# ---- torch.compile and torch.export ------------------------------------------------------------


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_torch_compile_goes_through_a_replaced_model(dynamic):
    """torch.compile takes a replaced model whole, and its convolutions are gconv's operators."""
    theirs, model, x = replaced()
    graphs = []

    def backend(graph, example):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(model, backend=backend, fullgraph=True, dynamic=dynamic)
    with torch.no_grad():
        close(compiled(x), theirs(x))
        x = torch.randn(3, 3, 14, 12)
        close(compiled(x), theirs(x))
    code = str(graphs[0].code)
    assert code.count("ops.gconv.convolution") == 5
    # All is fused but the second ReLU of the residual block, which follows a sum.
    assert "batch_norm" not in code
    assert code.count("relu") - code.count("activation=relu") == 1
    # A part that is called on its own is not.
    alone = torch.compile(model[0][0], backend=backend, fullgraph=True)
    with torch.no_grad():
        close(alone(torch.ones(X)), theirs[0][0](torch.ones(X)))
        # Nor is what a hook looks at.
        seen = []
        model[0][1].register_forward_hook(lambda module, args, y: seen.append(args[0]) or None)
        torch._dynamo.reset()
        close(torch.compile(model, backend="eager")(x), theirs(x))
        close(seen[0], theirs[0][0](x))
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore")
def test_torch_compile_with_inductor_gives_the_same():
    """The default backend of torch.compile runs gconv's operators, and notices new weights."""
    theirs, model, x = replaced()
    torch._dynamo.reset()
    compiled = torch.compile(model)
    with torch.no_grad():
        for _ in range(3):
            close(compiled(x), theirs(x))
        change_in_place(theirs)
        change_in_place(model)
        for _ in range(3):
            close(compiled(x), theirs(x))
    torch._dynamo.reset()


def exchange_followers(model):
    """Exchange two activations that gconv has fused."""
    model[0][2], model[2][1] = model[2][1], model[0][2]


def set_dilation(model):
    """Change the numbers of the first convolution."""
    model[0][0].dilation = model[0][0].padding = (2, 2)


def train_for_a_call(model):
    """Let the normalisations see a batch, which they do not count as writing."""
    model.train()
    model(torch.ones(X))
    model.eval()


def forget_statistics(model):
    """Let a normalisation use those of the batch alone."""
    norm = model[1].bn1
    norm.track_running_stats = False
    norm.running_mean = norm.running_var = None


@pytest.mark.parametrize("change", [
    exchange_followers, set_dilation, train_for_a_call, change_in_place,
    lambda model: model[0].__setitem__(2, nn.Tanh()),
    lambda model: setattr(model[1].bn1, "eps", 0.5),
    lambda model: setattr(model[1], "bn1", copy.deepcopy(model[1].bn2)),
    lambda model: model[1].bn2.train(),
    lambda model: gconv.torch.restore(model[1]),
    lambda model: gconv.torch.restore(model[1].bn1),
    forget_statistics,
])
@pytest.mark.filterwarnings("ignore")
def test_torch_compile_notices_what_becomes_of_a_replaced_model(change):
    """A compiled model does what its modules are now, changed before the first call or after."""
    theirs, model, x = replaced()
    late = copy.deepcopy(model), copy.deepcopy(theirs)
    torch._dynamo.reset()
    with torch.no_grad():
        for ours, wanted in ((model, theirs), late):
            compiled = torch.compile(ours, backend="eager", fullgraph=True)
            if ours is not model:
                close(compiled(x), wanted(x))
            change(ours)
            change(wanted)
            for _ in range(2):
                close(compiled(x), wanted(x))
    torch._dynamo.reset()


class Shifted(nn.ReLU):
    """An activation that is another than its base class."""

    def forward(self, x):
        return super().forward(x) + 1


def bounded():
    """Return a block whose activations have settings of their own."""
    return settled(nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8), nn.GELU(),
    ))


def with_timm():
    """Return a block with timm's normalisation, which holds its activation."""
    timm = oracle("timm") if find_spec("timm") is None else import_timm()
    norm = timm.layers.BatchNormAct2d(8)
    return settled(nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.Conv2d(8, 4, 1)))


class Wayward(nn.Module):
    """A block that looks at what it hands on, once it is told to."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.way = "straight"

    def forward(self, x):
        y = self.conv(x)
        if self.way == "doubled":
            y = y * 2
        return y if self.way == "short" else self.bn(y)


class SideBySide(nn.Module):
    """Two convolutions, and then what follows each of them."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.na, self.nb, self.act = nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.SiLU()

    def forward(self, x):
        p = self.a(x)
        q = self.b(x)
        return self.na(p) + 2 * self.act(self.nb(q))


class Nested(nn.Module):
    """A block that runs between a convolution and what follows it."""

    def __init__(self):
        super().__init__()
        self.c, self.n = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.inner = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())

    def forward(self, x):
        y = self.c(x)
        z = self.inner(x)
        return self.n(y) + z


@pytest.mark.parametrize("kind", [SideBySide, Nested])
@pytest.mark.filterwarnings("ignore")
def test_torch_compile_knows_results_that_wait(kind):
    """Between a convolution and what follows it others may run, and blocks of their own."""
    theirs, model, x = replaced(settled(kind()))
    codes = []

    def backend(graph, example):
        codes.append(str(graph.code))
        return graph.forward

    torch._dynamo.reset()
    with torch.no_grad():
        close(model(x), theirs(x))
        close(torch.compile(model, backend=backend, fullgraph=True)(x), theirs(x))
    assert "batch_norm" not in codes[0]
    torch._dynamo.reset()


@pytest.mark.parametrize(("model", "change"), [
    (net, lambda model: setattr(model[0][1], "forward", lambda x: x + 1)),
    (net, lambda model: setattr(model[0][2], "forward", lambda x: x + 1)),
    (bounded, lambda model: setattr(model[2], "max_val", 0.5)),
    (bounded, lambda model: setattr(model[2], "min_val", -0.5)),
    (bounded, lambda model: setattr(model[4], "approximate", "tanh")),
    (with_timm, lambda model: setattr(model[1], "act", Shifted())),
    (with_timm, lambda model: setattr(model[1], "forward", lambda x: x + 1)),
    (with_timm, lambda model: setattr(model[1].act, "forward", lambda x: x + 1)),
    (lambda: settled(Wayward()), lambda model: setattr(model, "way", "doubled")),
    (lambda: settled(Wayward()), lambda model: setattr(model, "way", "short")),
])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_torch_compile_notices_what_follows_a_convolution(model, change, late):
    """What a convolution has done the work of is called with its result, and does what it did."""
    theirs, model, x = replaced(model())
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        if late:
            close(compiled(x), theirs(x))
        change(model)
        change(theirs)
        for _ in range(2):
            close(compiled(x), theirs(x))
    torch._dynamo.reset()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_torch_compile_trains_with_pytorchs_operators(frozen):
    """Compiled with gradients, a replaced model is PyTorch's; where its convolutions want none,
    the normalisations behind them may."""
    theirs, model, x = replaced()
    for each in (*theirs.modules(), *model.modules()):
        if frozen and isinstance(each, nn.Conv2d):
            each.requires_grad_(False)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager")
    compiled(x).square().sum().backward()
    theirs(x).square().sum().backward()
    pairs = list(zip(model.parameters(), theirs.parameters(), strict=True))
    assert any(wanted.grad is not None for _, wanted in pairs)
    for ours, wanted in pairs:
        assert (wanted.grad is not None) == wanted.requires_grad
        assert (ours.grad is None) == (wanted.grad is None)
        if wanted.grad is not None:
            torch.testing.assert_close(ours.grad, wanted.grad, rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore")
def test_torch_export_goes_through_a_replaced_model(tmp_path):
    """An exported model holds gconv's operators and its own names, and can be saved and loaded."""
    theirs, model, x = replaced()
    batch = torch.export.Dim("batch", min=1, max=64)
    with torch.no_grad():
        program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},))
        assert str(program.graph).count("ops.gconv.conv") == 5
        assert {*program.state_dict} <= {*theirs.state_dict()}
        assert {name for name, _ in theirs.named_parameters()} <= {*program.state_dict}
        torch.export.save(program, tmp_path / "model.pt2")
        loaded = torch.export.load(tmp_path / "model.pt2").module()
        for images in (1, 3):
            x = torch.randn(images, 3, 10, 12)
            close(loaded(x), theirs(x))


def test_operators_go_through_torch_compile():
    """The operators themselves are compiled, with gradients."""
    (x, weight, bias), options = operands("conv2d", torch.float32)
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda x, weight, bias: gconv.torch.conv2d(x, weight, bias, **options).relu(),
        backend="aot_eager", fullgraph=True)
    y, wanted = compiled(x, weight, bias), F.conv2d(x, weight, bias, **options).relu()
    close(y, wanted)
    for a, b in zip(torch.autograd.grad(y.sum(), (x, weight, bias)),
                    torch.autograd.grad(wanted.sum(), (x, weight, bias)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()


# ---- the package -------------------------------------------------------------------------------


def test_the_public_names_of_gconv_torch_are_documented_and_run():
    """Public names say where they are public, and the examples in the modules run."""
    for name in gconv.torch.__all__:
        public = getattr(gconv.torch, name)
        assert public.__module__ == "gconv.torch"
        assert public.__doc__
    results = doctest.testmod(gconv.torch)
    assert results.attempted > 4
    assert results.failed == 0


def test_the_readmes_and_the_pages_snippets_run(monkeypatch):
    """What the README and docs/torch.md show runs as written."""
    root = Path(__file__).parents[1]
    for page in ("README.md", "docs/torch.md"):
        text = (root / page).read_text(encoding="utf-8")
        snippets = [s for s in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
                    if "gconv.torch" in s and ">>>" not in s]
        assert snippets, page
        names = {}
        for snippet in snippets:
            exec(snippet, names)
