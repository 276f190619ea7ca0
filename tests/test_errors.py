"""Every error says which argument, what was expected and what it got."""

import re
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import OPERATIONS, random_params

import cbam_np as cb
from cbam_np import inputs, ops
from cbam_np.attention import checks
from cbam_np.ops import activation, conv, gating, joining, perceptron, pooling

F64 = np.ones((2, 4, 5, 6))
PARAMS = random_params(4, np.random.default_rng(0))


def refused(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


# What every operation refuses, argument by argument

SHAPE = (2, 4, 5, 6)
CASES = [(name, i) for name, case in OPERATIONS.items() for i in range(len(case.names))]
MIXABLE = [(operation, i) for operation, i in CASES if len(OPERATIONS[operation].names) > 1]


def inputs_and_name(operation: str, i: int) -> tuple[Callable[..., Any], list[Any], str]:
    case = OPERATIONS[operation]
    given: list[Any] = [*case.inputs(SHAPE)]
    return case.op, given, case.names[i]


NOT_ARRAYS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "list": (lambda x: x.tolist(), "expected an array (NumPy, CuPy, ...), got list"),
    "int64": (
        lambda x: x.astype("int64"),
        'expected floating point, got numpy int64 on cpu; cast it first: {}.astype("float32")',
    ),
    "bool": (
        lambda x: x.astype("bool"),
        'expected floating point, got numpy bool on cpu; cast it first: {}.astype("float32")',
    ),
    "torch int64": (
        lambda x: torch.ones(x.shape, dtype=torch.int64),
        "expected floating point, got torch int64 on cpu; cast it first: {}.to(torch.float32)",
    ),
    "matrix": (
        lambda x: np.asmatrix(x.reshape(-1, x.shape[-1])),
        "expected a plain array, got numpy.matrix; use np.asarray({})",
    ),
    "masked array": (np.ma.array, "expected a plain array, got numpy.MaskedArray; use np.asarray({})"),
    "big-endian": (
        lambda x: x.astype(">f8"),
        "expected this machine's byte order, got dtype '>f8'; {}.astype(\"float64\") has it",
    ),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("what", NOT_ARRAYS)
@pytest.mark.parametrize(("operation", "i"), CASES)
def test_what_is_no_plain_array_of_floats_is_refused(operation: str, i: int, what: str) -> None:
    op, inputs, name = inputs_and_name(operation, i)
    convert, message = NOT_ARRAYS[what]
    inputs[i] = convert(inputs[i])
    refused(TypeError, f"{name}: {message.format(name)}", lambda: op(*inputs))


@pytest.mark.parametrize(("operation", "i"), CASES)
def test_none_in_place_of_an_array_is_refused_or_leaves_out_a_bias(operation: str, i: int) -> None:
    op, inputs, name = inputs_and_name(operation, i)
    inputs[i] = None
    if name.split(".")[-1] in ("b1", "b2", "bias"):
        op(*inputs)
    elif "." in name:
        refused(ValueError, f"params: expected the key {name!r}", lambda: op(*inputs))
    else:
        refused(TypeError, f"{name}: expected an array (NumPy, CuPy, ...), got NoneType", lambda: op(*inputs))


@pytest.mark.parametrize(("operation", "i"), CASES)
def test_one_number_in_place_of_an_array_is_refused(operation: str, i: int) -> None:
    op, inputs, _ = inputs_and_name(operation, i)
    if OPERATIONS[operation].names == ("z",):
        return  # what works entry by entry takes any shape
    inputs[i] = np.array(0.5)
    with pytest.raises(ValueError, match=r"expected .*, got "):
        op(*inputs)


@pytest.mark.parametrize(("operation", "i"), MIXABLE)
def test_two_float_dtypes_are_refused(operation: str, i: int) -> None:
    op, inputs, name = inputs_and_name(operation, i)
    inputs[i] = inputs[i].astype("float32")
    with pytest.raises(TypeError, match=r"; cast it: .*\.astype\(") as error:
        op(*inputs)
    assert name in str(error.value)
    assert "numpy float32 on cpu" in str(error.value)
    assert "numpy float64 on cpu" in str(error.value)


@pytest.mark.parametrize(("operation", "i"), MIXABLE)
def test_two_libraries_are_refused(operation: str, i: int) -> None:
    op, inputs, name = inputs_and_name(operation, i)
    inputs[i] = torch.tensor(inputs[i])
    with pytest.raises(TypeError, match=r"; move one of them: cbam_np\.asarray\(") as error:
        op(*inputs)
    assert name in str(error.value)
    assert "torch float64 on cpu" in str(error.value)
    assert "numpy float64 on cpu" in str(error.value)


def test_two_devices_are_refused() -> None:
    f = torch.ones(2, 4, 5, 6, dtype=torch.float64)
    params = {key: torch.tensor(value, device="meta") for key, value in PARAMS.items()}
    message = "f: expected the library, dtype and device of channel.w1, torch float64 on meta, got torch float64 on cpu"
    refused(TypeError, message, lambda: cb.cbam(f, params))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_upstream_gradient_that_does_not_fit_the_output_is_refused(operation: str) -> None:
    case = OPERATIONS[operation]
    out, backward = case.op(*case.inputs((2, 4, 5, 7)))
    shape = out.shape
    ones = np.ones(shape)
    swapped = [np.swapaxes(ones, 0, 1)] if ones.ndim > 1 else []
    for wrong in (ones[None], ones[..., :0], ones[:1], *swapped, np.ones(())):
        refused(ValueError, f"d_out: expected shape {shape}, got {wrong.shape}", partial(backward, wrong))
    expected = "d_out: expected the library, dtype and device of the output, numpy float64 on cpu, got"
    refused(
        TypeError,
        f'{expected} numpy float32 on cpu; cast it: d_out.astype("float64")',
        lambda: backward(ones.astype("float32")),
    )
    refused(
        TypeError,
        f'{expected} torch float64 on cpu; move one of them: cbam_np.asarray(d_out, "numpy")',
        lambda: backward(torch.tensor(ones)),
    )
    refused(TypeError, "d_out: expected floating point, got numpy int64", lambda: backward(ones.astype(int)))
    refused(TypeError, "d_out: expected an array (NumPy, CuPy, ...), got list", lambda: backward(ones.tolist()))
    refused(TypeError, "d_out: expected an array (NumPy, CuPy, ...), got NoneType", lambda: backward(None))


# Features that are no (N, C, H, W)


def features() -> Iterator[tuple[str, tuple[str, Callable[[Any], Any]]]]:
    """Every argument of every operation that takes features: its name, and a call with only that argument free."""
    for name, case in OPERATIONS.items():
        inputs = case.inputs(SHAPE)
        for i, x in enumerate(inputs):
            if x.ndim == 4 and x.shape[0] == SHAPE[0] and x.shape[2:] == SHAPE[2:] and case.names[i] not in ("m", "z"):
                yield f"{name}, {case.names[i]}", (case.names[i], partial(_with, case.op, inputs, i))


def _with(op: Callable[..., Any], inputs: list[Any], i: int, x: Any) -> Any:
    return op(*inputs[:i], x, *inputs[i + 1 :])


FEATURES = dict(features()) | {"CBAM": ("f", cb.CBAM(4, 2, dtype="float64"))}


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
        "x: expected 3 channels, as kernel (2, 3, 3, 3) has, got 4: (N, C, H, W) = (2, 4, 5, 6)",
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
        "f: expected 4 channels, as channel.w1 (2, 4) has, got 3: (N, C, H, W) = (2, 3, 5, 6)",
    ),
    "cbam, w1 with one axis": (
        lambda: cb.cbam(F64, PARAMS | {"channel.w1": ones(2)}),
        "channel.w1: expected (C/r, C) with at least one hidden unit, got (2,)",
    ),
    "cbam, w2": (lambda: cb.cbam(F64, PARAMS | {"channel.w2": ones(2, 4)}), "w2: expected shape (4, 2), got (2, 4)"),
    "cbam, kernel for one map": (
        lambda: cb.cbam(F64, PARAMS | {"spatial.kernel": ones(1, 1, 7, 7)}),
        "spatial.kernel: expected (1, 2, k, k), k odd so that a window has a centre, got (1, 1, 7, 7)",
    ),
    "cbam, kernel for two gates": (
        lambda: cb.cbam(F64, PARAMS | {"spatial.kernel": ones(2, 2, 7, 7)}),
        "spatial.kernel: expected (1, 2, k, k), k odd so that a window has a centre, got (2, 2, 7, 7)",
    ),
    "cbam, even kernel": (
        lambda: cb.cbam(F64, PARAMS | {"spatial.kernel": ones(1, 2, 8, 8)}),
        "spatial.kernel: expected (1, 2, k, k), k odd so that a window has a centre, got (1, 2, 8, 8)",
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
        "'spatial.kernel', 'spatial.bias'], got 'channel.w3'; did you mean 'channel.w2'?",
    ),
    "cbam, misspelt bias": (
        lambda: cb.cbam(F64, PARAMS | {"spatial.b": ones(1)}),
        "got 'spatial.b'; did you mean 'spatial.bias'?",
    ),
    "cbam, another key": (lambda: cb.cbam(F64, {**PARAMS, 3: ones(1)}), "'spatial.bias'], got 3"),  # type: ignore[dict-item]
    "cbam, channels last": (
        lambda: cb.cbam(ones(2, 5, 6, 4), PARAMS),
        "f: expected 4 channels, as channel.w1 (2, 4) has, got 5: (N, C, H, W) = (2, 5, 6, 4); are the channels last? "
        "np.moveaxis(f, -1, 1) turns (N, H, W, C) into (N, C, H, W)",
    ),
    "conv2d, one bias for two channels": (
        lambda: ops.conv2d(F64, ones(2, 4, 3, 3), ones(1)),
        "bias: expected shape (2,), got (1,)",
    ),
    "mlp, w1 with three axes": (lambda: ops.mlp(ones(2, 4), ones(2, 4, 1), ones(4, 2)), "w1: expected (hidden, C)"),
    "mlp, x with three axes": (lambda: ops.mlp(ones(2, 4, 1), ones(2, 4), ones(4, 2)), "w1: expected (hidden, C)"),
    "col2im, four axes": (lambda: ops.col2im(ones(2, 36, 12, 1), (5, 6), 3), "columns: expected (N, C·9, 12)"),
    "ties None": (
        lambda: ops.max_pool_over_space(F64, ties=None),  # type: ignore[arg-type]
        'ties: expected "first" or "split", got None',
    ),
    "ties misspelt, in the block": (
        lambda: cb.cbam(F64, PARAMS, "frist"),  # type: ignore[arg-type]
        'ties: expected "first" or "split", got \'frist\'',
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
    "seed True": ({"channels": 64, "seed": True}, "seed: expected an integer of at least 0, got True"),
    "ties": ({"channels": 64, "ties": "frist"}, 'ties: expected "first" or "split", got \'frist\''),
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
    message = "backward: expected a forward pass of this very block before it"
    refused(RuntimeError, message, lambda: block.backward(F64))
    block(F64)
    block.backward(F64)
    refused(RuntimeError, message, lambda: block.to("numpy").backward(F64))


def test_the_class_refuses_what_the_function_refuses() -> None:
    block = cb.CBAM(4, 2)
    message = (
        "f: expected the library, dtype and device of channel.w1, numpy float32 on cpu, got numpy float64 on cpu; "
    )
    refused(TypeError, message + 'cast it: f.astype("float32")', lambda: block(F64))
    message = (
        "f: expected the library, dtype and device of channel.w1, numpy float32 on cpu, got torch float32 on cpu; "
    )
    advice = 'move one of them: cbam_np.asarray(f, "numpy"), or block.to("torch")'
    refused(TypeError, message + advice, lambda: block(torch.ones(2, 4, 5, 6)))
    advice = "f: expected 4 channels, as channel.w1 (2, 4) has, got 3: (N, C, H, W) = (2, 3, 5, 6)"
    refused(ValueError, advice, lambda: block(ones(2, 3, 5, 6).astype("float32")))
    block(F64.astype("float32"))
    refused(
        ValueError,
        "d_out: expected shape (2, 4, 5, 6), got (2, 4, 6, 5)",
        lambda: block.backward(ones(2, 4, 6, 5).astype("float32")),
    )
    refused(TypeError, 'got numpy float64 on cpu; cast it: d_out.astype("float32")', lambda: block.backward(F64))


def test_params_and_maps_of_another_kind_are_refused() -> None:
    refused(TypeError, "params: expected a dict of arrays, got list", lambda: cb.cbam(F64, list(PARAMS.values())))  # type: ignore[arg-type]
    wrong: list[Any] = [3, [], "channel"]
    for maps in wrong:
        message = f"maps: expected a dict to store the maps in, or None, got {type(maps).__name__}"
        refused(TypeError, message, lambda maps=maps: cb.cbam(F64, PARAMS, maps=maps))  # type: ignore[misc]


def test_numpy_integers_are_integers() -> None:
    block = cb.CBAM(np.int64(4), np.int32(2), np.uint8(3), seed=np.int64(5))  # type: ignore[arg-type]
    assert {key: w.shape for key, w in block.params.items()} == {
        "channel.w1": (2, 4),
        "channel.w2": (4, 2),
        "spatial.kernel": (1, 2, 3, 3),
    }
    assert ops.conv2d(F64, ones(2, 4, 3, 3), stride=np.int64(2))[0].shape == (2, 2, 3, 3)  # type: ignore[arg-type]


def test_a_memory_mapped_array_is_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", F64)
    assert cb.cbam(np.load(tmp_path / "f.npy", mmap_mode="r"), PARAMS)[0].shape == F64.shape


# The door


def test_the_block_asks_once_forward_and_once_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts get arrays that are right by construction: asking each of them took a third of the time."""
    asked: list[str] = []
    for name in ("namespace", "check_gradient"):
        monkeypatch.setattr(inputs, name, partial(_noted, asked, name, getattr(inputs, name)))
    for module in (activation, conv, gating, joining, perceptron, pooling, checks):
        if hasattr(module, "namespace"):
            monkeypatch.setattr(module, "namespace", partial(_noted, asked, "namespace", module.namespace))
    _, backward = cb.cbam(F64, PARAMS)
    assert asked == ["namespace"]
    backward(F64)
    assert asked == ["namespace", "check_gradient"]
    ops.relu(F64)
    assert asked == ["namespace", "check_gradient", "namespace"]


def _noted(notes: list[str], name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    notes.append(name)
    return function(*args, **kwargs)


def test_an_error_inside_leaves_the_door_shut() -> None:
    with pytest.raises(ValueError, match="no such thing"):
        _fails(F64)
    refused(TypeError, "z: expected an array (NumPy, CuPy, ...), got list", lambda: ops.relu([1.0]))


@inputs.checked(lambda z: None)
def _fails(z: Any) -> Any:
    raise ValueError("no such thing")


def test_another_thread_has_a_door_of_its_own() -> None:
    with ThreadPoolExecutor() as pool:

        @inputs.checked(lambda z: None)
        def outer(z: Any) -> Any:
            return pool.submit(ops.relu, z).result()

        refused(TypeError, "z: expected an array (NumPy, CuPy, ...), got list", lambda: outer([1.0]))


def test_a_backward_keeps_no_output_alive() -> None:
    out, backward = ops.avg_pool_over_channels(F64)
    alive = weakref.ref(out)
    del out
    assert alive() is None
    assert backward(ones(2, 1, 5, 6)).shape == F64.shape
