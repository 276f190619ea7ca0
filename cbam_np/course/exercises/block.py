"""16: the whole block."""

from cbam_np.course.exercise import Exercise
from cbam_np.course.exercises.inputs import block_inputs

cbam = Exercise(
    16, "cbam", 7, "(1)–(11)", ("f2", "d_f", "d_w1", "d_w2", "d_kernel"), block_inputs("f", "w1", "w2", "kernel"),
    mistakes=(),
    hints={
        "f2": ("Two steps. What goes into the second?",),
        "d_f": ("Which of the two backwards is called first, and with what? What does the other one need?",),
        "d_w1": ("The weights are in the first step. Which gradient reaches it?",),
        "d_w2": ("The weights are in the first step. Which gradient reaches it?",),
        "d_kernel": ("The kernel is in the second step. Which gradient reaches it?",),
    },
    uses=("avg_pool_over_space", "max_pool_over_space", "avg_pool_over_channels", "max_pool_over_channels", "relu", "mlp",
          "sigmoid", "gate", "channel_attention", "im2col", "col2im", "conv2d", "spatial_attention"),
)
