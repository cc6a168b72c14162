"""Memory that results of replaced modules leave is used again, once nobody holds it any more."""

import gc
import threading

import pytest
from oracles import oracle

torch = oracle("torch")
from gconv.torch import _memory  # noqa: E402  # needs PyTorch

SHAPE = (4, 64, 64, 64)
SIZE = 4 * 4 * 64**3


@pytest.fixture(autouse=True)
def nothing_kept():
    """Begin and end without any memory."""
    _memory.release()
    yield
    _memory.release()


def new(shape=SHAPE, dtype=torch.float32):
    """Return a tensor for a result."""
    like = torch.empty(shape, dtype=dtype, device="meta")
    return _memory.empty(shape, like.stride(), dtype, like.nbytes)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_memory_is_used_again(mode):
    """The next result of the same size has the memory of one that is gone, and is a tensor as any
    other."""
    with mode():
        y = new()
        address = y.data_ptr()
        assert new().data_ptr() != address
        del y
        y = new((64, 64, 64, 2), torch.float64)
        assert y.data_ptr() == address
        assert y.shape == (64, 64, 64, 2)
        assert y.is_contiguous()
        assert y.dtype == torch.float64
        assert y.untyped_storage().nbytes() == SIZE
        assert y.is_inference() == (mode is torch.inference_mode)
        assert not y.requires_grad
        assert y._base is None


@pytest.mark.parametrize("modes", [
    (torch.inference_mode, torch.enable_grad), (torch.enable_grad, torch.inference_mode),
])
def test_memory_goes_from_mode_to_mode(modes):
    """Memory of a result in inference mode serves one outside, which may want a gradient."""
    with modes[0]():
        y = new()
        address = y.data_ptr()
        del y
    with modes[1]():
        y = new()
        assert y.data_ptr() == address
        assert y.is_inference() == (modes[1] is torch.inference_mode)
    if modes[1] is torch.enable_grad:
        y.fill_(1).requires_grad_()
        y.square().sum().backward()
        assert (y.grad == 2).all()


@pytest.mark.parametrize("hold", [
    lambda y: y,
    lambda y: y[1:2, 3],
    lambda y: y.detach(),
    lambda y: y.numpy()[0],
    lambda y: y.untyped_storage(),
    lambda y: memoryview(y.numpy()),
    lambda y: torch.utils.dlpack.to_dlpack(y),
    lambda y: torch.from_dlpack(y),
    lambda y: torch.nn.Parameter(y),
    lambda y: [y.view(-1)],
])
def test_what_is_held_is_not_used_again(hold):
    """Whoever refers to a result's memory in any way keeps it."""
    y = new()
    address = y.data_ptr()
    held = hold(y)
    del y
    gc.collect()
    for _ in range(3):
        assert new().data_ptr() != address
    del held
    gc.collect()
    seen = [new() for _ in range(3)]
    assert address in {y.data_ptr() for y in seen}


def test_autograd_holds_what_it_saved():
    """A result that a backward pass needs is not written to."""
    with torch.enable_grad():
        y = new().fill_(3)
        scale = torch.ones((), requires_grad=True)
        total = (y * scale).sum()
        del y
        new().fill_(0)
        total.backward()
    assert scale.grad == 3 * SIZE / 4


@pytest.mark.parametrize("change", [
    lambda y: y.resize_(2 * SIZE), lambda y: y.share_memory_(),
    lambda y: y.untyped_storage().resize_(0),
])
def test_memory_that_was_replaced_is_forgotten(change):
    """A storage that got another memory, or another size, is not used again."""
    y = new()
    change(y)
    address = y.data_ptr()
    del y
    again = new()
    assert again.data_ptr() != address
    assert again.untyped_storage().nbytes() == SIZE
    again.fill_(1)


def test_no_more_is_kept_than_said(monkeypatch):
    """Memory is kept up to a limit; a size that nobody asks for any more gives way."""
    monkeypatch.setattr(_memory, "MOST", 3 * SIZE)
    monkeypatch.setattr(_memory, "AGE", 20)

    def kept():
        return sum(size * len(of_size.kept) for size, of_size in _memory._sizes.items())

    results = [new() for _ in range(10)]
    assert kept() == 3 * SIZE
    del results
    [new((n + 1, 64, 64, 64)) for n in range(8)]
    assert kept() <= 3 * SIZE
    for _ in range(25):
        new((8, 64, 64, 64))
    [new((4, 64, 64, 32)) for _ in range(3)]
    assert kept() <= 3 * SIZE
    assert SIZE not in _memory._sizes


def test_results_that_stay_do_not_end_it(monkeypatch):
    """Where somebody collects more results than are kept, the latest ones are."""
    monkeypatch.setattr(_memory, "MOST", 3 * SIZE)
    collected = [new() for _ in range(10)]
    latest = collected.pop().data_ptr()
    assert new().data_ptr() == latest
    assert len(_memory._sizes[SIZE].kept) == 3


def test_small_results_are_not_kept():
    """The C library is good at small pieces."""
    new((1, 8, 8, 8))
    assert not _memory._sizes


def test_threads_share_no_result():
    """Threads that ask for memory at the same time never get the same."""
    failures = []

    def work(number):
        for _ in range(300):
            mine = [new().fill_(number) for _ in range(2)]
            failures.extend(number for y in mine if not (y[::3, ::17] == number).all())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
