"""A backward with a mistake, for the first thing that a page shows."""

from contextlib import redirect_stdout
from io import StringIO

WRONG_AVERAGE = """\
import numpy as np
import cbam_np as cb

def average(f):
    return f.mean(axis=(2, 3)), lambda d_out: np.broadcast_to(d_out[:, :, None, None], f.shape)

f = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
print(cb.gradcheck(average, f))
"""


def wrong_average() -> str:
    """A backward with a mistake, and what gradcheck prints about it now."""
    with redirect_stdout(StringIO()) as printed:
        exec(WRONG_AVERAGE, {})
    return f"```python\n{WRONG_AVERAGE}```\n\n```text\n{printed.getvalue()}```"
