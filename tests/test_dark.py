"""Pictures for dark pages: the theme's own colours turn over, and colours that are numbers don't."""

import base64
import json
from colorsys import rgb_to_hls
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from cbam_np.course import dark, learned_maps


@pytest.mark.parametrize("colour", ["black", "white", "#c0392b", "#dbe9f6", "#2f6fb0", (0.2, 0.5, 0.1, 0.3)])
def test_a_colour_keeps_its_hue_and_its_transparency_and_turns_its_lightness_over(colour: str) -> None:
    before, after = to_rgba(colour), dark.mirrored(colour)
    (hue, lightness, saturation), (hue2, lightness2, saturation2) = (rgb_to_hls(*c[:3]) for c in (before, after))
    assert after[3] == before[3]
    assert lightness2 == pytest.approx(0.92 - 0.84 * lightness)
    if saturation:
        assert (hue2, saturation2) == pytest.approx((hue, saturation))


def drawn(figure: Figure) -> np.ndarray:
    figure.savefig(file := BytesIO())
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def test_lines_boxes_and_texts_are_mirrored_and_images_are_not() -> None:
    figure = Figure(figsize=(4, 2), dpi=50)
    left, right = figure.subplots(1, 2)
    image = left.imshow(np.linspace(-1, 1, 16).reshape(4, 4), cmap="RdBu_r")
    over, frame = left.text(1, 1, "3"), left.axhline(2, color="black")
    title, aside = left.set_title("a map"), left.text(9, 9, "beside it", bbox={"facecolor": "white"})
    (line,) = right.plot([0, 1], "k--")
    (bar,) = right.bar(0, 1, color="#dbe9f6")
    dots = right.scatter([0, 1], [1, 0], color=["black", "white"])
    numbers = right.scatter([0, 1], [0, 1], c=[0.1, 0.9], cmap="viridis")
    note = right.annotate("", (0, 0), (1, 1), arrowprops={"color": "black"})
    marked = right.text(0, 0, "as it is", gid=dark.KEPT)
    before, coloured = drawn(figure), numbers.get_facecolor().copy()
    box = image.get_window_extent().shrunk(0.7, 0.7)
    (x0, y0), (x1, y1) = np.round(box.get_points()).astype(int)
    inside = slice(100 - y1 + 2, 100 - y0 - 2), slice(x0 + 2, x1 - 2)  # of the image, without its frame

    dark.darken(figure)
    after = drawn(figure)
    light = dark.mirrored("black")
    mirrored = [artist.get_color() for artist in (title, aside, line)]
    assert np.allclose(mirrored, light)
    assert note.arrow_patch is not None
    assert np.allclose(note.arrow_patch.get_edgecolor(), light)
    assert np.allclose(aside.get_bbox_patch().get_facecolor(), dark.mirrored("white"))
    assert np.allclose(bar.get_facecolor(), dark.mirrored("#dbe9f6"))
    assert np.allclose(dots.get_facecolor(), [light, dark.mirrored("white")])
    assert np.allclose(numbers.get_facecolor(), coloured)
    assert [to_rgba(artist.get_color()) for artist in (over, frame, marked)] == [to_rgba("black")] * 3
    assert (before[0, 0] == 255).all()
    assert (after[0, 0] == 20).all()
    assert np.array_equal(before[inside], after[inside])
    assert before[inside].std() > 20


def test_loaded_into_ipython_a_figure_is_put_out_for_both_kinds_of_pages() -> None:
    shell: Any = InteractiveShell()  # type: ignore[no-untyped-call]
    dark.load_ipython_extension(shell)
    figure = Figure(figsize=(1, 1), dpi=50)
    figure.subplots()
    shown, _ = shell.display_formatter.format(figure)
    picture = Image.open(BytesIO(base64.b64decode(shown[dark.MIME]))).convert("L")
    assert picture.getpixel((0, 0)) == 20
    assert dark.MIME not in shell.display_formatter.format(3)[0]


def test_what_moves_is_put_out_for_dark_pages_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = learned_maps.numbers()
    per_step = {name: data[name][-4:] for name in ("step", "accuracy", "maps")}
    monkeypatch.setattr(learned_maps, "numbers", lambda: data | per_step)
    shell: Any = InteractiveShell()  # type: ignore[no-untyped-call]
    dark.load_ipython_extension(shell)
    shown, _ = shell.display_formatter.format(learned_maps.moving_maps())
    picture = Image.open(BytesIO(base64.b64decode(shown[dark.MIME])))
    assert getattr(picture, "n_frames", 1) > 1
    assert picture.convert("RGB").getpixel((0, 0)) == (20, 20, 20)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[1].glob("notebooks/**/*.ipynb")), ids=lambda path: path.stem
)
def test_a_picture_that_a_chapter_stores_is_described(path: Path) -> None:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            described = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            assert described, "".join(cell["source"])[:200]
