"""Answers as people type them: what the checker makes of each.

tests/answers/judged.json says for every attempt what the checker says, and whether that is true: "right" (accepted, and
rightly), "named" (the mistake, by name), "neutral" (facts and questions, all true), "misleading", "accepted wrongly" or
"rejected wrongly". A person read each pair. If the checker says something else now, read the pair again (python
tests/typed_answers.py) and change the entry.

author_1.py to author_3.py, 162 answers, were typed by the author of the checker, and used to write it.

reader_1.py to reader_9.py were typed by nine readers who had seen the stubs only: 1,501 answers, 366 of them right.
Each time the checker was measured on them before anything was changed, and somebody else judged each pair, with the
rule to decide against the checker in doubt. So these are the figures for answers that nobody had used:

                      wrong   named    neutral   misleading   accepted wrongly   right ones refused
    readers 1 to 3    367     79.3 %   15.3 %    4.4 % (16)   1.1 % (4)          none
    reader 4          106     71.7 %   20.8 %    6.6 % (7)    0.9 % (1)          none
    reader 5          107     64.5 %   27.1 %    8.4 % (9)    none               none
    readers 6 and 7   255     84.7 %    7.5 %    7.1 % (18)   0.8 % (2)          none
    readers 8 and 9   309     91.9 %    6.1 %    1.6 % (5)    0.3 % (1)          none

What changed in between: after the first, what was misleading or accepted wrongly was repaired, and most of what was
neutral got a name. After the second, hints that guess a cause were made to ask for evidence in the learner's code.
After the third, the checker learnt to look for one change that makes the learner's own code right
(`cbam_np.course.repair`). After the fourth, facts say which case they are from: that was the cause of 11 of the 18, and
16 of them were in doubt. All 5 of the last are in doubt. After it two of those and the wrongly accepted one were
repaired, and the entries in judged.json are, for all readers, what the checker says now, judged by those who made the
changes where it says something else than at the time.
"""

import json
from collections import Counter

import pytest
from typed_answers import FOLDER, Attempt, attempts

from cbam_np.course import judge as judging
from cbam_np.course.exercises import EXERCISES

ATTEMPTS = list(attempts(sorted(FOLDER.glob("*.py"))))
JUDGED = json.loads((FOLDER / "judged.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "attempt",
    [pytest.param(a, id=a.id, marks=pytest.mark.long if a.file.stem.startswith("reader") else ()) for a in ATTEMPTS],
)
def test_the_checker_says_what_was_judged(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "SEARCH", 300)  # the number of changes tried is to be the limit, not this machine
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
