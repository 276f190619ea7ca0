"""Lines of code and what CuPy makes of them. The stand-in has to agree with every one (`test_standin.py`).

Names: `cp` CuPy, `np` NumPy; device arrays x (3, 4) float64, f (3, 4) float32, h (3, 4) float16, b (3, 4) bool,
s () float64 and, all int64, i (2,) = [2, 0], j (3, 1) = [[1], [3], [1]], far (2,) = [1, 7], twice (2,) = [1, 1].
n (3, 4) float64 is a NumPy array.

Where CuPy refuses a line before it touches the device, `manifest.json` has the answer of the real wheel as well
(from `dump_manifest.py`); the others follow CuPy's source and documentation.
"""

from typing import Literal, NamedTuple

import numpy as np

Kind = Literal[
    "works",  # and gives what NumPy gives, without a transfer that waits
    "refused",  # raises
    "wrong",  # runs, and the result is undefined
    "hidden",  # runs, but not where or not through the library that the reader thinks
    "waits",  # works, and stops the host until the device is done
]


class Snippet(NamedTuple):
    """`error` names the exception that CuPy raises, for the kind "refused"."""

    code: str
    kind: Kind
    error: str = ""


def inputs() -> dict[str, np.ndarray]:
    """The device arrays, as they are on the host."""
    x = np.linspace(-1.0, 2.0, 12).reshape(3, 4)
    return {
        "x": x,
        "f": x.astype("float32"),
        "h": x.astype("float16"),
        "b": x > 0,
        "i": np.array([2, 0]),
        "j": np.array([[1], [3], [1]]),
        "far": np.array([1, 7]),
        "twice": np.array([1, 1]),
        "s": np.array(0.5),
    }


def host() -> np.ndarray:
    """n, which stays on the host."""
    return np.arange(12.0).reshape(3, 4)


WORKS = """
out = x + 1.0
out = 2 / x
out = x ** 2 - x / 3
out = x * np.float64(2)
out = np.float64(2) * x
out = f * np.float64(2)
out = f + 1
out = f + x
out = -x, abs(x), x // 1, x % 1
out = (x > 0) & ~b | (x == f)
out = x / 0
out = cp.exp(x), cp.exp(i), cp.sqrt(f), cp.isnan(x)
out = cp.maximum(x, 0.0)
out = x @ f.T
out = cp.matmul(x, x.mT)
out = x.sum(axis=(0, 1), keepdims=True)
out = cp.sum(h, axis=0, dtype="float32")
out = x.max()
out = cp.mean(f, axis=1), cp.var(x, axis=0, ddof=1), cp.std(x)
out = cp.argmax(x, axis=1, keepdims=True)
out = cp.add.reduce(x), cp.multiply.reduce(x, axis=1)
out = cp.add.accumulate(x, axis=1)
out = cp.cumsum(x, axis=1)
out = cp.clip(x, 0.0, 1.0)
out = x.clip(min=0.0)
out = cp.where(b, x, 0.0)
out = cp.take(x, i, axis=0)
out = cp.take_along_axis(x, j, axis=1)
out = x[i], x[i, i], x[0], x[1, 2], x[-1]
out = x[:, None, ::-1], x[..., 0]
out = x[np.array([0, 2])]
out = cp.concat([x, x], axis=1), cp.stack([x, x], axis=1)
out = cp.concatenate([x, f])
out = cp.reshape(x, (2, 6)), x.reshape(-1), cp.permute_dims(x, (1, 0)), cp.flip(x, axis=0)
out = cp.broadcast_to(x, (2, 3, 4))
out = cp.pad(x, 1)
out = cp.einsum("ij,ij->i", x, f)
out = cp.tensordot(x, f, axes=2)
out = cp.lib.stride_tricks.sliding_window_view(x, (2, 2))
out = cp.zeros_like(x), cp.ones(3, dtype="float32"), cp.arange(3), cp.full((2,), 0.5), cp.eye(2)
out = x.astype("float32"), cp.astype(x, "float16")
out = cp.asarray(n), cp.array([1.0, 2.0])
out = cp.linalg.norm(x)
out = cp.sort(x, axis=1), cp.argsort(x, axis=1)
out = cp.finfo(x.dtype).eps, x.dtype == cp.float64, cp.result_type(f, 1.0)
x[0] = 5.0
x[0][1] = 5.0
x[...] = f
x[i] = 0.0
x[i] = x[i] * 2
x[twice] = 1.0
x += f
f += x
cp.put_along_axis(x, j, 0.0, axis=1)
cp.add.at(x, twice, 1.0)
cp.maximum.at(x, i, 0.5)
"""

REFUSED = """
TypeError            out = x + n
TypeError            out = n * x
TypeError            out = x + [1.0, 2.0, 3.0, 4.0]
TypeError            out = (1.0, 2.0, 3.0, 4.0) * x
TypeError            out = x + np.array(1.0)
TypeError            out = x @ n.T
TypeError            out = cp.matmul(x, n.T)
TypeError            out = cp.matmul(x, [[1.0], [2.0], [3.0], [4.0]])
TypeError            out = x == n
TypeError            x += n
TypeError            n += x
TypeError            i += s
ValueError           x[...] = n
ValueError           x[:] = n
ValueError           x[0] = [1.0, 2.0, 3.0, 4.0]
ValueError           cp.copyto(x, n)
TypeError            n[...] = x
TypeError            out = np.asarray(x)
TypeError            out = np.array([x, x])
TypeError            out = cp.exp(n)
TypeError            out = cp.exp([1.0])
TypeError            out = cp.maximum(x, n)
TypeError            out = cp.where(b, x, n)
TypeError            out = cp.where(n > 0, x, 0.0)
TypeError            out = cp.where(b, x, [1.0, 2.0, 3.0, 4.0])
TypeError            out = cp.concatenate([x, n])
AttributeError       out = cp.sum([1.0, 2.0])
TypeError            out = cp.sum(x, where=b)
TypeError            out = x.sum(initial=1.0)
TypeError            out = cp.max(x, initial=0.0)
TypeError            out = x.mean(where=b)
TypeError            out = cp.var(x, correction=1)
TypeError            out = cp.clip(x, min=0.0)
TypeError            out = cp.clip(x, 0.0)
TypeError            out = cp.add(x, x, where=b)
NotImplementedError  out = cp.maximum.reduce(x)
NotImplementedError  out = cp.maximum.accumulate(x)
NotImplementedError  out = cp.logical_and.reduce(b)
NotImplementedError  cp.multiply.at(x, i, 2.0)
TypeError            cp.subtract.at(x, i, 1.0)
TypeError            cp.maximum.at(h, i, 1.0)
TypeError            out = cp.take(x, i, axis=0, mode="clip")
TypeError            out = x.take(i, mode="clip")
TypeError            out = cp.take_along_axis(x, j)
TypeError            out = cp.sort(x, stable=True)
TypeError            out = cp.reshape(x, shape=(12,))
TypeError            out = cp.zeros(3, device="cpu")
TypeError            out = cp.asarray(x, device="cpu")
TypeError            out = cp.astype(x, "float32", device=None)
AttributeError       out = cp.errstate(all="raise")
AttributeError       out = cp.vecdot(x, x)
AttributeError       out = cp.unstack(x)
AttributeError       out = cp.linalg.vector_norm(x)
AttributeError       out = x.__array_namespace__()
AttributeError       out = x.to_device("cpu")
TypeError            out = range(i[0])
TypeError            out = [1, 2, 3][i[0]]
TypeError            out = -b
TypeError            out = cp.logical_not(x * 1j)
IndexError           out = x[5]
"""

WRONG = """
out = x[far]
out = x[:, far]
out = x[far, i]
out = cp.take(x, far, axis=0)
out = cp.take_along_axis(x, j + 1, axis=1)
x[far] = 0.0
x[twice] = x[i]
x[twice] += x[i]
cp.add.at(x, far, 1.0)
cp.put_along_axis(x, cp.stack([j[:, 0], j[:, 0]], axis=1), x[:, :2], axis=1)
out = cp.empty(3) * 0.0
out = cp.empty_like(x).sum()
"""

HIDDEN = """
out = np.exp(x)
out = np.maximum(x, 0.0)
out = np.add.reduce(x)
out = np.sum(x)
out = np.concatenate([x, x])
out = np.where(b, x, 0.0)
out = np.zeros_like(x)
out = np.linalg.norm(x)
out = np.shape(x)
out = cp.sum(n)
"""

WAITS = """
out = x.get()
out = cp.asnumpy(x)
out = s.item()
out = float(s), int(s), bool(s), complex(s)
out = 1.0 if s > 0 else 0.0
out = not s
out = max(x[0])
out = s in [1.0, 0.5]
out = x[b]
out = x[x[:, 0] > 0]
x[b] = 0.0
x[x > 1] *= 0.5
out = cp.nonzero(x), cp.flatnonzero(x), cp.argwhere(x)
out = cp.where(b)
out = cp.unique(x)
out = x.tolist()
out = str(x), repr(x), f"{s:.3f}"
"""


def _lines(text: str) -> list[str]:
    return text.strip().splitlines()


SNIPPETS: list[Snippet] = [
    *(Snippet(code, "works") for code in _lines(WORKS)),
    *(Snippet(code.strip(), "refused", error) for error, code in (line.split(maxsplit=1) for line in _lines(REFUSED))),
    *(Snippet(code, "wrong") for code in _lines(WRONG)),
    *(Snippet(code, "hidden") for code in _lines(HIDDEN)),
    *(Snippet(code, "waits") for code in _lines(WAITS)),
]
