"""Exercises of chapter 3, the shared MLP: formula (5)."""

from typing import Any

import numpy as np

from cbam_np.course.checker import SHAPES, Exercise, Function, Mistake
from cbam_np.ops import mlp, shared_mlp


def _sizes(seed: int) -> tuple[int, int, int]:
    """N, C and the number of hidden units, C/2."""
    N, C, _, _ = SHAPES[seed]
    return N, 2 * C, C


def _relu(z: Any) -> Any:
    return np.where(z > 0, z, 0.0)


# 3.1


def _inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient and x, both (N, C), and the weights; a sample of zeros, so that some z is exactly 0."""
    rng = np.random.default_rng(10 + seed)
    N, C, hidden = _sizes(seed)
    x = rng.normal(size=(N, C))
    if N > 1:
        x[0] = 0
    return rng.normal(size=(N, C)), x, rng.normal(size=(hidden, C)), rng.normal(size=(C, hidden))


def _mlp_backward(d_out: Any, x: Any, w1: Any, w2: Any) -> Any:
    return mlp(x, w1, w2)[1](d_out)[:3]


def _with_mask(d_out: Any, x: Any, w1: Any, w2: Any, mask: Any) -> Any:
    """The gradients with something else in place of [z > 0]."""
    d_z = (d_out @ w2) * mask
    return d_z @ w1, d_z.T @ x, d_out.T @ _relu(x @ w1.T)


def _unmasked_d_w1(d_out: Any, x: Any, w1: Any, w2: Any) -> Any:
    d_x, _, d_w2 = _mlp_backward(d_out, x, w1, w2)
    return d_x, (d_out @ w2).T @ x, d_w2


def _unmasked_d_x(d_out: Any, x: Any, w1: Any, w2: Any) -> Any:
    _, d_w1, d_w2 = _mlp_backward(d_out, x, w1, w2)
    return d_out @ w2 @ w1, d_w1, d_w2


def _z_for_h(d_out: Any, x: Any, w1: Any, w2: Any) -> Any:
    d_x, d_w1, _ = _mlp_backward(d_out, x, w1, w2)
    return d_x, d_w1, d_out.T @ (x @ w1.T)


def _mean_over_samples(d_out: Any, x: Any, w1: Any, w2: Any) -> Any:
    d_x, d_w1, d_w2 = _mlp_backward(d_out, x, w1, w2)
    return d_x, d_w1 / len(x), d_w2 / len(x)


def _transposed(d_out: Any, x: Any, w1: Any, w2: Any) -> Any:
    d_x, d_w1, d_w2 = _mlp_backward(d_out, x, w1, w2)
    return d_x, d_w1.T, d_w2.T


exercise_3_1 = Exercise(
    "3.1",
    "The MLP, backward",
    returns="d_x, d_w1, d_w2",
    inputs=_inputs,
    solution=_mlp_backward,
    mistakes=(
        Mistake(
            lambda d_out, x, w1, w2: _with_mask(d_out, x, w1, w2, 1.0),
            "The gradient went through hidden units that were off. What does the ReLU do to it on the way back? "
            "(A mask h >= 0 is always true.)",
        ),
        Mistake(
            lambda d_out, x, w1, w2: _with_mask(d_out, x, w1, w2, x @ w1.T >= 0),
            "One sample is all zeros, so its z is exactly 0, and there your mask lets the gradient through. Here "
            "ReLU′(0) = 0.",
        ),
        Mistake(
            lambda d_out, x, w1, w2: _with_mask(d_out, x, w1, w2, d_out @ w2 > 0),
            "You applied the ReLU to the gradient. The mask asks for the sign of z, on the way forward; the sign of "
            "the gradient does not matter.",
        ),
        Mistake(
            lambda d_out, x, w1, w2: _with_mask(d_out, x, w1, w2, _relu(x @ w1.T)),
            "You multiplied by ReLU(z). Multiply by its slope: 1 where z > 0, else 0.",
        ),
        Mistake(
            _unmasked_d_w1,
            "d_x is right. For d_w1 you used the gradient of h; W1 makes z, so it needs the gradient of z.",
        ),
        Mistake(
            _unmasked_d_x,
            "d_w1 is right. For d_x you used the gradient of h; x makes z, so it needs the gradient of z.",
        ),
        Mistake(
            _z_for_h,
            "d_x and d_w1 are right. W2 is multiplied with h, the hidden layer after the ReLU, not with z.",
        ),
        Mistake(
            _mean_over_samples,
            "d_x is right. For the weights you divided by N: the shares of the samples are added, not averaged.",
        ),
        Mistake(
            _transposed,
            "A gradient has the shape of what it belongs to. Which of the two factors has to be transposed?",
        ),
    ),
)

# 3.2


def _shared_inputs(seed: int) -> tuple[Any, ...]:
    """An upstream gradient, both pooled vectors, all (N, C), and the weights."""
    rng = np.random.default_rng(20 + seed)
    N, C, hidden = _sizes(seed)
    avg_c = rng.normal(size=(N, C))
    max_c = avg_c + rng.uniform(1, 3, size=(N, C))
    return rng.normal(size=(N, C)), avg_c, max_c, rng.normal(size=(hidden, C)), rng.normal(size=(C, hidden))


def _shared_backward(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any) -> Any:
    return shared_mlp(avg_c, max_c, w1, w2)[1](d_z)[:4]


def _weights_times(avg: float, max_: float) -> Function:
    """Gives the weights each of the two shares times a factor."""

    def backward(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any) -> Any:
        d_avg_c, *through_avg = _mlp_backward(d_z, avg_c, w1, w2)
        d_max_c, *through_max = _mlp_backward(d_z, max_c, w1, w2)
        return d_avg_c, d_max_c, *(avg * a + max_ * m for a, m in zip(through_avg, through_max, strict=True))

    return backward


def _mlp_of_the_sum(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any) -> Any:
    d_x, d_w1, d_w2 = _mlp_backward(d_z, avg_c + max_c, w1, w2)
    return d_x, d_x, d_w1, d_w2


def _inputs_added(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any) -> Any:
    d_avg_c, d_max_c, d_w1, d_w2 = _shared_backward(d_z, avg_c, max_c, w1, w2)
    return d_avg_c + d_max_c, d_avg_c + d_max_c, d_w1, d_w2


def _one_mask(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any) -> Any:
    """The mask of the average, for both."""
    z_avg, z_max = avg_c @ w1.T, max_c @ w1.T
    d_hidden = (d_z @ w2) * (z_avg > 0)
    d_x = d_hidden @ w1
    return d_x, d_x, d_hidden.T @ (avg_c + max_c), d_z.T @ (_relu(z_avg) + _relu(z_max))


exercise_3_2 = Exercise(
    "3.2",
    "The shared MLP, backward",
    returns="d_avg_c, d_max_c, d_w1, d_w2",
    inputs=_shared_inputs,
    solution=_shared_backward,
    mistakes=(
        Mistake(
            _weights_times(avg=1, max_=0),
            "The weights got only the share that came through the average. They were used for the maximum, too.",
        ),
        Mistake(
            _weights_times(avg=0, max_=1),
            "The weights got only the share that came through the maximum. Did the second result overwrite the first?",
        ),
        Mistake(
            _weights_times(avg=0.5, max_=0.5),
            "You took the mean of both shares. A weight that moves L in two ways moves it by the sum.",
        ),
        Mistake(
            _weights_times(avg=2, max_=0),
            "You doubled one share. The two ways have different inputs and different masks, so the shares differ.",
        ),
        Mistake(
            lambda d_z, avg_c, max_c, w1, w2: _shared_backward(d_z / 2, avg_c, max_c, w1, w2),
            "You gave half of d_z to each MLP. In a sum each summand has the factor 1, so each gets all of it.",
        ),
        Mistake(
            _mlp_of_the_sum,
            "This is the gradient of MLP(avg + max). Formula (6) has MLP(avg) + MLP(max), and because of the ReLU the "
            "two are not the same.",
        ),
        Mistake(
            _inputs_added,
            "The weights' gradients are right, they are shared. avg_c and max_c are not: each has one way to z and "
            "gets one share.",
        ),
        Mistake(
            _one_mask,
            "You used the mask of the average for both. Each vector switches the hidden units on and off by itself.",
        ),
    ),
)

# 3.3


def _bias_inputs(seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(30 + seed)
    _, _, hidden = _sizes(seed)
    return *_shared_inputs(seed), rng.normal(size=hidden)


def _bias_backward(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any, b1: Any) -> Any:
    return shared_mlp(avg_c, max_c, w1, w2, b1, np.zeros(len(w2)))[1](d_z)[4:]


def _d_b1(d_z: Any, x: Any, w1: Any, w2: Any, b1: Any) -> Any:
    """Along one way, one row for each sample."""
    return (d_z @ w2) * (x @ w1.T + b1 > 0)


def _d_b2_once(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any, b1: Any) -> Any:
    return _bias_backward(d_z, avg_c, max_c, w1, w2, b1)[0], d_z.sum(axis=0)


def _mask_without_bias(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any, b1: Any) -> Any:
    return _bias_backward(d_z, avg_c, max_c, w1, w2, 0 * b1)


def _no_mask(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any, b1: Any) -> Any:
    return 2 * (d_z @ w2).sum(axis=0), 2 * d_z.sum(axis=0)


def _b1_through_avg(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any, b1: Any) -> Any:
    return _d_b1(d_z, avg_c, w1, w2, b1).sum(axis=0), 2 * d_z.sum(axis=0)


def _b1_doubled(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any, b1: Any) -> Any:
    return 2 * _d_b1(d_z, avg_c, w1, w2, b1).sum(axis=0), 2 * d_z.sum(axis=0)


def _axis_kept(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any, b1: Any) -> Any:
    d_b1, d_b2 = _bias_backward(d_z, avg_c, max_c, w1, w2, b1)
    return d_b1[None], d_b2[None]


def _one_row_for_each_sample(d_z: Any, avg_c: Any, max_c: Any, w1: Any, w2: Any, b1: Any) -> Any:
    return _d_b1(d_z, avg_c, w1, w2, b1) + _d_b1(d_z, max_c, w1, w2, b1), 2 * d_z


exercise_3_3 = Exercise(
    "3.3",
    "The biases of the shared MLP, backward",
    returns="d_b1, d_b2",
    inputs=_bias_inputs,
    solution=_bias_backward,
    mistakes=(
        Mistake(
            _d_b2_once,
            "d_b1 is right. How many times does b2 occur in z = MLP(avg_c) + MLP(max_c)?",
        ),
        Mistake(
            _one_row_for_each_sample,
            "Your gradients still have one row for each sample. One bias serves all samples: sum over them.",
        ),
        Mistake(
            _b1_through_avg,
            "d_b2 is right. b1 got only what came through the average; it was used for the maximum, too.",
        ),
        Mistake(
            _b1_doubled,
            "d_b2 is right. You doubled b1's share of the average, too. Its two ways have different masks: add both "
            "shares.",
        ),
        Mistake(
            _axis_kept,
            "The numbers are right. A bias has one axis, and so has its gradient: sum without keepdims.",
        ),
        Mistake(
            _mask_without_bias,
            "Your masks come from W1 x alone. The argument of the ReLU is W1 x + b1.",
        ),
        Mistake(
            _no_mask,
            "d_b2 is right. b1 stands inside the ReLU: where a hidden unit is off, nothing comes back to it.",
        ),
    ),
)
