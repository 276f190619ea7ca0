"""7 and 8: ReLU and the shared MLP."""

import numpy as np

from cbam_np.course.exercise import Case, Exercise
from cbam_np.course.exercises.inputs import normal

relu = Exercise(
    7, "relu", 3, "(5)", ("out", "d_x"),
    (
        Case((normal(0, 3, 8),), {"N": 3, "C": 8}),
        Case((np.array([[-1.5, 0.0, 2.0]]),), {"N": 1, "C": 3}, "with a 0"),
        Case((normal(1, 2, 3, 5, 4),), {"N": 2, "C": 3, "H": 5, "W": 4}),
    ),
    mistakes=(),
    hints={
        "out": ("What is ReLU of 2, of -2, of 0?",),
        "d_x": ("For which x does out move if x moves a little, and how much?", "The slope is 1 where x > 0 and 0 elsewhere, at 0 too. The chain rule multiplies it with d_out."),
    },
    places={"where x is 0": lambda x: x == 0, "where x is negative": lambda x: x < 0, "where x is positive": lambda x: x > 0},
)


def _mlp_cases() -> tuple[Case, ...]:
    cases = []
    for i, (N, C, hidden) in enumerate(((3, 8, 4), (1, 3, 2), (4, 5, 1))):
        x = normal(i, N, C)
        if N > 3:
            x[0] = 0  # so that some z is exactly 0
        cases.append(Case((x, normal(10 + i, hidden, C), normal(20 + i, C, hidden)), {"N": N, "C": C, "hidden": hidden}))
    return tuple(cases)


mlp = Exercise(
    8, "mlp", 3, "(5)", ("out", "d_x", "d_w1", "d_w2"), _mlp_cases(),
    mistakes=(),
    hints={
        "out": ("Which shapes have x, z, h and out? Each row of x is one sample, so W1 x is, for all rows at once, ...?",
                "z is (N, hidden), h too, out is (N, C). A row times a matrix from the right: x @ w1.T."),
        "d_x": ("In which numbers does x occur, and with which factor? Go back step by step: out, h, z, x.",
                "d_h = d_out @ w2, of shape (N, hidden). What does ReLU do to it on the way to d_z? And x makes z."),
        "d_w1": ("W1 makes z out of x. Where does w1[q, c] occur, in how many samples, and with which factor?",
                 "w1[q, c] occurs in z[n, q], for every n, with the factor x[n, c]. So d_w1[q, c] is a sum over n."),
        "d_w2": ("W2 makes out out of h. Where does w2[c, q] occur, in how many samples, and with which factor?",
                 "w2[c, q] occurs in out[n, c], for every n, with the factor h[n, q]: h after the ReLU."),
    },
    uses=("relu",),
)
