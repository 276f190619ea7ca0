"""The explore page: its arithmetic against NumPy, mistakes planted in it, and the page itself, all in Chromium.

Run by `make docs-check` (the marker `docs`).
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cbam_np as cb
from cbam_np import ops

ROOT = Path(__file__).parents[1]
SCRIPT = (ROOT / "docs" / "_static" / "explore" / "arithmetic.js").read_text(encoding="utf-8")

pytestmark = pytest.mark.docs

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    names = "chromium", "chromium-browser", "google-chrome"
    executable = next(filter(None, map(shutil.which, names)), None)
    assert executable, f"this test needs Chromium: expected one of {', '.join(names)} on the path, got none"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def blank(browser: Any) -> Iterator[Any]:
    """A page with nothing on it, to run the script in."""
    page = browser.new_page()
    yield page
    page.close()


# --- the arithmetic -------------------------------------------------------------------------------------------------


def sample(C: int, H: int, W: int, R: int, k: int, seed: int, tied: bool = False) -> Arrays:
    """Random arguments of `cbamExplore.run`; with `tied` features that are small integers, many of them equal."""
    rng = np.random.default_rng(seed)
    shapes = {"f": (C, H, W), "w1": (R, C), "w2": (C, R), "kernel": (2, k, k), "d_out": (C, H, W)}
    arrays: Arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    if tied:
        arrays["f"] = rng.integers(-1, 3, (C, H, W)) * 1.0
        arrays["w1"][:, :] = arrays["w1"][:, :1]  # as many channels as possible get the same gate:
        arrays["w2"][:, :] = arrays["w2"][:1]  # then maxima over channels tie as well
    return arrays


SAMPLES = [
    sample(4, 8, 8, 2, 7, seed=0),
    sample(4, 8, 8, 2, 7, seed=1, tied=True),
    sample(3, 5, 7, 3, 7, seed=2),
    sample(2, 8, 3, 1, 3, seed=3, tied=True),
    sample(1, 1, 1, 1, 7, seed=4),
    sample(4, 8, 8, 4, 5, seed=5),
]


def in_numpy(arrays: Arrays, off: tuple[str, ...] = ()) -> Arrays:
    """What `run` has to return; of the paths in `off` nothing comes back."""
    f, w1, w2, d_out = (
        arrays[name][None] if name in "f d_out" else arrays[name] for name in ("f", "w1", "w2", "d_out")
    )
    keep = {path: float(path not in off) for path in ("direct", "avg_s", "max_s", "avg_c", "max_c")}

    avg_c, avg_c_backward = ops.avg_pool_over_space(f)
    max_c, max_c_backward = ops.max_pool_over_space(f)
    z_avg, mlp_avg_backward = ops.mlp(avg_c, w1, w2)
    z_max, mlp_max_backward = ops.mlp(max_c, w1, w2)
    m_c, sigmoid_c_backward = ops.sigmoid(z_avg + z_max)
    f1, gate_c_backward = ops.gate(m_c[:, :, None, None], f)
    avg_s, avg_s_backward = ops.avg_pool_over_channels(f1)
    max_s, max_s_backward = ops.max_pool_over_channels(f1)
    z_s, conv_backward = ops.conv2d(np.concatenate([avg_s, max_s], axis=1), arrays["kernel"][None])
    m_s, sigmoid_s_backward = ops.sigmoid(z_s)
    f2, gate_s_backward = ops.gate(m_s, f1)

    d_m_s, d_f1 = gate_s_backward(d_out)
    d_pooled, d_kernel, *_ = conv_backward(sigmoid_s_backward(d_m_s))
    d_f1 = keep["direct"] * d_f1 + keep["avg_s"] * avg_s_backward(d_pooled[:, :1])
    d_f1 = d_f1 + keep["max_s"] * max_s_backward(d_pooled[:, 1:])
    d_m_c, d_f = gate_c_backward(d_f1)
    d_z_c = sigmoid_c_backward(d_m_c[:, :, 0, 0])
    d_avg_c, d_w1_avg, d_w2_avg, *_ = mlp_avg_backward(d_z_c)
    d_max_c, d_w1_max, d_w2_max, *_ = mlp_max_backward(d_z_c)
    d_f = d_f + keep["avg_c"] * avg_c_backward(d_avg_c) + keep["max_c"] * max_c_backward(d_max_c)
    return {
        "m_c": m_c[0],
        "m_s": m_s[0, 0],
        "f1": f1[0],
        "f2": f2[0],
        "d_f": d_f[0],
        "d_w1": keep["avg_c"] * d_w1_avg + keep["max_c"] * d_w1_max,
        "d_w2": keep["avg_c"] * d_w2_avg + keep["max_c"] * d_w2_max,
        "d_kernel": d_kernel[0] * np.array([keep["avg_s"], keep["max_s"]])[:, None, None],
    }


def in_the_browser(page: Any, script: str, arrays: list[Arrays]) -> list[Any]:
    """What the script's `run` returns, or None where it throws an error."""
    nested = [{name: array.tolist() for name, array in each.items()} for each in arrays]
    attempt = "each => { try { return window.cbamExplore.run(each); } catch (error) { return null; } }"
    return page.evaluate(f"nested => {{ {script}; return nested.map({attempt}); }}", nested)


def differences(got: Any, expected: Arrays) -> list[str]:
    """The names of the results that differ by more than 1e-12 of the largest entry."""
    if got is None:
        return ["an error"]
    wrong = [] if set(got) == set(expected) else ["other names"]
    for name, array in expected.items():
        found = np.array(got.get(name, np.nan), dtype=float)
        near = found.shape == array.shape and np.abs(found - array).max() <= 1e-12 * max(1, np.abs(array).max())
        wrong += [] if near else [name]
    return wrong


@pytest.mark.parametrize("arrays", SAMPLES, ids=lambda arrays: str(arrays["f"].shape))
def test_the_paths_together_are_the_block(arrays: Arrays) -> None:
    w1, w2, kernel = arrays["w1"], arrays["w2"], arrays["kernel"][None]
    params = {"channel.w1": w1, "channel.w2": w2, "spatial.kernel": kernel}
    f2, backward = cb.cbam(arrays["f"][None], params)
    d_f, grads = backward(arrays["d_out"][None])
    mine = in_numpy(arrays)
    names = ("f2", "d_f", "d_w1", "d_w2", "d_kernel")
    for name, expected in zip(names, (f2[0], d_f[0], *grads.values()), strict=True):
        got = mine[name].reshape(expected.shape)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def test_the_page_computes_what_numpy_computes(blank: Any) -> None:
    got = in_the_browser(blank, SCRIPT, SAMPLES)
    for each, arrays in zip(got, SAMPLES, strict=True):
        assert not differences(each, in_numpy(arrays))


def test_the_samples_have_ties_of_both_kinds() -> None:
    def tied(values: np.ndarray) -> np.bool:
        return ((values == values.max(axis=1, keepdims=True)).sum(axis=1) > 1).any()

    f, f1 = SAMPLES[1]["f"], in_numpy(SAMPLES[1])["f1"]
    assert tied(f.reshape(4, -1))
    assert tied(f1.reshape(4, -1).T)


def test_a_kernel_as_the_package_has_it_gives_its_gradient_in_the_same_shape(blank: Any) -> None:
    arrays = SAMPLES[0] | {"kernel": SAMPLES[0]["kernel"][None]}
    (got,) = in_the_browser(blank, SCRIPT, [arrays])
    np.testing.assert_allclose(got["d_kernel"], in_numpy(SAMPLES[0])["d_kernel"][None], rtol=1e-12, atol=1e-13)


OFF = [
    ("direct",),
    ("avg_s",),
    ("max_s",),
    ("avg_c",),
    ("max_c",),
    ("avg_s", "max_s"),
    ("direct", "avg_c", "max_s"),
]


@pytest.mark.parametrize("off", OFF, ids=" ".join)
def test_a_path_that_is_off_brings_nothing_back(blank: Any, off: tuple[str, ...]) -> None:
    got = blank.evaluate(
        f"""([arrays, off]) => {{ {SCRIPT};
        const {{ forward, backward, total }} = window.cbamExplore;
        const g = backward(forward(arrays), {{ f2: arrays.d_out }}, new Set(off));
        return {{ d_f: total(g.d_f), d_w1: total(g.d_w1), d_w2: total(g.d_w2), d_kernel: g.d_kernel }}; }}""",
        [{name: array.tolist() for name, array in SAMPLES[1].items()}, list(off)],
    )
    expected = in_numpy(SAMPLES[1], off)
    assert not differences(got, {name: expected[name] for name in ("d_f", "d_w1", "d_w2", "d_kernel")})
    assert differences(got, {name: in_numpy(SAMPLES[1])[name] for name in ("d_f",)})


BAD: dict[str, tuple[Arrays, str]] = {
    "f": ({"f": np.zeros((4, 8))}, "f: expected finite numbers of the shape (C, H, W), got (4, 8)"),
    "f, a number": ({"f": np.full((4, 8, 8), np.nan)}, "f: expected finite numbers"),
    "w1": ({"w1": np.zeros((2, 3))}, "w1: expected finite numbers of the shape (R, 4), got (2, 3)"),
    "w2": ({"w2": np.zeros((2, 4))}, "w2: expected finite numbers of the shape (4, 2), got (2, 4)"),
    "kernel": (
        {"kernel": np.zeros((3, 7, 7))},
        "kernel: expected finite numbers of the shape (2, 7, 7), got (3, 7, 7)",
    ),
    "kernel, an even size": ({"kernel": np.zeros((2, 4, 4))}, "kernel: expected an odd size, got 4"),
    "d_out": ({"d_out": np.zeros((4, 8, 7))}, "d_out: expected finite numbers of the shape (4, 8, 8), got (4, 8, 7)"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_gets_an_error_that_names_the_argument(blank: Any, bad: str) -> None:
    change, complaint = BAD[bad]
    nested = {name: array.tolist() for name, array in (SAMPLES[0] | change).items()}
    attempt = "try { window.cbamExplore.run(nested); return ''; } catch (error) { return error.message; }"
    said = blank.evaluate(f"nested => {{ {SCRIPT}; {attempt} }}", nested)
    assert complaint in said


MUTANTS = {
    "the average is a sum": ("avg_c[c] += f[c][i][j] / (H * W)", "avg_c[c] += f[c][i][j]"),
    "a tie over space goes to the last": ("f[c][i][j] > max_c[c]", "f[c][i][j] >= max_c[c]"),
    "the maximum starts at zero": ("max_c = filled([C], () => -Infinity)", "max_c = zeros(C)"),
    "no ReLU": ("h_max = z_max.map(relu)", "h_max = z_max"),
    "one vector is left out of the gate": ("w2[c][q] * h_avg[q] + w2[c][q] * h_max[q]", "w2[c][q] * h_avg[q]"),
    "W2 is transposed in the gate": ("z_c[c] += w2[c][q] * h_avg[q]", "z_c[c] += w2[q % C][c % R] * h_avg[q]"),
    "the average over channels is over f": ("avg_s[i][j] += f1[c][i][j] / C", "avg_s[i][j] += f[c][i][j] / C"),
    "a tie over channels goes to the last": ("f1[c][i][j] > max_s[i][j]", "f1[c][i][j] >= max_s[i][j]"),
    "the kernel is flipped": ("z_s[i][j] += kernel[0][u][v]", "z_s[i][j] += kernel[0][k - 1 - u][k - 1 - v]"),
    "the two halves of the kernel are swapped": (
        "kernel[0][u][v] * avg_s[row][column] + kernel[1][u][v]",
        "kernel[1][u][v] * avg_s[row][column] + kernel[0][u][v]",
    ),
    "the window is not centred": (
        "const p = (k - 1) / 2;\n\n    // (3), (4)",
        "const p = (k - 3) / 2;\n\n    // (3), (4)",
    ),
    "the padding repeats the edge": (
        "if (row < 0 || row >= H || column < 0 || column >= W) continue;\n      z_s",
        "if (row < 0 || row >= H || column >= W) continue;\n      z_s",
    ),
    "the spatial gate multiplies f": (
        "m_s[i][j] * f1[c][i][j]);\n\n    return",
        "m_s[i][j] * f[c][i][j]);\n\n    return",
    ),
    "the gate's gradient from f": ("d_f2[c][i][j] * f1[c][i][j]", "d_f2[c][i][j] * f[c][i][j]"),
    "the gate is left out of the direct path": ("d_f2[c][i][j] * m_s[i][j];", "d_f2[c][i][j];"),
    "sigmoid's slope is forgotten": ("d_m_s[i][j] * m_s[i][j] * (1 - m_s[i][j])", "d_m_s[i][j]"),
    "sigmoid's slope is forgotten, channels": ("d * m_c[c] * (1 - m_c[c])", "d * m_c[c]"),
    "the kernel's gradient from the wrong map": (
        "d_z_s[i][j] * max_s[row][column]",
        "d_z_s[i][j] * avg_s[row][column]",
    ),
    "the kernel is flipped in the backward pass": ("d_z_s[i][j] * kernel[1][u][v]", "d_z_s[i][j] * kernel[1][v][u]"),
    "no share of the average": ("d_avg_s[i][j] / C", "d_avg_s[i][j]"),
    "the maximum is shared by all": ("d_f1.max_s[winner_s[i][j]]", "d_f1.max_s[0]"),
    "a path to F′ is forgotten": (" + d_f1.max_s[c][i][j]) * f[c]", ") * f[c]"),
    "the channel stage starts before the sum": (
        "(d_f1.direct[c][i][j] + d_f1.avg_s[c][i][j] + d_f1.max_s[c][i][j])",
        "(d_f1.direct[c][i][j])",
    ),
    "W2 sees one vector": ("on.max_c * d_z_c[c] * h_max[q]", "0"),
    "W1 from the wrong vector": ("d_z_max[q] * max_c[c]", "d_z_max[q] * avg_c[c]"),
    "ReLU lets everything back": ("(z_avg[q] > 0 ? d : 0)", "d"),
    "ReLU of the other vector": ("(z_max[q] > 0 ? d : 0)", "(z_avg[q] > 0 ? d : 0)"),
    "no share of the pixels": ("d_avg_c[c] / (H * W)", "d_avg_c[c] / H"),
    "the largest pixel gets nothing": ("d_f.max_c[c][i][j] += on.max_c * d_max_c[c]", "d_f.max_c[c][i][j] += 0"),
    "the channel gate is left out": ("m_c[c] * part[c][i][j]", "part[c][i][j]"),
    "a path is missing in the sum": (
        '["direct", "avg_s", "max_s", "avg_c", "max_c"]',
        '["direct", "avg_s", "max_s", "avg_c"]',
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mistake_planted_in_the_script_is_noticed(blank: Any, mutant: str) -> None:
    right, wrong = MUTANTS[mutant]
    assert SCRIPT.count(right) == 1
    got = in_the_browser(blank, SCRIPT.replace(right, wrong), SAMPLES)
    assert any(differences(each, in_numpy(arrays)) for each, arrays in zip(got, SAMPLES, strict=True))


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the page, built alone and read from the disk, as somebody without a network would."""
    target = tmp_path_factory.mktemp("explore")
    command = [sys.executable, "-m", "sphinx", "-q", "-c", str(ROOT / "docs"), "-d", str(target / "trees")]
    command += [
        "-D",
        "root_doc=docs/explore",
        "-D",
        "include_patterns=docs/explore.md",
        str(ROOT),
        str(target / "html"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (target / "html" / "docs" / "explore.html").as_uri()


@pytest.fixture
def opened(browser: Any, site: str) -> Iterator[Callable[..., Any]]:
    """Opens the page in a window of its own; nothing may come from elsewhere, and no error may be printed."""
    windows: list[Any] = []
    trouble: list[str] = []

    def open_page(link: str = "", width: int = 1280, **options: Any) -> Any:
        windows.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = windows[-1].new_page()
        page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda r: trouble.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
        page.goto(site + link)
        return page

    yield open_page
    for window in windows:
        window.close()
    assert not trouble


def point(page: Any, name: str, i: int, j: int) -> tuple[float, float]:
    """The middle of a cell of the map `name`, on the screen."""
    svg = page.locator(f'[data-map="{name}"]')
    svg.evaluate("svg => svg.scrollIntoView({block: 'center', behavior: 'instant'})")
    box, cells = svg.bounding_box(), svg.get_attribute("viewBox").split()
    _, _, width, height = map(float, cells)
    return box["x"] + box["width"] * (j + 0.58) / width, box["y"] + box["height"] * (i + 0.58) / height


def click(page: Any, name: str, i: int, j: int) -> None:
    page.mouse.click(*point(page, name, i, j))


def state_of(page: Any) -> Any:
    return page.evaluate(
        """() => { const { state, values, gradients, total } = window.cbamExplore;
        const s = state(), v = values(), g = gradients();
        return { f: s.f, w1: s.w1, w2: s.w2, kernel: s.kernel, chosen: s.chosen, off: [...s.off], step: s.step,
          everywhere: s.everywhere, m_c: v.m_c, m_s: v.m_s, f1: v.f1, f2: v.f2, d_f2: g.d_f2,
          d_f: total(g.d_f), d_w1: total(g.d_w1), d_w2: total(g.d_w2), d_kernel: g.d_kernel }; }"""
    )


def is_right(state: Any) -> bool:
    """Whether maps and gradients on the page are those of NumPy."""
    arrays = {name: np.array(state[name], dtype=float) for name in ("f", "w1", "w2", "kernel")}
    expected = in_numpy(arrays | {"d_out": np.array(state["d_f2"], dtype=float)}, tuple(state["off"]))
    return not differences({name: state[name] for name in expected}, expected)


def test_a_click_on_an_output_shows_its_gradient(opened: Callable[..., Any]) -> None:
    page = opened()
    click(page, "f2.2", 5, 1)
    state = state_of(page)
    assert state["chosen"] == ["f2", 2, 5, 1]
    assert np.array(state["d_f2"])[2, 5, 1] == np.abs(state["d_f2"]).sum() == 1
    assert is_right(state)
    assert page.locator(".subject").inner_text() == "The gradient of F″[2, 5, 1] on F, path by path"
    colours = page.locator("[data-panel] .marks path").evaluate_all(
        "p => p.map(x => getComputedStyle(x).fill + getComputedStyle(x).stroke)"
    )
    assert len(set(colours)) >= 5


@pytest.mark.parametrize("name", ["f1.1", "m_s", "avg_s", "max_s"])
def test_any_map_can_be_the_output(opened: Callable[..., Any], name: str) -> None:
    page = opened()
    click(page, name, 3, 4)
    assert state_of(page)["chosen"] == [*(int(part) if part.isdigit() else part for part in name.split(".")), 3, 4]
    assert np.abs(state_of(page)["d_f"]).max() > 0


def test_a_gate_can_be_the_output(opened: Callable[..., Any]) -> None:
    page = opened()
    page.locator('[data-bar="m_c.1"]').click()
    state = state_of(page)
    assert state["chosen"] == ["m_c", 1]
    params = {f"channel.{name}": np.array(state[name]) for name in ("w1", "w2")}
    _, backward = cb.channel_map(np.array(state["f"])[None], params)
    one = np.array([0.0, 1, 0, 0]).reshape(1, 4, 1, 1)
    d_f, grads = backward(one)
    assert not differences(
        {name: state[name] for name in ("d_f", "d_w1", "d_w2")},
        dict(zip(("d_f", "d_w1", "d_w2"), (d_f[0], *grads.values()), strict=True)),
    )


def test_a_path_is_switched_off_and_on(opened: Callable[..., Any]) -> None:
    page = opened("#at=f2.1.3.3")
    whole = state_of(page)["d_f"]
    for path in ("max_c", "avg_s"):
        page.locator(f'[data-path="{path}"]').uncheck()
        assert page.locator(f'[data-panel="{path}"] .marks path').count() == 0
    state = state_of(page)
    assert state["off"] == ["max_c", "avg_s"]
    assert is_right(state)
    assert state["d_f"] != whole
    for path in ("max_c", "avg_s"):
        page.locator(f'[data-path="{path}"]').check()
    assert state_of(page)["d_f"] == whole


def test_all_outputs_at_once(opened: Callable[..., Any]) -> None:
    page = opened()
    page.locator('[data-do="everywhere"]').check()
    state = state_of(page)
    assert np.count_nonzero(state["d_f2"]) == 256
    assert is_right(state)


def test_f_is_painted(opened: Callable[..., Any]) -> None:
    page = opened()
    before = state_of(page)["f"]
    x, y = point(page, "f.1", 6, 1)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(*point(page, "f.1", 6, 2), steps=4)
    page.mouse.up()
    state = state_of(page)
    changed = np.array(state["f"]) - np.array(before)
    assert sorted(map(tuple, np.argwhere(changed))) == [(1, 6, 1), (1, 6, 2)]
    assert np.allclose(changed[changed != 0], 0.25)
    assert is_right(state)
    page.locator('[name="brush"][value="zero"]').check()
    click(page, "f.1", 6, 2)
    assert state_of(page)["f"][1][6][2] == 0


@pytest.mark.parametrize(("name", "at"), [("w1", (1, 2)), ("w2", (3, 1)), ("kernel.1", (2, 5))])
def test_weights_are_dragged(opened: Callable[..., Any], name: str, at: tuple[int, int]) -> None:
    page = opened()
    array, *prefix = name.split(".")
    before = np.array(state_of(page)[array])
    x, y = point(page, name, *at)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 25, y - 5, steps=3)
    page.mouse.up()
    page.mouse.move(x - 25, y)
    state = state_of(page)
    changed = np.array(state[array]) - before
    place = (*map(int, prefix), *at)
    assert changed[place] == pytest.approx(0.6)
    assert np.count_nonzero(changed) == 1
    assert is_right(state)


def test_everything_can_be_done_with_the_keyboard(opened: Callable[..., Any]) -> None:
    page = opened()
    before = state_of(page)
    page.locator('[data-map="f2.3"]').focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert state_of(page)["chosen"] == ["f2", 3, 1, 1]
    assert page.locator(".explore-aloud[aria-live]").inner_text().startswith("F″[3, 1, 1] = ")
    page.locator('[data-map="w1"]').focus()
    for key in ("ArrowRight", "+", "+"):
        page.keyboard.press(key)
    assert state_of(page)["w1"][0][1] == pytest.approx(before["w1"][0][1] + 0.1)
    page.locator('[data-map="f.0"]').focus()
    page.keyboard.press(" ")
    assert state_of(page)["f"][0][0][0] == pytest.approx(before["f"][0][0][0] + 0.25)
    page.keyboard.press("-")
    assert state_of(page)["f"][0][0][0] == pytest.approx(before["f"][0][0][0] + 0.2)
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(({ map, path, do: what }) => map ?? path ?? what)(document.activeElement.dataset)"))
    assert {"kernel.0", "m_s", "avg_s", "direct", "max_c", "next", "slide"} <= reached


def test_a_finger_chooses_and_paints(opened: Callable[..., Any]) -> None:
    page = opened(width=390, has_touch=True, is_mobile=True)
    page.touchscreen.tap(*point(page, "f2.1", 4, 3))
    assert state_of(page)["chosen"] == ["f2", 1, 4, 3]
    before = state_of(page)["f"][2][0][0]
    page.touchscreen.tap(*point(page, "f.2", 0, 0))
    assert state_of(page)["f"][2][0][0] == pytest.approx(before + 0.25)


def test_a_link_keeps_the_state(opened: Callable[..., Any]) -> None:
    page = opened()
    page.locator('[data-preset="noise"]').click()
    page.locator('[aria-label="kernel"]').select_option("left edge")
    page.locator('[data-map="w2"]').focus()
    page.keyboard.press("PageDown")
    click(page, "m_s", 2, 6)
    page.locator('[data-path="direct"]').uncheck()
    for _ in range(4):
        page.locator('[data-do="next"]').click()
    page.wait_for_function("location.hash.includes('step=3')")
    link = page.evaluate("location.hash")
    assert len(link) < 1000
    again = opened(link)
    assert state_of(again) == state_of(page)
    assert again.locator(".counter").inner_text() == page.locator(".counter").inner_text()


@pytest.mark.parametrize(
    "link", ["#five-tasks", "#at=f2.9.9.9&off=nowhere&step=99&f=rubbish", "#at=", "#at=__proto__.1"]
)
def test_a_damaged_link_does_no_harm(opened: Callable[..., Any], link: str) -> None:
    state = state_of(opened(link))
    assert is_right(state)
    assert state["off"] == []


SIDES = {"σ": lambda z: 1 / (1 + np.exp(-z)), "ReLU": lambda z: max(z, 0.0), "max": max}


def sides(line: str) -> list[float]:
    """What the parts of `a = b = c` are worth, as far as they are written in numbers alone."""
    found = []
    for part in re.split(r" = |;|, open|, closed", line.replace("−", "-").replace("·", "*"))[1:]:
        plain = re.sub(r"\[(.*?) > 0\]", r"(\1 > 0)", part).split("  (")[0]
        if plain.strip() and not re.search(r"…|[A-Z]′?[\[_]|tie|count", plain):
            found.append(float(eval(plain, {"__builtins__": {}}, SIDES)))
    return found


def test_the_steps_go_through_all_lines_and_their_numbers_add_up(opened: Callable[..., Any]) -> None:
    page = opened("#at=f2.0.4.5")
    checked, formulas = 0, set()
    for step in range(21):
        page.locator('[data-do="next"]').click()
        assert state_of(page)["step"] == step
        visible = page.locator(".explore-step:visible")
        assert visible.count() == 1
        formulas.add(visible.locator(".katex").last.inner_text())
        for line in page.locator(".numbers p").all_inner_texts():
            worth = sides(line)
            assert worth, line
            assert np.allclose(worth, worth[-1], rtol=0, atol=4e-3), line
            checked += len(worth) > 1
    assert len(formulas) == 21
    assert checked > 15
    assert page.locator('[data-do="next"]').is_disabled()
    page.locator('[data-do="all"]').click()
    assert page.locator(".explore-step:visible").count() == 0


def test_a_line_that_does_not_add_up_is_noticed() -> None:
    assert sides("M_c[0] = σ(0.500 + (−0.500)) = σ(0.000) = 0.500") == [0.5, 0.5, 0.5]
    assert sides("F′[0, 1, 2] = 2.000 · 0.500 = 1.100") == [1.0, 1.1]
    assert sides("dz_avg[0] = [−0.100 > 0] · 3.000 = 0.000, closed") == [0.0, 0.0]


def test_later_lines_are_faded_and_what_is_given_never_is(opened: Callable[..., Any]) -> None:
    page = opened("#at=f2.0.4.5&step=4")
    faded = set(page.locator(".later[data-array]").evaluate_all("e => e.map(x => x.dataset.array)"))
    assert {"avg_s", "m_s", "f2", "d_f", "d_kernel"} <= faded
    assert not faded & {"f", "w1", "w2", "kernel", "avg_c", "m_c", "f1"}


def test_ties_are_shown(opened: Callable[..., Any]) -> None:
    page = opened()
    assert "(4)" not in page.locator(".ties").inner_text()
    page.locator('[data-preset="ties"]').click()
    assert "share the maximum (4)" in page.locator(".ties").inner_text()
    assert page.locator('[data-map="f.0"] .first').count() == 1
    assert page.locator('[data-map="f.0"] .tied').count() > 1
    assert is_right(state_of(page))


def done(page: Any) -> list[bool]:
    return page.locator(".explore-tasks li").evaluate_all("items => items.map(item => item.classList.contains('done'))")


def test_the_tasks_check_themselves(opened: Callable[..., Any]) -> None:
    page = opened()
    assert done(page) == [False] * 5
    page.locator('[data-map="w2"]').focus()
    for key in ("ArrowDown", "ArrowDown", *["PageDown"] * 5):  # the weights of channel 2
        page.keyboard.press(key)
    assert done(page) == [True, False, False, False, False]
    for path in ("avg_s", "max_s", "avg_c", "max_c"):
        assert not done(page)[1]
        page.locator(f'[data-path="{path}"]').uncheck()
    assert done(page) == [True, True, False, False, False]
    page.locator('[data-map="w1"]').focus()
    for row in range(2):
        assert not done(page)[2]
        for _ in range(4):
            for _ in range(6):
                page.keyboard.press("PageDown")
            page.keyboard.press("ArrowLeft" if row else "ArrowRight")
        page.keyboard.press("ArrowDown")
    assert done(page) == [True, True, True, False, False]
    page.locator('[data-map="f.0"]').focus()
    for _ in range(8):
        page.keyboard.press("PageUp")
    assert not done(page)[3]
    page.keyboard.press("ArrowDown")
    for _ in range(8):
        page.keyboard.press("PageUp")
    assert done(page) == [True, True, True, True, False]
    page.locator('[data-preset="digit"]').click()
    page.locator('[aria-label="kernel"]').select_option("one pixel")
    page.locator('[data-map="kernel.1"]').focus()
    for key in ("ArrowDown",) * 3 + ("ArrowRight",) * 3 + ("PageUp",) * 8:
        page.keyboard.press(key)
    page.locator('[data-do="reset"]').click()
    assert done(page) == [True, True, True, True, False]
    page.locator('[data-map="kernel.1"]').focus()
    for key in [*(("PageUp",) * 8), "ArrowRight"] * 6:
        page.keyboard.press(key)
    click(page, "m_s", 4, 6)
    assert done(page) == [True] * 5


def test_the_window_slides_and_stands_still_where_motion_is_not_wanted(opened: Callable[..., Any]) -> None:
    page = opened()
    frame = page.locator('[data-map="m_s"] .window')
    page.locator('[data-do="slide"]').click()
    page.wait_for_function("document.querySelector('[data-map=\"m_s\"] .window').getAttribute('x') === '2'")
    page.locator('[data-do="slide"]').click()
    assert frame.get_attribute("display") == "none"
    still = opened(reduced_motion="reduce")
    still.locator('[data-do="slide"]').click()
    still.wait_for_timeout(400)
    assert still.locator('[data-map="m_s"] .window').get_attribute("x") == "0"
    still.locator('[data-do="slide"]').click()
    assert still.locator('[data-map="m_s"] .window').get_attribute("x") == "1"
    box = {
        key: float(still.locator('[data-map="avg_s"] .window').get_attribute(key))
        for key in ("x", "y", "width", "height")
    }
    assert box == {"x": 0, "y": 0, "width": 5, "height": 4}  # cut off at the edge: pixel (0, 1)


COLOURS = """() => [getComputedStyle(document.querySelector(".explore .cell")).fill,
    getComputedStyle(document.body).backgroundColor]
    .map(colour => colour.match(/[0-9]+/g).slice(0, 3).reduce((all, x) => all + Number(x), 0))"""
OVERLAPS = """() => {
    const boxes = [...document.querySelectorAll(".picture > *")].map(e => e.getBoundingClientRect());
    const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
    return boxes.filter((a, k) => boxes.slice(k + 1).some(b => meet(a, b))).length; }"""
SPILLS = """() => [...document.querySelectorAll(".picture :is(svg, button, select)")].filter(part => {
    const a = part.getBoundingClientRect(), b = part.closest(".picture > *").getBoundingClientRect();
    return a.right > b.right + 2 || a.left < b.left - 2; }).length"""


@pytest.mark.parametrize("width", [390, 800, 1280])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_fits_and_follows_the_colours(opened: Callable[..., Any], width: int, colours: str) -> None:
    page = opened(width=width, color_scheme=colours)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = page.evaluate(COLOURS)
    assert (ink < 250 and paper > 700) if colours == "light" else (ink > 600 and paper < 150)
    assert page.evaluate(OVERLAPS) == 0
    assert page.evaluate(SPILLS) == 0
