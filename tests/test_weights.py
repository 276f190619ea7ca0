"""Trained weights from elsewhere: checked against the modules themselves, and read without trust."""

import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from known_modules import KNOWN, trained
from safetensors.torch import save_file
from support import deviation
from torch import nn

import cbam_np as cb
from cbam_np import nets, pytorch
from cbam_np.pytorch.layouts import LAYOUTS, NORM, Found
from cbam_np.pytorch.weights import find_blocks

C, R, K = 12, 3, 5
RNG = np.random.default_rng(0)
F_IN = RNG.normal(size=(3, C, 6, 7))
F_TIED = RNG.choice([0.5, 1.5], size=(3, C, 6, 7))  # every maximum is a tie
D_OUT = RNG.normal(size=F_IN.shape)


def module(name: str, seed: int = 0) -> nn.Module:
    return trained(KNOWN[name](C, R, K), seed).eval()


def with_gradients(module: nn.Module, f: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Output, d_f, and the gradient of every parameter, for the upstream gradient D_OUT."""
    x = torch.tensor(f, requires_grad=True)
    out = module(x)
    names = [name for name, _ in module.named_parameters()]
    d_x, *found = torch.autograd.grad(out, [x, *module.parameters()], torch.tensor(D_OUT))
    return out.detach().numpy(), d_x.numpy(), {n: d.numpy() for n, d in zip(names, found, strict=True)}


def through_the_fold(found: Found, grads: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gradients of the parts of a layout, from those of the block: K′ = s K, b′ = s (b - μ) + β, s = γ/√(v + ε)."""
    p, norm = found.parts, found.norm()
    d_kernel, d_bias = grads["spatial.kernel"], grads.get("spatial.bias")
    channel = [part for part in p if part in ("w1", "w2", "b1", "b2")]
    parts = {part: grads[f"channel.{part}"].reshape(p[part].shape) for part in channel}
    if norm:
        assert d_bias is not None
        spread = np.sqrt(norm["running_var"] + found.layout.eps)
        s = norm["weight"] / spread
        through_kernel = (d_kernel * found.params()["spatial.kernel"]).sum()
        shifted = p.get("bias", 0.0) - norm["running_mean"]
        parts["norm.weight"] = (through_kernel + d_bias * shifted) / spread
        parts["norm.bias"] = d_bias
        d_kernel, d_bias = s * d_kernel, s * d_bias
    parts["kernel"] = d_kernel[:, ::-1] if found.layout.max_first else d_kernel
    if "bias" in p and d_bias is not None:
        parts["bias"] = d_bias
    return parts


@pytest.mark.parametrize("f", [F_IN, F_TIED], ids=["", "ties"])
@pytest.mark.parametrize("name", KNOWN)
def test_a_block_is_the_module_it_comes_from_output_and_every_gradient(name: str, f: np.ndarray) -> None:
    theirs = module(name)
    out, d_f, gradients = with_gradients(theirs, f)
    block = pytorch.load_weights(theirs)[""]
    assert deviation(block(f), out) < 1e-10
    assert deviation(block.backward(D_OUT), d_f) < 1e-10
    found = find_blocks(theirs)[""]
    assert found.layout.name == name
    ours = {found.layout.keys()[part]: d for part, d in through_the_fold(found, block.grads).items()}
    assert ours.keys() == gradients.keys()
    for key, gradient in gradients.items():
        assert deviation(ours[key], gradient) < 1e-10, key


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", KNOWN)
def test_a_module_to_train_on_is_the_one_it_comes_from(name: str, training: bool) -> None:
    theirs = module(name).train(training)
    ours = pytorch.load_modules(theirs)[""].train(training)
    found = find_blocks(theirs)[""]
    for f in F_IN, F_TIED:
        out, d_f, gradients = with_gradients(theirs, f)
        got, d_got, got_gradients = with_gradients(ours, f)
        assert deviation(got, out) < 1e-10
        assert deviation(d_got, d_f) < 1e-10
        # the names of ours are in the order of the layout that is ours
        for part, key in LAYOUTS[0].keys().items():
            if key in got_gradients:
                theirs_key, expected = found.layout.keys()[part], gradients[found.layout.keys()[part]]
                flat = expected[:, ::-1] if part == "kernel" and found.layout.max_first else expected
                assert deviation(got_gradients[key], flat.reshape(got_gradients[key].shape)) < 1e-10, theirs_key
        assert len(got_gradients) == len(gradients)
    if training and found.norm():  # both saw the same batches
        norms = [next(m for m in x.modules() if isinstance(m, nn.BatchNorm2d)) for x in (theirs, ours)]
        assert deviation(norms[1].running_var, norms[0].running_var) < 1e-10
        assert deviation(norms[1].running_mean, norms[0].running_mean) < 1e-10


def test_what_is_said_of_the_layouts_matters() -> None:
    """Each half of the truth alone is wrong: the order without batch norm, batch norm without the order."""
    theirs = module("authors")
    out = with_gradients(theirs, F_IN)[0]
    found = find_blocks(theirs)[""]
    block = pytorch.load_weights(theirs)[""]
    folded = block.params
    for wrong in (
        found.params(),  # the two channels swapped, and no more
        folded | {"spatial.kernel": folded["spatial.kernel"][:, ::-1].copy()},
    ):
        block.params = wrong
        assert deviation(block(F_IN), out) > 1e-2


def test_timm_ties_are_shared_and_the_others_go_to_the_first() -> None:
    assert {name: pytorch.load_weights(module(name))[""].ties for name in KNOWN} == {
        name: "split" if name == "timm" else "first" for name in KNOWN
    }


@pytest.mark.parametrize("kind", ["pt", "pt, as before 1.6", "safetensors", "npz"])
def test_every_kind_of_file_holds_the_same(kind: str, tmp_path: Path) -> None:
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, C, 1), cbam=module("authors"), other=module("mmyolo", seed=1)))
    path = tmp_path / "weights"
    if kind == "safetensors":
        save_file({name: x.contiguous() for name, x in net.state_dict().items()}, path)
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez_compressed(file, **{name: x.numpy() for name, x in net.state_dict().items()})
    else:
        state = {f"module.{name}": x for name, x in net.state_dict().items()}
        optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
        checkpoint = {"epoch": 3, "arch": "resnet", "state_dict": state, "best": 71.5, "optimizer": optimizer}
        torch.save(checkpoint, path, _use_new_zipfile_serialization=kind == "pt")
    blocks = pytorch.load_weights(str(path))
    assert list(blocks) == ["cbam", "other"]
    for prefix, block in blocks.items():
        assert deviation(block(F_IN), net.get_submodule(prefix)(torch.tensor(F_IN)).detach()) < 1e-10


@pytest.mark.parametrize("variant", ["document", "released"])
def test_a_network_of_ours_is_a_checkpoint_too(variant: str) -> None:
    net = nets.resnet(18, attention="cbam", classes=2, width=4, reduction=2, variant=variant, dtype="float64")
    blocks = pytorch.load_weights(net.params | net.buffers)
    assert len(blocks) == 8
    assert blocks["layer1.0.cbam"].channels == 4


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("ties", ["first", "split"])
def test_blocks_come_back_bit_for_bit(dtype: str, ties: Any, tmp_path: Path) -> None:
    block = cb.CBAM(C, R, K, dtype, seed=1, ties=ties)
    block.params |= {
        "channel.b1": np.ones(4, dtype),
        "channel.b2": np.ones(C, dtype),
        "spatial.bias": np.ones(1, dtype),
    }
    block.params["spatial.kernel"] = block.params["spatial.kernel"].swapaxes(2, 3)  # not in the order of memory
    pytorch.save_weights({"a.b": block, "": cb.CBAM(C, R, K, dtype)}, tmp_path / "ours")
    back = pytorch.load_weights(tmp_path / "ours")
    assert back.keys() == {"a.b", ""}
    assert back["a.b"].params.keys() == block.params.keys()
    for key, value in block.params.items():
        np.testing.assert_array_equal(back["a.b"].params[key], value, strict=True)
    assert (back["a.b"].ties, back[""].ties) == (ties, "first")


def test_modules_are_written_too_with_their_batch_norm(tmp_path: Path) -> None:
    theirs = module("timm")
    pytorch.save_weights(pytorch.load_modules(theirs), tmp_path / "ours")
    assert find_blocks(tmp_path / "ours")[""].layout.name == "cbam_np"
    again = pytorch.load_modules(tmp_path / "ours")[""].eval()
    assert deviation(with_gradients(again, F_TIED)[1], with_gradients(theirs, F_TIED)[1]) < 1e-10
    assert {f"norm.{part}" for part in NORM} <= find_blocks(tmp_path / "ours")[""].parts.keys()
    pytorch.save_weights(pytorch.CBAM(C, R, K), tmp_path / "plain")
    assert pytorch.load_weights(tmp_path / "plain")[""].kernel_size == K


@pytest.mark.parametrize("what", [{}, {"x": 3}, nn.Linear(2, 2), np.ones(3)])
def test_what_is_no_block_is_not_written(what: Any, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError), match=r"^blocks"):
        pytorch.save_weights(what, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_t_be_replaced_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    pytorch.save_weights(cb.CBAM(C, R), path)
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        pytorch.save_weights(cb.CBAM(C, R, seed=1), path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]


# --- what a layout lacks, and what doesn't fit ----------------------------------------------------------------------


def state(name: str = "authors") -> dict[str, torch.Tensor]:
    return dict(module(name).state_dict())


@pytest.mark.parametrize("name", KNOWN)
def test_a_part_that_is_missing_is_named(name: str) -> None:
    whole = state(name)
    row = next(row for row in LAYOUTS if row.name == name)
    for part, key in row.keys().items():
        if key in whole and part not in ("b1", "b2", "bias"):
            with pytest.raises(
                ValueError, match="the block looks like the layout .*, but has no .*" + key.replace(".", r"\.")
            ):
                pytorch.load_weights({k: x for k, x in whole.items() if k != key})


def test_an_unknown_layout_lists_what_looked_like_one_and_what_is_missing() -> None:
    with pytest.raises(
        ValueError, match=r"keys that look like one, net\.attention\.squeeze, .*timm: channel\.fc1\.weight, "
    ):
        pytorch.load_weights({"net.attention.squeeze": torch.ones(2, 4), "net.conv.weight": torch.ones(2)})
    with pytest.raises(ValueError, match="got 1 keys, and none that looks like attention"):
        pytorch.load_weights({"conv.weight": torch.ones(2)})
    with pytest.raises(ValueError, match="got 0 keys"):
        pytorch.load_weights({})


def changed(key: str, change: Callable[[torch.Tensor], torch.Tensor], name: str = "authors") -> dict[str, torch.Tensor]:
    whole = state(name)
    return whole | {key: change(whole[key])}


def without_hidden_unit() -> dict[str, torch.Tensor]:
    """What becomes of C < r in the authors' code."""
    empty = {"mlp.1.weight": (0, C), "mlp.1.bias": (0,), "mlp.3.weight": (C, 0)}
    return state() | {f"ChannelGate.{key}": torch.zeros(shape, dtype=torch.float64) for key, shape in empty.items()}


CONV, BN = "SpatialGate.spatial.conv.weight", "SpatialGate.spatial.bn"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (changed("ChannelGate.mlp.1.weight", lambda w: w[0]), r"mlp\.1\.weight: expected \(C/r, C\)"),
        (changed("ChannelGate.mlp.1.weight", lambda w: w[:, :, None]), r"mlp\.1\.weight: expected \(C/r, C\)"),
        (changed("ChannelGate.mlp.1.weight", lambda w: w[:, :0]), r"mlp\.1\.weight: expected \(C/r, C\)"),
        (changed("ChannelGate.mlp.3.weight", lambda w: w.T), r"mlp\.3\.weight: expected \(12, 4\)"),
        (changed("ChannelGate.mlp.1.bias", lambda w: w[1:]), r"mlp\.1\.bias: expected \(4,\)"),
        (changed("ChannelGate.mlp.3.bias", lambda w: w[1:]), r"mlp\.3\.bias: expected \(12,\)"),
        (changed(CONV, lambda w: w[:, :1]), r"conv\.weight: expected two pooled maps, got one"),
        (changed(CONV, lambda w: w[..., 1:]), r"conv\.weight: expected \(1, 2, k, k\) with odd k"),
        (changed(CONV, lambda w: w[..., 1:, 1:]), r"conv\.weight: expected \(1, 2, k, k\) with odd k"),
        (changed(CONV, lambda w: w[0]), r"conv\.weight: expected"),
        (changed(f"{BN}.weight", lambda w: w.repeat(2)), r"bn\.weight: expected \(1,\)"),
        (changed(f"{BN}.running_var", lambda w: -w), r"bn\.running_var: expected a variance"),
        (changed(CONV, lambda w: w.to(torch.int32)), r"conv\.weight: expected float64, .*got int32"),
        (changed(CONV, lambda w: w * torch.nan), r"conv\.weight: expected finite numbers, got 50 that are not"),
        (changed(CONV, lambda w: w.to_sparse()), r"conv\.weight: expected a plain tensor"),
        (changed(CONV, lambda w: w.to("meta")), r"conv\.weight: expected a plain tensor"),
        (without_hidden_unit(), "the block has 12 channels and no hidden unit"),
    ],
)
def test_what_does_not_fit_is_named(source: dict[str, torch.Tensor], message: str) -> None:
    for load in pytorch.load_weights, pytorch.load_modules:
        with pytest.raises(ValueError, match=message):
            load(source)


def test_bfloat16_becomes_float32_and_the_widest_dtype_wins() -> None:
    whole = {key: x.bfloat16() if x.is_floating_point() else x for key, x in state().items()}
    assert pytorch.load_weights(whole)[""].params["channel.w1"].dtype == np.float32
    mixed = {key: x.half() if "bn" not in key and x.is_floating_point() else x for key, x in state().items()}
    assert {x.dtype for x in pytorch.load_weights(mixed)[""].params.values()} == {np.dtype("float64")}


def test_a_checkpoint_is_not_changed_and_not_shared() -> None:
    whole = state("luuuyi")
    before = {key: x.clone() for key, x in whole.items()}
    for block in pytorch.load_weights(whole)[""], pytorch.load_modules(whole)[""]:
        for x in block.params.values() if isinstance(block, cb.CBAM) else block.state_dict().values():
            x *= 0
    assert all(torch.equal(x, before[key]) for key, x in whole.items())


# --- hostile files --------------------------------------------------------------------------------------------------


class Evil:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


class Greedy:
    """A pickle that asks for memory, by what weights_only allows."""

    def __init__(self, maker: Any) -> None:
        self.maker = maker

    def __reduce__(self) -> Any:
        return self.maker, (1 << 40,)


def saved(what: Any, new: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(what, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def zipped(entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of a name that comes twice
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def repacked(content: bytes, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return zipped([(name, change(name, archive.read(name))) for name in archive.namelist()], compression)


def npy(x: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def tensors_file(header: bytes, numbers: bytes = b"", length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + numbers


PLAIN = cb.CBAM(4, 2, 3, "float32").params
NUMBERS = {"channel.w1": (2, 4), "channel.w2": (4, 2), "spatial.kernel": (1, 2, 3, 3)}


def header(**change: Any) -> bytes:
    rows, start = {}, 0
    for key, x in PLAIN.items():
        rows[key] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [start, start + x.nbytes]}
        start += x.nbytes
    return json.dumps(rows | change).encode()


DATA = b"".join(x.tobytes() for x in PLAIN.values())
GOOD = {
    "safetensors": tensors_file(header(), DATA),
    "npz": zipped([(f"{key}.npy", npy(x)) for key, x in PLAIN.items()]),
    "npz, compressed": zipped([(f"{key}.npy", npy(x)) for key, x in PLAIN.items()], zipfile.ZIP_DEFLATED),
    "pt": saved({key: torch.tensor(x) for key, x in PLAIN.items()}),
    "pt, as before 1.6": saved({key: torch.tensor(x) for key, x in PLAIN.items()}, new=False),
}
PICKLE = {key: torch.tensor(x) for key, x in PLAIN.items()}


def hostile(marker: Path) -> Iterator[tuple[str, bytes, str]]:
    """What, the bytes, and what the error says."""
    yield "empty", b"", "none of them by its first bytes"
    yield "wrong magic", b"\x00" * 100, "none of them by its first bytes"
    yield "text", b"weights = 3\n", "none of them by its first bytes"
    for kind, content in GOOD.items():
        yield f"{kind}, truncated", content[: len(content) // 2], "can't be read"
    yield "huge header", tensors_file(header(), DATA, length=1 << 62), "its header claims 4611686018427387904 bytes"
    yield "header too long by one", tensors_file(header(), b"", length=len(header()) + 1), "its header claims"
    yield "deep header", tensors_file(b'{"a":' + b"[" * 100_000, b""), "can't be read"
    twice = header()[:-1] + b"," + header()[1:]
    yield "a key twice, safetensors", tensors_file(twice, DATA), "channel.w1 is in it twice"
    wrong = {"dtype": "F32", "shape": [1 << 40, 4], "data_offsets": [0, 32]}
    yield "wrong shape, safetensors", tensors_file(header(**{"channel.w1": wrong}), DATA), "can't be read"
    overlap = {"dtype": "F32", "shape": [2, 4], "data_offsets": [8, 40]}
    yield "overlapping, safetensors", tensors_file(header(**{"channel.w1": overlap}), DATA), "can't be read"
    integer = {"dtype": "I32", "shape": [2, 4], "data_offsets": [0, 32]}
    yield (
        "wrong dtype, safetensors",
        tensors_file(header(**{"channel.w1": integer}), DATA),
        "channel.w1: expected float64",
    )
    nan = np.full(8, np.nan, "float32").tobytes()
    yield "NaN, safetensors", tensors_file(header(), nan + DATA[32:]), "channel.w1: expected finite numbers, got 8"
    ties = {"__metadata__": {"cbam_np.ties": "[" * 100_000}}
    yield "another text, safetensors", tensors_file(header(**ties), DATA), "to be a dict of ties in JSON"
    ties = {"__metadata__": {"cbam_np.ties": '{"": "last"}'}}
    yield "other ties, safetensors", tensors_file(header(**ties), DATA), "to be a dict of ties in JSON"

    arrays = [(f"{key}.npy", npy(x)) for key, x in PLAIN.items()]
    yield "a key twice, npz", zipped([*arrays, arrays[0]]), "channel.w1.npy is in it twice"
    yield (
        "zip bomb, npz",
        zipped([*arrays, ("x.npy", bytes(1 << 24))], zipfile.ZIP_DEFLATED),
        "more than 100 times as many",
    )
    big = npy(np.ones((2, 4), "float32")).replace(b"(2, 4), ", b"(1<<9,4)")
    yield "header that is code, npz", zipped([("channel.w1.npy", big)]), "can't be read"
    claims = npy(np.ones((2, 4), "float32")).replace(b"(2, 4), }", b"(1000000000000, 4), }")
    yield "wrong length, npz", zipped([("channel.w1.npy", claims)]), "can't be read"
    more = npy(np.ones((2, 4), "float32"))[:-4]
    yield "too short, npz", zipped([("channel.w1.npy", more)]), "and 28 bytes follow"
    evil = io.BytesIO()
    np.save(evil, np.array([Evil(marker)]), allow_pickle=True)
    yield "pickle in npz", zipped([*arrays, ("x.npy", evil.getvalue())]), "its header claims"
    yield "a zip of something else", zipped([("a.txt", b"hello")]), "a zip of something else"

    for new in True, False:
        kind = "pt" if new else "pt, as before 1.6"
        yield f"pickle that runs code, {kind}", saved({**PICKLE, "x": Evil(marker)}, new), "nothing was run"
        yield (
            f"bytearray of a terabyte, {kind}",
            saved({**PICKLE, "x": Greedy(bytearray)}, new),
            "bytearray; nothing was run",
        )
        yield f"tensor of a terabyte, {kind}", saved({**PICKLE, "x": Greedy(torch.Tensor)}, new), "nothing was run"
        repeated = PICKLE | {"channel.w1": torch.ones(1).expand(1 << 20, 1 << 20)}
        yield f"one number, repeated, {kind}", saved(repeated, new), r"channel.w2: expected \(1048576, 1048576\)"
        both = repeated | {"channel.w2": torch.ones(1).expand(1 << 20, 1 << 20)}
        yield f"two numbers, repeated, {kind}", saved(both, new), "has more bytes than the file"
    yield "bare pickle that runs code", pickle.dumps(Evil(marker)), "can't be read"
    yield "bare pickle, protocol 2", pickle.dumps(Evil(marker), protocol=2), "nothing was run"
    yield "compressed, pt", repacked(GOOD["pt"], lambda _, x: x, zipfile.ZIP_DEFLATED), "got compressed ones"
    yield (
        "a claim of 2³¹, pt",
        repacked(GOOD["pt"], lambda _, x: x.replace(b"K\x08tq", b"J\x00\x00\x00\x7ftq")),
        "a tensor claims",
    )
    claim = GOOD["pt, as before 1.6"].replace(b"K\x08Ntq", b"J\x00\x00\x00\x7fNtq")
    assert claim != GOOD["pt, as before 1.6"]
    yield "a claim of 2³¹, pt, as before 1.6", claim, "a tensor claims"
    yield "a list, pt", saved([torch.ones(2)]), "expected a dict of tensors in it, got list"


CASES = {what: (content, message) for what, content, message in hostile(Path("MARKER"))}


@pytest.mark.parametrize("what", CASES)
def test_a_hostile_file_is_an_error_and_no_code_runs(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, message = CASES[what]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        pytorch.load_weights(path)
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


@pytest.mark.parametrize("kind", GOOD)
def test_the_files_that_hostile_ones_are_made_of_are_good(kind: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(GOOD[kind])
    block = pytorch.load_weights(tmp_path / "x")[""]
    assert all(np.array_equal(block.params[key], x) for key, x in PLAIN.items())


def test_what_is_no_file_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name in "link", "pipe", ".", "missing":
        with pytest.raises(FileNotFoundError, match=r"source: (there is no file .+|.+ is no file)"):
            pytorch.load_weights(tmp_path / name)
    with pytest.raises(TypeError, match="source: expected a path, a state dict or a module, got int"):
        pytorch.load_weights(3)


def test_memory_is_bounded_by_the_size_of_the_file(tmp_path: Path) -> None:
    """All hostile files in one process that may not have more than a little memory."""
    for number, (content, _) in enumerate(CASES.values()):
        (tmp_path / str(number)).write_bytes(content)
    code = """
import resource, sys
from pathlib import Path
from cbam_np import pytorch
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in Path(sys.argv[1]).iterdir():
    try:
        pytorch.load_weights(path)
    except ValueError:
        continue
    sys.exit(f"{path} was read")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64 * 1024, "64 MB, in KB; the files have 20 KB each"


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kind=st.sampled_from(sorted(GOOD)), data=st.data())
def test_a_damaged_file_is_an_error_or_whole_blocks(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(GOOD[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["change", "cut", "repeat", "insert"]))
        if how == "change":
            content[place] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del content[place : place + data.draw(st.integers(1, 40))]
        elif how == "repeat":
            content[place:place] = content[max(place - 20, 0) : place]
        else:
            content[place:place] = data.draw(st.binary(min_size=1, max_size=20))
        if not content:
            break
    path = tmp_path / "weights"
    path.write_bytes(content)
    try:
        blocks = pytorch.load_weights(path)
    except ValueError:
        return
    for block in blocks.values():
        assert block.params.keys() >= PLAIN.keys()
        assert np.isfinite(block(np.ones((1, block.channels, 3, 3), block.params["channel.w1"].dtype))).all()
