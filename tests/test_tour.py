"""The walk on the photograph: its order, its shapes, its numbers, its picture, and that it notices a wrong gradient."""

import re
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

import cbam_np as cb
from cbam_np.commands import cli, tour

H, W = 56, 64


PHOTOGRAPH = tour.photograph()


def crop(row: int, column: int) -> np.ndarray:
    return PHOTOGRAPH[row : row + H, column : column + W]


def printed_by_run(picture: Path, **options: Any) -> tuple[bool, str]:
    console = Console(file=StringIO(), width=80, color_system=None)
    with console.capture() as text:
        ok = tour.run(console, picture, **{"dark": False, "seed": 0, **options})
    return ok, text.get()


@pytest.fixture
def small_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tour, "photograph", lambda: crop(30, 70))


@pytest.mark.usefixtures("small_photograph")
def test_the_eleven_formulas_in_order_then_the_check_then_the_picture(tmp_path: Path) -> None:
    ok, text = printed_by_run(tmp_path / "light.png")
    assert ok
    f = tour.features(tour.photograph())
    left_sides = re.findall(r"^ ?\((\d+)\)  (\S+) = .*\n {6}([\d×]+)  ", text, re.MULTILINE)
    steps = tour.walk(f, tour.weights_by_hand())
    assert [int(number) for number, _, _ in left_sides] == list(range(1, 12))
    assert [shape for _, _, shape in left_sides] == ["×".join(map(str, step.value.shape)) for step in steps]
    assert all(" ".join(step.remark.split()) in " ".join(text.split()) for step in steps)
    assert text.index("(11)") < text.index("params[spatial.kernel]") < text.index("The picture: ")
    assert max(len(line.rstrip()) for line in text.split("\n") if "picture" not in line) <= 80

    light = matplotlib.image.imread(tmp_path / "light.png")[:, :, :3]
    figure = tour.draw(tour.photograph(), f, steps, dark=True)
    figure.savefig(tmp_path / "dark.png")
    dark = matplotlib.image.imread(tmp_path / "dark.png")[:, :, :3]
    assert light.shape == dark.shape
    assert light[0, 0].min() > 0.95
    assert dark[0, 0].max() < 0.1
    for picture in (light, dark):
        rows = np.array_split(picture, 12)
        assert all(row.std() > 0.1 for row in rows), "part of the picture is blank"
    images = [np.asarray(image.get_array()) for image in figure.findobj(matplotlib.image.AxesImage)]
    assert len(images) == 3 + 2 * len(tour.SHOWN)
    assert all(np.ptp(image) > 0 for image in images)
    titles = " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))
    assert all(f"({number})" in titles for number in (6, 10, 11))


def test_the_walk_is_the_block() -> None:
    f, params = tour.features(crop(30, 70)), tour.weights_by_hand()
    maps: dict[str, np.ndarray] = {}
    out, _ = cb.cbam(f, params, maps=maps)
    value = {step.number: step.value for step in tour.walk(f, params)}
    C = len(tour.filters())
    shapes = {1: (1, C, H, W), 3: (1, C), 6: (1, C, 1, 1), 8: (1, 1, H, W), 10: (1, 1, H, W)}
    shapes |= {2: shapes[1], 4: shapes[3], 5: shapes[3], 7: shapes[1], 9: shapes[8], 11: shapes[1]}
    assert {number: x.shape for number, x in value.items()} == shapes
    for number, expected in ((2, out), (6, maps["channel"]), (10, maps["spatial"]), (11, out)):
        np.testing.assert_array_equal(value[number], expected)


def test_another_crop_changes_every_number() -> None:
    params = tour.weights_by_hand()
    here, there = (tour.walk(tour.features(crop(*corner)), params) for corner in ((30, 70), (90, 150)))
    for a, b in zip(here, there, strict=True):
        assert not np.allclose(a.value, b.value)
        assert a.remark != b.remark or a.number in (7, 11)  # there both print that nothing differs


@pytest.mark.usefixtures("small_photograph")
def test_the_picture_is_where_the_user_is_told_and_git_does_not_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    assert cli.main(["tour"]) == 0
    told = re.search(r"^The picture: (.+)$", capsys.readouterr().out, re.MULTILINE)
    assert told
    assert matplotlib.image.imread(told[1]).ndim == 3
    status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    assert status.stdout == ""


def test_a_name_that_says_no_format_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("picture", "picture.txt"):
        assert cli.main(["tour", "--output", str(tmp_path / name)]) == 2
        assert "--output: expected a name that ends in .png, .svg" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_photograph")
def test_another_seed_is_another_check_and_a_wrong_backward_fails_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gradcheck_of_less(op: Any, f: np.ndarray, params: Any, seed: int, max_entries: int) -> Any:
        return cb.gradcheck(op, f[:, :, :3, :3], params, seed=seed, max_entries=max_entries // 16)

    monkeypatch.setattr(tour, "gradcheck", gradcheck_of_less)
    monkeypatch.setattr(tour, "draw", lambda *_: matplotlib.figure.Figure(figsize=(1, 1)))
    texts = [printed_by_run(tmp_path / "picture.png", seed=seed)[1] for seed in (0, 1)]
    assert texts[0] != texts[1]

    def without_the_map_path(f: np.ndarray, params: cb.arrays.Params) -> tuple[np.ndarray, Any]:
        maps: dict[str, np.ndarray] = {}
        out, backward = cb.cbam(f, params, maps=maps)
        return out, lambda d_out: (maps["channel"] * maps["spatial"] * d_out, backward(d_out)[1])

    monkeypatch.setattr(tour, "cbam", without_the_map_path)
    ok, text = printed_by_run(tmp_path / "picture.png")
    assert not ok
    assert "wrong" in text


@pytest.mark.parametrize("stroke", ["─", "│", "╱", "╲"])
def test_a_filter_answers_most_to_what_it_is_called_after(stroke: str) -> None:
    row, column = np.indices((41, 41)) - 20
    distance = {"─": row, "│": column, "╱": (row + column) / np.sqrt(2), "╲": (row - column) / np.sqrt(2)}[stroke]
    line, edge = np.exp(-(distance**2)), (distance < 0).astype(float)
    for kind, pattern in (("line", line), ("edge", edge), ("edge", 1 - edge)):
        x = np.stack([pattern] * 3)[None]
        kernel = np.stack([k for name, k in tour.filters().items() if name.startswith(kind)])
        answers = np.abs(cb.ops.conv2d(x, kernel)[0][0, :, 15:26, 15:26]).max(axis=(1, 2))
        assert "─│╱╲"[int(answers.argmax())] == stroke


def test_a_colour_filter_answers_to_its_colour() -> None:
    colours = {"red": (1, 0, 0), "green": (0, 1, 0), "yellow": (1, 1, 0), "blue": (0, 0, 1)}
    bank = tour.filters()
    for name, colour in colours.items():
        answers = {other: np.tensordot(colour, bank[other], axes=1).sum() for other in colours}
        assert max(answers, key=lambda other: answers[other]) == name
