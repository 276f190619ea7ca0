"""Networks with attention in every block, to be trained by hand: `resnet` and `vgg`, and the losses for their heads."""

from cbam_np.nets.heads import box_loss, class_loss, mask_loss
from cbam_np.nets.network import Network
from cbam_np.nets.resnets import resnet
from cbam_np.nets.vggs import vgg

__all__ = ["Network", "box_loss", "class_loss", "mask_loss", "resnet", "vgg"]
