# %% [markdown]
r"""
# A2. Nine paths · 九条路径

> **$dF$ is a sum of nine parts. How much does each of them carry, and which one could you lose without noticing?**
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two tables, three by three: the direct path, taken twice, carries nearly all in a fresh block."}}
import numpy as np

import cbam_np as cb
from cbam_np.course import answer, pictures_b
from cbam_np.course.paths import PATHS, channel_parts, length, lost, routes, spatial_parts

fresh, errors, dead = [], [], []
for seed in range(20):
    rng = np.random.default_rng(seed)
    f, d_f2 = rng.normal(size=(2, 2, 16, 7, 9))
    params = cb.CBAM(16, reduction=4, dtype="float64", seed=seed).params
    nine = routes(f, params, d_f2)
    fresh.append(length(nine) / length(nine.sum(axis=(0, 1))))
    errors.append(lost(nine))
    dead += [seed] * bool((f.max(axis=(2, 3)) @ params["channel.w1"].T < 0).all())

strong = {name: 6 * w for name, w in cb.CBAM(16, reduction=4, dtype="float64", seed=0).params.items()}
nine = routes(f, strong, d_f2)
tables = {
    "20 fresh blocks (median)": np.median(fresh, axis=0),
    "one block, weights six times as large": length(nine) / length(nine.sum(axis=(0, 1))),
}
pictures_b.table_of_routes(tables, PATHS)

# %% [markdown]
r"""
From $F''$ to $F'$ there are three paths (路径): the direct path, the average path and the maximum path. From $F'$ to $F$ there
are three again. The picture shows the length, or norm (范数), of each of the nine parts, as a share of the length of $dF$.

| | |
|---|---|
| **Time** | 20 minutes |
| **You need** | chapters [7](07_the_whole_backward.ipynb) and [8](08_checking_a_gradient.ipynb) |
| **You build** | nothing: you measure what each path carries |

What to see: in a fresh block nearly everything takes the direct path twice. The maps have hardly any effect, since their
weights are small. With weights six times as large, as after a training that has made the maps work, the other paths
carry a good part. (The shares don't add up to 1: the parts are vectors, and they cancel in part.)

## Every step back is linear

How can you take $dF$ apart? Each step of a backward pass is linear in the gradient that comes in: if $dF'$ is a sum of three
parts, send each part on alone, and add up at the end. That is exact:
"""

# %%
rng = np.random.default_rng(7)
f, d_f2 = rng.normal(size=(2, 2, 6, 8, 9))
params = cb.CBAM(6, reduction=2, dtype="float64", seed=7).params
d_f, _ = cb.cbam(f, params)[1](d_f2)
assert np.allclose(routes(f, params, d_f2).sum(axis=(0, 1)), d_f)

f1, _ = cb.channel_attention(f, params)
d_f1 = sum(spatial_parts(d_f2, f1, params["spatial.kernel"]).values())
assert np.allclose(sum(channel_parts(d_f1, f, params["channel.w1"], params["channel.w2"]).values()), d_f)
print("the nine parts add up to dF")

assert tables["20 fresh blocks (median)"][0, 0] > 0.9
assert np.sort(tables["20 fresh blocks (median)"].ravel())[-2] < 0.2
assert np.sort(tables["one block, weights six times as large"].ravel())[-2] > 0.2

# %% [markdown]
r"""
## How far does one entry spread?

Let $dF''$ be 1 at one entry, in channel 1 in the middle, and 0 elsewhere. Where in $F'$ does it arrive?

**A2.1** Three channels of $11\times11$ pixels, a $7\times7$ kernel. How many entries of $dF'$ are reached on the direct path, on the
average path, and on the maximum path? Type three numbers, and then look at the picture.
"""

# %%
answer("A2.1", ...)  # solved: (1, 147, 49)

# %% mystnb={"image": {"alt": "One entry on the direct path, a seven by seven patch on both others."}}
rng = np.random.default_rng(0)
f1 = rng.normal(size=(1, 3, 11, 11))
kernel = rng.normal(size=(1, 2, 7, 7)) / 7
one = np.zeros(f1.shape)
one[0, 1, 5, 5] = 1.0
parts = spatial_parts(one, f1, kernel)
pictures_b.spread(parts)
assert [int((part != 0).sum()) for part in parts.values()] == [1, 3 * 7 * 7, 7 * 7]

# %% [markdown]
r"""
What to see: on the direct path the gradient stays where it was. On the other two, it spreads over a $7\times7$ patch: in all
channels alike on the average path, and at each pixel in its largest channel on the maximum path. (Each column has its own scale.)

## What if one is missing?
"""

# %% mystnb={"image": {"alt": "For each path twenty dots on a logarithmic axis, with the tolerance 0.01 as a line."}}
without = {path: [error[path] for error in errors] for path in errors[0]}
pictures_b.lost_paths({path: [max(value, 1e-3) for value in values] for path, values in without.items()})

for path, values in without.items():
    print(f"without the {path:16} dF is off by {min(values):5.1%} to {max(values):5.1%}")
unseen = sum(value < 0.01 for value in without["channel average"])
print(f"without the channel average it is off by less than 1 % in {unseen} of 20 blocks")
assert 5 <= unseen <= 9
assert max(without["channel average"] + without["spatial average"]) < 0.03

# %% [markdown]
r"""
These blocks have $7\times9$ pixels, those of chapter 8 had $14\times14$. There a tolerance of 1 % missed the channel average in
nearly all blocks, here in about a third: the larger the map, the less its average says about one pixel.

One dot of the channel maximum sits at the left edge: there the error is **zero**. In that block the ReLU shuts all hidden units for
the maximum, in both samples, so nothing goes back on that path, and no test whatsoever can find it missing. Test with several
seeds.
"""

# %%
(seed,) = dead
assert without["channel maximum"][seed] == 0
print("the seed of that block:", seed)

# %% [markdown]
r"""
## What you built

- A way to take apart any gradient that is a sum of paths.
- A reason for tight tolerances and several seeds that doesn't depend on taste.

**The code:** [paths.py](../cbam_np/course/paths.py)
"""
