"""The operations. Each is one formula: `out, backward = op(...)`, and `backward(d_out)` gives the gradients."""

from cbam_np.ops.activation import relu, sigmoid
from cbam_np.ops.conv import col2im, conv2d, im2col
from cbam_np.ops.dense import linear
from cbam_np.ops.excitation import squeeze_excitation
from cbam_np.ops.gating import gate
from cbam_np.ops.joining import concat
from cbam_np.ops.losses import binary_cross_entropy, smooth_l1, softmax_cross_entropy
from cbam_np.ops.normalisation import batch_norm, batch_norm_evaluation
from cbam_np.ops.perceptron import mlp, shared_mlp
from cbam_np.ops.pooling import (
    avg_pool_over_channels,
    avg_pool_over_space,
    max_pool_over_channels,
    max_pool_over_space,
)
from cbam_np.ops.residual import add
from cbam_np.ops.windows import avg_pool2d, max_pool2d

__all__ = [
    "add",
    "avg_pool2d",
    "avg_pool_over_channels",
    "avg_pool_over_space",
    "batch_norm",
    "batch_norm_evaluation",
    "binary_cross_entropy",
    "col2im",
    "concat",
    "conv2d",
    "gate",
    "im2col",
    "linear",
    "max_pool2d",
    "max_pool_over_channels",
    "max_pool_over_space",
    "mlp",
    "relu",
    "shared_mlp",
    "sigmoid",
    "smooth_l1",
    "softmax_cross_entropy",
    "squeeze_excitation",
]
