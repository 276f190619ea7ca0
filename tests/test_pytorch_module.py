"""The PyTorch module of `cbam_np.pytorch` and the NumPy block are the same block."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support import deviation

import cbam_np as cb
from cbam_np.inputs import Ties
from cbam_np.pytorch import CBAM as TorchCBAM
from cbam_np.pytorch import from_arrays, load_weights, save_weights, to_arrays
from cbam_np.pytorch.by_hand import Gradient
from cbam_np.reference.operations import Shape

SHAPES: list[Shape] = [(2, 6, 5, 7), (3, 5, 1, 1), (4, 1, 2, 9), (1, 17, 8, 3)]
KEYS = ["channel.w1", "channel.w2", "spatial.kernel"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kernel_size", [3, 7])
def test_outputs_and_gradients_are_equal(shape: Shape, kernel_size: int) -> None:
    rng = np.random.default_rng(kernel_size)
    block = cb.CBAM(shape[1], min(shape[1], 4), kernel_size, dtype="float64", seed=9)
    module = from_arrays(block)
    f, f_torch = (x := rng.normal(size=shape)), torch.tensor(x, requires_grad=True)
    f2 = module(f_torch)
    assert deviation(block(f), f2.detach().numpy()) < 1e-12
    weights = dict(module.named_parameters())
    for _ in range(3):
        d_f2 = rng.normal(size=shape)
        d_f, *d_weights = torch.autograd.grad(f2, [f_torch, *weights.values()], torch.tensor(d_f2), retain_graph=True)
        assert deviation(block.backward(d_f2), d_f.numpy()) < 1e-12
        for key, d in zip(weights, d_weights, strict=True):
            assert deviation(block.grads[key], d.numpy()) < 1e-12


def test_float32_outputs_and_gradients_agree() -> None:
    rng = np.random.default_rng(0)
    block = cb.CBAM(16, 4)
    module = from_arrays(block)
    f, d_f2 = rng.normal(size=(2, 2, 16, 9, 8)).astype("float32")
    f_torch = torch.tensor(f, requires_grad=True)
    f2 = module(f_torch)
    f2.backward(torch.tensor(d_f2))
    assert f2.dtype == torch.float32
    assert deviation(block(f), f2.detach().numpy()) < 1e-5
    assert f_torch.grad is not None
    assert deviation(block.backward(d_f2), f_torch.grad.numpy()) < 1e-5
    for key, parameter in module.named_parameters():
        assert parameter.grad is not None
        assert deviation(block.grads[key], parameter.grad.numpy()) < 1e-5


def test_state_dict_and_params_have_the_same_keys_and_shapes() -> None:
    block, module = cb.CBAM(64), TorchCBAM(64)
    assert list(module.state_dict()) == list(block.params) == KEYS
    for key, value in module.state_dict().items():
        assert tuple(value.shape) == block.params[key].shape
    assert [name for name, _ in module.named_parameters()] == KEYS
    assert sum(parameter.numel() for parameter in module.parameters()) == 610


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_same_seed_gives_the_same_initial_weights(dtype: str) -> None:
    block, module = cb.CBAM(32, 4, 5, dtype, seed=3), TorchCBAM(32, 4, 5, dtype, seed=3)
    for key, value in module.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), block.params[key], strict=True)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_parameters_go_there_and_back_bit_for_bit(dtype: str) -> None:
    block = cb.CBAM(32, 4, 5, dtype, seed=4)
    returned = to_arrays(from_arrays(block))
    assert list(returned) == KEYS
    for key in KEYS:
        np.testing.assert_array_equal(returned[key], block.params[key], strict=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_parameters_of_a_trained_module_come_to_a_block_and_back(dtype: str) -> None:
    rng = np.random.default_rng(5)
    module = TorchCBAM(8, 2, dtype=dtype)
    f = torch.tensor(rng.normal(size=(2, 8, 5, 6)).astype(dtype))
    (module(f) ** 2).sum().backward()
    with torch.no_grad():
        for parameter in module.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)
    block = cb.CBAM(8, 2, dtype=dtype)
    initial = block.params
    block.params = to_arrays(module)
    for key, value in from_arrays(block).state_dict().items():
        assert not np.array_equal(block.params[key], initial[key])
        assert torch.equal(value, module.state_dict()[key])
    assert deviation(block(f.numpy()), module(f).detach().numpy()) < (1e-12 if dtype == "float64" else 1e-5)


def test_both_sides_keep_copies() -> None:
    block = cb.CBAM(8, 2)
    before = {key: value.copy() for key, value in block.params.items()}
    module = from_arrays(block)
    arrays = to_arrays(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    for key in KEYS:
        np.testing.assert_array_equal(block.params[key], before[key])
        np.testing.assert_array_equal(arrays[key], before[key])


def test_a_block_on_torch_arrays_makes_the_same_module() -> None:
    block = cb.CBAM(8, 2, dtype="float64", seed=6)
    for key, value in from_arrays(block.to("torch")).state_dict().items():
        np.testing.assert_array_equal(value.numpy(), block.params[key], strict=True)


def test_ties_go_to_the_first_index_as_in_the_block() -> None:
    rng = np.random.default_rng(7)
    block = cb.CBAM(4, 2, dtype="float64")
    f, d_f2 = rng.choice([0.0, 1.5], size=(2, 4, 3, 5)), rng.normal(size=(2, 4, 3, 5))
    f_torch = torch.tensor(f, requires_grad=True)
    from_arrays(block)(f_torch).backward(torch.tensor(d_f2))
    block(f)
    assert f_torch.grad is not None
    assert deviation(block.backward(d_f2), f_torch.grad.numpy()) < 1e-12


BIASES = {"channel.b1": (2,), "channel.b2": (4,), "spatial.bias": (1,)}


@pytest.mark.parametrize("gradient", ["autograd", "hand", "fused"])
@pytest.mark.parametrize("ties", ["first", "split"])
@pytest.mark.parametrize("biases", [(), ("channel.b1",), ("spatial.bias", "channel.b2"), tuple(BIASES)], ids=str)
def test_biases_and_ties_come_along(gradient: Gradient, ties: Ties, biases: tuple[str, ...]) -> None:
    """On features with ties and on others: outputs and every gradient are those of the block."""
    rng = np.random.default_rng(8)
    block = cb.CBAM(4, 2, 3, "float64", seed=1, ties=ties)
    block.params |= {name: rng.normal(size=BIASES[name]) for name in biases}
    module = from_arrays(block, gradient)
    assert sorted(module.state_dict()) == sorted(block.params)
    for f in (rng.choice([0.5, 1.5], size=(2, 4, 3, 5)), rng.normal(size=(2, 4, 3, 5))):
        d_f2 = rng.normal(size=f.shape)
        leaf = torch.tensor(f, requires_grad=True)
        f2 = module(leaf)
        d_f, *grads = torch.autograd.grad(f2, [leaf, *module.parameters()], torch.tensor(d_f2))
        assert deviation(block(f), f2.detach().numpy()) < 1e-12
        assert deviation(block.backward(d_f2), d_f.numpy()) < 1e-12
        for (name, _), d in zip(module.named_parameters(), grads, strict=True):
            assert deviation(block.grads[name], d.numpy()) < 1e-12
    returned = to_arrays(module)
    assert all(np.array_equal(returned[name], value) for name, value in block.params.items())


@pytest.mark.parametrize("gradient", ["autograd", "hand", "fused"])
def test_trained_weights_can_be_trained_on_with_any_gradient_and_saved_again(
    gradient: Gradient, tmp_path: Path
) -> None:
    block = cb.CBAM(4, 2, ties="split")
    block.params |= {name: np.ones(shape, "float32") for name, shape in BIASES.items()}
    module = from_arrays(block, gradient)
    save_weights(module, tmp_path / "block.safetensors")
    again = load_weights(tmp_path / "block.safetensors")[""]
    assert again.ties == "split"
    assert all(np.array_equal(again.params[name], value) for name, value in block.params.items())
    f = torch.ones(1, 4, 3, 3)
    assert torch.equal(from_arrays(again, gradient)(f), module(f))


def test_a_hidden_size_that_no_reduction_gives_is_kept() -> None:
    block = cb.CBAM(5, 2)  # 2 hidden units
    block.params |= {"channel.w1": np.ones((3, 5), "float32"), "channel.w2": np.ones((5, 3), "float32")}
    module = from_arrays(block)
    f = np.ones((1, 5, 4, 4), "float32")
    assert deviation(block(f), module(torch.tensor(f)).detach().numpy()) < 1e-6


def test_other_ties_are_refused() -> None:
    with pytest.raises(ValueError, match="ties: expected"):
        TorchCBAM(4, 2, ties="last")  # type: ignore[arg-type]
