"""3 to 6: pooling over space and over channels."""

from cbam_np.course.exercise import Exercise, Mistake
from cbam_np.course.exercises.inputs import features, ties

avg_pool_over_space = Exercise(
    3, "avg_pool_over_space", 2, "(3)", ("avg_c", "d_f"), features(),
    mistakes=(),
    hints={
        "avg_c": ("Over which axes of F is the average taken, and which are left? Count them from 0.", "n and c stay, i and j go: axes 2 and 3."),
        "d_f": ("How often does F[n, c, i, j] occur in avg_c, where, and with which factor?",
                "It occurs once, in avg_c[n, c], with the factor 1/(H·W). So d_f[n, c, i, j] is d_avg_c[n, c] times this factor, the same for all i, j.",
                "To bring (N, C) to (N, C, H, W): d_avg_c[:, :, None, None], then np.broadcast_to or times np.ones."),
    },
)

max_pool_over_space = Exercise(
    4, "max_pool_over_space", 2, "(4)", ("max_c", "d_f"), features(ties()),
    mistakes=(),
    hints={
        "max_c": ("Over which axes is the maximum taken, and which are left?",),
        "d_f": ("If you move one entry of F a little, when does max_c move, and how much?",
                "Only the winner of each channel gets a gradient, and all of it. With ties: the first one, row by row.",
                "f.reshape(N, C, H * W).argmax(axis=2) finds the first winner. Put d_max_c there, into an array of zeros."),
    },
)

avg_pool_over_channels = Exercise(
    5, "avg_pool_over_channels", 2, "(8)", ("avg_s", "d_f"), features(),
    mistakes=(),
    hints={
        "avg_s": ("Over which axis is the average taken? What shape has the result to have?", "keepdims=True leaves an axis of length 1."),
        "d_f": ("How often does F[n, c, i, j] occur in avg_s, where, and with which factor?",
                "Once, in avg_s[n, 0, i, j], with the factor 1/C."),
    },
)

max_pool_over_channels = Exercise(
    6, "max_pool_over_channels", 2, "(9)", ("max_s", "d_f"), features(ties()),
    mistakes=(),
    hints={
        "max_s": ("Over which axis is the maximum taken? What shape has the result to have?", "keepdims=True leaves an axis of length 1."),
        "d_f": ("If you move one entry of F a little, when does max_s move, and how much?",
                "Only the winning channel of each pixel gets a gradient, and all of it. With ties: the first one.",
                "f.argmax(axis=1) finds the first winner. Put d_max_s there, into an array of zeros."),
    },
)
