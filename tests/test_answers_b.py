"""The short answers of chapters 7 to 12 and of the appendices: right ones are accepted, wrong ones are told why."""

import re
from pathlib import Path

import numpy as np
import pytest
from test_notebook_tool import build

from cbam_np.course import answer, answers_b
from cbam_np.inputs import namespace

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MINE = ("07_the", "08", "09", "10", "11", "12", "A1", "A2", "A3")
CHAPTERS = [path for path in sorted(NOTEBOOKS.glob("*.py")) if path.name.startswith(MINE)]
ASKED = re.compile(r'^answer\("(.+?)", (.+)\)$', re.MULTILINE)


def asked(path: Path) -> dict[str, str]:
    """Number and solution."""
    cells = build.read_text(path, solved=True).cells
    return dict(ASKED.findall("\n".join(cell.source for cell in cells if cell.cell_type == "code")))


def judge(number: str, value: object) -> str | None:
    found: str | None = getattr(answers_b, "a_" + number.replace(".", "_"))(value)
    return found


def test_every_answer_is_asked_once_in_its_chapter_and_accepted() -> None:
    found = {number: text for path in CHAPTERS for number, text in asked(path).items()}
    assert {"a_" + number.replace(".", "_") for number in found} == {n for n in vars(answers_b) if n.startswith("a_")}
    for path in CHAPTERS:
        for number, text in asked(path).items():
            assert number.split(".")[0] == path.name[:2].lstrip("0")
            if text not in ("stretch", "step", "fold"):
                assert judge(number, eval(text)) is None


@pytest.mark.parametrize(
    ("number", "value", "said"),
    [
        ("7.1", 3136, "the number of rows"),
        ("7.1", 200704, "the number of columns"),
        ("7.1", 5, "has 56 · 56 entries"),
        ("7.2", 6, "They multiply"),
        ("7.2", 3, "Count the paths"),
        ("8.1", 7, "lowest points"),
        ("8.1", 100, "lowest points"),
        ("8.1", 1e4, "lowest points"),
        ("8.1", 1_000_000, "lowest points"),
        ("8.2", 1, "the true slope"),
        ("8.2", 0.5, "a real number"),
        ("8.3", "df", '"f" is wrong: one entry'),
        ("8.3", "abf", "your check rejects it"),
        ("8.3", 3, "Expected letters"),
        ("10.1", 128, "What else does the block learn"),
        ("10.1", 177, "one for the maximum"),
        ("10.2", 1, "base 10"),
        ("10.2", -2.3026, "the sign"),
        ("10.2", 5, "1/10"),
        ("10.3", 0.932, "Expected two numbers"),
        ("10.3", (0.68, 0.932), "return w first"),
        ("10.3", (0.98, 0.68), "the old v"),
        ("10.3", (1.068, 0.68), "which sign"),
        ("10.3", (0.95, 0.5), "v: expected"),
        ("11.1", 49, "two input channels"),
        ("11.1", 7, "Subtract"),
        ("12.1", 0.75, "Expected a pair"),
        ("12.1", (0.375, 0), "not γ/v"),
        ("12.1", (0.75, -2), "multiplied by g"),
        ("12.1", (0.75, 5.5), "check the sign"),
        ("A2.1", (1, 49, 49), "In how many channels"),
        ("A2.1", (49, 147, 49), "The direct path"),
        ("A2.1", (1, 147, 147), "The maximum path"),
        ("A2.1", 3, "Expected three numbers"),
    ],
)
def test_a_wrong_answer_is_told_why(number: str, value: object, said: str) -> None:
    assert said in str(judge(number, value))


def test_a_training_step_is_judged() -> None:
    def in_place(w: np.ndarray, d_w: np.ndarray, v: np.ndarray, lr: float) -> object:
        v *= 0.9
        v += d_w
        return w - lr * v, v

    assert judge("10.4", lambda w, d_w, v, lr: (w - lr * (0.9 * v + d_w), 0.9 * v + d_w)) is None
    assert "two arrays" in str(judge("10.4", lambda w, d_w, v, lr: w - lr * v))
    assert "changes what it is given" in str(judge("10.4", in_place))
    assert str(judge("10.4", lambda w, d_w, v, lr: (w - lr * d_w, d_w))).startswith("v: expected")
    assert "the old v" in str(judge("10.4", lambda w, d_w, v, lr: (w - lr * v, 0.9 * v + d_w)))
    assert "w: expected" in str(judge("10.4", lambda w, d_w, v, lr: (w + lr * (0.9 * v + d_w), 0.9 * v + d_w)))


def test_a_function_for_any_array_is_judged_on_numpy_first_and_then_on_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    axes = (1, 2, 3)

    def right(m: np.ndarray) -> np.ndarray:
        xp = namespace(m=m)
        low = xp.min(m, axis=axes, keepdims=True)
        span = xp.max(m, axis=axes, keepdims=True) - low
        out: np.ndarray = (m - low) / xp.where(span > 0, span, xp.ones_like(span))
        return out

    def unguarded(m: np.ndarray) -> np.ndarray:
        low, high = m.min(axis=axes, keepdims=True), m.max(axis=axes, keepdims=True)
        return np.asarray((m - low) / (high - low))

    def whole_batch(m: np.ndarray) -> np.ndarray:
        return np.asarray((m - m.min()) / (m.max() - m.min()))

    def numpy_only(m: np.ndarray) -> np.ndarray:
        low = np.min(m, axis=axes, keepdims=True)
        span = np.max(m, axis=axes, keepdims=True) - low
        return np.asarray((m - low) / np.where(span > 0, span, 1.0))

    assert judge("A1.1", right) is None
    assert "0/0" in str(judge("A1.1", unguarded))
    assert "Each sample has its own" in str(judge("A1.1", whole_batch))
    assert "Right on NumPy, but not on other arrays" in str(judge("A1.1", numpy_only))
    assert "expected an array of that shape, got shape (3,)" in str(judge("A1.1", lambda m: m[:, 0, 0, 0]))

    def stub(m: np.ndarray) -> np.ndarray:
        raise NotImplementedError("not written yet")

    answer("A1.1", stub)
    assert capsys.readouterr().out == "A1.1: not written yet\n"


def test_dots_are_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    answer("12.1", ...)
    assert capsys.readouterr().out == "12.1: not answered yet\n"
