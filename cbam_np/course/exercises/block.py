"""16: the whole block."""

from cbam_np.course.exercise import Exercise, mistake
from cbam_np.course.exercises.inputs import block_inputs

CBAM = (
    # forward
    mistake("if spatial attention comes first, and channel attention on its result", "f1, channel_backward = channel_attention(f, w1, w2)\n    f2, spatial_backward = spatial_attention(f1, kernel)", "g, spatial_backward = spatial_attention(f, kernel)\n    f2, channel_backward = channel_attention(g, w1, w2)", more="(1) comes before (2)."),
    mistake("if spatial attention gets F, not F′: channel attention has no effect", "f2, spatial_backward = spatial_attention(f1, kernel)", "f2, spatial_backward = spatial_attention(f, kernel)", more="F″ = M_s(F′) ⊗ F′"),
    mistake("if both maps are made of F: M_s(F) ⊗ M_c(F) ⊗ F", "f2, spatial_backward = spatial_attention(f1, kernel)", "_, spatial_backward = spatial_attention(f1, kernel)\n    f2 = spatial_attention(f, kernel)[0] / f * f1", more="M_s is made of F′."),
    mistake("if F′ is returned: spatial attention is missing", "f2, spatial_backward = spatial_attention(f1, kernel)", "_, spatial_backward = spatial_attention(f1, kernel)\n    f2 = f1", more="Formula (2)"),
    mistake("if the two results are added", "f2, spatial_backward = spatial_attention(f1, kernel)", "_, spatial_backward = spatial_attention(f1, kernel)\n    f2 = f1 + spatial_attention(f, kernel)[0]", more="One step after the other."),
    mistake("if F″ and F′ are added", "f2, spatial_backward = spatial_attention(f1, kernel)", "g, spatial_backward = spatial_attention(f1, kernel)\n    f2 = f1 + g"),
    mistake("if F is added at the end, as in a residual block", "f2, spatial_backward = spatial_attention(f1, kernel)", "g, spatial_backward = spatial_attention(f1, kernel)\n    f2 = f + g", more="The shortcut belongs to the network around the block."),
    mistake("if F″ is multiplied with F′ once more: what spatial_attention returns is taken for its map", "f2, spatial_backward = spatial_attention(f1, kernel)", "g, spatial_backward = spatial_attention(f1, kernel)\n    f2 = f1 * g", more="channel_attention and spatial_attention return features, not maps: they are gated already."),
    mistake("if F′ is multiplied with F: what channel_attention returns is taken for its map", "f1, channel_backward = channel_attention(f, w1, w2)", "f1, channel_backward = channel_attention(f, w1, w2)\n    f1 = f1 * f", more="channel_attention and spatial_attention return features, not maps: they are gated already."),
    mistake("if both results are taken for maps, and multiplied in", "f1, channel_backward = channel_attention(f, w1, w2)\n    f2, spatial_backward = spatial_attention(f1, kernel)", "f1, channel_backward = channel_attention(f, w1, w2)\n    f1 = f1 * f\n    f2, spatial_backward = spatial_attention(f1, kernel)\n    f2 = f2 * f1", more="channel_attention and spatial_attention return features, not maps: they are gated already."),
    mistake("if channel attention is applied twice", "f1, channel_backward = channel_attention(f, w1, w2)", "f0, _ = channel_attention(f, w1, w2)\n    f1, channel_backward = channel_attention(f0, w1, w2)"),
    # backward
    mistake("if channel attention gets d_f2: spatial attention is skipped on the way back", "d_f, d_w1, d_w2 = channel_backward(d_f1)", "d_f, d_w1, d_w2 = channel_backward(d_f2)", more="The backward runs in reverse order, and each step hands on its result."),
    mistake("if the order is that of the forward pass: channel first, then spatial", "d_f1, d_kernel = spatial_backward(d_f2)\n        d_f, d_w1, d_w2 = channel_backward(d_f1)", "d_g, d_w1, d_w2 = channel_backward(d_f2)\n        d_f, d_kernel = spatial_backward(d_g)", more="What was done last is undone first."),
    mistake("if d_f1 is returned as d_f", "return d_f, d_w1, d_w2, d_kernel", "return d_f1, d_w1, d_w2, d_kernel", more="One more step from F′ to F."),
    mistake("if d_f and d_f1 are added", "return d_f, d_w1, d_w2, d_kernel", "return d_f + d_f1, d_w1, d_w2, d_kernel", more="F reaches F″ through F′ only, so there is one path here. (Those inside channel attention are added there.)"),
    mistake("if d_f2 is added to d_f", "return d_f, d_w1, d_w2, d_kernel", "return d_f + d_f2, d_w1, d_w2, d_kernel", more="F reaches F″ through F′ only."),
    mistake("if the two backwards get d_f2 each, and their results are added", "d_f, d_w1, d_w2 = channel_backward(d_f1)", "d_f, d_w1, d_w2 = channel_backward(d_f2)\n        d_f = d_f + d_f1", more="They come one after the other: the second gets what the first returns."),
    mistake("if the two backwards get d_f2 each, and their results are multiplied", "d_f, d_w1, d_w2 = channel_backward(d_f1)", "d_f, d_w1, d_w2 = channel_backward(d_f2)\n        d_f = d_f * d_f1", more="They come one after the other: the second gets what the first returns."),
    mistake("if d_f and d_f1 are multiplied", "return d_f, d_w1, d_w2, d_kernel", "return d_f * d_f1, d_w1, d_w2, d_kernel"),
    mistake("if d_f1 and d_f2 are added before they go on", "d_f, d_w1, d_w2 = channel_backward(d_f1)", "d_f, d_w1, d_w2 = channel_backward(d_f1 + d_f2)", more="F′ reaches F″ through spatial attention only, and its backward has added all paths already."),
    mistake("if d_f2 is left out: everything goes back from ones", "def backward(d_f2):", "def backward(d_f2):\n        d_f2 = np.ones(d_f2.shape)", more="Where is d_f2?"),
    mistake("if f2 goes back in place of d_f2", "spatial_backward(d_f2)", "spatial_backward(f2)", more="What comes back is the gradient, not the value."),
    mistake("if channel attention's paths are counted twice", "return d_f, d_w1, d_w2, d_kernel", "return 2 * d_f, d_w1, d_w2, d_kernel"),
)

cbam = Exercise(
    16, "cbam", 7, "(1)–(11)", ("f2", "d_f", "d_w1", "d_w2", "d_kernel"), block_inputs("f", "w1", "w2", "kernel"),
    mistakes=CBAM,
    hints={
        "f2": ("Two steps. What goes into the second?",),
        "d_f": ("Which of the two backwards is called first, and with what? What does the other one need?",),
        "d_w1": ("The weights are in the first step. Which gradient reaches it?",),
        "d_w2": ("The weights are in the first step. Which gradient reaches it?",),
        "d_kernel": ("The kernel is in the second step. Which gradient reaches it?",),
        "the backward of channel_attention": ("channel_attention's backward needs d_f1 alone, of the shape of f1. What does the backward of spatial_attention return?",),
        "the same backward twice": ("Does each of the two backwards have a name of its own? A second `f2, back = ...` writes over the first `back`.",),
    },
    uses=("avg_pool_over_space", "max_pool_over_space", "avg_pool_over_channels", "max_pool_over_channels", "relu", "mlp",
          "sigmoid", "gate", "channel_attention", "im2col", "col2im", "conv2d", "spatial_attention"),
)
