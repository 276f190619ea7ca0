"""The audit of other people's CBAM: every deviation that is planted is named, alone and in pairs, and no other."""

import random
import re
from itertools import combinations
from typing import Any

import pytest
import torch
from known_modules import KNOWN, timm_module
from torch import Tensor, nn
from torch.nn import functional as F

from cbam_np import pytorch
from cbam_np.pytorch import auditing, halves, variants
from cbam_np.reference import in_pytorch

C = 12

# A mistake that can be planted, and the name that the audit has to give it; mistakes of one group exclude each other.
PLANTED = {
    "no max": ("pool", "no max branch"),
    "no average": ("pool", "no average branch"),
    "average twice": ("pool", "no max branch (the average twice)"),
    "two MLPs": ("mlp", "MLP not shared"),
    "no ReLU": ("relu", "ReLU missing"),
    "SiLU": ("relu", "another activation (SiLU)"),
    "no sigmoid, channel": ("sigmoid c", "sigmoid missing (M_c)"),
    "sigmoid twice, channel": ("sigmoid c", "sigmoid twice (M_c)"),
    "sigmoid before the sum": ("sigmoid c", "sigmoid before the sum"),
    "no sigmoid, spatial": ("sigmoid s", "sigmoid missing (M_s)"),
    "sigmoid twice, spatial": ("sigmoid s", "sigmoid twice (M_s)"),
    "max first": ("concat", "concat order"),
    "average only": ("concat", "1-channel pooling (average only)"),
    "F into the spatial branch": ("order", "F instead of F′ into the spatial branch"),
    "spatial first": ("order", "spatial before channel"),
    "3×3": ("kernel", "kernel size"),
    "shifted": ("padding", "padding shifts the map"),
    "replicated": ("padding", "padding repeats the border"),
    "residual": ("residual", "residual added (F″ + F)"),
    "residual in the spatial half": ("spatial residual", "residual added (M_s ⊗ F′ + F′)"),
    "batch norm, spatial": ("bn s", "batch norm after the convolution"),
    "batch norm, MLP": ("bn c", "batch norm in the MLP"),
    "amax over space": ("ties c", "ties shared (over space)"),
    "amax over channels": ("ties s", "ties shared (over channels)"),
    "ratio ignored": ("ratio", "reduction ignored"),
    "bias, MLP": ("bias c", "bias in the MLP"),
    "bias, convolution": ("bias s", "bias of the convolution"),
    "M_c detached": ("detached", "detached gate (M_c)"),
    "M_s detached": ("detached", "detached gate (M_s)"),
    "in place": ("in place", "input changed in place"),
    "mean over samples too": ("mean c", "mean over the wrong axes (M_c)"),
    "mean over a row too": ("mean s", "mean over the wrong axes (M_s)"),
}


class Planted(nn.Module):
    """CBAM with mistakes."""

    def __init__(self, channels: int, ratio: int = 4, mistakes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.mistakes = mistakes
        hidden = channels // (4 if "ratio ignored" in mistakes else ratio)
        k = 3 if "3×3" in mistakes else 7
        bias = "bias, MLP" in mistakes

        def mlp() -> nn.Sequential:
            norm = [nn.BatchNorm1d(hidden)] if "batch norm, MLP" in mistakes else []
            act = [] if "no ReLU" in mistakes else [nn.SiLU() if "SiLU" in mistakes else nn.ReLU()]
            return nn.Sequential(nn.Linear(channels, hidden, bias), *norm, *act, nn.Linear(hidden, channels, bias))

        self.mlp = mlp()
        self.mlp_of_max = mlp() if "two MLPs" in mistakes else self.mlp
        inputs = 1 if "average only" in mistakes else 2
        mode: Any = "replicate" if "replicated" in mistakes else "zeros"
        self.pad = k // 2
        self.conv = nn.Conv2d(inputs, 1, k, padding=self.pad, padding_mode=mode, bias="bias, convolution" in mistakes)
        self.bn = nn.BatchNorm2d(1) if "batch norm, spatial" in mistakes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        on = self.mistakes
        f = x.clone() if "F into the spatial branch" in on else x
        if "spatial first" in on:
            x1 = self.times(self.spatial_map(x), x)
            out = self.channel_map(x1) * x1
        else:
            x1 = self.times(self.channel_map(x), x)
            m_s = self.spatial_map(f if "F into the spatial branch" in on else x1)
            out = m_s * x1 + x1 if "residual in the spatial half" in on else m_s * x1
        return out + x if "residual" in on else out

    def times(self, m: Tensor, x: Tensor) -> Tensor:
        return x.mul_(m) if "in place" in self.mistakes else m * x

    def channel_map(self, x: Tensor) -> Tensor:
        on = self.mistakes
        avg = (
            x.mean((0, 2, 3), keepdim=True).expand(len(x), -1, 1, 1)
            if "mean over samples too" in on
            else x.mean((2, 3))
        )
        largest = x.amax((2, 3)) if "amax over space" in on else F.adaptive_max_pool2d(x, 1)
        largest = avg if "average twice" in on else largest
        avg, largest = self.mlp(avg.flatten(1)), self.mlp_of_max(largest.flatten(1))
        logits = [z for z, left_out in ((avg, "no average"), (largest, "no max")) if left_out not in on]
        if "sigmoid before the sum" in on:
            m = sum(map(torch.sigmoid, logits), start=torch.zeros(()))
        elif "no sigmoid, channel" in on:
            m = sum(logits, start=torch.zeros(()))
        else:
            m = torch.sigmoid(sum(logits, start=torch.zeros(())))
            m = torch.sigmoid(m) if "sigmoid twice, channel" in on else m
        return (m.detach() if "M_c detached" in on else m)[:, :, None, None]

    def spatial_map(self, x: Tensor) -> Tensor:
        on = self.mistakes
        avg = (
            x.mean((1, 3), keepdim=True).expand(-1, 1, *x.shape[2:])
            if "mean over a row too" in on
            else x.mean(1, keepdim=True)
        )
        largest = x.amax(1, keepdim=True) if "amax over channels" in on else x.max(1, keepdim=True)[0]
        maps = [avg] if "average only" in on else [largest, avg] if "max first" in on else [avg, largest]
        pooled = torch.cat(maps, 1)
        if "shifted" in on:
            p = self.pad
            z = F.conv2d(F.pad(pooled, (p, p, 2 * p, 0)), self.conv.weight, self.conv.bias)
        else:
            z = self.conv(pooled)
        z = self.bn(z)
        m = z if "no sigmoid, spatial" in on else torch.sigmoid(z)
        m = torch.sigmoid(m) if "sigmoid twice, spatial" in on else m
        return m.detach() if "M_s detached" in on else m


def audited(*mistakes: str) -> pytorch.Audit:
    """As a class, so that its reduction can be tried."""

    def planted(channels: int, ratio: int = 4) -> nn.Module:
        return Planted(channels, ratio, mistakes)

    return pytorch.audit(planted, C)


def test_the_module_without_mistakes_passes() -> None:
    report = audited()
    assert report.ok
    assert report.deviations == []
    assert report.agreement is not None
    assert max(report.agreement) < 1e-12
    assert str(report).startswith("This is CBAM, by the formulas.")


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_deviation_is_named(mistake: str) -> None:
    report = audited(mistake)
    more = ["no backward pass"] if mistake == "in place" else []
    assert report.deviations == [PLANTED[mistake][1], *more]
    assert report.unsure == ()
    assert report.cbam
    assert report.ok == (PLANTED[mistake][1] in auditing.KNOWN)
    assert PLANTED[mistake][1] in str(report)


def can_meet(first: str, second: str) -> bool:
    """Whether two mistakes can be planted together and both be x."""
    hidden = {
        ("no max", "two MLPs"), ("no average", "two MLPs"),  # one of the two MLPs is not used then
        ("no max", "sigmoid before the sum"), ("no average", "sigmoid before the sum"),  # no sum
        ("average twice", "amax over space"),
        ("no average", "mean over samples too"), ("no max", "amax over space"), ("average only", "amax over channels"),
        ("M_s detached", "in place"), ("amax over space", "in place"),  # no gradient to compare
        ("amax over channels", "in place"),
        ("amax over space", "M_c detached"), ("amax over channels", "M_s detached"),  # no gradient there
        ("residual", "in place"),  # what is added is not F any more
        ("spatial first", "residual in the spatial half"),  # planted in one order only
    }  # fmt: skip
    return PLANTED[first][0] != PLANTED[second][0] and (first, second) not in hidden and (second, first) not in hidden


PAIRS = [pair for pair in combinations(PLANTED, 2) if can_meet(*pair)]


def wrong_about(pair: tuple[str, ...]) -> str:
    """What the audit says of two or more, if it is not all of them and nothing else."""
    report = audited(*pair)
    expected = {PLANTED[mistake][1] for mistake in pair}
    # what is changed in place is often what autograd still needs
    named = set(report.deviations) - ({"no backward pass"} if "in place" in pair else set())
    return "" if named == expected and not report.unsure else f"{pair}: {report}"


@pytest.mark.parametrize("pair", PAIRS[::11], ids=" + ".join)
def test_two_planted_deviations_are_both_named(pair: tuple[str, str]) -> None:
    assert wrong_about(pair) == ""


@pytest.mark.pairs
def test_every_two_planted_deviations_are_both_named() -> None:
    assert [pair for pair in PAIRS if wrong_about(pair)] == []


def test_three_are_named_too() -> None:
    report = audited("no max", "max first", "residual")
    assert set(report.deviations) == {PLANTED[m][1] for m in ("no max", "max first", "residual")}
    assert not report.ok


# Four at once, each named; or, where the halves can't be told apart, the audit says that it is not sure.
FOURS = [
    ("no max", "max first", "residual", "SiLU"),
    ("3×3", "sigmoid before the sum", "amax over channels", "mean over samples too"),
    ("spatial first", "average only", "no sigmoid, channel", "bias, MLP"),
    ("residual in the spatial half", "ratio ignored", "no sigmoid, channel", "no average"),  # a sample is all shut
    ("mean over a row too", "mean over samples too", "M_s detached", "max first"),  # told apart by the second draw only
]


def fours(count: int) -> list[tuple[str, ...]]:
    """Combinations of four that can be planted together, drawn by chance, always the same."""
    chance = random.Random(0)
    found: list[tuple[str, ...]] = []
    while len(found) < count:
        drawn = tuple(chance.sample(list(PLANTED), 4))
        if all(can_meet(*pair) for pair in combinations(drawn, 2)):
            found.append(drawn)
    return found


@pytest.mark.parametrize("four", FOURS, ids=" + ".join)
def test_four_planted_deviations_are_all_named(four: tuple[str, ...]) -> None:
    assert all(can_meet(*pair) for pair in combinations(four, 2))
    assert wrong_about(four) == ""


@pytest.mark.pairs
def test_of_four_planted_deviations_all_are_named_or_the_audit_is_not_sure() -> None:
    slow = [
        ("no ReLU", "sigmoid twice, channel", "average twice", "residual in the spatial half"),
        ("F into the spatial branch", "mean over a row too", "shifted", "M_c detached"),
    ]
    said = {four: wrong_about(four) for four in fours(60) + slow}
    assert [four for four, wrong in said.items() if wrong and "not sure" not in wrong] == []
    assert sum(not wrong for wrong in said.values()) >= 55


def test_what_is_no_product_of_gates_is_not_looked_for_in_halves() -> None:
    f = torch.randn((2, 3, 4, 5), dtype=torch.float64)
    column, row = torch.randn((2, 3, 1, 1), dtype=f.dtype), torch.randn((2, 1, 4, 5), dtype=f.dtype)
    factors = halves.column_and_row(column * row, 1e-9)
    assert factors is not None
    for got, expected in zip(factors, (column, row), strict=True):  # up to a factor for each sample
        factor = (got / expected).flatten(1)
        torch.testing.assert_close(factor, factor[:, :1].expand_as(factor), rtol=1e-12, atol=0)
    assert halves.column_and_row(column + row, 1e-9) is None


@pytest.mark.parametrize("name", KNOWN)
def test_right_modules_of_every_known_layout_pass(name: str) -> None:
    report = pytorch.audit(KNOWN[name], 32)
    assert report.ok, str(report)
    expected = {
        "authors": ["bias in the MLP", "batch norm after the convolution", "concat order"],
        "timm": ["batch norm after the convolution", "ties shared (over space)", "ties shared (over channels)"],
        "mmyolo": ["bias in the MLP", "bias of the convolution"],
    }
    assert report.deviations == expected.get(name, [])
    assert report.agreement is not None
    assert max(report.agreement) < 1e-12


def test_our_own_modules_pass() -> None:
    for module in pytorch.CBAM(C, 4), next(iter(pytorch.load_modules(KNOWN["timm"](C, 4)).values())):
        assert pytorch.audit(module, C).ok


def test_the_light_block_of_timm_is_told_apart() -> None:
    report = pytorch.audit(timm_module().LightCbamModule, 32)
    assert "pooled vectors averaged before the MLP" in report.deviations
    assert "1-channel pooling (half of average + max)" in report.deviations
    assert not report.ok


class Gate(nn.Module):
    """F times a number, for each channel, each pixel, or all of F."""

    def __init__(self, over: str) -> None:
        super().__init__()
        self.over, self.mlp = over, nn.Sequential(nn.Linear(C, 3), nn.ReLU(), nn.Linear(3, C))
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        if self.over == "channels":
            return torch.sigmoid(self.mlp(x.mean((2, 3))))[:, :, None, None] * x
        if self.over == "pixels":
            return torch.sigmoid(self.conv(torch.cat([x.mean(1, True), x.amax(1, True)], 1))) * x
        return 0.5 * x


class Two(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x, x


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


@pytest.mark.parametrize(
    ("module", "because"),
    [
        (nn.Identity(), "all of F is multiplied by one number"),
        (nn.ReLU(), "no MLP"),
        (nn.Conv2d(C, C, 3, padding=1), "it does not multiply F by a gate"),
        (nn.Sequential(nn.Conv2d(C, C, 1), nn.ReLU(), nn.Conv2d(C, C, 1)), "no convolution"),
        (nn.Conv2d(C, C, 3), "it makes (6, 12, 7, 6) of (6, 12, 9, 8)"),
        (nn.MaxPool2d(3, 1, 1), "no MLP"),
        (Gate("channels"), "it gates the channels and not the pixels"),
        (Gate("pixels"), "it gates the pixels and not the channels"),
        (Gate("all"), "all of F is multiplied by one number"),
        (Two(), "it returns tuple, not features"),
        (lambda channels: channels, "it is no nn.Module but int"),
    ],
)
def test_what_is_no_cbam_is_called_so(module: Any, because: str) -> None:
    report = pytorch.audit(module, C)
    assert report.cbam is False
    assert report.deviations == ["not a CBAM"]
    assert not report.ok
    assert because in str(report)


class Own(nn.Module):
    """A block with a gate that the audit has not heard of."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Planted(C)

    def forward(self, x: Tensor) -> Tensor:
        x1 = torch.sigmoid(self.inner.mlp(x.mean((2, 3))) * 1.7)[:, :, None, None] * x
        return torch.sigmoid(1.3 * self.inner.conv(torch.cat([x1.mean(1, True), x1.amax(1, True)], 1))) * x1


def test_where_it_is_not_sure_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "SECONDS", 0.0)
    report = pytorch.audit(Own(), C)
    assert not report.ok
    assert report.deviations == []
    assert "No combination of up to 3 known deviations, nor of 3 in each half, explains its output" in report.unsure[0]
    assert "It multiplies F by one gate per channel and one gate per pixel, as CBAM does" in report.unsure[0]
    assert report.unsure[0].endswith("M_c is the first that can't be explained")


class OwnInSpace(Own):
    """The same, with the channel half of CBAM, but one path for the average twice: the second half is unheard of."""

    def forward(self, x: Tensor) -> Tensor:
        z = self.inner.mlp(x.mean((2, 3))) + self.inner.mlp(x.mean((2, 3)))
        x1 = torch.sigmoid(z)[:, :, None, None] * x
        return torch.sigmoid(1.3 * self.inner.conv(torch.cat([x1.mean(1, True), x1.amax(1, True)], 1))) * x1


def test_it_says_which_gate_is_the_first_to_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "SECONDS", 0.0)
    report = pytorch.audit(OwnInSpace(), C)
    assert not report.ok
    assert report.unsure[0].endswith("so M_s is the first that can't")


def test_mistakes_and_known_variations_are_counted_apart() -> None:
    report = pytorch.audit(Planted(C, 4, ("no ReLU", "max first")), C)
    assert [deviation.name for deviation in report.mistakes] == ["ReLU missing"]
    assert [deviation.name for deviation in report.variations] == ["concat order"]
    verdict, *lines = str(report).splitlines()
    assert verdict == "A CBAM with 1 mistake and 1 known variation."
    assert lines[0] == "  mistakes:"
    assert re.match(r"    ReLU missing: fixing it changes the output by \d", lines[1])
    assert lines[2] == "  known variations (of released code):"
    assert re.match(r"    concat order: undoing it changes the output by \d", lines[3])
    assert str(pytorch.audit(Planted(C, 4, ("no ReLU",)), C)).startswith("A CBAM with 1 mistake.\n")


@pytest.mark.parametrize(
    ("module", "because"),
    [
        (Noisy(), "another result every time"),
        (Planted(C + 4), "it could not be run on (6, 12, 9, 8)"),
        (lambda channels, more: nn.Identity(), "it could not be made by"),
        (nn.Sequential(Planted(C), nn.GroupNorm(2, C)), "a layer that the audit does not know: GroupNorm"),
        (
            nn.Sequential(Planted(C), nn.BatchNorm2d(C, track_running_stats=False)),
            "goes by the batch even in evaluation",
        ),
    ],
)
def test_what_can_t_be_told_is_said(module: Any, because: str) -> None:
    report = pytorch.audit(module, C)
    assert report.cbam is None
    assert not report.ok
    assert because in str(report)


def test_a_reduction_or_a_kernel_that_was_asked_for_is_compared() -> None:
    assert pytorch.audit(Planted(C, 4), C, reduction=2).deviations == ["reduction ignored"]
    assert pytorch.audit(Planted(C, 4), C, reduction=4).ok
    assert pytorch.audit(Planted(C, 4, ("3×3",)), C, kernel_size=3).ok
    assert pytorch.audit(Planted(C, 4), C, kernel_size=3).deviations == ["kernel size"]


def test_the_module_is_neither_changed_nor_moved() -> None:
    module = Planted(C).train()
    before = {name: x.clone() for name, x in module.state_dict().items()}
    pytorch.audit(module, C)
    assert module.training
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())
    assert all(x.grad is None for x in module.parameters())


def test_a_module_that_insists_on_float32_is_audited_in_float32() -> None:
    class Single(Planted):
        def forward(self, x: Tensor) -> Tensor:
            if x.dtype != torch.float32:
                raise TypeError("float32, please")
            return super().forward(x)

    assert "in float32" in pytorch.audit(Single(C), C).checked
    assert pytorch.audit(Single(C, 4, ("no max",)), C).deviations == ["no max branch"]


@pytest.mark.parametrize("error", [1e-3, 1e-6])
def test_a_gradient_that_is_a_little_wrong_is_noticed(error: float) -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, d: Tensor) -> Tensor:
            return d * (1 + error)

    class Module(Planted):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(Wrong.apply(x))  # type: ignore[no-untyped-call]

    report = pytorch.audit(Module(C), C)
    assert not report.ok
    assert "its output is explained, and its gradients are not" in report.unsure[0]


# --- in training, and in other sizes --------------------------------------------------------------------------------


class InTraining(Planted):
    """With a mistake that evaluation doesn't show."""

    def __init__(self, mistake: str) -> None:
        super().__init__(C, 4, ("batch norm, spatial",))
        self.mistake = mistake

    def forward(self, x: Tensor) -> Tensor:
        if self.mistake == "batch norm frozen":
            self.bn.eval()
        out = super().forward(x)
        if not self.training:
            return out
        if self.mistake == "dropout":
            return F.dropout(out, 0.1)
        if self.mistake == "detached":
            return out + (out.detach() - out) / 2
        return 1.001 * out if self.mistake == "larger" else out


@pytest.mark.parametrize(
    ("mistake", "deviations", "unsure"),
    [
        ("", [], ""),
        ("dropout", ["random in training"], ""),
        ("batch norm frozen", ["batch norm in evaluation, always"], ""),
        ("larger", [], "what explains its output in evaluation does not in training: there it is off by 0.1%"),
        ("detached", [], "in training its gradients are off by"),
    ],
)
def test_training_is_looked_at_too(mistake: str, deviations: list[str], unsure: str) -> None:
    module = InTraining(mistake).eval()
    report = pytorch.audit(module, C)
    assert report.deviations == ["batch norm after the convolution", *deviations]
    assert unsure in " ".join(report.unsure)
    assert bool(report.unsure) == bool(unsure)
    assert report.ok == (mistake == "")
    assert ("on 14×11 and 4×5 too, and in training" in report.checked) == (mistake == "")


def test_batch_norm_in_the_mlp_goes_by_the_batch_of_each_pooled_vector() -> None:
    report = pytorch.audit(Planted(C, 4, ("batch norm, MLP", "batch norm, spatial")), C)
    assert report.unsure == ()
    assert "in training" in report.checked


class OfOneSize(Planted):
    """Right on features of 9×8, and not on others."""

    def __init__(self, what: str) -> None:
        super().__init__(C)
        self.what = what

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        H, W = x.shape[2:]
        if self.what == "fails" and (H, W) != (9, 8):
            raise ValueError("9×8, please")
        if self.what == "cuts" and W < 8:
            return out[..., 1:]
        off = {"large": H > 10, "small": H < 7}.get(self.what, False)
        return 1.01 * out if off else out


@pytest.mark.parametrize(
    ("what", "name", "evidence"),
    [
        ("fails", "one size only", "it could not be run on (6, 12, 14, 11): ValueError: 9×8, please"),
        ("cuts", "one size only", "on 4×5 it makes (6, 12, 4, 4) of (6, 12, 4, 5)"),
        ("large", "other formulas for other sizes", "on 14×11 the formulas found are off by 1.0%"),
        ("small", "other formulas for other sizes", "on 4×5 the formulas found are off by 1.0%"),
    ],
)
def test_more_than_one_size_is_looked_at(what: str, name: str, evidence: str) -> None:
    report = pytorch.audit(OfOneSize(what), C)
    assert report.deviations == [name]
    assert report.found[0].evidence == evidence
    assert not report.ok
    assert "in training" not in report.checked


def test_the_switches_at_rest_are_the_formulas() -> None:
    params = {key: torch.tensor(x) for key, x in pytorch.to_arrays(pytorch.CBAM(C, 4, dtype="float64")).items()}
    parts = variants.Parts(
        [(variants.Layer(params["channel.w1"]), variants.Layer(params["channel.w2"]))],
        variants.Layer(params["spatial.kernel"]),
    )
    f = torch.randn((2, C, 6, 5), dtype=torch.float64)
    torch.testing.assert_close(variants.block(f, parts, variants.RIGHT), in_pytorch.cbam(f, params), rtol=1e-13, atol=0)


def test_every_switch_changes_something() -> None:
    """A value that does nothing could never be found, and would be named for the one before it."""
    report = pytorch.audit(Planted(C), C)
    assert report.ok
    subjects = auditing.on_the_table(Planted(C), C, (9, 8), 0)
    for switch, values in auditing.candidates(subjects[0].parts).items():
        for value in values[1:]:
            assert not auditing.fits(subjects, {**variants.RIGHT, switch: value}), (switch, value)
