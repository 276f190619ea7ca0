"""The block in three files: which channels matter, which places matter, and both together."""

from cbam_np.attention.block import CBAM, cbam
from cbam_np.attention.channel import channel_attention, channel_map
from cbam_np.attention.spatial import spatial_attention, spatial_map

__all__ = ["CBAM", "cbam", "channel_attention", "channel_map", "spatial_attention", "spatial_map"]
