"""What a network is trained to make small: for classes, for boxes, for masks.

Each loss comes back as an array, one number for each sample, coordinate or pixel. The mean over M of them is trained
with d_out = 1/M everywhere.
"""

from array_api_compat import array_namespace, device

from cbam_np.arrays import Array, Backward, describe, library_name, real, total
from cbam_np.inputs import check_array, check_shape, checked, namespace


def _logits_and_labels(logits: Array, labels: Array) -> None:
    xp = check_array("logits", logits)
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits: expected (N, K) with at least one class, got {tuple(logits.shape)}")
    N, K = logits.shape
    if _are_numbers_of_classes(labels):
        if array_namespace(labels) is not xp or device(labels) != device(logits):
            raise TypeError(
                f"labels: expected the library and device of logits, {describe(logits)}, got {describe(labels)}"
            )
        check_shape("labels", labels, (N,))
        if library_name(labels) == "numpy" and N > 0 and not (xp.min(labels) >= 0 and xp.max(labels) < K):
            raise ValueError(f"labels: expected classes 0 to {K - 1}, got {xp.min(labels)} to {xp.max(labels)}")
    else:
        namespace(logits=logits, labels=labels)
        check_shape("labels", labels, (N, K))


def _are_numbers_of_classes(labels: Array) -> bool:
    """Whether these are integers, one a sample."""
    try:
        xp = array_namespace(labels)
    except TypeError:
        return False
    return labels.ndim == 1 and xp.isdtype(labels.dtype, "integral")


@checked(_logits_and_labels)
def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[Array, Backward]:
    """How much a classifier is surprised by the right classes, one number a sample.

        p[n,k] = e^{z[n,k]} / Σ_l e^{z[n,l]}        loss[n] = - Σ_k t[n,k] log p[n,k]

    z are the logits. t is 1 at the label and 0 elsewhere, so the loss is -log p at the label. From
    log p[n,k] = z[n,k] - log Σ_l e^{z[n,l]}, whose derivative to z[n,l] is [k = l] - p[n,l]:

        d_z[n,l] = d_out[n] (p[n,l] Σ_k t[n,k] - t[n,l])        d_t[n,k] = - d_out[n] log p[n,k]

    which for a label is p - t: the probabilities, with 1 taken off the right one.

    The largest logit is subtracted first: p stays what it is, and no e^z overflows. Integers are only checked where
    that doesn't wait for a GPU, on NumPy; elsewhere a label out of range is no class, and adds nothing.

    Parameters
    ----------
    logits : floats (N, K)
    labels : integers (N,) or floats (N, K)
        Classes from 0 to K - 1; or the t above.

    Returns
    -------
    loss : floats (N,)
    backward : d_out -> d_logits, d_labels
        d_labels is None for integers.
    """
    xp = array_namespace(logits)
    K = logits.shape[1]
    t = labels
    if labels.ndim == 1:
        classes = xp.arange(K, dtype=labels.dtype, device=device(labels))
        t = xp.astype(labels[:, None] == classes, logits.dtype)
    z = logits - xp.max(real(logits), axis=1, keepdims=True)
    log_p = z - xp.log(total(xp.exp(z), axis=1, keepdims=True))
    loss = -total(t * log_p, axis=1)

    def backward(d_out: Array) -> tuple[Array, Array | None]:
        d = d_out[:, None]
        d_logits = d * (xp.exp(log_p) * total(t, axis=1, keepdims=True) - t)
        d_labels = None if labels.ndim == 1 else -d * log_p
        return d_logits, d_labels

    return loss, backward


def _predictions_and_targets(predictions: Array, targets: Array, beta: float = 1.0) -> None:
    namespace(predictions=predictions, targets=targets)
    check_shape("targets", targets, predictions.shape)
    if not beta > 0:
        raise ValueError(f"beta: expected a positive number, got {beta!r}")


@checked(_predictions_and_targets)
def smooth_l1(predictions: Array, targets: Array, beta: float = 1.0) -> tuple[Array, Backward]:
    """How far off each coordinate of a box is: squared if it is near, and straight if it is far.

        e = prediction - target
        loss = |e| - β/2 if |e| ≥ β, else e² / 2β

        d_prediction = d_out · sign(e) if |e| ≥ β, else d_out · e/β        d_target = - d_prediction

    The two halves meet at |e| = β with one value and one slope. No outlier pulls harder than d_out.

    Source: Girshick, "Fast R-CNN", ICCV 2015, section 2.3.

    Parameters
    ----------
    predictions, targets : floats of any shape, the same for both
    beta : float

    Returns
    -------
    loss : floats, same shape
    backward : d_out -> d_predictions, d_targets
    """
    xp = array_namespace(predictions)
    e = predictions - targets
    size = xp.where(real(e) < 0, -e, e)
    far = real(size) >= beta
    loss = xp.where(far, size - beta / 2, e * e / (2 * beta))

    def backward(d_out: Array) -> tuple[Array, Array]:
        sign = xp.where(real(e) < 0, -xp.ones_like(e), xp.ones_like(e))
        d_predictions = d_out * xp.where(far, sign, e / beta)
        return d_predictions, -d_predictions

    return loss, backward


def _logits_and_targets(logits: Array, targets: Array) -> None:
    namespace(logits=logits, targets=targets)
    check_shape("targets", targets, logits.shape)


@checked(_logits_and_targets)
def binary_cross_entropy(logits: Array, targets: Array) -> tuple[Array, Backward]:
    """How much a yes-or-no answer is surprised, one number for each pixel of a mask.

        loss = - t log σ(z) - (1 - t) log(1 - σ(z))

    z are the logits, t the targets, between 0 and 1. With - log σ(z) = log(1 + e^{-z}), and
    - log(1 - σ(z)) = z + log(1 + e^{-z}):

        loss = (1 - t) z + log(1 + e^{-z}) = (1 - t) z + max(-z, 0) + log(1 + e^{-|z|})

    of which the last form cannot overflow. The derivative of log(1 + e^{-z}) is σ(z) - 1, so

        d_z = d_out (σ(z) - t)        d_t = - d_out z

    Parameters
    ----------
    logits, targets : floats of any shape, the same for both

    Returns
    -------
    loss : floats, same shape
    backward : d_out -> d_logits, d_targets
    """
    xp = array_namespace(logits)
    positive = real(logits) >= 0
    e = xp.exp(xp.where(positive, -logits, logits))
    loss = (1 - targets) * logits + xp.where(positive, xp.zeros_like(logits), -logits) + xp.log1p(e)

    def backward(d_out: Array) -> tuple[Array, Array]:
        probability = xp.where(positive, xp.ones_like(e), e) / (1 + e)
        return d_out * (probability - targets), -d_out * logits

    return loss, backward
