"""Our gradient as a node of PyTorch's graph: the same module, with the gradient of each kind."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support import deviation
from torch import Tensor, nn

import cbam_np as cb
from cbam_np.pytorch import CBAM, by_hand, from_arrays, to_arrays
from cbam_np.pytorch.by_hand import Gradient

ROOT = Path(__file__).parents[1]
OURS: list[Gradient] = ["hand", "fused"]
ALL: list[Gradient] = ["autograd", "hand", "fused"]


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


def output_and_gradients(module: CBAM, f: Tensor, d_f2: Tensor) -> list[Tensor]:
    f = f.detach().requires_grad_()
    f2 = module(f)
    return [f2.detach(), *torch.autograd.grad(f2, [f, *module.parameters()], d_f2)]


@pytest.mark.parametrize("gradient", OURS)
def test_it_passes_pytorch_s_own_gradient_check_for_f_and_every_parameter(gradient: Gradient) -> None:
    module = CBAM(4, 2, 3, "float64", gradient=gradient)
    names = [name for name, _ in module.named_parameters()]

    def of(f: Tensor, *weights: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, weights, strict=True)), (f,))

    inputs = [random(2, 4, 3, 5), *(w.detach() for w in module.parameters())]
    assert torch.autograd.gradcheck(of, [x.clone().requires_grad_() for x in inputs])


@pytest.mark.parametrize("gradient", OURS)
def test_pytorch_s_gradient_check_fails_if_ours_is_a_little_wrong(
    gradient: Gradient, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = by_hand._Block.backward

    def off(ctx: Any, d_f2: Tensor) -> tuple[Tensor | None, ...]:
        return tuple(None if d is None else 1.01 * d for d in right(ctx, d_f2))

    monkeypatch.setattr(by_hand._Block, "backward", staticmethod(off))
    module = CBAM(4, 2, 3, "float64", gradient=gradient)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(module, (random(2, 4, 3, 5).requires_grad_(),))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("shape", [(2, 6, 5, 7), (3, 5, 1, 1), (1, 17, 8, 3)], ids=str)
@pytest.mark.parametrize("gradient", OURS)
def test_outputs_and_gradients_are_those_of_autograd(
    gradient: Gradient, shape: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    block = cb.CBAM(shape[1], 4, dtype=str(dtype).removeprefix("torch."), seed=1)
    for seed in range(3):
        f, d_f2 = random(*shape, seed=seed, dtype=dtype), random(*shape, seed=seed + 3, dtype=dtype)
        got = output_and_gradients(from_arrays(block, gradient), f, d_f2)
        expected = output_and_gradients(from_arrays(block), f, d_f2)
        for a, b in zip(got, expected, strict=True):
            assert a.dtype == dtype
            assert deviation(a, b) < tolerance


def test_by_hand_computes_in_half_precision_too() -> None:
    f, d_f2 = random(2, 4, 5, 5, dtype=torch.float16), random(2, 4, 5, 5, seed=1, dtype=torch.float16)
    got = output_and_gradients(CBAM(4, 2, dtype="float16", gradient="hand"), f, d_f2)
    assert all(x.dtype == torch.float16 for x in got)
    f2, backward = cb.cbam(f.numpy(), cb.CBAM(4, 2, dtype="float16").params)
    assert deviation(got[0], f2) == 0
    assert deviation(got[1], backward(d_f2.numpy())[0]) == 0


@pytest.mark.parametrize("gradient", OURS)
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
        lambda x: x[:1].expand_as(x),
    ],
    ids=["channels last", "transposed", "expanded"],
)
def test_any_layout_will_do(gradient: Gradient, change: Callable[[Tensor], Tensor]) -> None:
    module = CBAM(4, 2, 3, "float64", gradient=gradient)
    f, d_f2 = change(random(2, 4, 3, 5)), change(random(2, 4, 3, 5, seed=1))
    plain = output_and_gradients(module, f.clone(memory_format=torch.contiguous_format), d_f2.contiguous())
    for a, b in zip(output_and_gradients(module, f, d_f2), plain, strict=True):
        assert deviation(a, b) < 1e-13


@pytest.mark.parametrize("gradient", OURS)
def test_an_empty_batch_has_gradients_of_zero(gradient: Gradient) -> None:
    f2, d_f, *grads = output_and_gradients(
        CBAM(4, 2, gradient=gradient), torch.ones(0, 4, 3, 3), torch.ones(0, 4, 3, 3)
    )
    assert f2.shape == d_f.shape == (0, 4, 3, 3)
    assert all(not d.any() for d in grads)


def test_nothing_is_copied_on_the_cpu() -> None:
    x = random(3, 4)
    array = by_hand.as_array(x.requires_grad_())
    assert isinstance(array, np.ndarray)
    assert array.ctypes.data == x.data_ptr()
    assert by_hand.as_tensor(array).data_ptr() == x.data_ptr()


def test_on_another_device_cupy_looks_at_the_same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: who is asked, and for what."""
    seen: list[Tensor] = []
    monkeypatch.setattr(by_hand, "usable_cupy", lambda: SimpleNamespace(from_dlpack=seen.append))
    x = torch.ones(2, device="meta", requires_grad=True)
    by_hand.as_array(x)
    assert [(t.device.type, t.requires_grad) for t in seen] == [("meta", False)]


# In a network


class SmallNet(nn.Module):
    def __init__(self, gradient: Gradient) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2, self.head = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 4, 3), nn.Linear(4 * 8 * 8, 3)
        self.block1, self.block2 = CBAM(8, 2, 3, gradient=gradient), CBAM(4, 2, 3, gradient=gradient)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.block1(self.conv1(x)))
        logits: Tensor = self.head(self.block2(self.conv2(x)).flatten(1))
        return logits


def losses(gradient: Gradient, steps: int = 30) -> list[float]:
    net = SmallNet(gradient)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, labels = random(16, 1, 12, 12, dtype=torch.float32), torch.arange(16) % 3
    found = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss: Any = nn.functional.cross_entropy(net(x), labels)
        loss.backward()
        optimiser.step()
        found.append(loss.item())
    return found


@pytest.mark.long
def test_a_small_net_trains_to_the_same_loss_curve_with_each() -> None:
    autograd, hand, fused = (losses(gradient) for gradient in ALL)
    assert autograd[-1] < 0.7 * autograd[0]
    np.testing.assert_allclose(hand, autograd, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(fused, autograd, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("gradient", OURS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # within torch.compile
def test_torch_compile_compiles_what_is_around_the_block(gradient: Gradient) -> None:
    import torch._dynamo

    torch._dynamo.reset()
    net = SmallNet(gradient)
    graphs: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(net, backend=backend)
    for _ in range(2):
        x = random(2, 1, 12, 12, dtype=torch.float32).requires_grad_()
        y = x.detach().requires_grad_()
        expected, got = net(x), compiled(y)
        torch.testing.assert_close(got, expected)
        expected.sum().backward()
        got.sum().backward()
        assert x.grad is not None
        torch.testing.assert_close(y.grad, x.grad)
    targets = " ".join(str(node.target) for graph in graphs for node in graph.graph.nodes)
    assert targets.count("conv2d") == 2
    assert "relu" in targets
    torch._dynamo.reset()


@pytest.mark.parametrize("gradient", OURS)
def test_the_module_goes_there_and_back_whoever_computes_its_gradient(gradient: Gradient, tmp_path: Path) -> None:
    module, other = CBAM(8, 2, gradient=gradient, seed=3), CBAM(8, 2)
    assert list(module.state_dict()) == ["channel.w1", "channel.w2", "spatial.kernel"]
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    f = random(2, 8, 5, 6, dtype=torch.float32)
    for again in (other, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(again(f), module(f))
    block = cb.CBAM(8, 2)
    block.params = to_arrays(module)
    assert deviation(from_arrays(block, gradient)(f).detach(), module(f).detach()) == 0
    assert copy.deepcopy(module).gradient == gradient
    assert f"gradient='{gradient}'" in repr(module)


@pytest.mark.parametrize("gradient", OURS)
def test_backward_twice_and_without_gradients(gradient: Gradient) -> None:
    module = CBAM(8, 2, gradient=gradient)
    f = random(2, 8, 5, 6, dtype=torch.float32)
    f2 = module(f)
    f2.backward(torch.ones_like(f2), retain_graph=True)
    first = module.spatial.kernel.grad.clone()  # type: ignore[union-attr]
    f2.sum().backward()
    torch.testing.assert_close(module.spatial.kernel.grad, 2 * first)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        f2.sum().backward()
    with torch.no_grad():
        assert not module(f).requires_grad


# Errors


@pytest.mark.parametrize("gradient", OURS)
def test_a_second_derivative_is_a_clear_error(gradient: Gradient) -> None:
    f = random(2, 4, 3, 5).requires_grad_()
    f2 = CBAM(4, 2, dtype="float64", gradient=gradient)(f)
    with pytest.raises(RuntimeError) as error:
        torch.autograd.grad(f2.sum(), f, create_graph=True)
    assert str(error.value) == (
        f"backward: expected create_graph=False with gradient='{gradient}', since only the first derivative is derived "
        'by hand; for a second one take gradient="autograd"'
    )
    autograd = CBAM(4, 2, dtype="float64")(f)
    (d_f,) = torch.autograd.grad((autograd**2).sum(), f, create_graph=True)
    assert torch.autograd.grad(d_f.sum(), f)[0].shape == f.shape


@pytest.mark.parametrize("gradient", OURS)
def test_a_weight_changed_before_backward_is_noticed_as_by_pytorch(gradient: Gradient) -> None:
    module = CBAM(4, 2, dtype="float64", gradient=gradient)
    f2 = module(random(2, 4, 3, 5))
    with torch.no_grad():
        module.spatial.kernel.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        f2.sum().backward()


@pytest.mark.parametrize("gradient", OURS)
def test_a_dtype_that_numpy_has_not_got_is_refused(gradient: Gradient) -> None:
    module = CBAM(4, 2, gradient=gradient)
    with pytest.raises(TypeError) as error:
        module(torch.ones(2, 4, 3, 5, dtype=torch.bfloat16))
    assert str(error.value) == (
        f"f: expected float64, float32 or float16 with gradient='{gradient}', got torch.bfloat16; "
        'cast it: f.float(), or take gradient="autograd"'
    )
    with pytest.raises(TypeError, match=r"channel\.w1: expected float64, float32 or float16"):
        module.to(torch.bfloat16)(torch.ones(2, 4, 3, 5))


def test_a_gpu_is_for_hand_and_autograd() -> None:
    with pytest.raises(TypeError) as error:
        CBAM(4, 2, gradient="fused")(torch.ones(2, 4, 3, 5, device="meta"))
    assert str(error.value) == (
        'f: expected a tensor on the CPU with gradient="fused", got one on meta; take gradient="hand" or "autograd"'
    )
    with pytest.raises(RuntimeError, match="CuPy"):
        CBAM(4, 2, gradient="hand")(torch.ones(2, 4, 3, 5, device="meta"))


@pytest.mark.parametrize("gradient", OURS)
def test_inputs_are_checked_as_those_of_the_block(gradient: Gradient) -> None:
    module = CBAM(4, 2, gradient=gradient)
    with pytest.raises(ValueError, match=r"f: expected 4 channels"):
        module(torch.ones(2, 5, 3, 5))
    with pytest.raises(TypeError, match=r"f: expected the library, dtype and device of channel\.w1, numpy float32"):
        module(torch.ones(2, 4, 3, 5, dtype=torch.float64))


def test_constructor_errors() -> None:
    with pytest.raises(ValueError, match='gradient: expected "autograd", "hand" or "fused", got \'mine\''):
        CBAM(4, 2, gradient="mine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dtype: expected float32 or float64 with fused=True, got 'float16'"):
        CBAM(4, 2, dtype="float16", gradient="fused")


def test_without_numba_only_fused_fails() -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from cbam_np.pytorch import CBAM\n"
        "CBAM(4, 2), CBAM(4, 2, gradient='hand')\n"
        "try:\n    CBAM(4, 2, gradient='fused')\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("the compiled loops need Numba, which cannot be imported")
