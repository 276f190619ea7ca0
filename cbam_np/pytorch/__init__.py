"""CBAM for PyTorch: what section 5 of the document promises, and what becomes of other people's CBAM.

The module with the same parameters under the same names; trained weights from elsewhere; and an audit of a module that
somebody else wrote.
"""

from cbam_np.pytorch.auditing import Audit, Deviation, audit
from cbam_np.pytorch.module import CBAM, ChannelAttention, SpatialAttention, from_arrays, to_arrays
from cbam_np.pytorch.trained import TrainedCBAM
from cbam_np.pytorch.weights import load_modules, load_weights, save_weights

__all__ = [
    "CBAM",
    "Audit",
    "ChannelAttention",
    "Deviation",
    "SpatialAttention",
    "TrainedCBAM",
    "audit",
    "from_arrays",
    "load_modules",
    "load_weights",
    "save_weights",
    "to_arrays",
]
