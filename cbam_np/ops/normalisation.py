"""Batch norm: every channel brought to mean 0 and variance 1, then scaled by γ and shifted by β.

In training, the mean and the variance are those of the batch, so every entry moves all others of its channel. In
evaluation, they are numbers that were collected before.

M = N·H·W is the number of entries of a channel, and s = 1/√(v + ε).
"""

from array_api_compat import array_namespace

from cbam_np.arrays import Array, Backward, Params, accumulator, total
from cbam_np.inputs import check_nchw, check_shape, checked, namespace


def _batch(x: Array, gamma: Array, beta: Array, eps: float = 1e-5, statistics: dict[str, Array] | None = None) -> None:
    namespace(x=x, gamma=gamma, beta=beta)
    check_nchw("x", x)
    N, C, H, W = x.shape
    check_shape("gamma", gamma, (C,))
    check_shape("beta", beta, (C,))
    _check_eps(eps)
    if N * H * W == 1:
        raise ValueError(f"x: expected more than one entry for each channel in training, got {tuple(x.shape)}")
    if not (statistics is None or isinstance(statistics, dict)):
        raise TypeError(f"statistics: expected a dict to store them in, or None, got {statistics!r}")


@checked(_batch)
def batch_norm(
    x: Array, gamma: Array, beta: Array, eps: float = 1e-5, statistics: Params | None = None
) -> tuple[Array, Backward]:
    """Batch norm in training: by the mean and the variance of this batch.

        μ[c] = 1/M Σ_{n,i,j} x[n,c,i,j]        v[c] = 1/M Σ_{n,i,j} (x[n,c,i,j] - μ[c])²

        x̂ = (x - μ) / √(v + ε)                 out = γ x̂ + β

    x enters directly, through μ, and through v. Let d_x̂ = γ d_out, and write "mean" for 1/M Σ_{n,i,j}:

        directly         s d_x̂
        through μ      - s mean(d_x̂)            each entry moves μ by 1/M, and μ moves all x̂ by -s
        through v      - s x̂ mean(d_x̂ x̂)        each entry moves v by 2 (x - μ)/M, and v moves x̂ by -s² x̂/2

    (μ enters v as well, but moves it by -2 mean(x - μ) = 0.) The sums are those of the other two gradients:

        d_β = Σ_{n,i,j} d_out      d_γ = Σ_{n,i,j} d_out x̂      d_x = γ s (d_out - d_β/M - x̂ d_γ/M)

    Source: Ioffe, Szegedy, "Batch Normalization", ICML 2015, section 3.

    Parameters
    ----------
    x : floats (N, C, H, W), with N·H·W > 1, or N = 0
    gamma, beta : floats (C,)
    eps : float
    statistics : dict, optional
        μ and v, both (C,), are stored in it as "mean" and "variance".

    Returns
    -------
    out : floats (N, C, H, W)
    backward : d_out -> d_x, d_gamma, d_beta
    """
    xp = array_namespace(x)
    N, _, H, W = x.shape
    M = N * H * W or 1  # without a sample there is nothing to add up, and nothing to divide
    wide, gamma_wide, beta_wide = (xp.astype(array, accumulator(x), copy=False) for array in (x, gamma, beta))

    mu = total(wide, axis=(0, 2, 3)) / M
    centred = wide - mu[:, None, None]
    v = total(centred * centred, axis=(0, 2, 3)) / M
    s = 1 / xp.sqrt(v + eps)
    x_hat = centred * s[:, None, None]
    out = x_hat * gamma_wide[:, None, None] + beta_wide[:, None, None]
    if statistics is not None:
        statistics["mean"], statistics["variance"] = (xp.astype(value, x.dtype, copy=False) for value in (mu, v))

    def backward(d_out: Array) -> tuple[Array, ...]:
        d_wide = xp.astype(d_out, accumulator(x), copy=False)
        d_beta = total(d_wide, axis=(0, 2, 3))
        d_gamma = total(d_wide * x_hat, axis=(0, 2, 3))
        through_v = x_hat * (d_gamma / M)[:, None, None]
        d_x = (gamma_wide * s)[:, None, None] * (d_wide - (d_beta / M)[:, None, None] - through_v)
        return tuple(xp.astype(d, x.dtype, copy=False) for d in (d_x, d_gamma, d_beta))

    return xp.astype(out, x.dtype, copy=False), backward


def _fixed(x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, eps: float = 1e-5) -> None:
    namespace(x=x, gamma=gamma, beta=beta, mean=mean, variance=variance)
    check_nchw("x", x)
    for name, vector in (("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance)):
        check_shape(name, vector, (x.shape[1],))
    _check_eps(eps)


@checked(_fixed)
def batch_norm_evaluation(
    x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, eps: float = 1e-5
) -> tuple[Array, Backward]:
    """Batch norm in evaluation: by a mean μ and a variance v that are given, and do not depend on x.

        x̂ = (x - μ) / √(v + ε)                 out = γ x̂ + β

    Each entry moves its own output and no other:

        d_x = γ s d_out            d_β = Σ_{n,i,j} d_out           d_γ = Σ_{n,i,j} d_out x̂
        d_μ = - γ s d_β            d_v = - γ s² d_γ / 2

    Parameters
    ----------
    x : floats (N, C, H, W)
    gamma, beta, mean, variance : floats (C,)
    eps : float

    Returns
    -------
    out : floats (N, C, H, W)
    backward : d_out -> d_x, d_gamma, d_beta, d_mean, d_variance
        A network has no use for the last two.
    """
    xp = array_namespace(x)
    wide, gamma_wide, beta_wide, mu, v = (
        xp.astype(array, accumulator(x), copy=False) for array in (x, gamma, beta, mean, variance)
    )
    s = 1 / xp.sqrt(v + eps)
    x_hat = (wide - mu[:, None, None]) * s[:, None, None]
    out = x_hat * gamma_wide[:, None, None] + beta_wide[:, None, None]

    def backward(d_out: Array) -> tuple[Array, ...]:
        d_wide = xp.astype(d_out, accumulator(x), copy=False)
        d_beta = total(d_wide, axis=(0, 2, 3))
        d_gamma = total(d_wide * x_hat, axis=(0, 2, 3))
        d_x = (gamma_wide * s)[:, None, None] * d_wide
        d_mean = -gamma_wide * s * d_beta
        d_variance = -gamma_wide * s * s * d_gamma / 2
        return tuple(xp.astype(d, x.dtype, copy=False) for d in (d_x, d_gamma, d_beta, d_mean, d_variance))

    return xp.astype(out, x.dtype, copy=False), backward


def _check_eps(eps: float) -> None:
    if not (isinstance(eps, float) and eps > 0):
        raise ValueError(f"eps: expected a positive number, such as 1e-5, got {eps!r}")
