"""Heads: what a network makes of its last feature map. And losses: what it is trained to make small.

loss, d_out = class_loss(net(x), labels)
net.backward(d_out)
"""

from collections.abc import Callable
from math import prod

from array_api_compat import array_namespace, device

from cbam_np import ops
from cbam_np.arrays import Array, total
from cbam_np.inputs import check_nchw
from cbam_np.nets.layers import Conv, Layer, Linear, Plain

HEADS = ("class", "box", "linear box", "mask")


def head_layers(head: str, channels: int, classes: int) -> tuple[Layer, ...]:
    """The layers on top of a feature map (N, C, H, W).

    Parameters
    ----------
    head : "class", "box", "linear box" or "mask"
        "class": the average of each channel, then one linear layer -> logits (N, classes). "box": the same with four
        outputs, through the sigmoid -> (N, 4), fractions of the image; "linear box" without it. "mask": a 1×1
        convolution -> logits (N, 1, H, W), one for each pixel of the feature map.
    channels : int
        C of the feature map.
    classes : int
    """
    average = Plain(ops.avg_pool_over_space)
    match head:
        case "class":
            return average, Linear("fc", channels, classes)
        case "linear box":
            return average, Linear("box", channels, 4)
        case "box":
            return average, Linear("box", channels, 4), Plain(ops.sigmoid)
        case "mask":
            return (Conv("mask", channels, 1, 1, bias=True),)
        case _:
            raise ValueError(f"head: expected one of {', '.join(HEADS)}, got {head!r}")


def class_loss(logits: Array, labels: Array) -> tuple[Array, Array]:
    """The mean of `ops.softmax_cross_entropy`, and its gradient with respect to the logits.

    Parameters
    ----------
    logits : floats (N, K)
    labels : integers (N,) or probabilities (N, K)

    Returns
    -------
    loss : float, ()
    d_logits : floats (N, K)
    """
    return _mean(ops.softmax_cross_entropy, logits, labels)


def box_loss(boxes: Array, targets: Array) -> tuple[Array, Array]:
    """The mean of `ops.smooth_l1` over all coordinates, and its gradient with respect to the boxes.

    Parameters
    ----------
    boxes, targets : floats (N, 4)

    Returns
    -------
    loss : float, ()
    d_boxes : floats (N, 4)
    """
    return _mean(ops.smooth_l1, boxes, targets)


def mask_loss(logits: Array, masks: Array) -> tuple[Array, Array]:
    """The mean of `ops.binary_cross_entropy` over all pixels of the feature map.

    A mask that is s times as large is averaged over s×s pixels: its target is the share that is covered.

    Parameters
    ----------
    logits : floats (N, 1, h, w)
    masks : floats (N, 1, H, W), between 0 and 1

    Returns
    -------
    loss : float, ()
    d_logits : floats (N, 1, h, w)
    """
    check_nchw("logits", logits)
    check_nchw("masks", masks)
    s = masks.shape[2] // logits.shape[2]
    if tuple(masks.shape[2:]) != (s * logits.shape[2], s * logits.shape[3]) or s == 0:
        raise ValueError(
            f"masks: expected a multiple of the size of logits, {tuple(logits.shape[2:])}, got {tuple(masks.shape[2:])}"
        )
    targets = masks if s == 1 else ops.avg_pool2d(masks, s, s)[0]
    return _mean(ops.binary_cross_entropy, logits, targets)


def _mean(
    op: Callable[[Array, Array], tuple[Array, Callable[[Array], tuple[Array, Array]]]], outputs: Array, targets: Array
) -> tuple[Array, Array]:
    """The mean over all numbers that a loss gives, each of which moves it by 1/M."""
    losses, backward = op(outputs, targets)
    xp = array_namespace(losses)
    M = prod(losses.shape) or 1
    d_outputs, _ = backward(xp.full(losses.shape, 1 / M, dtype=losses.dtype, device=device(losses)))
    return total(losses, axis=tuple(range(losses.ndim))) / M, d_outputs
