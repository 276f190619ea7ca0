"""The gate, formulas (1), (2), (7), (11): features multiplied by a map, which is broadcast where it has length 1."""

from cbam_np.arrays import Array, Backward, total_of_products
from cbam_np.inputs import check_nchw, checked, namespace


def _map_and_features(m: Array, f: Array) -> None:
    namespace(m=m, f=f)
    check_nchw("f", f)
    N, C, H, W = f.shape
    if tuple(m.shape) not in ((N, C, 1, 1), (N, 1, H, W)):
        raise ValueError(f"m: expected {(N, C, 1, 1)} or {(N, 1, H, W)} for f {tuple(f.shape)}, got {tuple(m.shape)}")


@checked(_map_and_features)
def gate(m: Array, f: Array) -> tuple[Array, Backward]:
    """F′ = M_c ⊗ F, formulas (1) and (7), and F″ = M_s ⊗ F′, formulas (2) and (11).

        out[n,c,i,j] = m[n,c] · f[n,c,i,j]      or      out[n,c,i,j] = m[n,i,j] · f[n,c,i,j]

    A product has two factors, so the gradient has two paths. One map entry gates many features and
    collects from all of them; each feature sees its own gate:

        d_m = Σ d_out · f   over the axes along which m was broadcast
        d_f = m ⊗ d_out

    In CBAM m is itself computed from f, so the whole gradient of f is this d_f plus what d_m sends back through the
    map. Forgetting the second part is the classic mistake.

    Parameters
    ----------
    m : floats (N, C, 1, 1) or (N, 1, H, W)
    f : floats (N, C, H, W)

    Returns
    -------
    out : floats (N, C, H, W)
    backward : d_out -> d_m, d_f
    """
    broadcast_axes = tuple(axis for axis in (1, 2, 3) if m.shape[axis] == 1)
    out = m * f

    def backward(d_out: Array) -> tuple[Array, Array]:
        d_m = total_of_products(d_out, f, axis=broadcast_axes)
        d_f = m * d_out
        return d_m, d_f

    return out, backward
