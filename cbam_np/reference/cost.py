"""What attention costs: parameters and multiply-adds of CBAM and of SE, its predecessor.

Section 4 of the document says that CBAM costs less than SE (Squeeze-and-Excitation, the channel branch with only the
average). These counts show that it doesn't: the MLP runs twice, and the convolution comes on top.
"""

from dataclasses import dataclass

from cbam_np.inputs import check_integer


@dataclass(frozen=True)
class Cost:
    """The number of parameters, and of multiply-adds in matrix products and convolutions for one sample.

    Poolings, sigmoids and the broadcast products of the gates don't count: they are passes over F, bound by memory.

    Parameters
    ----------
    parameters : int
    multiply_adds : int
    """

    parameters: int
    multiply_adds: int


def se_cost(channels: int, reduction: int = 16) -> Cost:
    """SE: one pooled vector through W1 (C/r, C) and W2 (C, C/r), so 2·C·(C/r) of both.

    Raises ValueError for a size below 1 or a reduction above channels.

    Parameters
    ----------
    channels : int
    reduction : int
        r.

    Returns
    -------
    cost : Cost
    """
    weights = 2 * channels * _hidden(channels, reduction)
    return Cost(weights, weights)


def cbam_cost(channels: int, height: int, width: int, reduction: int = 16, kernel_size: int = 7) -> Cost:
    """CBAM without biases, formulas (5) and (10).

        parameters     2·C·(C/r) + 2·k²
        multiply-adds  4·C·(C/r) + 2·k²·H·W      the MLP for two vectors, a window of 2·k² at each pixel

    The zeros of the padding count like any other number. Raises ValueError as `se_cost` does.

    Parameters
    ----------
    channels, height, width : int
        C, H and W of the features.
    reduction : int
        r.
    kernel_size : int
        k.

    Returns
    -------
    cost : Cost
    """
    for name, value in (("height", height), ("width", width), ("kernel_size", kernel_size)):
        check_integer(name, value, least=1)
    weights, window = 2 * channels * _hidden(channels, reduction), 2 * kernel_size**2
    return Cost(weights + window, 2 * weights + window * height * width)


def _hidden(channels: int, reduction: int) -> int:
    check_integer("channels", channels, least=1)
    check_integer("reduction", reduction, least=1)
    if reduction > channels:
        raise ValueError(f"reduction: expected at most {channels} for channels={channels}, got {reduction}")
    return channels // reduction
