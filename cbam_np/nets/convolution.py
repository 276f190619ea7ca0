"""stub"""

from cbam_np.ops import conv2d

__all__ = ["conv2d"]
