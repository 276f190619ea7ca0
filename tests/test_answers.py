"""Answers as people type them: what the checker makes of each.

tests/answers/judged.json says for every attempt what the checker says, and whether that is true: "right" (accepted, and
rightly), "named" (the mistake, by name), "neutral" (facts and questions, all true), "misleading", "accepted wrongly" or
"rejected wrongly". A person read each pair. If the checker says something else now, read the pair again (python
tests/typed_answers.py) and change the entry.

author_1.py to author_3.py, 162 answers, were typed by the author of the checker, and used to write it.

reader_1.py to reader_3.py were typed by three readers who had seen the stubs only: 476 answers, 109 of them right.
Before anything was changed the checker was measured on them, and somebody else judged each pair: of 367 wrong answers
79.3 % were named, 15.3 % neutral, 4.4 % (16) misleading and 1.1 % (4) accepted wrongly; none of the right ones was
refused. That is how well it did with answers that nobody had used. Then all that was misleading or accepted wrongly
was repaired, and most of what was neutral got a name. The file counts 361 named and 6 neutral now, judged by the one
who made these changes, on the very answers that they were made for: for what the checker does with new answers the
first measurement is the one to believe.
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
