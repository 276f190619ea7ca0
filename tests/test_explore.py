"""The explore page: its arithmetic against NumPy, mistakes planted in it, and the page itself, all in Chromium.

Run by `make docs-check` (the marker `docs`).
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cbam_np as cb
from cbam_np import ops

ROOT = Path(__file__).parents[1]
ARITHMETIC = ROOT / "docs" / "_static" / "explore" / "arithmetic.js"

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
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
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
    f, w1, w2, d_out = (arrays[name][None] if name in "f d_out" else arrays[name] for name in ("f", "w1", "w2", "d_out"))
    keep = {path: float(path not in off) for path in ("straight", "avg_s", "max_s", "avg_c", "max_c")}

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
    d_f1 = keep["straight"] * d_f1 + keep["avg_s"] * avg_s_backward(d_pooled[:, :1])
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
    params = dict(zip(("channel.w1", "channel.w2", "spatial.kernel"), (arrays["w1"], arrays["w2"], arrays["kernel"][None])))
    f2, backward = cb.cbam(arrays["f"][None], params)
    d_f, grads = backward(arrays["d_out"][None])
    mine = in_numpy(arrays)
    for got, expected in zip((mine["f2"], mine["d_f"], mine["d_w1"], mine["d_w2"], mine["d_kernel"][None]), (f2[0], d_f[0], *grads.values())):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def test_the_page_computes_what_numpy_computes(blank: Any) -> None:
    got = in_the_browser(blank, ARITHMETIC.read_text(encoding="utf-8"), SAMPLES)
    assert [differences(each, in_numpy(arrays)) for each, arrays in zip(got, SAMPLES)] == [[]] * len(SAMPLES)


def test_the_samples_have_ties_of_both_kinds() -> None:
    def tied(values: np.ndarray) -> np.bool:
        return ((values == values.max(axis=1, keepdims=True)).sum(axis=1) > 1).any()

    f, f1 = SAMPLES[1]["f"], in_numpy(SAMPLES[1])["f1"]
    assert tied(f.reshape(4, -1))
    assert tied(f1.reshape(4, -1).T)


def test_a_kernel_as_the_package_has_it_gives_its_gradient_in_the_same_shape(blank: Any) -> None:
    arrays = SAMPLES[0] | {"kernel": SAMPLES[0]["kernel"][None]}
    (got,) = in_the_browser(blank, ARITHMETIC.read_text(encoding="utf-8"), [arrays])
    np.testing.assert_allclose(got["d_kernel"], in_numpy(SAMPLES[0])["d_kernel"][None], rtol=1e-12, atol=1e-13)


OFF = [("straight",), ("avg_s",), ("max_s",), ("avg_c",), ("max_c",), ("avg_s", "max_s"), ("straight", "avg_c", "max_s")]


@pytest.mark.parametrize("off", OFF, ids=" ".join)
def test_a_path_that_is_off_brings_nothing_back(blank: Any, off: tuple[str, ...]) -> None:
    got = blank.evaluate(
        f"""([arrays, off]) => {{ {ARITHMETIC.read_text(encoding="utf-8")};
        const {{ forward, backward, total }} = window.cbamExplore;
        const g = backward(forward(arrays), {{ f2: arrays.d_out }}, new Set(off));
        return {{ d_f: total(g.d_f), d_w1: total(g.d_w1), d_w2: total(g.d_w2), d_kernel: g.d_kernel }}; }}""",
        [{name: array.tolist() for name, array in SAMPLES[1].items()}, list(off)],
    )
    expected = in_numpy(SAMPLES[1], off)
    assert not differences(got, {name: expected[name] for name in ("d_f", "d_w1", "d_w2", "d_kernel")})
    assert differences(got, {name: in_numpy(SAMPLES[1])[name] for name in ("d_f",)})


BAD = {
    "f": ({"f": np.zeros((4, 8))}, "f: expected finite numbers of the shape (C, H, W), got (4, 8)"),
    "f, a number": ({"f": np.full((4, 8, 8), np.nan)}, "f: expected finite numbers"),
    "w1": ({"w1": np.zeros((2, 3))}, "w1: expected finite numbers of the shape (R, 4), got (2, 3)"),
    "w2": ({"w2": np.zeros((2, 4))}, "w2: expected finite numbers of the shape (4, 2), got (2, 4)"),
    "kernel": ({"kernel": np.zeros((3, 7, 7))}, "kernel: expected finite numbers of the shape (2, 7, 7), got (3, 7, 7)"),
    "kernel, an even size": ({"kernel": np.zeros((2, 4, 4))}, "kernel: expected an odd size, got 4"),
    "d_out": ({"d_out": np.zeros((4, 8, 7))}, "d_out: expected finite numbers of the shape (4, 8, 8), got (4, 8, 7)"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_input_gets_an_error_that_names_the_argument(blank: Any, bad: str) -> None:
    change, complaint = BAD[bad]
    nested = {name: array.tolist() for name, array in (SAMPLES[0] | change).items()}
    script = ARITHMETIC.read_text(encoding="utf-8")
    said = blank.evaluate(
        f"nested => {{ {script}; try {{ window.cbamExplore.run(nested); return ''; }} catch (e) {{ return e.message; }} }}",
        nested,
    )
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
    "the window is not centred": ("const p = (k - 1) / 2;\n\n    // (3), (4)", "const p = (k - 3) / 2;\n\n    // (3), (4)"),
    "the padding repeats the edge": (
        "if (row < 0 || row >= H || column < 0 || column >= W) continue;\n      z_s",
        "if (row < 0 || row >= H || column >= W) continue;\n      z_s",
    ),
    "the spatial gate multiplies f": ("m_s[i][j] * f1[c][i][j]);\n\n    return", "m_s[i][j] * f[c][i][j]);\n\n    return"),
    "the gate's gradient from f": ("d_f2[c][i][j] * f1[c][i][j]", "d_f2[c][i][j] * f[c][i][j]"),
    "the gate is left out of the straight path": ("d_f2[c][i][j] * m_s[i][j];", "d_f2[c][i][j];"),
    "sigmoid's slope is forgotten": ("d_m_s[i][j] * m_s[i][j] * (1 - m_s[i][j])", "d_m_s[i][j]"),
    "sigmoid's slope is forgotten, channels": ("d * m_c[c] * (1 - m_c[c])", "d * m_c[c]"),
    "the kernel's gradient from the wrong map": ("d_z_s[i][j] * max_s[row][column]", "d_z_s[i][j] * avg_s[row][column]"),
    "the kernel is flipped on the way back": ("d_z_s[i][j] * kernel[1][u][v]", "d_z_s[i][j] * kernel[1][v][u]"),
    "no share of the average": ("d_avg_s[i][j] / C", "d_avg_s[i][j]"),
    "the maximum is shared by all": ("d_f1.max_s[winner_s[i][j]]", "d_f1.max_s[0]"),
    "a path to F′ is forgotten": (" + d_f1.max_s[c][i][j]) * f[c]", ") * f[c]"),
    "the channel stage starts before the sum": (
        "(d_f1.straight[c][i][j] + d_f1.avg_s[c][i][j] + d_f1.max_s[c][i][j])",
        "(d_f1.straight[c][i][j])",
    ),
    "W2 sees one vector": ("on.max_c * d_z_c[c] * h_max[q]", "0"),
    "W1 from the wrong vector": ("d_z_max[q] * max_c[c]", "d_z_max[q] * avg_c[c]"),
    "ReLU lets everything back": ("(z_avg[q] > 0 ? d : 0)", "d"),
    "ReLU of the other vector": ("(z_max[q] > 0 ? d : 0)", "(z_avg[q] > 0 ? d : 0)"),
    "no share of the pixels": ("d_avg_c[c] / (H * W)", "d_avg_c[c] / H"),
    "the largest pixel gets nothing": ("d_f.max_c[c][i][j] += on.max_c * d_max_c[c]", "d_f.max_c[c][i][j] += 0"),
    "the channel gate is left out": ("m_c[c] * part[c][i][j]", "part[c][i][j]"),
    "a path is missing in the sum": ('["straight", "avg_s", "max_s", "avg_c", "max_c"]', '["straight", "avg_s", "max_s", "avg_c"]'),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mistake_planted_in_the_script_is_noticed(blank: Any, mutant: str) -> None:
    right, wrong = MUTANTS[mutant]
    script = ARITHMETIC.read_text(encoding="utf-8")
    assert script.count(right) == 1
    got = in_the_browser(blank, script.replace(right, wrong), SAMPLES)
    assert any(differences(each, in_numpy(arrays)) for each, arrays in zip(got, SAMPLES))
