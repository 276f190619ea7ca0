"""What chapters 0 to 6 lean on: short answers, the recorded training, the paths of channel attention."""

import re
from ast import literal_eval
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cbam_np as cb
from cbam_np import nets
from cbam_np.course import answers_a, learned_maps
from cbam_np.course.paths import channel_parts, spatial_parts

CHAPTERS = sorted((Path(__file__).parents[1] / "notebooks").glob("0[0-6]_*.py"))
SOLVED = {
    number: literal_eval(value)
    for path in CHAPTERS
    for number, value in re.findall(r'^answer\("(\d\.\d)", \.\.\.\)  # solved: (.+)$', path.read_text("utf-8"), re.M)
}
each_answer = pytest.mark.parametrize("number", SOLVED)

WRONG: dict[str, list[Any]] = {
    "0.1": [(64, 210), (128, 210), (420, 128), 128, (128, 420, 1)],
    "0.2": [4, -3.296, 15.296, 0.25],
    "1.1": [(8, 2), (12, 6), (1.5, 6), (6, 6)],
    "2.1": [(12, 0), (13, 0), (18, 6), (1, 13)],
    "2.2": [0, 3.6],
    "3.1": [256, 4096, 128, 1024],
    "3.2": [[4, -8, 8, -4], [4, 0, 4], [1, 0, 2, -1], [0, 0, 0, 0]],
    "4.1": [2, 3, (2, 3)],
    "4.2": [(16, 16), (4, 4), (-16, 16), (3, -3)],
    "5.1": [(2, 5), (4, 7), (5, 4)],
    "5.2": [10, 6, 2],
    "6.1": [-3, 3, 7],
    "6.2": [9, 3, -3],
}


BUILT = {
    "01": ["slopes", "largest_error"],
    "02": ["avg_pool_over_space", "max_pool_over_space", "avg_pool_over_channels", "max_pool_over_channels"],
    "03": ["relu", "mlp"],
    "04": ["sigmoid", "gate", "channel_attention"],
    "05": ["im2col", "conv2d"],
    "06": ["col2im", "conv2d", "spatial_attention"],
}
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@each_chapter
def test_a_chapter_opens_with_a_question_and_closes_with_what_was_built(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.search(r'\A# %% \[markdown\]\nr"""\n# \d\. .+ · .+\n\n> \*\*.+\?\*\*\n"""\n', text)
    for row in ("Time", "You need", "You build"):
        assert text.count(f"\n| **{row}** | ") == 1
    assert text.count("\n## What you built\n") == 1
    assert len(text.splitlines()) <= 400


@each_chapter
def test_a_chapter_asks_for_its_functions_and_does_not_show_them(path: Path) -> None:
    text = path.read_text("utf-8")
    asked = BUILT.get(path.name[:2], ["relu"])  # chapter 0 shows what check says
    assert re.findall(r'^check\("(\w+)"\)$', text, re.M) == asked
    announced = text.count("\n### Build ") + 2 * text.count("\n### Builds ")
    assert announced == len(BUILT.get(path.name[:2], []))
    assert not re.search(rf"^ *def ({'|'.join(sum(BUILT.values(), ['cbam']))})\(", text, re.M) or path.name[:2] == "00"
    assert "inspect" not in text


def test_the_times_in_chapter_0_are_those_of_the_chapters() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| .+? \| (\d+) min \|", CHAPTERS[0].read_text("utf-8"), re.M))
    own = {}
    for path in sorted(CHAPTERS[0].parent.glob("[01][0-9]_*.py")):
        minutes = re.search(r"^\| \*\*Time\*\* \| (?:about )?(\d+) minutes", path.read_text("utf-8"), re.M)
        assert minutes, path.name
        own[str(int(path.name[:2]))] = minutes[1]
    assert rows == own
    told = re.search(r"\*\*about (\d+) min\*\*", CHAPTERS[0].read_text("utf-8"))
    assert told
    assert abs(int(told[1]) - sum(map(int, own.values()))) <= 10


def function(number: str) -> Any:
    return getattr(answers_a, f"a_{number.replace('.', '_')}")


def test_every_answer_is_asked_for_once_and_in_order() -> None:
    registered = [name[2:].replace("_", ".") for name in vars(answers_a) if name.startswith("a_")]
    assert list(SOLVED) == registered == list(WRONG)
    asked = [number for path in CHAPTERS for number in re.findall(r'^answer\("(.+?)"', path.read_text("utf-8"), re.M)]
    assert asked == registered


@each_answer
def test_the_answer_in_the_text_is_right(number: str) -> None:
    assert function(number)(SOLVED[number]) is None
    assert function(number)(np.array(SOLVED[number])) is None


@each_answer
def test_wrong_answers_get_a_question(number: str) -> None:
    for value in WRONG[number]:
        problem = function(number)(value)
        assert problem, value
        assert problem.endswith((".", "?"))


def test_what_is_said_about_a_wrong_answer() -> None:
    assert answers_a.a_0_1((128, 210)).startswith("Number 2 of 2 is not 210. ")  # type: ignore[union-attr]
    assert answers_a.a_3_1((1, 2)) == "Expected one number, got 2 numbers."
    assert answers_a.a_0_2(-3.3) == "-3.30 is what arrives on the map path. Does x have another way to y?"
    assert answers_a.a_0_2(0.704 + 0.007) is not None
    assert answers_a.a_0_2(0.704 - 0.005) is None
    assert answers_a.a_3_1(float("nan")) is not None


def test_the_recorded_block_makes_the_recorded_maps() -> None:
    data = learned_maps.numbers()
    params = {name: data[name].astype(float) for name in ("channel.w1", "channel.w2", "spatial.kernel")}
    maps: dict[str, Any] = {}
    cb.cbam(data["f"].astype(float), params, maps=maps)
    assert np.abs(maps["spatial"][:, 0] - data["maps"][-1] / 255).max() < 0.02  # f was stored as float16
    assert data["maps"].shape == (len(data["step"]), 5, 12, 12)
    assert np.all(np.abs(data["maps"][0] / 255 - 0.5) < 0.03)


def test_the_features_are_those_that_the_block_gets() -> None:
    net = nets.resnet(8, "cbam", classes=10, channels=1, reduction=4, seed=0).eval()
    x = np.random.default_rng(0).normal(size=(2, 1, 24, 24)).astype(np.float32)
    net(x)
    f = learned_maps.features(net, x)
    m_c, _ = cb.channel_map(f, {name: net.params[f"layer2.0.cbam.{name}"] for name in ("channel.w1", "channel.w2")})
    assert f.shape == (2, 32, 12, 12)
    assert np.allclose(m_c, net.maps["layer2.0"]["channel"], atol=1e-6)


def test_the_moving_picture_is_small_and_moves() -> None:
    folder = files("cbam_np.course")
    gif = folder.joinpath(learned_maps.PICTURE).read_bytes()
    assert len(gif) + len(folder.joinpath(learned_maps.NUMBERS).read_bytes()) < 300_000
    assert getattr(Image.open(BytesIO(gif)), "n_frames", 1) > 10
    assert learned_maps.moving_maps()._repr_html_().startswith('<img alt="Five cluttered digits')


def test_the_picture_is_drawn_from_the_numbers() -> None:
    data = learned_maps.numbers()
    few = data | {name: data[name][[0, 20, 47]] for name in ("step", "accuracy", "maps")}
    assert getattr(Image.open(BytesIO(learned_maps.draw(few))), "n_frames", 1) >= 2


def test_the_paths_add_up() -> None:
    rng = np.random.default_rng(0)
    f, d_out = rng.normal(size=(2, 2, 6, 3, 4))
    params = cb.CBAM(6, reduction=2, dtype="float64", seed=0).params
    of_channels = channel_parts(d_out, f, params["channel.w1"], params["channel.w2"])
    of_places = spatial_parts(d_out, f, params["spatial.kernel"])
    for paths, op in ((of_channels, cb.channel_attention), (of_places, cb.spatial_attention)):
        d_f, _ = op(f, params)[1](d_out)
        assert np.allclose(sum(paths.values()), d_f, rtol=1e-12)
        assert all(np.abs(path).max() > 1e-3 for path in paths.values())
