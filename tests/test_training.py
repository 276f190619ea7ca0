"""Training: the optimiser's step, the schedule, the gradient of a batch, the loop, and where a NaN comes from."""

from copy import deepcopy
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from backends import opened
from numpy.testing import assert_allclose, assert_array_equal

from cbam_np.arrays import Params, library_name, to_numpy
from cbam_np.nets import Network, class_loss, resnet
from cbam_np.nets.data import batches
from cbam_np.nets.faults import all_finite, first_fault
from cbam_np.nets.mpi import World
from cbam_np.nets.training import Recipe, accuracy, at_rest, cosine, gradient, sgd_step, train
from cbam_np.reference.nets_in_pytorch import ResNet, by_our_names, copy_into_torch

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.standard_normal((22, 1, 8, 8)), RNG.integers(3, size=22)
DATA = IMAGES, LABELS
VALIDATION = IMAGES[:9], LABELS[:9]


def small(dtype: str = "float64", attention: str = "cbam", seed: int = 1) -> Network:
    return resnet(8, attention, classes=3, channels=1, width=2, reduction=2, dtype=dtype, seed=seed)


def values(net: Network) -> Params:
    return {**net.params, **net.buffers}


def assert_same(got: Params, expected: Params) -> None:
    """Bit for bit."""
    assert got.keys() == expected.keys()
    for name, x in expected.items():
        assert_array_equal(got[name], x, err_msg=name, strict=True)


# --- the optimiser's step -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 0.01), (0.0, 0.1), (0.5, 0.0)])
def test_the_step_is_that_of_pytorch_with_no_decay_for_vectors(momentum: float, weight_decay: float) -> None:
    rng = np.random.default_rng(1)
    shapes = {"kernel": (4, 3, 3, 3), "w": (5, 4), "gamma": (4,), "bias": (5,)}
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    velocity = {name: np.zeros(shape) for name, shape in shapes.items()}
    tensors = {name: torch.from_numpy(w.copy()).requires_grad_() for name, w in params.items()}
    groups = [
        {"params": [tensors["kernel"], tensors["w"]], "weight_decay": weight_decay},
        {"params": [tensors["gamma"], tensors["bias"]], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.SGD(groups, lr=1.0, momentum=momentum)
    for step in range(12):
        lr = 0.3 / (step + 1)
        grads = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        params, velocity = sgd_step(params, grads, velocity, lr, momentum, weight_decay)
        for group in optimiser.param_groups:
            group["lr"] = lr
        for name, tensor in tensors.items():
            tensor.grad = torch.from_numpy(grads[name])
        optimiser.step()
        for name, tensor in tensors.items():
            assert_allclose(params[name], tensor.detach().numpy(), rtol=1e-12, atol=1e-14, err_msg=f"{step} {name}")


def test_the_step_changes_nothing_in_place_and_keeps_the_dtype() -> None:
    params, grads, velocity = ({"w": RNG.standard_normal((3, 2)).astype(np.float32)} for _ in range(3))
    before = deepcopy((params, grads, velocity))
    new_params, new_velocity = sgd_step(params, grads, velocity, 0.1, 0.9, 0.01)
    for now, then in zip((params, grads, velocity), before, strict=True):
        assert_same(now, then)
    assert new_params["w"].dtype == new_velocity["w"].dtype == np.float32


# --- the schedule ---------------------------------------------------------------------------------------------------


def test_the_rate_rises_in_a_line_to_the_peak_and_falls_along_pytorch_s_cosine() -> None:
    steps, warm_up, peak = 25, 4, 0.6
    rates = [cosine(step, steps, warm_up, peak) for step in range(steps)]
    assert_allclose(rates[: warm_up + 1], peak * np.arange(1, warm_up + 2) / (warm_up + 1), rtol=1e-15)
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=peak)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps - warm_up)
    for rate in rates[warm_up:]:
        assert rate == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)
        optimiser.step()
        schedule.step()
    assert schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-15)  # would be the rate of one step more


def test_a_schedule_without_warm_up_begins_at_the_peak_and_falls() -> None:
    rates = [cosine(step, 10, 0, 2.0) for step in range(10)]
    assert rates[0] == 2.0
    assert all(a > b > 0 for a, b in pairwise(rates))


# --- the gradient of a batch ----------------------------------------------------------------------------------------


def test_one_part_is_the_plain_gradient() -> None:
    net, plain = small(), small()
    loss, grads = gradient(net, *DATA)
    expected, d_logits = class_loss(plain(IMAGES), LABELS)
    plain.backward(d_logits)
    assert loss == float(expected)
    assert_same(grads, plain.grads)
    assert_same(net.buffers, plain.buffers)


@pytest.mark.parametrize("parts", [2, 3, 25])  # of 22 pictures: even, uneven, some empty
def test_without_batch_statistics_the_number_of_parts_changes_nothing(parts: int) -> None:
    net = small().eval()
    loss, grads = gradient(net, *DATA)
    loss_in_parts, grads_in_parts = gradient(net, *DATA, parts=parts)
    assert loss_in_parts == pytest.approx(loss, rel=1e-13)
    for name, d in grads.items():
        assert_allclose(grads_in_parts[name], d, rtol=1e-10, atol=1e-13 * np.abs(d).max(), err_msg=name)


def test_parts_are_weighted_by_their_size_and_batch_norm_sees_one_at_a_time() -> None:
    net = small()
    x, y = IMAGES[:7], LABELS[:7]
    loss, grads = gradient(net, x, y, parts=2)
    expected: dict[str, Any] = {}
    for part in (slice(0, None, 2), slice(1, None, 2)):  # four pictures and three
        alone = small()
        part_loss, d_logits = class_loss(alone(x[part]), y[part])
        alone.backward(d_logits)
        share = len(y[part]) / 7
        for name, value in {"loss": part_loss, **alone.grads, **alone.buffers}.items():
            expected[name] = expected.get(name, 0) + share * value
    assert loss == pytest.approx(float(expected["loss"]), rel=1e-14)
    for name, value in {**grads, **net.buffers}.items():
        assert_allclose(value, expected[name], rtol=1e-11, atol=1e-15, err_msg=name)


class OneOfTwo(World):
    """One of two processes, of which the test plays the other: what it sends is kept, what it gets is given."""

    def __init__(self, rank: int, others: Params | None = None) -> None:
        super().__init__()
        self.rank, self.size, self.others, self.sent = rank, 2, others, Params()

    def total(self, arrays: Params) -> Params:
        self.sent = arrays
        return {name: x + self.others[name] for name, x in arrays.items()} if self.others else arrays


def test_two_processes_with_two_parts_each_are_one_process_with_four() -> None:
    expected_net, net, other = small(), small(), small()
    expected = gradient(expected_net, *DATA, parts=4)
    second = OneOfTwo(1)
    gradient(other, *DATA, 4, second)
    loss, grads = gradient(net, *DATA, 4, OneOfTwo(0, second.sent))
    assert loss == pytest.approx(expected[0], rel=1e-13)
    for name, value in {**grads, **net.buffers}.items():
        reference = {**expected[1], **expected_net.buffers}[name]
        assert_allclose(value, reference, rtol=1e-12, atol=1e-12 * np.abs(reference).max(), err_msg=name)


def test_processes_share_the_parts_out_evenly_or_say_so() -> None:
    with pytest.raises(ValueError, match="parts: expected a multiple of the 2 processes, got 3"):
        gradient(small(), *DATA, 3, OneOfTwo(0))


# --- accuracy -------------------------------------------------------------------------------------------------------


def test_accuracy_counts_in_evaluation_and_leaves_the_network_as_it_was() -> None:
    net = small()
    before = net.state()
    logits = small().eval()(IMAGES)
    expected = np.mean(np.argmax(logits, axis=1) == LABELS)
    assert accuracy(net, *DATA, batch_size=5) == accuracy(net, *DATA) == expected
    assert net.training
    assert_same(values(net), before)
    shares = [OneOfTwo(rank) for rank in (0, 1)]
    for share in shares:
        accuracy(net, *DATA, world=share, batch_size=5)
    assert sum(int(share.sent["right"]) for share in shares) == expected * 22


# --- the loop -------------------------------------------------------------------------------------------------------


def finished(net: Network, recipe: Recipe, data: Any = DATA) -> list[dict[str, Any]]:
    return list(train(net, data, VALIDATION, recipe, at_rest(net)))


def test_the_loop_is_that_of_pytorch() -> None:
    recipe = Recipe(epochs=3, batch_size=8, peak=0.05, seed=5, weight_decay=0.01)
    net = small().eval()  # training begins by putting it into training
    module = ResNet([1, 1, 1], False, False, 2, 1, 3, "cbam", reduction=2).double()
    copy_into_torch(net.state(), module)
    records = finished(net, recipe)

    named = list(module.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": [w for _, w in named if w.ndim > 1], "weight_decay": 0.01},
        {"params": [w for _, w in named if w.ndim < 2]},
    ]
    optimiser = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    step = 0
    for epoch in range(3):
        for x, y in batches(*DATA, 8, seed=5, epoch=epoch):
            for group in optimiser.param_groups:
                group["lr"] = cosine(step, 9, 3, 0.05)
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(y))
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            assert records[step]["loss"] == pytest.approx(loss.item(), rel=1e-10)
            step += 1
    assert step == len(records) == 9
    theirs = by_our_names(module, module.state_dict())
    for name, value in values(net).items():
        assert_allclose(value, theirs[name].numpy(), rtol=1e-8, atol=1e-10, err_msg=name)


def test_records_tell_step_epoch_rate_and_loss_and_the_accuracy_at_the_end_of_each_epoch() -> None:
    net = small()
    records = finished(net, Recipe(epochs=2, batch_size=8, peak=0.5))
    assert [r["step"] for r in records] == [1, 2, 3, 4, 5, 6]
    assert [r["epoch"] for r in records] == [1, 1, 1, 2, 2, 2]
    assert [r["lr"] for r in records] == [cosine(step, 6, 3, 0.5) for step in range(6)]
    assert [sorted(r) for r in records if r["step"] in (3, 6)] == [["accuracy", "epoch", "loss", "lr", "step"]] * 2
    assert all("accuracy" not in r for r in records if r["step"] not in (3, 6))
    assert records[-1]["accuracy"] == accuracy(net, *VALIDATION)


def test_in_a_single_epoch_the_rate_only_falls() -> None:
    records = finished(small(), Recipe(epochs=1, batch_size=8, warm_up=2, peak=0.5))
    assert [r["lr"] for r in records] == [cosine(step, 3, 0, 0.5) for step in range(3)]


def test_it_learns() -> None:
    bright = np.arange(60) % 3
    data = np.random.default_rng(2).standard_normal((60, 1, 8, 8)) + 2 * bright[:, None, None, None], bright
    net = small("float32")
    records = list(train(net, data, data, Recipe(epochs=6, batch_size=12, peak=0.1), at_rest(net)))
    assert records[0]["loss"] > 0.9
    assert records[-1]["accuracy"] > 0.9


def test_the_seed_fixes_everything_and_another_one_changes_it() -> None:
    recipe = Recipe(epochs=2, batch_size=8, seed=3, flip=True, shift=1)
    nets = [small("float32") for _ in range(3)]
    first, second = (finished(net, recipe) for net in nets[:2])
    assert first == second
    assert_same(values(nets[0]), values(nets[1]))
    assert finished(nets[2], Recipe(epochs=2, batch_size=8, seed=4, flip=True, shift=1)) != first


@pytest.mark.parametrize("stop", range(6))
def test_a_training_that_stops_after_any_step_goes_on_bit_for_bit(stop: int) -> None:
    recipe = Recipe(epochs=2, batch_size=8, seed=3, flip=True, shift=2, parts=2)
    whole, net = small("float32"), small("float32")
    expected = finished(whole, recipe)
    state = at_rest(net)
    records = list(islice(train(net, DATA, VALIDATION, recipe, state), stop))
    again, kept = small("float32", seed=7), deepcopy((net.state(), state))
    again.load_state(kept[0])
    records += train(again, DATA, VALIDATION, recipe, kept[1])
    assert records == expected
    assert_same(values(again), values(whole))


def test_flips_and_shifts_are_what_the_network_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, flipped, shifted = (
        finished(small(), Recipe(epochs=1, batch_size=8, **changed)) for changed in ({}, {"flip": True}, {"shift": 2})
    )
    losses = [tuple(r["loss"] for r in records) for records in (plain, flipped, shifted)]
    assert len(set(losses)) == 3


@pytest.mark.parametrize("name", ["array-api-strict", "cupy-standin"])
def test_the_loop_runs_on_other_arrays(name: str) -> None:
    recipe = Recipe(epochs=1, batch_size=8, parts=2)
    expected = small()
    records = finished(expected, recipe)
    with opened(name) as backend:
        net = small().to(backend.library)
        got = finished(net, recipe)
        assert library_name(net.params["fc.bias"]) == backend.library
        for name, x in values(net).items():
            assert_allclose(to_numpy(x), values(expected)[name], rtol=1e-10, atol=1e-12, err_msg=name)
    assert [r["loss"] for r in got] == pytest.approx([r["loss"] for r in records], rel=1e-12)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs: expected an integer of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size: expected an integer of at least 1, got 2.5"),
        ({"warm_up": -1}, "warm_up: expected an integer of at least 0, got -1"),
        ({"parts": 0}, "parts: expected an integer of at least 1, got 0"),
        ({"peak": 0.0}, "peak: expected a positive number, got 0.0"),
        ({"peak": float("nan")}, "peak: expected a positive number, got nan"),
        ({"momentum": 1.0}, "momentum: expected a number from 0 to less than 1, got 1.0"),
        ({"weight_decay": -0.1}, "weight_decay: expected a number from 0 to less than 1, got -0.1"),
    ],
)
def test_a_recipe_out_of_range_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**changed)


# --- what is not finite ---------------------------------------------------------------------------------------------


def with_nan(name: str) -> Network:
    net = small("float32")
    net.params[name] = np.full_like(net.params[name], np.nan)
    return net


@pytest.mark.parametrize(
    ("param", "layer"),
    [
        ("conv1.weight", "conv1"),
        ("bn1.bias", "bn1"),
        ("layer1.0.cbam.channel.w2", "layer1.0, channel attention"),
        ("layer2.0.conv2.weight", "layer2.0.conv2"),
        ("layer2.0.cbam.spatial.kernel", "layer2.0, spatial attention"),
        ("layer3.0.downsample.0.weight", "layer3.0.downsample.0"),
        ("fc.bias", "fc"),
    ],
)
def test_the_first_layer_at_fault_is_named(param: str, layer: str) -> None:
    net = with_nan(param)
    before = dict(net.buffers)
    assert first_fault(net, IMAGES.astype("float32")) == layer
    assert_same(net.buffers, before)


def test_what_has_no_name_is_named_after_its_neighbour_and_the_input_is_looked_at_too() -> None:
    net = small("float32", "none").eval()
    x = IMAGES[:2].astype("float32")
    assert first_fault(net, x) == ""
    assert first_fault(net, np.full_like(x, np.inf)) == "the input"
    for name in ("layer2.0.bn2.bias", "layer2.0.downsample.1.bias"):  # finite each, infinite when they are added
        net.params[name] = np.full_like(net.params[name], 3e38)
    with np.errstate(all="ignore"):
        assert first_fault(net, x) == "what follows layer2.0.downsample.1"


def test_all_finite_sees_each_kind_in_each_array() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        assert not all_finite(np.ones(2), np.array([[1.0, bad]]))
    assert all_finite(np.ones((2, 3)), np.zeros(()), np.zeros((0, 2)))


def test_a_loss_that_is_not_finite_stops_with_step_and_layer_and_changes_nothing() -> None:
    net = small("float32")
    state = at_rest(net)
    records = train(net, DATA, VALIDATION, Recipe(epochs=2, batch_size=8), state)
    next(records), next(records)
    net.params["layer2.0.conv1.weight"] = np.full_like(net.params["layer2.0.conv1.weight"], 3e38)
    before, velocity = net.state(), dict(state.velocity)
    with pytest.raises(
        RuntimeError, match=r"step 3: the loss is not finite; the first layer at fault is layer2\.0\.conv1;"
    ):
        next(records)
    assert state.step == 2
    assert_same(values(net), before)
    assert_same(state.velocity, velocity)


def test_a_gradient_that_is_not_finite_stops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Network.backward

    def backward(self: Network, d_out: Any) -> Any:
        d_x = true(self, d_out)
        for name in ("bn1.weight", "layer2.0.conv2.weight"):
            self.grads[name] = self.grads[name] * np.inf
        return d_x

    monkeypatch.setattr(Network, "backward", backward)
    net = small()
    before = net.state()
    with pytest.raises(RuntimeError, match=r"step 1: the gradient of layer2\.0\.conv2\.weight is not finite"):
        finished(net, Recipe(epochs=1))
    assert_same(values(net), before)
