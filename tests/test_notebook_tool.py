"""notebooks/build.py: what it writes is reproducible, and `check` notices every kind of difference."""

import copy
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


@pytest.mark.long
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
        ("no metadata", '---- code cell {"tags": ["figure"]}'),
        ("kind", "+--- markdown cell {}"),
        ("nothing stored", "there is no .ipynb file"),
        ("broken", "a.ipynb can't be read as a notebook"),
        ("answer in a file that is out of date", "+7 * 6"),
    ],
)
def test_quick_check_notices(tmp_path: Path, capsys: pytest.CaptureFixture[str], mistake: str, message: str) -> None:
    path = tmp_path / "a.py"
    notebook = stored_by_hand(path)
    if mistake.startswith("answer"):
        notebook.cells[1].source = "answer"
    if mistake != "nothing stored":
        save(notebook, path)
    if mistake == "broken":
        path.with_suffix(".ipynb").write_text("<<<<<<< mine", encoding="utf-8")
    edits = {
        "source": ("6 * 7", "7 * 6"),
        "answer in a file that is out of date": ("6 * 7", "7 * 6"),
        "metadata": ("figure", "other"),
        "no metadata": (' tags=["figure"]', ""),
        "kind": ("# %%\n6 * 7", '# %% [markdown]\n"""6 * 7"""'),
    }
    path.write_text(TEXT.replace(*edits.get(mistake, ("", ""))), encoding="utf-8")
    assert build.main(["check", "--quick", str(path)]) == 1
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("no output", "no cell has an output"),
        ("not executed", "cell 3 has not been executed"),
        ("error", "cell 3 holds an error: ValueError: no"),
        ("saved by Jupyter", '---- code cell {"scrolled": true, "tags": ["figure"]}'),
        ("answer", "-answer"),
        ("other output", "-something else"),
    ],
)
def test_the_whole_check_is_strict_about_what_is_stored(tmp_path: Path, mistake: str, message: str) -> None:
    path = tmp_path / "a.py"
    executed = stored_by_hand(path)
    notebook = copy.deepcopy(executed)
    if mistake == "no output":
        for cell in notebook.cells[1:]:
            cell.outputs = []
    elif mistake == "not executed":
        notebook.cells[2].execution_count = None
    elif mistake == "error":
        notebook.cells[2].outputs.append(nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[]))
    elif mistake == "saved by Jupyter":
        notebook.cells[1].metadata["scrolled"] = True
    elif mistake == "answer":
        notebook.cells[2].source = "answer"
    else:
        notebook.cells[2].outputs[0].text = "something else\n"
    save(executed, path)
    assert list(build.problems_of(build.Version(path), executed)) == []
    save(notebook, path)
    assert message in build.problems_of(build.Version(path), executed)


# --- what somebody writes into a stored notebook --------------------------------------------------------------------


def saved_by_jupyter(path: Path, answer: str = "") -> bytes:
    """The stored notebook opened, and saved without outputs or with the outputs of an answer that fails."""
    notebook = stored_by_hand(path)
    notebook.metadata = {
        "kernelspec": {"display_name": "cbam", "language": "python", "name": "cbam"},
        "language_info": {"name": "python", "version": "3.11.2", "file_extension": ".py"},
    }
    for cell in notebook.cells:
        cell.metadata |= {"scrolled": True, "trusted": True, "jupyter": {"outputs_hidden": False}}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if answer:
        notebook.cells[2].source, notebook.cells[2].execution_count = answer, 12
        notebook.cells[2].outputs = [nbformat.v4.new_output("error", ename="NameError", evalue="x", traceback=[])]
        notebook.cells[1] = nbformat.v4.new_markdown_cell(notebook.cells[1].source, id=notebook.cells[1].id)
    notebook.cells.append(nbformat.v4.new_code_cell(""))  # Jupyter adds it after the last cell is run
    save(notebook, path)
    return path.with_suffix(".ipynb").read_bytes()


def test_opening_and_saving_a_chapter_passes_the_quick_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_by_jupyter(tmp_path / "a.py")
    assert build.main(["check", "--quick", str(tmp_path / "a.py")]) == 0
    assert capsys.readouterr().out == "a: ok\n"


def test_an_answer_passes_the_quick_check_which_names_it_and_advises_nothing_that_destroys_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_by_jupyter(tmp_path / "a.py", "answer = 42\nanswer")
    assert build.main(["check", "--quick", str(tmp_path / "a.py")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("a: ok\na: somebody wrote in 2 of its cells, the first is: import sys\n")
    assert "build.py run" not in printed


@pytest.mark.parametrize("content", ["answer", "broken"])
def test_run_does_not_write_over_an_answer_unless_told_to_and_then_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    path, stored = tmp_path / "notebooks" / "a.py", tmp_path / "notebooks" / "a.ipynb"
    path.parent.mkdir()
    saved_by_jupyter(path, "answer")
    if content == "broken":
        stored.write_text("{", encoding="utf-8")
    saved = stored.read_bytes()
    executed: list[Any] = []

    async def execute_all(chosen: list[Any], dark_too: bool = False) -> list[Any]:
        executed.extend(chosen)
        return [build.read_text(path) for _ in chosen]

    monkeypatch.setattr(build, "execute_all", execute_all)
    assert build.main(["run", str(path)]) == 1
    refusal = capsys.readouterr().err
    assert ("a: somebody wrote in 2 of its cells" if content == "answer" else "can't be read") in refusal
    assert "run --overwrite" in refusal
    assert (stored.read_bytes(), executed) == (saved, [])
    assert build.main(["run", "--dry-run", str(path)]) == 0
    assert stored.read_bytes() == saved

    monkeypatch.chdir(path.parent)  # the folder of the kept file doesn't depend on where the command is given
    assert build.main(["run", "--overwrite", "a"]) == 0
    assert "as it was before: " in capsys.readouterr().out
    assert (tmp_path / "my-course" / "earlier" / "a.1.ipynb").read_bytes() == saved
    assert build.main(["check", "--quick", "a"]) == 0
    assert "somebody wrote" not in capsys.readouterr().out


def test_an_answer_saved_while_the_notebooks_are_executed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notebooks" / "a.py"
    path.parent.mkdir()
    save(stored_by_hand(path), path)
    saved = []

    async def execute_all(chosen: list[Any], dark_too: bool = False) -> list[Any]:
        saved.append(saved_by_jupyter(path, "answer"))
        return [build.read_text(path) for _ in chosen]

    monkeypatch.setattr(build, "execute_all", execute_all)
    assert build.main(["run", str(path)]) == 0
    assert (tmp_path / "my-course" / "earlier" / "a.1.ipynb").read_bytes() == saved[0]


def test_what_was_copied_to_the_text_does_not_stop_run(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    notebook = stored_by_hand(path)
    notebook.cells[2].source = "7 * 6"
    save(notebook, path)
    assert build.written_into(build.Version(path))
    path.write_text(TEXT.replace("6 * 7", "7 * 6"), encoding="utf-8")
    assert build.written_into(build.Version(path)) == ""


def test_a_dry_run_ends_with_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        (tmp_path / f"{name}.py").write_text(TEXT, encoding="utf-8")
    results: list[Any] = [build.read_text(tmp_path / "a.py")] * 2

    async def execute_all(chosen: list[Any], dark_too: bool = False) -> list[Any]:
        return results

    monkeypatch.setattr(build, "execute_all", execute_all)
    command = ["run", "--dry-run", str(tmp_path / "a"), str(tmp_path / "b")]
    assert build.main(command) == 0
    assert capsys.readouterr().out == "All 2 notebooks ran to the end, nothing was written.\n"
    results[1] = build.NotebookError("b: cell 1 raised")
    assert build.main(command) == 1
    assert capsys.readouterr().out == "1 of 2 notebooks failed: b\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "b.py"]


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


ASKING = """\
# %% tags=["hide-input"]
import os

print(os.environ["CBAM_NP_MY_CBAM"].split("/")[-2:])

# %%
answer = print
answer("3.1", ...)  # solved: 0.5
"""


def test_a_question_has_dots_for_the_learner_and_its_answer_in_the_solved_notebook(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(ASKING, encoding="utf-8")
    assert [version.solved for version in build.versions(path)] == [False, True]
    sources = [build.read_text(path, solved).cells[1].source for solved in (False, True)]
    assert sources == ['answer = print\nanswer("3.1", ...)', 'answer = print\nanswer("3.1", 0.5)']


def test_a_check_makes_a_solved_notebook_and_a_text_without_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    for text, count in (('# %%\ncheck("relu")\n', 2), ("# %%\nx = recheck(1)\n", 1)):
        path.write_text(text, encoding="utf-8")
        assert len(build.versions(path)) == count


def test_a_tag_folds_a_cell_and_jupyter_may_unfold_it(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(ASKING, encoding="utf-8")
    folded, open_ = build.read_text(path).cells
    assert folded.metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    assert open_.metadata == {}
    stored = build.read_text(path)
    stored.cells[0].metadata["jupyter"] = {"source_hidden": False, "outputs_hidden": False}
    assert build.source_lines(stored) == build.source_lines(build.read_text(path))


@pytest.mark.parametrize(("tag", "differs"), [("figure", True), ("varies", False)])
def test_the_outputs_of_a_cell_that_varies_are_not_compared(tmp_path: Path, tag: str, differs: bool) -> None:
    path = tmp_path / "a.py"
    old = stored_by_hand(path)
    new = copy.deepcopy(old)
    new.cells[1].outputs[0].text = "something else\n"
    new.cells[1].outputs.append(nbformat.v4.new_output("display_data", data={"image/png": coded(png(200))}))
    for notebook in (old, new):
        notebook.cells[1].metadata["tags"] = [tag]
    assert bool(list(build.output_problems(old, new))) == differs


def test_each_version_is_executed_with_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "notebooks" / "a.py"
    path.parent.mkdir()
    path.write_text(ASKING, encoding="utf-8")
    assert build.main(["run", str(path)]) == 0
    for folder, name in ((path.parent, "notebooks"), (path.parent / "solutions", "solutions")):
        assert build.desk.read(folder / "a.ipynb").cells[0].outputs[0].text == f"['{name}', 'my_cbam.py']\n"


def with_pictures(path: Path, *greys: int) -> Any:
    """A stored notebook with these pictures, each in a cell of its own, and the partners of all but the last."""
    path.write_text("\n\n".join(f"# %%\nshow({grey})" for grey in greys), encoding="utf-8")
    notebook = build.read_text(path)
    for count, (cell, grey) in enumerate(zip(notebook.cells, greys, strict=True), 1):
        picture = coded(png(grey))
        cell.execution_count = count
        cell.outputs = [nbformat.v4.new_output("display_data", data={"image/png": picture})]
        if count < len(greys):
            build.desk.write(path.parent / build.DARK / build.partner({"image/png": picture}), png(255 - grey))
    save(notebook, path)
    return notebook


def test_a_picture_without_a_partner_for_dark_pages_is_named_with_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.py"
    notebook = with_pictures(path, 10, 20)
    assert build.main(["check", "--quick", str(path)]) == 1
    said = "the picture of cell 2 has no partner for dark pages: python notebooks/build.py run a"
    assert capsys.readouterr().out.splitlines()[:2] == ["a: differs", f"  {said}"]
    build.desk.write(tmp_path / build.DARK / build.partner({"image/png": coded(png(20))}), png(235))
    assert build.main(["check", "--quick", str(path)]) == 0
    notebook.cells[0].outputs[0].data["image/png"] = coded(png(11))  # as if it had been drawn anew, and its partner not
    save(notebook, path)
    assert list(build.problems_of(build.Version(path), None)) == [said.replace("cell 2", "cell 1")]
    assert [p.name for p in build.without_picture(tmp_path)] == [build.partner({"image/png": coded(png(10))})]
    notebook.metadata["language_info"]["version"] = "3.13"  # somebody executed it in Jupyter, whose picture it is
    save(notebook, path)
    assert build.main(["check", "--quick", str(path)]) == 0
    assert not build.without_picture(tmp_path)


def test_run_draws_the_partners_and_removes_those_that_nothing_needs(tmp_path: Path) -> None:
    path, unneeded = tmp_path / "good.py", tmp_path / build.DARK / build.partner({"image/png": coded(png(1))})
    path.write_text(TEXT, encoding="utf-8")
    build.desk.write(unneeded, png(254))
    assert build.main(["run", str(path)]) == 0
    (data,) = (data for cell in build.desk.read(path.with_suffix(".ipynb")).cells for data in build.pictures(cell))
    assert sorted(data) == ["image/png", "text/plain"]
    assert [p.name for p in (tmp_path / build.DARK).iterdir()] == [build.partner(data)]
    pair = BytesIO(build.base64.b64decode(data["image/png"])), tmp_path / build.DARK / build.partner(data)
    light, dark = (np.asarray(Image.open(file).convert("L")) for file in pair)
    assert light.shape == dark.shape
    assert light[0, 0] > 250
    assert dark[0, 0] < 30


def test_what_moves_has_a_partner_that_moves_and_other_outputs_have_none() -> None:
    gif = coded(b"GIF89a...")
    moving = {"text/html": f'<img alt="it moves" src="data:image/gif;base64,{gif}">', "text/plain": "it moves"}
    assert build.partner(moving) == f"{build.sha256(b'GIF89a...').hexdigest()}.gif"
    assert build.with_fewer_colours(b"GIF89a...") == b"GIF89a..."
    assert build.partner({"text/html": "<b>3</b>", "text/plain": "3"}) is None


def test_every_picture_of_the_course_has_a_partner_for_dark_pages() -> None:
    chapters = [v for path in sorted(build.HERE.glob(f"{build.desk.CHAPTERS}.py")) for v in build.versions(path)]
    stored = [(version, build.desk.read(version.stored)) for version in chapters]
    assert not [problem for version, notebook in stored for problem in build.without_partner(version, notebook)]
    assert not build.without_picture(build.HERE)
    partners = list((build.HERE / build.DARK).iterdir())
    assert len(partners) > 40
    assert any(path.suffix == ".gif" for path in partners)
    assert sum(path.stat().st_size for path in partners) < 3_000_000


def test_tidying_writes_both_files_and_removes_retired_notebooks_and_keeps_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "notebooks"
    (folder / "solutions").mkdir(parents=True)
    (folder / "01_a.py").write_text(ASKING, encoding="utf-8")
    for name in ("01_a", "02_gone", "solutions/02_gone"):
        (folder / f"{name}.ipynb").write_text(name, encoding="utf-8")
    (folder / "my_cbam.py").write_text("mine", encoding="utf-8")
    assert len(build.untidy(folder)) == 4
    build.tidy(folder)
    assert build.untidy(folder) == []
    assert (folder / "01_a.ipynb").exists()
    kept = tmp_path / "my-course" / "earlier"
    assert (kept / "my_cbam.1.py").read_text("utf-8") == "mine"
    assert (kept / "solutions" / "02_gone.1.ipynb").read_text("utf-8") == "solutions/02_gone"
