"""For your own tests: `assert_gradients(op, *inputs)` fails with the report of `gradcheck`."""

from typing import Any

from cbam_np.checking.forms import AnyOp
from cbam_np.checking.report import Report
from cbam_np.checking.thorough import gradcheck

__all__ = ["assert_gradients"]


def assert_gradients(op: AnyOp, *inputs: Any, **options: Any) -> Report:
    """Raise AssertionError, with the table and the diagnosis, unless `cbam_np.gradcheck` finds the gradients right.

    Parameters
    ----------
    op, *inputs, **options : as for `cbam_np.gradcheck`

    Returns
    -------
    report : Report
    """
    __tracebackhide__ = True  # pytest then points at the line that calls
    report = gradcheck(op, *inputs, **options)
    if not report.ok:
        raise AssertionError(f"\n{report}")
    return report
