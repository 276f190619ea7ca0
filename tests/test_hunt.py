"""The bug hunt: every block is what its case says, and every repair is judged by what it computes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from test_notebook_tool import build

from cbam_np.checking.simple import simple_gradcheck
from cbam_np.course import hunt
from cbam_np.course.hunt import CASES, RIGHT, block, slopes

ROOT = Path(__file__).parents[1]
CHAPTER = ROOT / "notebooks" / "09_bug_hunt.py"
GUILTY = "ABCEFGH"
STORIES = ("no max branch (the average twice)", "F instead of F′ into the spatial branch", "concat order")
each_block = pytest.mark.parametrize("name", CASES)


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_the_right_block_is_right() -> None:
    inputs, _ = hunt.example()
    assert simple_gradcheck(RIGHT, *inputs) < 1e-7
    for tied in (False, True):
        assert max(RIGHT.errors(hunt.pytorch, tied).values()) < 1e-12


@each_block
def test_all_are_wrong_but_one_and_the_answer_repairs_them(name: str) -> None:
    assert bool(block(name).wrong()) == (name in GUILTY)
    assert not block(name).with_lines(CASES[name].answer).wrong()


@pytest.mark.parametrize("name", GUILTY)
def test_every_line_of_an_answer_is_needed(name: str) -> None:
    answer = CASES[name].answer
    for number in answer:
        assert block(name).with_lines({n: text for n, text in answer.items() if n != number}).wrong()


def test_a_gradient_check_and_a_comparison_see_what_the_chapter_says() -> None:
    inputs, d_f2 = hunt.example()

    def fails(name: str) -> bool:
        gradients = enumerate(block(name)(*inputs)[1](d_f2))
        return any(hunt.off_by(d, slopes(block(name), inputs, i, d_f2)) > 1e-6 for i, d in gradients)

    assert {name for name in CASES if fails(name)} == set("ABC")
    assert {name for name in CASES if block(name).errors(hunt.pytorch)["f2"] > 1e-12} == set("EFH")


def test_what_is_said_of_the_wild_is_what_was_found_there() -> None:
    modules = json.loads((ROOT / "docs" / "_generated" / "wild.json").read_text(encoding="utf-8"))["modules"]
    having = {name: [m for m in modules if name in {x["name"] for x in m["found"]}] for name in hunt.IN_THE_WILD}
    assert len(modules) == hunt.AUDITED
    assert {name: len(found) for name, found in having.items()} == {k: n for k, (n, _) in hunt.IN_THE_WILD.items()}
    for name, (_, example) in hunt.IN_THE_WILD.items():
        repository = "Jongchan/attention-module" if "authors" in example else example
        assert repository in [module.get("repository") for module in having[name]]
    compared = [module for module in modules if module["agreement"] and module["agreement"][1] is not None]
    assert len(compared) == hunt.COMPARED
    assert not [x["name"] for module in modules for x in module["found"] if "detached" in x["name"]]


def test_a_story_tells_how_often_it_was_seen() -> None:
    assert "1 of the 46 modules on the page CBAM in the wild differs" in " ".join(CASES["E"].story.split())
    assert all(hunt.in_the_wild(name) in CASES[letter].story for letter, name in zip("EFH", STORIES, strict=True))


@pytest.mark.parametrize("part", ["channel_map", "spatial_map"])
def test_the_half_to_read_is_found_by_comparing_parts(part: str) -> None:
    (f, w1, w2, kernel), _ = hunt.example()
    inputs = (f, w1, w2) if part == "channel_map" else (f, kernel)
    right = RIGHT.part(part)(*inputs)[0]
    off = {name for name in "EFH" if hunt.off_by(block(name).part(part)(*inputs)[0], right) > 1e-12}
    assert off == {"channel_map": {"E"}, "spatial_map": {"H"}}[part]


def test_slopes_leaves_its_inputs_alone() -> None:
    inputs, d_f2 = hunt.example()
    before = [x.copy() for x in inputs]
    slopes(RIGHT, inputs, 1, d_f2)
    assert all(np.array_equal(a, b) for a, b in zip(before, inputs, strict=True))


def test_the_solved_chapter_repairs_all(capsys: pytest.CaptureFixture[str]) -> None:
    """What stands behind `# solved:` in the chapter."""
    code = "\n".join(cell.source for cell in build.read_text(CHAPTER, solved=True).cells if cell.cell_type == "code")
    repairs = re.findall(r"^(\w)\.repair\((.+)\)$", code, flags=re.MULTILINE)
    assert [name.upper() for name, _ in repairs] == list(CASES)
    for name, lines in repairs:
        block(name.upper()).repair(eval(lines, {"hunt": hunt}))
        assert printed(capsys).startswith(f"{name.upper()}: {'repaired.' if name.upper() in GUILTY else 'right, and'}")
    learner = "\n".join(cell.source for cell in build.read_text(CHAPTER).cells if cell.cell_type == "code")
    assert learner.count(".repair(...)") == len(CASES)
    assert "solved" not in learner


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (..., 'B: not repaired yet. hunt.hint("B") gives a first hint.'),
        ({}, "B: not so: it differs from the right block: d_f on random features; d_f on features with ties."),
        ({16: "return (h > 0) * d_h"}, "Your change makes no difference to any result."),
        ({16: "return 2 * d_h * (h > 0)"}, "B: it differs from the right block: d_f, d_w1 on random features"),
        ({16: "return d_h * (h >"}, "B: with your lines it stops with an error, SyntaxError"),
        ({16: "return d_h[0]"}, "B: with your lines it stops with an error, ValueError"),
        ({1000: "pass"}, "B: lines: expected numbers of lines of code, got 1000"),
        ({16: 3}, "B: lines: expected numbers and texts such as"),
        ([16], "B: lines: expected numbers and texts such as"),
    ],
)
def test_a_repair_is_judged_by_what_it_computes(lines: object, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    block("B").repair(lines)
    assert said in printed(capsys)


@each_block
def test_hints_go_from_a_nudge_to_the_answer(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for stage in (1, 2, 3, 4):
        hunt.hint(name, stage)
        said.append(printed(capsys))
    assert len(set(said)) == 4
    assert f"{name}, hint 1 of 4" in said[0]
    assert all(text in said[3] for text in CASES[name].answer.values() if name in GUILTY)
    assert not any(text in hint for text in CASES[name].answer.values() for hint in said[:3])
    with pytest.raises(ValueError, match="stage: expected a number from 1 to 4, got 5"):
        hunt.hint(name, 5)


def test_reading_shows_numbers_and_the_part_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    block("A").read("relu")
    shown = capsys.readouterr().out
    assert "  16          return d_h * (h >= 0)" in shown
    assert "def cbam" not in shown
    block("A").read()
    assert "def cbam" in capsys.readouterr().out
