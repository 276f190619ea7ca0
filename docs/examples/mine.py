"""A CBAM as one might write it in an afternoon, with two slips."""

import torch
from torch import Tensor, nn


class MyCBAM(nn.Module):
    """Channel attention, then spatial attention."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.Linear(hidden, channels))
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, f: Tensor) -> Tensor:
        """f: (N, C, H, W) -> the same."""
        average, largest = self.mlp(f.mean((2, 3))), self.mlp(f.amax((2, 3)))
        gates = torch.sigmoid(average) + torch.sigmoid(largest)
        f1 = f * gates[:, :, None, None]
        pooled = torch.cat([f1.mean(1, keepdim=True), f1.amax(1, keepdim=True)], dim=1)
        return f1 * torch.sigmoid(self.conv(pooled))
