"""What the page for teachers shows: sessions with the times of their chapters, and the JSON of `cbam-np course`."""

import json
import re
from pathlib import Path

from cbam_np.commands.course import in_json
from cbam_np.course import solved

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SESSIONS = {  # chapters, and what is done in them
    "1": ((0, 1), "gates by hand; the gradient check, which judges all that follows"),
    "2": ((2, 3), "four poolings and the MLP, forward and backward"),
    "3": ((4, 5), "channel attention, where paths add; the convolution forward"),
    "4": ((6, 7), "the convolution backward; the whole block"),
    "5": ((8, 9), "what a check can't see; the bug hunt, in pairs"),
    "6": ((10, 11, 12), "training, what was measured, and the block inside PyTorch"),
}


def minutes(chapter: int) -> int:
    """How long it takes, as its first cell says."""
    (path,) = NOTEBOOKS.glob(f"{chapter:02}_*.py")
    found = re.search(r"^\| \*\*Time\*\* \|\D*(\d+) minutes", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if not found:
        raise ValueError(f"{path.name} doesn't say how long it takes")
    return int(found[1])


def sessions() -> str:
    """The table of sessions."""
    rows = [
        f"| {name} | {', '.join(map(str, chapters))} | {sum(map(minutes, chapters))} min | {what} |"
        for name, (chapters, what) in SESSIONS.items()
    ]
    return "\n".join(["| session | chapters | time | what happens |", "|---|---|--:|---|", *rows])


def course_json() -> str:
    """What `cbam-np course relu --json` prints of the solved file."""
    found = {**in_json(Path(solved.__file__), "relu"), "file": "submissions/li.py"}
    return f"```json\n{json.dumps(found, indent=1, ensure_ascii=False)}\n```"
