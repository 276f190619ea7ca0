"""CBAM for PyTorch: what section 5 of the document promises, with the same parameters under the same names."""

from cbam_np.pytorch.module import CBAM, ChannelAttention, SpatialAttention, from_arrays, to_arrays

__all__ = ["CBAM", "ChannelAttention", "SpatialAttention", "from_arrays", "to_arrays"]
