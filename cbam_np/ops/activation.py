"""The two functions that the document both calls σ: ReLU in formula (5), the sigmoid in (6) and (10)."""

from array_api_compat import array_namespace

from cbam_np.arrays import Array, Backward, real
from cbam_np.inputs import checked, namespace


def _z(z: Array) -> None:
    namespace(z=z)


@checked(_z)
def relu(z: Array) -> tuple[Array, Backward]:
    """The σ of formula (5), entry by entry.

        ReLU(z) = z if z > 0, else 0
        dz      = d_out if z > 0, else 0        (so ReLU′(0) = 0)

    NaN passes through, forward and backward.

    Parameters
    ----------
    z : floats of any shape

    Returns
    -------
    out : floats, same shape
    backward : d_out -> d_z
    """
    xp = array_namespace(z)
    off = real(z) <= 0
    out = xp.where(off, xp.zeros_like(z), z)

    def backward(d_out: Array) -> Array:
        return xp.where(off, xp.zeros_like(d_out), d_out)

    return out, backward


@checked(_z)
def sigmoid(z: Array) -> tuple[Array, Backward]:
    """The σ of formulas (6) and (10), entry by entry.

        σ(z)  = 1 / (1 + e^{-z})
        σ′(z) = σ(z) σ(-z) = e^{-|z|} / (1 + e^{-|z|})²
        dz    = d_out · σ′(z)

    Only e^{-|z|} is ever computed: it cannot overflow, and both tails keep their relative precision, in σ and in σ′
    (σ(-40) = 4.2e-18, where 1 - σ(40) would give 0).

    Parameters
    ----------
    z : floats of any shape

    Returns
    -------
    out : floats, same shape
    backward : d_out -> d_z
    """
    xp = array_namespace(z)
    positive = real(z) >= 0
    e = xp.exp(xp.where(positive, -z, z))
    out = xp.where(positive, xp.ones_like(e), e) / (1 + e)

    def backward(d_out: Array) -> Array:
        return d_out * (e / (1 + e) ** 2)

    return out, backward
