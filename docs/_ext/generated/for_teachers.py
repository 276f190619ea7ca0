"""What the page for teachers shows: sessions with the times of their chapters, and the JSON of `cbam-np course`."""

import json
import re
from pathlib import Path

from chapters import COURSE, chapter

from cbam_np.commands.course import in_json
from cbam_np.course import solved
from generated.tables import table

SESSIONS = {  # chapters, and what is done in them
    "1": ((0, 1), "gates by hand; the gradient check, which judges all that follows"),
    "2": ((2, 3), "four poolings and the MLP, forward and backward"),
    "3": ((4, 5), "channel attention, where paths add; the convolution forward"),
    "4": ((6, 7), "the convolution backward; the whole block"),
    "5": ((8, 9), "what a check can't see; the bug hunt, in pairs"),
    "6": ((10, 11, 12), "training, what was measured, and the block inside PyTorch"),
}


def minutes(number: int) -> int:
    """How long a chapter takes, as it says itself."""
    (path,) = COURSE.glob(f"{number:02}_*.ipynb")
    found = re.search(r"(\d+) minutes", chapter(path).says.get("Time", ""))
    if not found:
        raise ValueError(f"{path.name} doesn't say how long it takes")
    return int(found[1])


def sessions() -> str:
    """The table of sessions."""
    rows = [
        [name, ", ".join(map(str, numbers)), f"{sum(map(minutes, numbers))} min", what]
        for name, (numbers, what) in SESSIONS.items()
    ]
    return table(["session", "chapters", "time", "what happens"], rows, "llrl")


def course_json() -> str:
    """What `cbam-np course relu --json` prints of the solved file."""
    found = {**in_json(Path(solved.__file__), "relu"), "file": "submissions/li.py"}
    return f"```json\n{json.dumps(found, indent=1, ensure_ascii=False)}\n```"
