"""notebooks/build.py: what it writes is reproducible, and `check` notices every kind of difference."""

import importlib.util
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

TOOL = Path(__file__).parents[1] / "notebooks" / "build.py"

TEXT = '''\
# %% [markdown]
r"""
The map $\\sigma(z)$, a line and a number.
"""

# %% tags=["figure"]
import sys

import matplotlib.pyplot as plt

figure = plt.figure(figsize=(2, 1))
plt.plot([1, 3, 2])
print("to stdout", flush=True)
print("to stderr", file=sys.stderr, flush=True)
print("to stdout again")

# %%
6 * 7
'''


def load() -> ModuleType:
    """The tool as a module: it is a script, not part of a package."""
    spec = importlib.util.spec_from_file_location("notebooks_build", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load()


def png(value: int, size: tuple[int, int] = (4, 4), comment: str = "") -> bytes:
    """A grey picture, with a comment in it if one is given."""
    file, info = BytesIO(), PngImagePlugin.PngInfo()
    if comment:
        info.add_text("Software", comment)
    Image.fromarray(np.full(size, value, np.uint8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def coded(picture: bytes) -> str:
    return build.base64.b64encode(picture).decode()


def stored_by_hand(path: Path) -> Any:
    """What `run` would have left, without the cost of a kernel."""
    path.write_text(TEXT, encoding="utf-8")
    notebook = build.read_text(path)
    for count, cell in enumerate(notebook.cells[1:], 1):
        cell.execution_count = count
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="something\n")]
    return notebook


def save(notebook: Any, path: Path) -> None:
    path.with_suffix(".ipynb").write_text(build.desk.to_json(notebook), encoding="utf-8")


def test_two_runs_give_the_same_bytes_and_check_notices_a_changed_text_and_a_changed_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, changed = (tmp_path / f"{name}.py" for name in ("good", "bad", "changed"))
    good.write_text(TEXT, encoding="utf-8")
    changed.write_text(TEXT, encoding="utf-8")
    bad.write_text("# %%\nprint('before')\n\n# %%\n1 / 0\n", encoding="utf-8")

    assert build.main(["run", str(good), str(bad)]) == 1
    assert "bad: cell 2 raised ZeroDivisionError" in capsys.readouterr().err
    assert not bad.with_suffix(".ipynb").exists()
    first = good.with_suffix(".ipynb").read_bytes()
    assert build.main(["run", str(good)]) == 0
    assert good.with_suffix(".ipynb").read_bytes() == first

    notebook = nbformat.reads(first.decode(), as_version=4)
    stdout, stderr, figure = notebook.cells[1].outputs
    assert (stdout.text, stderr.text) == ("to stdout\nto stdout again\n", "to stderr\n")
    assert b"atplotlib" not in build.base64.b64decode(figure.data["image/png"])
    assert notebook.metadata == build.METADATA
    assert [cell.metadata for cell in notebook.cells] == [{}, {"tags": ["figure"]}, {}]

    notebook.cells[2].outputs[0].data["text/plain"] = "43"
    with Image.open(BytesIO(build.base64.b64decode(figure.data["image/png"]))) as image:
        moved, shifted = BytesIO(), np.roll(np.asarray(image), 2, axis=0)
    Image.fromarray(shifted).save(moved, "PNG")
    figure.data["image/png"] = coded(moved.getvalue())
    save(notebook, changed)
    capsys.readouterr()
    assert build.main(["check", str(good), str(changed)]) == 1
    report = capsys.readouterr().out
    assert "good: ok\n" in report
    assert "changed: differs\n" in report
    assert "-43\n  +42\n" in report
    assert "the picture of cell 2 differs: RMS" in report


def test_quick_check_accepts_what_run_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.py"
    save(stored_by_hand(path), path)
    assert build.main(["check", "--quick", str(path)]) == 0
    assert capsys.readouterr().out == "a: ok\n"


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("source", "+7 * 6"),
        ("metadata", '+--- code cell {"tags": ["other"]}'),
        ("kind", "+--- markdown cell {}"),
        ("nothing stored", "there is no .ipynb file"),
        ("no output", "no cell has an output"),
        ("not executed", "cell 3 has not been executed"),
        ("error", "cell 3 holds an error: ValueError: no"),
    ],
)
def test_quick_check_notices(tmp_path: Path, capsys: pytest.CaptureFixture[str], mistake: str, message: str) -> None:
    path = tmp_path / "a.py"
    notebook = stored_by_hand(path)
    if mistake == "no output":
        for cell in notebook.cells[1:]:
            cell.outputs = []
    elif mistake == "not executed":
        notebook.cells[2].execution_count = None
    elif mistake == "error":
        notebook.cells[2].outputs.append(nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[]))
    if mistake != "nothing stored":
        save(notebook, path)
    edits = {
        "source": ("6 * 7", "7 * 6"),
        "metadata": ("figure", "other"),
        "kind": ("# %%\n6 * 7", '# %% [markdown]\n"""6 * 7"""'),
    }
    path.write_text(TEXT.replace(*edits.get(mistake, ("", ""))), encoding="utf-8")
    assert build.main(["check", "--quick", str(path)]) == 1
    assert message in capsys.readouterr().out


EXERCISE = '''\
# %% [markdown]
r"""
See [the code](../cbam_np/arrays.py), [next](03_next.ipynb#top), [paper](https://example.org/a.md) and $[n](i,j)$.
"""

# %%
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    y = 2 * x

    return y
    ### END SOLUTION


print(double(21))
'''


def test_an_exercise_gives_a_stub_to_the_learner_and_a_solved_notebook_one_folder_deeper(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(EXERCISE, encoding="utf-8")
    learner, solved = build.versions(path)
    assert (learner.stored, solved.stored) == (tmp_path / "a.ipynb", tmp_path / "solutions" / "a.ipynb")
    text, stub = (cell.source for cell in build.read_text(path).cells)
    assert "(../cbam_np/arrays.py), [next](03_next.ipynb#top)" in text
    assert stub == (
        'def double(x):\n    """Twice x."""\n'
        '    raise NotImplementedError("not written yet")  # your code here\n\n\nprint(double(21))'
    )
    text, solution = (cell.source for cell in build.read_text(path, solved=True).cells)
    assert (
        "(../../cbam_np/arrays.py), [next](../03_next.ipynb#top), [paper](https://example.org/a.md) and $[n](i,j)$"
        in text
    )
    assert solution == ('def double(x):\n    """Twice x."""\n    y = 2 * x\n\n    return y\n\n\nprint(double(21))')


def test_run_and_check_cover_both_notebooks_of_an_exercise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.py"
    path.write_text(EXERCISE.replace("print(double(21))", "print(double.__doc__)"), encoding="utf-8")
    assert build.main(["run", str(path)]) == 0
    (tmp_path / "solutions" / "a.ipynb").unlink()
    assert build.main(["check", "--quick", str(path)]) == 1
    assert "a: ok\nsolutions/a: differs\n  there is no .ipynb file" in capsys.readouterr().out


def test_an_inserted_cell_leaves_the_ids_of_the_others_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    ids = []
    for text in (TEXT, TEXT.replace("# %%\n6", "# %%\n1 + 1\n\n# %%\n6"), TEXT + "\n# %%\n6 * 7\n"):
        path.write_text(text, encoding="utf-8")
        ids.append([cell.id for cell in build.read_text(path).cells])
    before, inserted, repeated = ids
    assert [*inserted[:2], inserted[3]] == before
    assert repeated == [*before, f"{before[2]}-2"]


def test_picture_distance_is_the_root_mean_square_over_all_pixels() -> None:
    assert build.picture_distance(coded(png(10)), coded(png(10, comment="another"))) == 0
    # three of the four channels (red, green, blue, opacity) differ by 4
    assert build.picture_distance(coded(png(10)), coded(png(14))) == pytest.approx(np.sqrt(3 / 4) * 4)
    assert build.picture_distance(coded(png(10)), coded(png(10, size=(4, 5)))) == float("inf")


def test_a_picture_without_its_comments_is_the_same_picture() -> None:
    assert build.without_text(png(10, comment="drawn by version 1")) == png(10)


def test_a_notebook_that_does_not_exist_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        build.main(["check", "no_such_notebook"])
    assert stop.value.code == 2
    assert "no_such_notebook.py" in capsys.readouterr().err
