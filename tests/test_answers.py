"""Answers as people type them: what the checker makes of each.

tests/answers/judged.json says for every attempt what the checker says, and whether that is true: "right" (accepted, and
rightly), "named" (the mistake, by name), "neutral" (facts and questions, all true), "misleading", "accepted wrongly" or
"rejected wrongly". A person read each pair. If the checker says something else now, read the pair again (python
tests/typed_answers.py) and change the entry.

All three files were typed by the author of the checker. author_1.py and author_2.py were used to improve it. With
author_3.py it was measured first: 28 of 53 mistakes named, no misleading hint; then six mistakes were given a name.
They show what the checker does, not how well it does with others: files of readers who had seen the stubs only are
missing.
"""

import json
from collections import Counter

import pytest
from typed_answers import FOLDER, Attempt, attempts

from cbam_np.course.exercises import EXERCISES

ATTEMPTS = list(attempts(sorted(FOLDER.glob("*.py"))))
JUDGED = json.loads((FOLDER / "judged.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.id)
def test_the_checker_says_what_was_judged(attempt: Attempt) -> None:
    verdict = attempt.verdict()
    judged = JUDGED[attempt.id]
    assert {"state": verdict.state, "named": verdict.finding.named} == {
        "state": judged["state"],
        "named": judged["named"],
    }
    assert (verdict.state == "right") == (judged["judged"] in ("right", "accepted wrongly"))


def test_the_checker_tells_the_truth_about_answers_to_all_functions() -> None:
    assert {attempt.id for attempt in ATTEMPTS} == JUDGED.keys()
    assert {attempt.name for attempt in ATTEMPTS} == EXERCISES.keys()
    counts = Counter(entry["judged"] for entry in JUDGED.values())
    right = counts["right"] + counts["rejected wrongly"]
    wrong = len(JUDGED) - right
    assert len(JUDGED) >= 150
    assert counts["accepted wrongly"] == counts["rejected wrongly"] == 0
    assert counts["named"] >= 0.6 * wrong
    assert counts["misleading"] < 0.02 * wrong
