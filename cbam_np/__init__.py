"""CBAM from scratch: every formula one function, its hand-derived gradient beside it, on NumPy and CuPy arrays."""

from cbam_np.arrays import asarray, to_numpy
from cbam_np.attention.block import CBAM, cbam
from cbam_np.attention.channel import channel_attention, channel_map
from cbam_np.attention.spatial import spatial_attention, spatial_map
from cbam_np.checking.thorough import gradcheck

__version__ = "0.2.0"

__all__ = [
    "CBAM",
    "asarray",
    "cbam",
    "channel_attention",
    "channel_map",
    "gradcheck",
    "spatial_attention",
    "spatial_map",
    "to_numpy",
]
