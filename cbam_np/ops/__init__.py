"""The operations. Each is one formula: `out, backward = op(...)`, and `backward(d_out)` gives the gradients."""

from cbam_np.ops.activation import relu, sigmoid
from cbam_np.ops.conv import col2im, conv2d, im2col
from cbam_np.ops.gating import gate
from cbam_np.ops.joining import concat
from cbam_np.ops.perceptron import mlp, shared_mlp
from cbam_np.ops.pooling import (
    avg_pool_over_channels,
    avg_pool_over_space,
    max_pool_over_channels,
    max_pool_over_space,
)

__all__ = [
    "avg_pool_over_channels",
    "avg_pool_over_space",
    "col2im",
    "concat",
    "conv2d",
    "gate",
    "im2col",
    "max_pool_over_channels",
    "max_pool_over_space",
    "mlp",
    "relu",
    "shared_mlp",
    "sigmoid",
]
