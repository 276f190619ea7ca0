"""cbam_np/course/desk.py: the learner's copy of the course, and that nothing written there is ever lost."""

import copy
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbam_np.course import desk


def notebook(*sources: str) -> Any:
    """A notebook of code cells, with the ids that `notebooks/build.py` gives them."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    for number, cell in enumerate(book.cells):
        before = sources[:number].count(cell.source)
        cell.id = desk.digest(cell) + (f"-{before + 1}" if before else "")
    return book


def sources(book: Any) -> list[str]:
    return [cell.source for cell in book.cells]


class Course:
    """A clone with notebooks of a few cells, and the learner's copy of it."""

    def __init__(self, clone: Path) -> None:
        self.shipped, self.desk = clone / "notebooks", clone / "my-course"
        self.ship("text", "stub", "end")
        self.ship("text", "solution", "end", name="solutions/01_a")

    def ship(self, *cells: str, name: str = "01_a") -> None:
        desk.write(self.shipped / f"{name}.ipynb", desk.to_json(notebook(*cells)).encode())

    def lay_out(self) -> str:
        return "\n".join(desk.lay_out(self.shipped, self.desk))

    @property
    def mine(self) -> Path:
        return self.desk / "01_a.ipynb"

    def answer(self, where: int = 1, source: str = "answer") -> bytes:
        """Edit a cell, run it and save, as Jupyter does; returns what is in the file then."""
        book = desk.read(self.mine)
        book.cells[where].source = source
        book.cells[where].outputs = [nbformat.v4.new_output("stream", text=f"output of {source}")]
        book.metadata.kernelspec = {"name": "mine", "display_name": "mine"}
        desk.write(self.mine, desk.to_json(book).encode())
        return self.mine.read_bytes()

    def earlier(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.desk / "earlier").rglob("*.ipynb"))]


@pytest.fixture
def course(tmp_path: Path) -> Course:
    course = Course(tmp_path)
    course.lay_out()
    return course


# --- files ----------------------------------------------------------------------------------------------------------


def test_the_first_call_copies_chapters_and_solutions(tmp_path: Path) -> None:
    course = Course(tmp_path)
    assert course.lay_out().startswith("2 of 2 notebooks copied to my-course/.")
    for name in ("01_a.ipynb", "solutions/01_a.ipynb"):
        assert (course.desk / name).read_bytes() == (course.shipped / name).read_bytes()


def test_a_second_call_leaves_what_was_written_as_it_is(course: Course) -> None:
    saved = course.answer()
    assert course.lay_out() == "my-course/ is as you left it"
    assert course.mine.read_bytes() == saved


def test_a_deleted_cell_stays_away_until_there_is_a_new_edition_and_a_deleted_notebook_comes_anew(
    course: Course,
) -> None:
    book = desk.read(course.mine)
    del book.cells[0]
    desk.write(course.mine, desk.to_json(book).encode())
    course.lay_out()
    assert sources(desk.read(course.mine)) == ["stub", "end"]
    course.mine.unlink()
    assert "1 of 2 notebooks copied" in course.lay_out()
    assert sources(desk.read(course.mine)) == ["text", "stub", "end"]


def test_a_new_edition_keeps_the_answer_its_output_and_the_kernel_and_the_file_as_it_was(course: Course) -> None:
    saved = course.answer()
    course.ship("new text", "stub", "more", "end")
    said = course.lay_out()
    book = desk.read(course.mine)
    assert sources(book) == ["new text", "answer", "more", "end"]
    assert book.cells[1].outputs[0].text == "output of answer"
    assert book.metadata.kernelspec.name == "mine"
    assert course.earlier() == [saved]
    assert said.splitlines() == [
        "new edition of 1 of 2 notebooks",
        "as you left them: 1 of 2 notebooks, in my-course/earlier/",
        "01_a: the new edition has the cells that you wrote (1)",
    ]
    assert course.lay_out() == "my-course/ is as you left it"


def test_edition_after_edition(course: Course) -> None:
    saved = [course.answer()]
    for number in (2, 3):
        course.ship(f"text {number}", "stub", "end")
        course.lay_out()
        assert sources(desk.read(course.mine)) == [f"text {number}", "answer" + " more" * (number - 2), "end"]
        saved.append(course.answer(source="answer" + " more" * (number - 1)))
    assert course.earlier() == saved[:2]


def test_a_notebook_nobody_touched_is_replaced_and_not_kept(course: Course) -> None:
    course.ship("new text", "stub", "end")
    assert course.lay_out() == "new edition of 1 of 2 notebooks"
    assert course.mine.read_bytes() == (course.shipped / "01_a.ipynb").read_bytes()
    assert course.earlier() == []


def test_a_notebook_that_was_only_run_is_replaced_and_kept(course: Course) -> None:
    saved = course.answer(source="stub")
    course.ship("new text", "stub", "end")
    course.lay_out()
    assert course.mine.read_bytes() == (course.shipped / "01_a.ipynb").read_bytes()
    assert course.earlier() == [saved]


@pytest.mark.parametrize("broken", ["<<<<<<< mine", "[]", "{}", '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}'])
def test_a_broken_notebook_stays_and_is_named_each_time(course: Course, broken: str) -> None:
    course.mine.write_text(broken, encoding="utf-8")
    course.ship("new text", "stub", "end")
    for _ in range(2):
        assert f"{course.mine} can't be read as a notebook" in course.lay_out()
        assert course.mine.read_text(encoding="utf-8") == broken


@pytest.mark.parametrize("record", [None, "{", "{}"])
def test_without_the_record_of_editions_nothing_is_lost(course: Course, record: str | None) -> None:
    saved = course.answer()
    (course.desk / desk.RECORD).unlink()
    if record is not None:
        (course.desk / desk.RECORD).write_text(record, encoding="utf-8")
    course.lay_out()
    assert sources(desk.read(course.mine)) == ["text", "answer", "end"]
    assert course.earlier() == [saved]
    assert json.loads((course.desk / desk.RECORD).read_text("utf-8")).keys() == {"01_a", "solutions/01_a"}


def test_an_answer_written_into_the_shipped_notebook_reaches_the_desk_and_stays_there(course: Course) -> None:
    """Somebody works in notebooks/, calls `make learn`, and then gives the file back its stub."""
    book = desk.read(course.shipped / "01_a.ipynb")
    book.cells[1].source = "answer"
    desk.write(course.shipped / "01_a.ipynb", desk.to_json(book).encode())
    course.lay_out()
    assert sources(desk.read(course.mine)) == ["text", "answer", "end"]
    course.ship("text", "stub", "end")
    course.lay_out()
    assert sources(desk.read(course.mine)) == ["text", "answer", "end"]


def test_a_folder_without_notebooks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected the notebooks of the course, found none"):
        desk.lay_out(tmp_path / "notebooks", tmp_path / "my-course")
    assert not (tmp_path / "my-course").exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"before")

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        desk.write(path, b"afterwards")
    assert path.read_bytes() == b"before"


def test_the_desk_lies_beside_the_notebooks_and_git_ignores_it() -> None:
    """So relative links lead to the same files from both."""
    assert desk.DESK.parent == desk.SHIPPED.parent
    assert f"{desk.DESK.name}/" in (desk.CLONE / ".gitignore").read_text(encoding="utf-8").splitlines()


# --- merging --------------------------------------------------------------------------------------------------------


def edited(book: Any, **edits: str) -> Any:
    """`book` after somebody changed the cells whose source is the key."""
    mine = copy.deepcopy(book)
    for cell in mine.cells:
        cell.source = edits.get(cell.source, cell.source)
    return mine


def test_if_the_exercise_changed_too_the_answer_comes_after_it() -> None:
    mine = edited(notebook("text", "stub", "end"), stub="answer")
    assert sources(desk.merge(mine, notebook("text", "new stub", "end"))) == ["text", "new stub", "answer", "end"]


@pytest.mark.parametrize("edition", [("text", "stub", "end"), ("new", "text", "stub", "new", "end")])
def test_an_added_cell_stays_where_it_was_added_and_a_blank_one_is_dropped(edition: tuple[str, ...]) -> None:
    mine = notebook("text", "stub", "end")
    mine.cells[2:2] = [nbformat.v4.new_code_cell("mine"), nbformat.v4.new_code_cell(" \n")]
    merged = sources(desk.merge(mine, notebook(*edition)))
    assert merged.index("mine") > merged.index("stub")
    assert merged.index("mine") < merged.index("end")
    merged.remove("mine")
    assert merged == [*edition]


def test_a_cell_that_became_text_is_written_by_hand() -> None:
    mine = notebook("text", "stub")
    mine.cells[1] = nbformat.v4.new_markdown_cell("stub", id=mine.cells[1].id)
    assert [cell.cell_type for cell in desk.merge(mine, notebook("text", "stub")).cells] == ["code", "markdown"]


def test_an_edited_copy_of_a_cell_gets_an_id_of_its_own() -> None:
    """The cell moved: the new edition has the id in one place, the answer is in another."""
    mine = edited(notebook("a", "b", "c", "stub"), stub="answer")
    merged = desk.merge(mine, notebook("stub", "a", "b", "c"))
    assert sorted(sources(merged)) == ["a", "answer", "b", "c", "stub"]
    assert len({cell.id for cell in merged.cells}) == 5


def test_what_a_program_saved_without_ids_is_not_lost() -> None:
    mine = edited(notebook("text", "stub", "end"), stub="answer")
    for cell in mine.cells:
        del cell["id"]
    merged = desk.merge(mine, notebook("text", "stub", "end"))
    assert sources(merged) == ["text", "stub", "answer", "end"]
    nbformat.validate(merged)


words = st.lists(st.sampled_from("abcdefgh"), max_size=6)


@given(
    first=words,
    second=words,
    edits=st.dictionaries(st.integers(0, 5), st.sampled_from(["x", "y", "a", ""])),
    added=words,
)
def test_whatever_was_written_is_in_the_new_edition_with_all_the_rest(
    first: list[str], second: list[str], edits: dict[int, str], added: list[str]
) -> None:
    mine, edition = notebook(*first), notebook(*second)
    for number, source in edits.items():
        if number < len(mine.cells):
            mine.cells[number].source = source
    mine.cells[1:1] = [nbformat.v4.new_code_cell(word) for word in added]
    before = copy.deepcopy((mine, edition))
    merged = desk.merge(mine, edition)
    assert (mine, edition) == before
    nbformat.validate(merged)
    assert len({cell.id for cell in merged.cells}) == len(merged.cells)
    by_hand = [cell.source for cell in desk.written(mine, edition)]
    found = iter(sources(merged))
    assert all(source in found for source in by_hand), "each is there, and in order"
    answered = {cell.id for cell in mine.cells if not desk.as_shipped(cell)}
    kept = iter(sources(merged))
    assert all(cell.source in kept for cell in edition.cells if cell.id not in answered), "the rest is there, in order"
    assert sources(desk.merge(merged, edition)) == sources(merged)
