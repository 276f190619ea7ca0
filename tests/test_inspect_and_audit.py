"""`cbam-np inspect` and `cbam-np audit`: what they print, what they write, and their errors."""

import importlib
import json
import subprocess
import sys
import tomllib
from collections import OrderedDict
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from known_modules import KNOWN, trained
from rich.console import Console
from torch import nn

import cbam_np as cb
from cbam_np import pytorch
from cbam_np.commands import audit, cli
from cbam_np.commands import inspect as command
from cbam_np.pytorch.layouts import LAYOUTS
from cbam_np.pytorch.weights import find_blocks

ROOT = Path(__file__).parents[1]
C = 12


def checkpoint(folder: Path) -> Path:
    """Two blocks of the authors' kind, the second asleep; one of timm's; one without a hidden unit."""
    net = nn.Sequential(
        OrderedDict(a=trained(KNOWN["authors"](C, 3)), b=trained(KNOWN["authors"](C, 3)), c=KNOWN["timm"](C, 3))
    )
    state = {f"module.{name}": x for name, x in net.state_dict().items()}
    state["module.b.SpatialGate.spatial.bn.weight"] = torch.zeros(1)
    for name, shape in (("1.weight", (0, C)), ("1.bias", (0,)), ("3.weight", (C, 0)), ("3.bias", (C,))):
        state[f"module.d.ChannelGate.mlp.{name}"] = torch.zeros(shape)
    state["module.d.SpatialGate.spatial.conv.weight"] = torch.ones(1, 2, 7, 7)
    torch.save({"state_dict": state}, folder / "net.pth")
    return folder / "net.pth"


def inspected(folder: Path, *arguments: str, width: int = 120) -> str:
    """What `cbam-np inspect` prints for the checkpoint."""
    console = Console(file=StringIO(), width=width)
    options = cli.options_in(
        ["inspect", str(checkpoint(folder)), "--output", str(folder / "x.png"), *arguments], "inspect"
    )
    assert options is not None
    options.pop("command")
    assert command.run(console, **options)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_inspect_lists_every_block_and_writes_a_picture(tmp_path: Path) -> None:
    shown = inspected(tmp_path)
    rows = {line.split()[0]: line.split() for line in shown.splitlines() if line.startswith(("a ", "b ", "c ", "d "))}
    assert rows["a"][1:6] == ["authors", "12", "4", "7", "float64"]
    assert rows["c"][1:6] == ["timm", "12", "4", "7", "float32"]
    assert rows["d"][1:] == ["authors", "12", "0", "7", "float32"]
    assert "b: γ = 0: the spatial gate is still asleep" in shown
    assert "d: hidden size 0: 12 channels are fewer than r" in shown
    assert "d: the kernel is nearly symmetric: it treats left and right alike (they differ by 0.0%)" in shown
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert "b " not in inspected(tmp_path, "--block", "a")


def test_inspect_fits_a_narrow_screen(tmp_path: Path) -> None:
    table = inspected(tmp_path, width=40).split("b: ")[0].split("Blocks")[1]
    assert max(map(len, table.splitlines())) <= 40, table
    assert "…" not in table


def test_inspect_shows_the_gates_on_a_photograph(tmp_path: Path) -> None:
    from matplotlib.image import imsave

    imsave(tmp_path / "photo.png", np.random.default_rng(0).random((30, 40, 3)))
    assert "on the photograph" in inspected(tmp_path, "--image", str(tmp_path / "photo.png"), "--dark")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--block", "nosuch"], "--block: expected the beginning of a block's name in"),
        (["--output", "x.doc"], "--output: expected a name that ends in .png"),
        (["--image", "nosuch"], "--image: expected a file, got nosuch"),
        (["--image", "net.pth"], "--image: net.pth can't be read"),
    ],
)
def test_what_inspect_can_t_do_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path)
    assert cli.main(["inspect", "net.pth", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "cbam-np-results" / "inspect.png").exists()
    (tmp_path / "torn.pth").write_bytes((tmp_path / "net.pth").read_bytes()[:3000])
    assert cli.main(["inspect", "torn.pth"]) == 2
    assert "cbam-np inspect: source: torn.pth can't be read" in capsys.readouterr().err


# --- what is remarkable: every number that decides, on both sides ---------------------------------------------------


def block(kernel: Any = None, gamma: float | None = None) -> Any:
    """A block that was found, with this kernel and this γ."""
    state = cb.CBAM(C, 3, 3, "float64").params
    if kernel is not None:
        state = state | {"spatial.kernel": np.asarray(kernel, dtype=np.float64)[None]}
    if gamma is not None:
        state = state | {f"spatial.bn.{name}": np.ones(1) for name in ("bias", "running_mean", "running_var")}
        state = state | {"spatial.bn.weight": np.array([gamma])}
    return find_blocks(state)[""]


def seen(distance: tuple[float, float] = (0.2, 0.2), saturated: float = 0.0, dead: int = 0) -> command.Seen:
    return command.Seen(distance, saturated, dead, np.ones(C), np.ones((3, 3)))


RANDOM = np.random.default_rng(0).normal(size=(2, 3, 3))
EVEN = RANDOM + RANDOM[:, :, ::-1]  # the same left and right


def halves(ratio: float) -> np.ndarray:
    unit = RANDOM / np.linalg.norm(RANDOM, axis=(1, 2), keepdims=True)
    return unit * np.array([ratio, 1.0])[:, None, None]


def tilted(share: float) -> np.ndarray:
    """A kernel that differs from its mirror image by this share of its size, for small shares."""
    odd = RANDOM - RANDOM[:, :, ::-1]
    return EVEN + odd * share / 2 * np.linalg.norm(EVEN) / np.linalg.norm(odd)


@pytest.mark.parametrize(
    ("found", "looks", "warning"),
    [
        (block(), seen(), ""),
        (block(gamma=0.9 * command.ASLEEP), seen(), "still asleep"),
        (block(gamma=-0.9 * command.ASLEEP), seen(), "still asleep"),
        (block(gamma=1.1 * command.ASLEEP), seen(), ""),
        (block(halves(0.9 * command.UNUSED)), seen(), "hardly sees the average"),
        (block(halves(0.9 * command.UNUSED)[::-1]), seen(), "hardly sees the maximum"),
        (block(halves(1.1 * command.UNUSED)), seen(), ""),
        (block(tilted(0.9 * command.SYMMETRIC)), seen(), "treats left and right alike"),
        (block(tilted(0.9 * command.SYMMETRIC).swapaxes(1, 2)), seen(), "treats above and below alike"),
        (block(tilted(1.1 * command.SYMMETRIC)), seen(), ""),
        (block(), seen(dead=3), "3 of 4 hidden units stay shut"),
        (block(), seen(dead=2), ""),
        (block(), seen(saturated=command.MANY + 0.01), "51% of the gates are below 0.01 or above 0.99"),
        (block(), seen(saturated=command.MANY), ""),
        (block(), seen((0.9 * command.IDLE, 0.2)), "the channel gates stay near ½"),
        (block(), seen((0.2, 0.9 * command.IDLE)), "the spatial gates stay near ½"),
        (block(), seen((1.1 * command.IDLE, 1.1 * command.IDLE)), ""),
    ],
)
def test_what_is_remarkable_is_said_and_nothing_else(found: Any, looks: command.Seen, warning: str) -> None:
    lines = list(command.warnings_of(found, looks))
    assert len(lines) == bool(warning)
    assert warning in "".join(lines)


def test_the_numbers_of_the_table_are_those_of_the_block() -> None:
    b = cb.CBAM(C, 3, dtype="float64")
    b.params |= {"channel.w1": np.array([[1.0], [-1.0], [1.0], [-1.0]]) * np.ones(C), "channel.w2": 9 * np.ones((C, 4))}
    b.params["spatial.kernel"] *= 0
    found = command.looked_at(b, np.ones((2, C, 4, 5)))
    assert found.dead == 2
    assert found.distance == (0.5, 0.0)
    assert found.saturated == pytest.approx(C / (C + 20))
    assert found.m_c.shape == (C,)
    assert found.m_s.shape == (4, 5)


@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 3), (30, 40, 4), (500, 300, 3)])
def test_photographs_of_several_kinds(shape: tuple[int, ...], tmp_path: Path) -> None:
    from matplotlib.image import imsave

    imsave(tmp_path / "x.png", np.random.default_rng(0).random(shape), cmap="gray")
    photo = command.photograph(tmp_path / "x.png")
    assert photo.shape[2] == 3
    assert max(photo.shape) <= 200
    assert 0.5 < photo.max() <= 1
    assert command.features(5, photo, 0).shape == (1, 5, *photo.shape[:2])


# --- audit ----------------------------------------------------------------------------------------------------------

SOURCE = """
import torch
from torch import nn

class SE(nn.Module):
    def __init__(self, c, r=4):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(c, c // r), nn.ReLU(), nn.Linear(c // r, c))
    def forward(self, x):
        return x * torch.sigmoid(self.mlp(x.mean((2, 3))))[:, :, None, None]

class Mine(SE):
    def __init__(self, c, r=4, k=7):
        super().__init__(c, r)
        self.conv = nn.Conv2d(2, 1, k, padding=k // 2, bias=False)
    def forward(self, x):
        avg, largest = self.mlp(x.mean((2, 3))), self.mlp(x.flatten(2).max(2)[0])
        x = x * torch.sigmoid(avg + largest)[:, :, None, None]
        return x * torch.sigmoid(self.conv(torch.cat([x.mean(1, True), x.max(1, True)[0]], 1)))
"""


@pytest.mark.parametrize(
    ("target", "arguments", "status", "said"),
    [
        (
            "mine.py:Mine",
            [],
            0,
            "known variations: of released code bias in the MLP it has b1",
        ),
        (
            "mine:Mine",
            ["--call", "c=channels, r=2", "--reduction", "2"],
            0,
            "bias in the MLP it has b1 (32,) and b2 (64,)",
        ),
        ("mine:Mine", ["--call", "channels, 4, 3"], 1, "kernel size 3×3, where 7×7 was expected"),
        ("mine:Mine", ["--call", "channels, k=3", "--kernel-size", "3", "--channels", "16"], 0, "F (6, 16, 9, 8)"),
        ("mine.py:SE", [], 1, "Not a CBAM."),
        ("mine.py:SE", ["--call", "8"], 1, "It can't be told whether this is a CBAM. Not sure: it could not be run on"),
    ],
)
def test_audit_says_what_it_found(
    target: str, arguments: list[str], status: int, said: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "mine.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert cli.main(["audit", target, *arguments]) == status
    assert said in " ".join(capsys.readouterr().out.split())
    assert "" not in sys.path[:1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "target: expected package.module:Class, or path/to/file.py:Class, got nosuch"),
        (["nosuch:A"], "target: nosuch can't be imported: ModuleNotFoundError"),
        (["nosuch.py:A"], "target: nosuch.py can't be imported: FileNotFoundError"),
        (["broken.py:A"], "target: broken.py can't be imported: ZeroDivisionError"),
        (["mine.py:Other"], "target: expected a class in mine.py, got Other, which is not in it"),
        (["mine.py:Mine", "--call", "channels, r=print()"], '--call: expected values such as "channels, reduction=8"'),
        (["mine.py:Mine", "--call", "("], '--call: expected values such as "channels, reduction=8"'),
        (["mine.py:Mine", "--channels", "0"], "--channels: expected a positive integer, got 0"),
    ],
)
def test_what_audit_can_t_do_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["audit", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_class_from_a_file_is_the_one_from_its_module() -> None:
    assert audit.class_of("cbam_np.pytorch:CBAM") is pytorch.CBAM


# --- what the pages show --------------------------------------------------------------------------------------------


def test_the_pages_show_what_the_commands_say_today() -> None:
    shown = json.loads((ROOT / "docs" / "_generated" / "weights.json").read_text(encoding="utf-8"))
    assert shown["layouts"] == [asdict(row) for row in LAYOUTS]
    report = pytorch.audit(audit.class_of(str(ROOT / "docs" / "examples" / "mine.py") + ":MyCBAM"), 64)
    rows = [line.split("  ")[0] for line in shown["audit"].splitlines()[3:-1]]
    named = [deviation.name for deviation in (*report.mistakes, *report.variations)]
    assert [name for name in rows if name in named] == named
    verdict = str(report).splitlines()[0]
    assert shown["audit"].splitlines()[0].endswith(verdict)
    assert max(map(len, shown["audit"].splitlines())) <= 80


def test_the_modules_in_the_wild_are_those_of_the_list_and_each_is_accounted_for() -> None:
    listed = tomllib.loads((ROOT / "docs" / "wild.toml").read_text(encoding="utf-8"))["module"]
    found = json.loads((ROOT / "docs" / "_generated" / "wild.json").read_text(encoding="utf-8"))["modules"]
    assert [{key: row[key] for key in asked} for row, asked in zip(found, listed, strict=True)] == listed
    assert len({row["repository"] for row in found if "repository" in row}) >= 30
    for row in found:
        assert row["ok"] or row["found"] or row["unsure"]


@pytest.fixture
def wild(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    module = importlib.import_module("wild")
    module.without_network.cache_clear()
    return module


def test_modules_of_others_are_run_without_network_where_the_system_allows_it(
    wild: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = wild.without_network()
    done = subprocess.run([*prefix, sys.executable, "-c", wild.REACHES_OUT], capture_output=True, text=True, check=True)
    assert done.stdout == "no network\n" or not prefix
    commands: list[list[str]] = []

    def kept(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return SimpleNamespace(returncode=1, stderr="", stdout="")

    monkeypatch.setattr(wild.subprocess, "run", kept)
    wild.in_its_own_process("class A: pass", "A()")
    assert commands[0][: len(prefix) + 1] == [*prefix, sys.executable]
    results = json.loads((ROOT / "docs" / "_generated" / "wild.json").read_text(encoding="utf-8"))
    assert results["network"] is False  # as the page says


@pytest.mark.parametrize("refusal", [FileNotFoundError("unshare"), None])
def test_where_the_network_can_t_be_taken_away_the_results_say_so(
    refusal: Exception | None, wild: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*command: Any, **options: Any) -> Any:
        if refusal:
            raise refusal
        return SimpleNamespace(returncode=1, stdout=b"", stderr=b"unshare: not permitted")

    monkeypatch.setattr(wild.subprocess, "run", run)
    assert wild.without_network() == []
