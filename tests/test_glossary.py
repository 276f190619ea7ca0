"""Every term that a chapter gives in Chinese is in the glossary, and every link of the notebooks leads somewhere."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from test_notebook_tool import build

from cbam_np.course.glossary import GLOSSARY
from cbam_np.course.tables import formula_table

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("[0-9]*.py"))

TERM = re.compile(r"\(([^()]*[\u4e00-\u9fff][^()]*)\)")
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


@cache
def markdown(path: Path, solved: bool = False) -> str:
    cells = build.read_text(path, solved).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def first_chapters() -> dict[str, int]:
    """The Chinese terms in parentheses, and where each comes first; chapter 0 is looked at last."""
    first: dict[str, int] = {}
    for path in [*CHAPTERS[1:], CHAPTERS[0]]:
        for term in TERM.findall(markdown(path)):
            first.setdefault(term, int(path.name[:2]))
    return first


def test_what_counts_as_a_term() -> None:
    text = "a **tie** (并列), the array-API standard (数组 API 标准), *通道注意力机制(Channel Attention)*, (3)"
    assert TERM.findall(text) == ["并列", "数组 API 标准"]


def test_the_glossary_has_the_terms_of_the_chapters_and_where_each_comes_first() -> None:
    assert {term.chinese: term.chapter for term in GLOSSARY} == first_chapters()


def test_no_term_is_listed_twice() -> None:
    assert len({term.english for term in GLOSSARY}) == len({term.chinese for term in GLOSSARY}) == len(GLOSSARY)


def leads_somewhere(target: Path) -> bool:
    """Whether the file is there, or for a notebook (which `build.py` makes) the text it is made from."""
    there = target.resolve()
    if there.suffix == ".ipynb":
        return there.parent in (NOTEBOOKS, NOTEBOOKS / "solutions") and (NOTEBOOKS / f"{there.stem}.py").exists()
    return there.exists()


def test_which_links_lead_somewhere() -> None:
    there = ["00_start_here.ipynb", "solutions/00_start_here.ipynb", "../cbam_np/arrays.py"]
    nowhere = ["99_nowhere.ipynb", "../00_start_here.ipynb", "../cbam_np/nowhere.py"]
    assert [leads_somewhere(NOTEBOOKS / link) for link in there + nowhere] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("solved", [False, True], ids=["learner", "solved"])
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_relative_link_leads_somewhere(path: Path, solved: bool) -> None:
    text = markdown(path, solved)
    folder = NOTEBOOKS / "solutions" if solved else NOTEBOOKS
    links = set(LINK.findall(text))
    assert links
    assert [link for link in links if not leads_somewhere(folder / link)] == []


@pytest.mark.parametrize("solved", [False, True], ids=["learner", "solved"])
def test_every_relative_link_in_the_table_of_chapter_0_leads_somewhere(solved: bool) -> None:
    folder = NOTEBOOKS / "solutions" if solved else NOTEBOOKS
    table = build.RELATIVE_LINK.sub("../", formula_table()) if solved else formula_table()
    links = LINK.findall(table)
    assert len(links) >= 3 * 11
    assert [link for link in links if not leads_somewhere(folder / link)] == []


def test_each_chapter_leads_to_the_next() -> None:
    for path, following in pairwise(CHAPTERS):
        here, there = int(path.name[:2]), int(following.name[:2])
        if there == here + 1:
            link = re.compile(rf"\*\*Next:\*\* \[{there}\. [^\]]+\]\({following.stem}\.ipynb\)")
            assert link.search(markdown(path)), path.name
