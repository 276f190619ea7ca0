"""Networks: the published sizes, PyTorch's logits, gradients and training, every library, and what they refuse."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from backends import Backend
from support import deviation
from torch import nn
from torch.nn import functional as F

from cbam_np import nets, ops
from cbam_np.arrays import describe, to_numpy
from cbam_np.checking import cupy_standin
from cbam_np.nets import Network
from cbam_np.nets import heads as nets_heads
from cbam_np.reference.nets_in_pytorch import VGG11, ResNet, by_our_names, copy_into_torch, gradients

PUBLISHED = {18: 11_779_392, 34: 21_960_468, 50: 28_089_624, 101: 49_330_172}  # CBAM-ResNets of the authors' code
PLAIN = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160}  # torchvision's


def parameters(net: Network) -> int:
    return sum(value.size for value in net.params.values())


@pytest.mark.parametrize("depth", PUBLISHED)
def test_resnets_have_as_many_parameters_as_published(depth: int) -> None:
    released = nets.resnet(depth, attention="cbam", variant="released")
    assert parameters(released) == PUBLISHED[depth]
    of_attention = sum(value.size for name, value in released.params.items() if ".cbam." in name)
    assert parameters(released) - of_attention == PLAIN[depth]


def test_torchvision_has_the_same_names_and_shapes() -> None:
    net, module = nets.resnet(18), ResNet([2, 2, 2, 2], True, False, 64, 3, 1000)
    theirs = {name: tuple(x.shape) for name, x in module.state_dict().items() if "num_batches" not in name}
    assert {name: x.shape for name, x in net.state().items()} == theirs
    assert theirs["layer3.0.downsample.0.weight"] == (256, 128, 1, 1)


# Against PyTorch


def compare(net: Network, module: nn.Module, x: np.ndarray, seed: int = 0) -> None:
    """Output, every gradient and every buffer of `net` equal those of `module`, which gets its numbers."""
    copy_into_torch(net.state(), module)
    module.train(net.training)
    t = torch.tensor(x, requires_grad=True)
    expected = module(t)
    out = net(x)
    assert deviation(out, expected.detach()) < 1e-10
    d_out = np.random.default_rng([seed, 1]).normal(size=out.shape)
    expected.backward(torch.from_numpy(d_out))
    assert t.grad is not None
    assert deviation(net.backward(d_out), t.grad) < 1e-10
    theirs = gradients(module)
    assert net.grads.keys() == net.params.keys() == theirs.keys()
    for name, grad in net.grads.items():
        assert deviation(grad, theirs[name]) < 1e-10, name
    for name, buffer in by_our_names(module, dict(module.named_buffers())).items():
        if "num_batches" not in name:
            assert deviation(net.buffers[name], buffer) < 1e-10, name


def trained_a_little(net: Network, seed: int = 5) -> Network:
    """Biases, γ, β and running statistics other than those at the start, which hide mistakes: γ = 1, β = 0."""
    rng = np.random.default_rng(seed)
    for arrays in (net.params, net.buffers):
        for name, value in arrays.items():
            if value.ndim == 1:
                arrays[name] = value + rng.uniform(0.1, 0.5, value.shape)
    return net


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_resnet_18_gives_the_logits_and_gradients_of_torchvision(training: bool) -> None:
    net = trained_a_little(nets.resnet(18, dtype="float64", seed=1))
    net.training = training
    module = ResNet([2, 2, 2, 2], True, False, 64, 3, 1000).double()
    compare(net, module, np.random.default_rng(0).normal(size=(2, 3, 64, 64)))


def test_vgg_11_of_eighth_width_gives_the_logits_and_gradients_of_torchvision() -> None:
    net = trained_a_little(nets.vgg(11, dtype="float64", width=8, size=64, hidden=48, classes=20))
    compare(net, VGG11(8, 20, 64, 48).double(), np.random.default_rng(0).normal(size=(2, 3, 64, 64)))


@pytest.mark.large
def test_vgg_11_gives_the_logits_and_gradients_of_torchvision() -> None:
    net = nets.vgg(11, dtype="float64")
    assert parameters(net) == 132_863_336
    compare(net, VGG11(64, 1000, 224, 4096).double(), np.random.default_rng(0).normal(size=(1, 3, 224, 224)))


def test_a_bottleneck_resnet_equals_torch() -> None:
    net = trained_a_little(nets.resnet(50, width=4, classes=7, attention="cbam", variant="released", dtype="float64"))
    net.params["bn1.bias"] -= 1.5  # or no ReLU of the stem is off, and what follows does not see a shift: gradient 0
    module = ResNet([3, 4, 6, 3], True, True, 4, 3, 7, "cbam", variant="released").double()
    compare(net, module, np.random.default_rng(0).normal(size=(2, 3, 64, 64)))


ATTENTION: list[tuple[str, dict[str, Any]]] = [
    ("none", {}),
    ("se", {}),
    ("se", {"variant": "released"}),
    ("cbam", {}),
    ("cbam", {"variant": "released"}),
    ("cbam", {"kernel_size": 3, "reduction": 2}),
    ("cbam", {"order": "spatial-channel"}),
    ("cbam", {"order": "parallel"}),
    ("cbam", {"order": "parallel", "variant": "released"}),
    ("cbam", {"pooling": "avg", "spatial_pooling": "max"}),
    ("cbam", {"pooling": "max", "spatial_pooling": "avg"}),
    ("cbam", {"spatial_pooling": "conv", "kernel_size": 3}),
    ("cbam", {"pooling": "max", "spatial_pooling": "conv", "variant": "released", "order": "spatial-channel"}),
]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("kind", "options"), ATTENTION, ids=str)
def test_every_attention_equals_torch(kind: str, options: dict[str, Any], training: bool) -> None:
    options = {"reduction": 4} | options
    net = trained_a_little(
        nets.resnet(8, width=8, channels=2, classes=5, attention=kind, dtype="float64", seed=2, **options)
    )
    net.training = training
    module = ResNet([1, 1, 1], False, False, 8, 2, 5, kind, **options).double()
    compare(net, module, np.random.default_rng(3).normal(size=(4, 2, 9, 10)))


@pytest.mark.parametrize("kind", ["channel", "spatial"])
def test_half_of_cbam_is_cbam_with_the_other_half_replaced_by_one(kind: str) -> None:
    net = nets.resnet(8, width=8, classes=5, attention=kind, reduction=2, dtype="float64", seed=2)
    whole = nets.resnet(8, width=8, classes=5, attention="cbam", reduction=2, dtype="float64", seed=2)
    assert net.params.keys() < whole.params.keys()
    assert {name for name in whole.params if f".{kind}." in name} == {name for name in net.params if ".cbam." in name}
    x = np.random.default_rng(0).normal(size=(2, 3, 9, 8))
    net(x)
    whole(x)
    first = net.maps["layer1.0"]
    assert first.keys() == {kind}
    if kind == "channel":  # the first map of the first block sees the same features in both networks
        np.testing.assert_array_equal(first[kind], whole.maps["layer1.0"][kind])


def test_se_is_the_operation() -> None:
    net = nets.resnet(8, width=8, attention="se", reduction=2, dtype="float64")
    f, d_out = np.random.default_rng(0).normal(size=(2, 2, 8, 3, 4))
    layer = net.layers.layers[3].branch.layers[-1]  # type: ignore[attr-defined]
    out, backward = layer(f, net)
    expected, expected_backward = ops.squeeze_excitation(
        f, net.params["layer1.0.se.channel.w1"], net.params["layer1.0.se.channel.w2"]
    )
    np.testing.assert_array_equal(out, expected)
    d_f, grads = backward(d_out)
    for got, wanted in zip((d_f, *grads.values()), expected_backward(d_out), strict=False):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["none", "cbam"])
def test_fifty_steps_of_training_give_the_losses_of_torch(kind: str) -> None:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 4, 64)
    images = rng.normal(size=(64, 1, 12, 12)) + rng.normal(size=(4, 1, 12, 12))[labels]
    net = nets.resnet(8, width=8, channels=1, classes=4, attention=kind, reduction=4, dtype="float64", seed=3)
    module = ResNet([1, 1, 1], False, False, 8, 1, 4, kind, reduction=4).double()
    copy_into_torch(net.state(), module)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    velocity = {name: np.zeros_like(w) for name, w in net.params.items()}
    ours, theirs = [], []
    for step in range(50):
        batch = rng.permutation(64)[:16] if step % 2 else np.arange(16)
        loss, d_logits = nets.class_loss(net(images[batch]), labels[batch])
        net.backward(d_logits)
        for name, grad in net.grads.items():
            velocity[name] = 0.9 * velocity[name] + grad
            net.params[name] = net.params[name] - 0.05 * velocity[name]
        ours.append(float(loss))
        optimiser.zero_grad()
        torch_loss = F.cross_entropy(module(torch.from_numpy(images[batch])), torch.from_numpy(labels[batch]))
        torch_loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        theirs.append(torch_loss.item())
    assert np.abs(np.array(ours) - theirs).max() < 1e-9
    assert ours[-1] < 0.5 * ours[0]
    x = images[:8]
    assert deviation(net.eval()(x), module.eval()(torch.from_numpy(x)).detach()) < 1e-9


# The variant that the authors released


def test_as_released_every_spatial_gate_starts_at_a_half_and_its_kernel_without_gradient() -> None:
    net = nets.resnet(8, width=16, attention="cbam", variant="released", dtype="float64")
    x = np.random.default_rng(0).normal(size=(2, 3, 9, 8))
    out = net(x)
    for maps in net.maps.values():
        np.testing.assert_array_equal(maps["spatial"], 0.5)
        assert maps["channel"].std() > 0
    net.backward(np.random.default_rng(1).normal(size=out.shape))
    for name, grad in net.grads.items():
        assert (np.abs(grad).max() == 0) == name.endswith("spatial.kernel"), name


# On every library


@pytest.mark.parametrize("kind", ["none", "cbam"])
def test_a_network_equals_numpy_on_every_library(kind: str, backend: Backend) -> None:
    rng = np.random.default_rng(7)
    x, labels = rng.normal(size=(4, 1, 9, 8)), np.array([0, 2, 1, 1])
    net = nets.resnet(8, width=4, channels=1, classes=3, attention=kind, reduction=2, dtype="float64", seed=4)
    there = nets.resnet(8, width=4, channels=1, classes=3, attention=kind, reduction=2, dtype="float64", seed=4)
    there.params = {name: backend.array(value) for name, value in there.params.items()}
    there.buffers = {name: backend.array(value) for name, value in there.buffers.items()}

    def step(net: Network, x: Any, labels: Any) -> dict[str, Any]:
        loss, d_logits = nets.class_loss(net(x), labels)
        d_x = net.backward(d_logits)
        found = {"loss": loss, "d_logits": d_logits, "d_x": d_x} | net.buffers
        found |= {f"d {name}": grad for name, grad in net.grads.items()}
        for maps in net.maps.values():
            found |= maps
        net.eval()
        return found | {"evaluation": net(x), "d_x in evaluation": net.backward(d_logits)}

    expected = step(net, x, labels)
    x, labels = backend.array(x), backend.array(labels)
    cupy_standin.syncs.clear()
    cupy_standin.uploads.clear()
    found = step(there, x, labels)
    assert cupy_standin.syncs == cupy_standin.uploads == []
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert describe(value) == describe(x), name
        assert deviation(backend.host(value), expected[name]) < 1e-10, name


def test_a_vgg_network_equals_numpy_on_every_library(backend: Backend) -> None:
    x = np.random.default_rng(7).normal(size=(2, 3, 32, 32))
    options: dict[str, Any] = {
        "width": 2,
        "hidden": 5,
        "size": 32,
        "classes": 3,
        "batch_norm": True,
        "dtype": "float64",
    }
    net, there = (nets.vgg(11, attention="cbam", reduction=2, **options) for _ in range(2))
    there.params = {name: backend.array(value) for name, value in there.params.items()}
    there.buffers = {name: backend.array(value) for name, value in there.buffers.items()}
    out = net(x)
    assert deviation(backend.host(there(backend.array(x))), out) < 1e-10
    d_out = np.random.default_rng(8).normal(size=out.shape)
    assert deviation(backend.host(there.backward(backend.array(d_out))), net.backward(d_out)) < 1e-10
    for name, grad in net.grads.items():
        got = backend.host(there.grads[name])
        np.testing.assert_allclose(got, grad, rtol=1e-9, atol=1e-12, err_msg=name)  # a bias before batch norm: 0


# The network as an object


SMALL: dict[str, Any] = {"width": 4, "channels": 1, "classes": 3, "reduction": 2}


def test_the_same_seed_gives_the_same_backbone_with_attention_or_without() -> None:
    plain, again = nets.resnet(8, seed=1, **SMALL), nets.resnet(8, seed=1, **SMALL)
    gated, other = nets.resnet(8, "cbam", seed=1, **SMALL), nets.resnet(8, seed=2, **SMALL)
    for name, value in plain.params.items():
        np.testing.assert_array_equal(value, again.params[name])
        np.testing.assert_array_equal(value, gated.params[name])
        assert value.ndim == 1 or not np.array_equal(value, other.params[name])
    conv1, conv2 = (plain.params[f"layer3.0.conv{i}.weight"] for i in (1, 2))
    assert not np.array_equal(conv1, conv2[:, :8])


def test_weights_start_with_the_variance_of_he() -> None:
    net = nets.resnet(18)
    for name, value in net.params.items():
        if value.ndim == 4:
            assert value.std() == pytest.approx((2 / (value.shape[0] * value.shape[2] ** 2)) ** 0.5, rel=0.05), name
    assert np.abs(net.params["fc.weight"]).max() == pytest.approx(512**-0.5, rel=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_keeps_its_dtype_and_its_input(dtype: str) -> None:
    net = nets.resnet(14, "cbam", dtype=dtype, **SMALL)
    x = np.random.default_rng(0).normal(size=(2, 1, 9, 8)).astype(dtype)
    before = x.copy()
    out = net(x)
    d_out = np.ones_like(out)
    first = net.backward(d_out)
    grads = net.grads
    np.testing.assert_array_equal(first, net.backward(d_out))
    for name, grad in net.grads.items():
        np.testing.assert_array_equal(grad, grads[name])
    for value in (out, first, *net.grads.values(), *net.buffers.values()):
        assert value.dtype == dtype
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(d_out, 1)


def test_an_empty_batch_goes_through_and_leaves_the_running_averages_alone() -> None:
    net = nets.resnet(8, "cbam", **SMALL)
    before = net.state()
    out = net(np.zeros((0, 1, 9, 8), "float32"))
    assert out.shape == (0, 3)
    assert net.backward(out).shape == (0, 1, 9, 8)
    for name, buffer in net.buffers.items():
        np.testing.assert_array_equal(buffer, before[name])
    for name, grad in net.grads.items():
        np.testing.assert_array_equal(grad, np.zeros_like(before[name]))


def test_evaluation_uses_the_running_averages_and_keeps_them() -> None:
    net = nets.resnet(8, **SMALL)
    x = np.random.default_rng(0).normal(2, 3, size=(8, 1, 9, 8)).astype("float32")
    net(x)
    assert net.eval() is net
    before = net.state()
    one = net(x[:1])
    np.testing.assert_allclose(net(x)[:1], one, rtol=1e-4, atol=1e-5)
    for name, buffer in net.buffers.items():
        np.testing.assert_array_equal(buffer, before[name])
    assert net.train() is net
    assert np.abs(net(x)[:1] - one).max() > 1e-2


def test_a_checkpoint_brings_everything_back() -> None:
    net = nets.resnet(8, "cbam", variant="released", **SMALL)
    x = np.random.default_rng(0).normal(size=(4, 1, 9, 8)).astype("float32")
    net(x)
    state = net.state()
    assert state.keys() == net.params.keys() | net.buffers.keys()
    other = nets.resnet(8, "cbam", variant="released", seed=9, **SMALL)
    other.load_state(state)
    np.testing.assert_array_equal(other.eval()(x), net.eval()(x))
    for name in other.params:  # in place, as an optimiser may
        other.params[name] += 1
        net.params[name] += 2
    third = nets.resnet(8, "cbam", variant="released", **SMALL)
    third.load_state(state)
    assert np.array_equal(third.params["conv1.weight"] + 2, net.params["conv1.weight"])


def test_a_checkpoint_that_does_not_fit_changes_nothing() -> None:
    net = nets.resnet(8, **SMALL)
    before = net.state()
    fits = nets.resnet(8, seed=5, **SMALL).state()
    for wrong, error, message in (
        (
            fits | {"layer9": fits["bn1.bias"]},
            ValueError,
            "got 0 missing, such as [], and 1 unknown, such as ['layer9']",
        ),
        ({"bn1.bias": fits["bn1.bias"]}, ValueError, "missing, such as ['bn1.running_mean', "),
        (fits | {"fc.bias": np.zeros(4, "float32")}, ValueError, "state['fc.bias']: expected shape (3,), got (4,)"),
        (fits | {"fc.bias": np.zeros(3)}, TypeError, "state['fc.bias']: expected float32, got float64"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            net.load_state(wrong)
        for name, value in net.state().items():
            np.testing.assert_array_equal(value, before[name])


def test_a_network_moves_to_another_library_and_back() -> None:
    net = nets.resnet(8, "cbam", **SMALL)
    x = np.random.default_rng(0).normal(size=(4, 1, 9, 8)).astype("float32")
    there = net.to("torch")
    assert deviation(to_numpy(there(torch.from_numpy(x))), net(x)) < 1e-5
    assert there.backward(torch.ones(4, 3)).shape == x.shape
    there.load_state(net.state())
    assert deviation(there.to("numpy").eval()(x), net.eval()(x)) < 1e-5


def test_a_network_says_what_it_is() -> None:
    net = nets.resnet(8, "cbam", **SMALL)
    assert repr(net).startswith("resnet(8, attention='cbam', width=4, head='class'): ")
    assert repr(net).endswith(f": {parameters(net)} parameters, numpy float32 on cpu")


# Heads and losses


@pytest.mark.parametrize("head", nets_heads.HEADS)
def test_heads_have_their_shapes_and_gradients(head: str) -> None:
    net = nets.resnet(8, head=head, dtype="float64", **SMALL)
    x = np.random.default_rng(0).normal(size=(5, 1, 12, 16))
    out = net(x)
    assert out.shape == {"class": (5, 3), "mask": (5, 1, 3, 4)}.get(head, (5, 4))
    if head == "box":
        assert ((out > 0) & (out < 1)).all()
    d_out = np.random.default_rng(1).normal(size=out.shape)
    net.backward(d_out)
    name, step = next(name for name in net.params if name.split(".")[0] in ("fc", "box", "mask")), 1e-6
    direction = np.random.default_rng(2).normal(size=net.params[name].shape)
    middle = net.params[name]
    values = []
    for sign in (1, -1):
        net.params[name] = middle + sign * step * direction
        values.append((net(x) * d_out).sum())
    net.params[name] = middle
    net(x)
    net.backward(d_out)
    slope = (values[0] - values[1]) / (2 * step)
    assert (net.grads[name] * direction).sum() == pytest.approx(slope, rel=1e-6)


def test_a_vgg_takes_every_head() -> None:
    x = np.zeros((2, 3, 32, 32), "float32")
    for head, shape in {"class": (2, 9), "box": (2, 4), "mask": (2, 1, 1, 1)}.items():
        assert nets.vgg(16, width=2, hidden=5, size=32, classes=9, head=head)(x).shape == shape


LOSSES: dict[str, tuple[Callable[..., Any], Callable[..., torch.Tensor], Any, Any]] = {
    "class": (nets.class_loss, F.cross_entropy, (5, 4), np.array([0, 3, 1, 1, 2])),
    "box": (nets.box_loss, F.smooth_l1_loss, (5, 4), np.random.default_rng(0).normal(0, 2, (5, 4))),
    "mask": (
        nets.mask_loss,
        F.binary_cross_entropy_with_logits,
        (2, 1, 3, 5),
        np.random.default_rng(0).uniform(size=(2, 1, 3, 5)),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_the_means_of_torch(name: str) -> None:
    ours, theirs, shape, targets = LOSSES[name]
    outputs = np.random.default_rng(1).normal(size=shape)
    loss, d_outputs = ours(outputs, targets)
    t = torch.tensor(outputs, requires_grad=True)
    expected = theirs(t, torch.from_numpy(targets))
    expected.backward()  # type: ignore[no-untyped-call]
    assert t.grad is not None
    assert abs(float(loss) - expected.item()) < 1e-12
    assert deviation(d_outputs, t.grad) < 1e-12


def test_a_mask_larger_than_the_feature_map_is_averaged() -> None:
    logits = np.random.default_rng(1).normal(size=(2, 1, 3, 4))
    masks = np.random.default_rng(2).integers(0, 2, (2, 1, 6, 8)) * 1.0
    small = masks.reshape(2, 1, 3, 2, 4, 2).mean(axis=(3, 5))
    (loss, d), (expected, d_expected) = nets.mask_loss(logits, masks), nets.mask_loss(logits, small)
    assert float(loss) == pytest.approx(float(expected))
    assert deviation(d, d_expected) < 1e-12
    with pytest.raises(ValueError, match=r"masks: expected a multiple of the size of logits, \(3, 4\), got \(6, 9\)"):
        nets.mask_loss(logits, np.ones((2, 1, 6, 9)))


def test_the_loss_of_an_empty_batch_is_zero() -> None:
    loss, d_logits = nets.class_loss(np.zeros((0, 3)), np.zeros(0, int))
    assert float(loss) == 0
    assert d_logits.shape == (0, 3)


# What is refused


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "depth": (lambda: nets.resnet(20), "depth: expected one of 8, 14, 18, 34, 50, 101, got 20"),
    "depth of vgg": (lambda: nets.vgg(19), "depth: expected one of 11, 16, got 19"),
    "attention": (lambda: nets.resnet(8, "senet"), "attention: expected one of none, se, channel, spatial, cbam, got"),
    "variant": (lambda: nets.resnet(8, variant="paper"), "variant: expected one of document, released, got 'paper'"),
    "pooling": (lambda: nets.resnet(8, pooling="mean"), "pooling: expected one of both, avg, max, got 'mean'"),
    "spatial pooling": (
        lambda: nets.resnet(8, spatial_pooling="1x1"),
        "spatial_pooling: expected one of both, avg, max, conv, got '1x1'",
    ),
    "order": (
        lambda: nets.resnet(8, order="both"),
        "order: expected one of channel-spatial, spatial-channel, parallel",
    ),
    "kernel size": (lambda: nets.resnet(8, kernel_size=4), "kernel_size: expected an odd number"),
    "reduction": (
        lambda: nets.resnet(8, "cbam", width=8),
        "reduction: expected at most 8, the channels of layer1.0, got 16",
    ),
    "reduction 0": (lambda: nets.resnet(8, "se", reduction=0), "reduction: expected an integer of at least 1, got 0"),
    "width": (lambda: nets.resnet(8, width=0), "width: expected an integer of at least 1, got 0"),
    "classes": (lambda: nets.resnet(8, classes=2.0), "classes: expected an integer of at least 1, got 2.0"),  # type: ignore[arg-type]
    "channels": (lambda: nets.vgg(11, channels=0), "channels: expected an integer of at least 1, got 0"),
    "head": (lambda: nets.resnet(8, head="boxes"), "head: expected one of class, box, linear box, mask, got 'boxes'"),
    "dtype": (lambda: nets.resnet(8, dtype="float16"), "dtype: expected float64 or float32, got 'float16'"),
    "seed": (lambda: nets.resnet(8, seed=-1), "seed: expected an integer of at least 0, got -1"),
    "size": (lambda: nets.vgg(11, size=100), "size: expected a multiple of 32, as five poolings halve it, got 100"),
    "channels of x": (
        lambda: nets.resnet(8, channels=1)(np.ones((2, 3, 9, 8), "float32")),
        "x: expected 1 channels, as the network was made for, got 3",
    ),
    "axes of x": (
        lambda: nets.resnet(8)(np.ones((3, 9, 8), "float32")),
        "x: expected (N, C, H, W), got (3, 9, 8); add the batch axis with x[None, ...]",
    ),
    "size of x": (
        lambda: nets.vgg(11, width=2, size=32, hidden=3)(np.ones((2, 3, 32, 64), "float32")),
        "x: expected shape (2, 3, 32, 32), got (2, 3, 32, 64)",
    ),
    "one pixel, one sample": (
        lambda: nets.resnet(8)(np.ones((1, 3, 2, 2), "float32")),
        "x: expected more than one sample in training, got 1: at layer2.0.bn1 the feature map has one pixel",
    ),
    "d_out": (
        lambda: _after_forward(nets.resnet(8, classes=5)).backward(np.ones((2, 4), "float32")),
        "d_out: expected shape (2, 5), got (2, 4)",
    ),
}


def _after_forward(net: Network) -> Network:
    net(np.ones((2, 3, 9, 8), "float32"))
    return net


@pytest.mark.parametrize("what", REFUSED)
def test_what_makes_no_network_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_other_mistakes_are_refused_too() -> None:
    with pytest.raises(RuntimeError, match=r"backward: expected a forward pass before it; call net\(x\) first"):
        nets.resnet(8).backward(np.ones((2, 1000), "float32"))
    with pytest.raises(TypeError, match=r"x: expected the library, dtype and device of conv1.weight, numpy float32"):
        nets.resnet(8)(np.ones((2, 3, 9, 8)))
    with pytest.raises(TypeError, match="colour"):
        nets.resnet(8, colour="red")
