"""CBAM as trained weights have it: with the biases, the batch norm and the ties that they were trained with."""

import torch
from torch import Tensor, nn

from cbam_np.inputs import Ties
from cbam_np.pytorch.layouts import Found
from cbam_np.reference.in_pytorch import (
    avg_pool_over_channels,
    channel_attention,
    concat,
    conv2d,
    gate,
    max_pool_over_channels,
    sigmoid,
)


class TrainedCBAM(nn.Module):
    """`CBAM` with what trained weights bring along, to train on with: biases, and batch norm after the convolution.

        M_c = σ(MLP(F^c_avg) + MLP(F^c_max))        MLP(x) = W2 ReLU(W1 x + b1) + b2
        M_s = σ(BN(Conv_{k×k}([F^s_avg; F^s_max]) + b))

    In evaluation it gives what the block of `load_weights` gives; in training its batch norm sees the batch. Its state
    dict has the names of `CBAM` and, where the weights have them, "channel.b1", "channel.b2", "spatial.bias" and
    "spatial.bn.*".

    Parameters
    ----------
    found : weights of one block
        As `load_modules` finds them.
    """

    def __init__(self, found: Found) -> None:
        super().__init__()
        params = {name: nn.Parameter(torch.from_numpy(x.copy())) for name, x in found.params().items()}
        norm = {name: torch.from_numpy(x.copy()) for name, x in found.norm().items()}
        self.ties: Ties = found.ties
        self.channel, self.spatial = nn.Module(), nn.Module()
        for name, parameter in params.items():
            half, name = name.split(".")
            getattr(self, half).register_parameter(name, parameter)
        if norm:
            kernel = params["spatial.kernel"]
            self.spatial.bn = nn.BatchNorm2d(1, found.layout.eps, found.layout.momentum, dtype=kernel.dtype)
            self.spatial.bn.load_state_dict(norm, strict=False)  # all but the number of batches so far

    def forward(self, f: Tensor) -> Tensor:
        """F″.

        Parameters
        ----------
        f : tensor (N, C, H, W)

        Returns
        -------
        f2 : tensor (N, C, H, W)
        """
        params: dict[str, Tensor] = {name: x for name, x in self.named_parameters() if ".bn." not in name}
        f1 = channel_attention(f, params, self.ties)
        pooled = concat(avg_pool_over_channels(f1), max_pool_over_channels(f1, self.ties))
        z = conv2d(pooled, params["spatial.kernel"], params.get("spatial.bias"))
        for norm in self.spatial.children():  # batch norm, or nothing
            z = norm(z)
        return gate(sigmoid(z), f1)
