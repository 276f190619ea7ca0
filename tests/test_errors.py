"""Every error says which argument, what was expected and what it got."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from support import OPERATIONS, argument_names, random_params

import cbam_np as cb
from cbam_np import ops

F64 = np.ones((2, 4, 5, 6))
PARAMS = random_params(4, np.random.default_rng(0))


def refused(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


# What every operation refuses, argument by argument

CASES = [(name, i) for name, case in OPERATIONS.items() for i in range(len(case.shapes(2, 4, 5, 6)))]


def inputs_and_name(operation: str, i: int) -> tuple[Callable[..., Any], list[Any], str]:
    case = OPERATIONS[operation]
    inputs: list[Any] = [*case.inputs((2, 4, 5, 6), np.random.default_rng(0))]
    return case.op, inputs, argument_names(case.op)[i]


@pytest.mark.parametrize(("operation", "i"), CASES)
def test_lists_are_refused(operation: str, i: int) -> None:
    op, inputs, name = inputs_and_name(operation, i)
    inputs[i] = inputs[i].tolist()
    refused(TypeError, f"{name}: expected an array (NumPy, CuPy, ...), got list", lambda: op(*inputs))


@pytest.mark.parametrize("dtype", ["int64", "bool"])
@pytest.mark.parametrize(("operation", "i"), CASES)
def test_integers_and_booleans_are_refused(operation: str, i: int, dtype: str) -> None:
    op, inputs, name = inputs_and_name(operation, i)
    inputs[i] = inputs[i].astype(dtype)
    message = f"{name}: expected floating point, got numpy {dtype} on cpu; cast it first"
    refused(TypeError, message, lambda: op(*inputs))


MIXABLE = [(operation, i) for operation, i in CASES if len(OPERATIONS[operation].shapes(2, 4, 5, 6)) > 1]


@pytest.mark.parametrize(("operation", "i"), MIXABLE)
def test_two_float_dtypes_are_refused(operation: str, i: int) -> None:
    op, inputs, name = inputs_and_name(operation, i)
    inputs[i] = inputs[i].astype("float32")
    with pytest.raises(TypeError, match="expected arrays of one library, dtype and device, got ") as error:
        op(*inputs)
    assert f"{name}: numpy float32 on cpu" in str(error.value)
    assert "numpy float64 on cpu" in str(error.value)


@pytest.mark.parametrize(("operation", "i"), MIXABLE)
def test_two_libraries_are_refused(operation: str, i: int) -> None:
    op, inputs, name = inputs_and_name(operation, i)
    inputs[i] = torch.tensor(inputs[i])
    with pytest.raises(TypeError, match="expected arrays of one library, dtype and device, got ") as error:
        op(*inputs)
    assert f"{name}: torch float64 on cpu" in str(error.value)
    assert "numpy float64 on cpu" in str(error.value)


def test_two_devices_are_refused() -> None:
    f = torch.ones(2, 4, 5, 6, dtype=torch.float64)
    params = {key: torch.tensor(value, device="meta") for key, value in PARAMS.items()}
    message = "got f: torch float64 on cpu and channel.w1: torch float64 on meta"
    refused(TypeError, message, lambda: cb.cbam(f, params))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_upstream_gradient_that_does_not_fit_the_output_is_refused(operation: str) -> None:
    case = OPERATIONS[operation]
    out, backward = case.op(*case.inputs((3, 4, 5, 6), np.random.default_rng(0)))
    shape = out.shape
    ones = np.ones(shape)
    for wrong in (ones[None], ones[..., :0], ones[:1], np.swapaxes(ones, 0, 1), np.ones(())):
        refused(ValueError, f"d_out: expected shape {shape}, got {wrong.shape}", partial(backward, wrong))
    refused(TypeError, "d_out: numpy float32 on cpu", lambda: backward(ones.astype("float32")))
    refused(TypeError, "d_out: torch float64 on cpu", lambda: backward(torch.tensor(ones)))
    refused(TypeError, "d_out: expected floating point, got numpy int64", lambda: backward(ones.astype(int)))
    refused(TypeError, "d_out: expected an array (NumPy, CuPy, ...), got list", lambda: backward(ones.tolist()))


# Features that are no (N, C, H, W)

FEATURES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "avg_pool_over_space": ("f", ops.avg_pool_over_space),
    "max_pool_over_space": ("f", ops.max_pool_over_space),
    "avg_pool_over_channels": ("f1", ops.avg_pool_over_channels),
    "max_pool_over_channels": ("f1", ops.max_pool_over_channels),
    "gate": ("f", lambda f: ops.gate(np.ones((2, 4, 1, 1)), f)),
    "concat, a": ("a", lambda a: ops.concat(a, F64)),
    "concat, b": ("b", lambda b: ops.concat(F64, b)),
    "conv2d": ("x", lambda x: ops.conv2d(x, np.ones((1, 4, 3, 3)))),
    "im2col": ("x", lambda x: ops.im2col(x, 3)),
    "channel_map": ("f", lambda f: cb.channel_map(f, PARAMS)),
    "channel_attention": ("f", lambda f: cb.channel_attention(f, PARAMS)),
    "spatial_map": ("f1", lambda f1: cb.spatial_map(f1, PARAMS)),
    "spatial_attention": ("f1", lambda f1: cb.spatial_attention(f1, PARAMS)),
    "cbam": ("f", lambda f: cb.cbam(f, PARAMS)),
    "CBAM": ("f", cb.CBAM(4, 2, dtype="float64")),
}


@pytest.mark.parametrize("operation", FEATURES)
def test_features_without_a_batch_axis_are_refused_with_advice(operation: str) -> None:
    name, op = FEATURES[operation]
    advice = f"{name}: expected (N, C, H, W), got (4, 5, 6); add the batch axis with {name}[None, ...]"
    refused(ValueError, advice, lambda: op(F64[0]))


@pytest.mark.parametrize("operation", FEATURES)
def test_features_with_another_number_of_axes_are_refused(operation: str) -> None:
    name, op = FEATURES[operation]
    refused(ValueError, f"{name}: expected four axes (N, C, H, W), got 2: (5, 6)", lambda: op(F64[0, 0]))
    message = f"{name}: expected four axes (N, C, H, W), got 5: (1, 2, 4, 5, 6)"
    refused(ValueError, message, lambda: op(F64[None]))


@pytest.mark.parametrize(
    ("axis", "shape"), [("C", (2, 0, 5, 6)), ("H", (2, 4, 0, 6)), ("W", (2, 4, 5, 0)), ("H", (0, 4, 0, 6))]
)
@pytest.mark.parametrize("operation", FEATURES)
def test_features_without_channels_or_pixels_are_refused(operation: str, axis: str, shape: tuple[int, ...]) -> None:
    name, op = FEATURES[operation]
    refused(ValueError, f"{name}: expected at least one entry along {axis}, got {shape}", lambda: op(np.ones(shape)))


# Weights and arguments that do not fit


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape)


MISFITS: dict[str, tuple[Callable[[], Any], str]] = {
    "mlp, w1": (
        lambda: ops.mlp(ones(2, 4), ones(2, 5), ones(4, 2)),
        "w1: expected (hidden, C) for x (N, C), got w1 (2, 5), x (2, 4)",
    ),
    "mlp, x": (
        lambda: ops.mlp(ones(4), ones(2, 4), ones(4, 2)),
        "w1: expected (hidden, C) for x (N, C), got w1 (2, 4), x (4,)",
    ),
    "mlp, w2": (lambda: ops.mlp(ones(2, 4), ones(3, 4), ones(3, 4)), "w2: expected shape (4, 3), got (3, 4)"),
    "mlp, b1": (lambda: ops.mlp(ones(2, 4), ones(3, 4), ones(4, 3), ones(4)), "b1: expected shape (3,), got (4,)"),
    "mlp, b2": (
        lambda: ops.mlp(ones(2, 4), ones(3, 4), ones(4, 3), ones(3), ones(1, 4)),
        "b2: expected shape (4,), got (1, 4)",
    ),
    "mlp, no hidden unit": (
        lambda: ops.mlp(ones(2, 4), ones(0, 4), ones(4, 0)),
        "w1: expected at least one hidden unit, got (0, 4)",
    ),
    "shared_mlp": (
        lambda: ops.shared_mlp(ones(2, 4), ones(1, 4), ones(3, 4), ones(4, 3)),
        "max_c: expected shape (2, 4), got (1, 4)",
    ),
    "gate, another batch": (
        lambda: ops.gate(ones(1, 4, 1, 1), F64),
        "m: expected (2, 4, 1, 1) or (2, 1, 5, 6) for f (2, 4, 5, 6), got (1, 4, 1, 1)",
    ),
    "gate, two axes": (
        lambda: ops.gate(ones(2, 4), F64),
        "m: expected (2, 4, 1, 1) or (2, 1, 5, 6) for f (2, 4, 5, 6), got (2, 4)",
    ),
    "gate, full": (lambda: ops.gate(F64, F64), "m: expected (2, 4, 1, 1) or (2, 1, 5, 6)"),
    "concat": (lambda: ops.concat(F64, ones(2, 1, 5, 7)), "b: expected shape (2, 1, 5, 6), got (2, 1, 5, 7)"),
    "conv2d, channels": (
        lambda: ops.conv2d(F64, ones(2, 3, 3, 3)),
        "kernel: expected shape (2, 4, 3, 3), got (2, 3, 3, 3)",
    ),
    "conv2d, not square": (
        lambda: ops.conv2d(F64, ones(2, 4, 3, 5)),
        "kernel: expected shape (2, 4, 3, 3), got (2, 4, 3, 5)",
    ),
    "conv2d, three axes": (lambda: ops.conv2d(F64, ones(4, 3, 3)), "kernel: expected (O, 4, k, k), got (4, 3, 3)"),
    "conv2d, even": (
        lambda: ops.conv2d(F64, ones(2, 4, 2, 2)),
        "kernel: expected an odd size k×k, so that a window has a centre, got (2, 4, 2, 2)",
    ),
    "conv2d, empty": (lambda: ops.conv2d(F64, ones(2, 4, 0, 0)), "kernel: expected an odd size k×k"),
    "conv2d, bias": (
        lambda: ops.conv2d(F64, ones(2, 4, 3, 3), ones(4)),
        "bias: expected shape (2,), got (4,)",
    ),
    "conv2d, stride": (
        lambda: ops.conv2d(F64, ones(2, 4, 3, 3), stride=0),
        "stride: expected an integer of at least 1, got 0",
    ),
    "conv2d, stride 2.0": (
        lambda: ops.conv2d(F64, ones(2, 4, 3, 3), stride=2.0),  # type: ignore[arg-type]
        "stride: expected an integer of at least 1, got 2.0",
    ),
    "conv2d, padding": (
        lambda: ops.conv2d(F64, ones(2, 4, 3, 3), padding=-1),
        "padding: expected an integer of at least 0, got -1",
    ),
    "conv2d, padding True": (
        lambda: ops.conv2d(F64, ones(2, 4, 3, 3), padding=True),
        "padding: expected an integer of at least 0, got True",
    ),
    "conv2d, too large": (
        lambda: ops.conv2d(F64, ones(2, 4, 7, 7), padding=0),
        "k: expected a window that fits into (5, 6) with padding 0, got 7",
    ),
    "im2col, k": (lambda: ops.im2col(F64, 0), "k: expected an integer of at least 1, got 0"),
    "im2col, too large": (
        lambda: ops.im2col(F64, 8, padding=1),
        "k: expected a window that fits into (5, 6) with padding 1, got 8",
    ),
    "col2im, columns": (
        lambda: ops.col2im(ones(2, 36, 7), (5, 6), 3),
        "columns: expected (N, C·9, 12), got (2, 36, 7)",
    ),
    "col2im, rows": (lambda: ops.col2im(ones(2, 35, 12), (5, 6), 3), "columns: expected (N, C·9, 12)"),
    "col2im, axes": (lambda: ops.col2im(ones(36, 12), (5, 6), 3), "columns: expected (N, C·9, 12)"),
    "ties, space": (
        lambda: ops.max_pool_over_space(F64, ties="last"),  # type: ignore[arg-type]
        'ties: expected "first" or "split", got \'last\'',
    ),
    "ties, channels": (
        lambda: ops.max_pool_over_channels(F64, ties=True),  # type: ignore[arg-type]
        'ties: expected "first" or "split", got True',
    ),
    "cbam, w1 for other channels": (
        lambda: cb.cbam(ones(2, 3, 5, 6), PARAMS),
        "channel.w1: expected shape (2, 3), got (2, 4)",
    ),
    "cbam, w1 with one axis": (
        lambda: cb.cbam(F64, PARAMS | {"channel.w1": ones(2)}),
        "channel.w1: expected shape (2, 4), got (2,)",
    ),
    "cbam, w2": (lambda: cb.cbam(F64, PARAMS | {"channel.w2": ones(2, 4)}), "w2: expected shape (4, 2), got (2, 4)"),
    "cbam, kernel for one map": (
        lambda: cb.cbam(F64, PARAMS | {"spatial.kernel": ones(1, 1, 7, 7)}),
        "spatial.kernel: expected shape (1, 2, 7, 7), got (1, 1, 7, 7)",
    ),
    "cbam, kernel for two gates": (
        lambda: cb.cbam(F64, PARAMS | {"spatial.kernel": ones(2, 2, 7, 7)}),
        "spatial.kernel: expected shape (1, 2, 7, 7), got (2, 2, 7, 7)",
    ),
    "cbam, even kernel": (
        lambda: cb.cbam(F64, PARAMS | {"spatial.kernel": ones(1, 2, 8, 8)}),
        "kernel: expected an odd size k×k, so that a window has a centre, got (1, 2, 8, 8)",
    ),
    "cbam, bias": (lambda: cb.cbam(F64, PARAMS | {"spatial.bias": ones(2)}), "bias: expected shape (1,), got (2,)"),
    "cbam, missing key": (
        lambda: cb.cbam(F64, {key: PARAMS[key] for key in ("channel.w1", "spatial.kernel")}),
        "params: expected the key 'channel.w2', got ['channel.w1', 'spatial.kernel']",
    ),
    "cbam, missing kernel": (
        lambda: cb.cbam(F64, {key: PARAMS[key] for key in ("channel.w1", "channel.w2")}),
        "params: expected the key 'spatial.kernel', got ['channel.w1', 'channel.w2']",
    ),
    "cbam, unknown key": (
        lambda: cb.cbam(F64, PARAMS | {"channel.w3": ones(4)}),
        "params: expected keys among ['channel.w1', 'channel.w2', 'channel.b1', 'channel.b2'], got 'channel.w3'",
    ),
    "cbam, misspelt bias": (
        lambda: cb.cbam(F64, PARAMS | {"spatial.b": ones(1)}),
        "params: expected keys among ['spatial.kernel', 'spatial.bias'], got 'spatial.b'",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_weights_and_arguments_that_do_not_fit_are_refused(name: str) -> None:
    call, message = MISFITS[name]
    refused(ValueError, message, call)


# Sizes that make no block

SIZES: dict[str, tuple[dict[str, Any], str]] = {
    "channels 0": ({"channels": 0}, "channels: expected an integer of at least 1, got 0"),
    "channels 64.0": ({"channels": 64.0}, "channels: expected an integer of at least 1, got 64.0"),
    "reduction 0": ({"channels": 64, "reduction": 0}, "reduction: expected an integer of at least 1, got 0"),
    "reduction -1": ({"channels": 64, "reduction": -1}, "reduction: expected an integer of at least 1, got -1"),
    "reduction 16.0": ({"channels": 64, "reduction": 16.0}, "reduction: expected an integer of at least 1, got 16.0"),
    "reduction True": ({"channels": 64, "reduction": True}, "reduction: expected an integer of at least 1, got True"),
    "fewer channels than r": ({"channels": 8}, "reduction: expected at most 8 for channels=8, got 16"),
    "kernel_size 8": (
        {"channels": 64, "kernel_size": 8},
        "kernel_size: expected an odd number, so that a window has a centre, got 8",
    ),
    "kernel_size 0": ({"channels": 64, "kernel_size": 0}, "kernel_size: expected an integer of at least 1, got 0"),
    "kernel_size -3": ({"channels": 64, "kernel_size": -3}, "kernel_size: expected an integer of at least 1, got -3"),
    "kernel_size 7.0": (
        {"channels": 64, "kernel_size": 7.0},
        "kernel_size: expected an integer of at least 1, got 7.0",
    ),
    "seed None": ({"channels": 64, "seed": None}, "seed: expected an integer of at least 0, got None"),
    "seed -1": ({"channels": 64, "seed": -1}, "seed: expected an integer of at least 0, got -1"),
    "dtype int32": (
        {"channels": 64, "dtype": "int32"},
        "dtype: expected float64, float32 or float16, got 'int32'",
    ),
    "dtype bfloat16": (
        {"channels": 64, "dtype": "bfloat16"},
        "dtype: expected float64, float32 or float16, got 'bfloat16'",
    ),
    "dtype None": ({"channels": 64, "dtype": None}, "dtype: expected float64, float32 or float16, got None"),
    "dtype complex": (
        {"channels": 64, "dtype": complex},
        "dtype: expected float64, float32 or float16, got <class 'complex'>",
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_that_make_no_block_are_refused(name: str) -> None:
    arguments, message = SIZES[name]
    refused(ValueError, message, lambda: cb.CBAM(**arguments))


def test_the_largest_reduction_that_the_message_names_is_accepted() -> None:
    assert cb.CBAM(channels=8, reduction=8).params["channel.w1"].shape == (1, 8)


def test_backward_before_forward_is_refused() -> None:
    block = cb.CBAM(4, 2, dtype="float64")
    message = "backward: expected a forward pass before it; call block(f) first"
    refused(RuntimeError, message, lambda: block.backward(F64))
    block(F64)
    block.backward(F64)
    refused(RuntimeError, message, lambda: block.to("numpy").backward(F64))


def test_the_class_refuses_what_the_function_refuses() -> None:
    block = cb.CBAM(4, 2)
    message = "got f: numpy float64 on cpu and channel.w1: numpy float32 on cpu"
    refused(TypeError, message, lambda: block(F64))
    refused(
        TypeError,
        "got f: torch float32 on cpu and channel.w1: numpy float32 on cpu",
        lambda: block(torch.ones(2, 4, 5, 6)),
    )
    block(F64.astype("float32"))
    refused(
        ValueError,
        "d_out: expected shape (2, 4, 5, 6), got (2, 4, 6, 5)",
        lambda: block.backward(ones(2, 4, 6, 5).astype("float32")),
    )
    refused(TypeError, "d_out: numpy float64 on cpu", lambda: block.backward(F64))
