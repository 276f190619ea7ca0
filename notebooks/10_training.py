# %% [markdown]
r"""
# 10. Training · 训练

> **You've written the block, and every gradient of it is right. Now: what does it learn to look at?**
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Eight dark scenes, each with a bright digit among pieces of other digits; below, where the digit is."}}
import numpy as np

from cbam_np import ops
from cbam_np.course import answer, own_block, pictures_b
from cbam_np.nets import class_loss
from cbam_np.nets.attention import Attention
from cbam_np.nets.data import batches, cluttered_digits
from cbam_np.nets.layers import BatchNorm, Chain, Conv, Linear, Plain
from cbam_np.nets.network import Network
from cbam_np.nets.pictures import spatial_maps
from cbam_np.nets.training import accuracy, cosine, sgd_step


def scenes(split, count, seed):
    """Images (count, 1, 24, 24), their labels, and how much of each pixel the digit covers."""
    made = cluttered_digits(split, count, clutter=4, size=48, seed=seed)
    small = [ops.avg_pool2d(x.astype("float32"), k=2, stride=2)[0] for x in (made.images, made.masks)]
    return small[0], made.labels, small[1]


images, labels, _ = scenes("train", 6000, seed=0)
test_images, test_labels, test_masks = scenes("test", 1000, seed=1000)
pictures_b.scenes_and_labels(test_images[:8], test_labels[:8], test_masks[:8])

# %% [markdown]
r"""
One digit in each scene is whole; everything else is pieces of other digits, and noise. The network is told the digit's name
and nothing more. It isn't told **where** the digit is. Will the spatial map find out?

| | |
|---|---|
| **Time** | about 45 minutes, including three of computing |
| **You need** | your `cbam` of chapter [7](07_the_whole_backward.ipynb); the packages `scikit-learn` and `matplotlib` |
| **You build** | a training step; then you put your block into a network, and train it |

There are 6,000 scenes to learn from (24 by 24 pixels) and 1,000 others to be tested on, made of digits that never
occur in training.

## A network around your block

Four convolutions, each with batch norm (批归一化) and ReLU, and one CBAM after the second. Then the average of each
channel, and one linear layer that gives ten numbers, the **logits**: one for each digit.

$$x \to \underbrace{\text{conv} \to \text{conv}}_{16 \text{ channels of } 12\times12} \to \textbf{CBAM} \to \text{conv} \to
\text{conv} \to \text{average} \to \text{linear} \to \text{logits}$$

Everything in it follows your own protocol: a layer returns its output and its backward, and a chain calls the
backwards in reverse order.
"""


# %%
def conv(name, c_in, c_out, stride=1):
    """A 3×3 convolution, batch norm and ReLU."""
    return Conv(name, c_in, c_out, 3, stride), BatchNorm(f"{name}.bn", c_out), Plain(ops.relu)


def network(attention, seed=0):
    """Logits (N, 10) for images (N, 1, 24, 24)."""
    layers = (
        *conv("conv1", 1, 8),
        *conv("conv2", 8, 16, stride=2),
        *Attention(attention, reduction=4).layers("block", 16),
        *conv("conv3", 16, 32, stride=2),
        *conv("conv4", 32, 32),
        Plain(ops.avg_pool_over_space),
        Linear("fc", 32, 10),
    )
    return Network(Chain(layers), f"four convolutions, attention: {attention}", 1, None, seed, "float32")


plain = network("none")
as_shipped = network("cbam")
net = own_block(as_shipped)  # here your own function takes its place
whose = "the package's block" if net is as_shipped else "your block"

in_block = {name: w.shape for name, w in net.params.items() if "cbam" in name}
count = {name: sum(w.size for w in n.params.values()) for name, n in (("without", plain), ("with", net))}
print(in_block)
print(count)
assert count == {"without": 15554, "with": 15780}

# %% [markdown]
r"""
`own_block` has put the `cbam` of your file into the network. (If yours isn't finished, the line above says so, and
the package's block is used. Come back later and run the chapter again. And if yours goes through the pixels one by one in Python, a
training takes long: begin with `train(net, epochs=1)`.)

**Two questions before we start.** **10.1** How many parameters does the block have, by the formulas: $W_1$, $W_2$ and a $7\times7$
kernel, with $C=16$ and $r=4$? **10.2** How large is the loss $-\ln p$ of the right class, if the network hasn't learned
anything and gives each of ten classes the same probability? (Two decimals will do.)
"""

# %%
answer("10.1", ...)  # solved: 226
answer("10.2", ...)  # solved: 2.30

# %% [markdown]
r"""
## One step

The gradient says how the loss grows. So take a small step against it. The step that many image networks are trained with
remembers where it was going, its **momentum** (动量):

$$v \leftarrow \mu\, v + dw \qquad\qquad w \leftarrow w - \eta\, v$$

$\eta$ is the learning rate (学习率), $\mu = 0.9$, and here $v$ is a velocity, of the shape of $w$.

**10.3** Take one step by hand: $w = 1$, $dw = 0.5$, $v = 0.2$, $\eta = 0.1$. What are the new $w$ and the new $v$?
"""

# %%
answer("10.3", ...)  # solved: (0.932, 0.68)

# %% [markdown]
r"""
**10.4** Now write it, for arrays.
"""


# %%
def step(w, d_w, v, lr):
    """One step with momentum 0.9. Returns the new w and the new v; what comes in stays as it is."""
    ### BEGIN SOLUTION
    v = 0.9 * v + d_w
    return w - lr * v, v
    ### END SOLUTION


answer("10.4", step)

# %% [markdown]
r"""
The package's `sgd_step` does this for all parameters at once. One thing it adds: each weight also shrinks a little
(*weight decay*), so that none grows without need.

## The loop

This is all there is to training: forward, loss, backward, step, for one batch (批) after another. `net.backward` runs
through your block.
"""


# %%
def train(net, epochs=6, batch_size=50, peak=0.2, watch=()):
    """Train `net`; the losses of all steps, the accuracy after each epoch, and the maps of `watch` over time."""
    velocity = {name: np.zeros_like(w) for name, w in net.params.items()}
    losses, accuracies, maps = [], [], [spatial_maps(net, watch)] if len(watch) else []
    steps = epochs * len(images) // batch_size
    for epoch in range(epochs):
        for x, y in batches(images, labels, batch_size, seed=0, epoch=epoch):
            lr = cosine(len(losses), steps, steps // epochs, peak)
            loss, d_logits = class_loss(net(x), y)
            net.backward(d_logits)
            net.params, velocity = sgd_step(net.params, net.grads, velocity, lr, momentum=0.9, weight_decay=5e-4)
            losses.append(float(loss))
        accuracies.append(accuracy(net, test_images, test_labels))
        if len(watch):
            maps.append(spatial_maps(net, watch))
    return losses, accuracies, maps


# %% [markdown]
r"""
The learning rate rises for one epoch and then falls to zero along a cosine. Three networks are trained: one without
attention, one with your block, and one with your block in which **a single weight is changed in its seventh digit**
before the first step. They see the same batches in the same order.

<details><summary>Predict: how far apart will the last two be at the end?</summary>

Write down a number of percentage points before you go on. The picture below has the answer.

</details>
"""

# %% tags=["varies"] mystnb={"image": {"alt": "Losses and accuracies of three trainings: all learn, and the last two start together and drift apart."}}
nudged = own_block(network("cbam"))
nudged.params["conv1.weight"][0, 0, 0, 0] *= 1 + 1e-6

plain_losses, plain_accuracies, _ = train(plain)
losses, accuracies, maps = train(net, watch=test_images[:200])
nudged_losses, nudged_accuracies, _ = train(nudged)

names = "without attention", f"with {whose}", "the same, one weight nudged"
pictures_b.curves(
    dict(zip(names, (plain_losses, losses, nudged_losses), strict=True)),
    dict(zip(names, (plain_accuracies, accuracies, nudged_accuracies), strict=True)),
)

# %% [markdown]
r"""
What to see: **your block learns.** The loss begins near 2.3, which is $\ln 10$, and at the end the network names most
of the test digits, which it has never seen. All of that went through your backward pass.
(Where the legend says *the package's block*, as on the site, `cbam` in my_cbam.py wasn't finished when the chapter ran.)

And now look at the last two curves. They are the same network, the same data, the same order; they differ in one digit
of one number. They start together and then drift apart. That is what rounding does over hundreds of steps. So **a
difference of that size between two networks means nothing**, and this goes for the curve without attention, too.
"""

# %% tags=["varies"]
for name, values in zip(names, (plain_accuracies, accuracies, nudged_accuracies), strict=True):
    print(f"{name:30} {values[-1]:.0%}")

between = [abs(a - b) for a, b in zip(accuracies, nudged_accuracies, strict=True)]
widest = int(np.argmax(between))
print(f"the last two after epoch {widest + 1}: {accuracies[widest]:.0%} and {nudged_accuracies[widest]:.0%}")
assert max(between) > abs(plain_accuracies[-1] - accuracies[-1])

assert np.isclose(np.mean(losses[:3]), np.log(10), atol=0.2)
assert accuracies[0] < 0.5
assert np.mean(plain_losses) < np.mean(losses)
ends = [plain_accuracies[-1], accuracies[-1], nudged_accuracies[-1]]
assert min(ends) > 0.6
assert max(ends) - min(ends) < 0.15
assert abs(losses[0] - nudged_losses[0]) < 1e-3 < max(abs(a - b) for a, b in zip(losses, nudged_losses, strict=True))

# %% [markdown]
r"""
## What it looks at

The spatial map $M_s$ of your block, on scenes of the test set: before training, after one epoch, in the middle and at
the end. All maps have the same scale from 0 to 1.
"""

# %% tags=["varies"] mystnb={"image": {"alt": "Five scenes; their spatial maps are flat before training and in the end open along bright strokes."}}
when = {"before": 0, "after epoch 1": 1, "after epoch 3": 3, "after epoch 6": 6}
pictures_b.maps_over_time(
    test_images[:5], test_labels[:5], {name: maps[epoch]["block"][:5] for name, epoch in when.items()}
)

# %% [markdown]
r"""
What to see: before training all gates are near one half. After a single epoch the map has shapes, and in the end it's open
along bright strokes and dark right beside them, which makes the strokes stand out. Nobody told it to.

**Does it find the digit?** Look at the pieces before you answer. To be sure, measure it: the mean of $M_s$ on the digit, on the
ink of the pieces, and on the dark background.
"""

# %% tags=["varies"] mystnb={"image": {"alt": "Bars: all near a half before training; after it highest on the digit."}}
covered = ops.avg_pool2d(test_masks[:200], k=2, stride=2)[0][:, 0]  # as large as the map: 12 by 12
bright = ops.avg_pool2d(test_images[:200], k=2, stride=2)[0][:, 0]
places = {
    "on the digit": covered > 0.5,
    "on pieces": (covered == 0) & (bright > 0.4),
    "on the background": bright < 0.2,
}
opened = {
    name: {place: float(maps[epoch]["block"][where].mean()) for place, where in places.items()}
    for name, epoch in (("before", 0), ("after epoch 6", 6))
}
pictures_b.openness(opened)

before, after = opened["before"], opened["after epoch 6"]
assert max(before.values()) - min(before.values()) < 0.05
assert after["on the digit"] > max(after["on pieces"], after["on the background"]) + 0.02

# %% [markdown]
r"""
So yes, to a degree: the gates are **most open on the digit**, more than on bright pieces of others. Only
the digit's name was ever said. But it's no spotlight. The pieces aren't shut off, and large parts of the background stay
half open, perhaps because nothing makes the network close them.

This was one run. We made three more with other scenes and other first weights: the gates were most open on the digit each
time, sometimes only just, and whether the pieces or the background came second changed from run to run. Chapter
[11](11_what_was_measured.ipynb) asks the same of a deeper network, with several seeds, and there the answer is weaker.

## What does the block gain?

On this page, nothing: without attention the loss falls **faster**. At the end the accuracies with and without differ by a few
points, and one nudged weight made a larger difference on the way. (Two gates near one half let a quarter of everything
through at the start. Chapter 11 tests whether that is the reason.) But one run of each is no experiment. A fair comparison needs several seeds, a
learning rate chosen for each network, and an interval around the mean. Chapter 11 reports one.

What the block **costs** can be said from one run: 226 parameters more, and each step takes longer.

**Try it.** Some experiments that are worth your time; each of them takes a minute.

1. Break the backward pass. `own_block` refuses a `cbam` that is wrong, but it puts in any function that you hand it. This one
   lets nothing through to the layers before the block:

   ```python
   from my_cbam import cbam

   def cut(f, w1, w2, kernel):
       f2, backward = cbam(f, w1, w2, kernel)
       return f2, lambda d_f2: (0 * f, *backward(d_f2)[1:])

   train(own_block(network("cbam"), cut))
   ```

   To drop a single path, copy `channel_attention` and `cbam` in your file under new names, leave the path out of the first
   copy, let the second call the first, and put the second in.
2. Put the block after the fourth convolution instead of the second. Does the map get better at finding the digit?
3. Train one epoch with `peak=20`, a hundred times the learning rate. What does the loss do?

<details><summary>What you may find</summary>

1. With `cut` the first two convolutions stay at random weights. The network learns all the same, but worse: in our run it
   reached about 60 % in place of 80 %. If a single path is dropped, it depends on the path, and often hardly anything
   happens: chapter 11 has six such mistakes, and for three of them no harm could be shown.
2. In our run it opened wide on the digit and stayed well below that on the pieces: deeper features know more about digits. But
   there the map has 6 by 6 pixels only.
3. It climbs, in our run to several times $\ln 10$. The gradient says what happens nearby; a long step ends far away.

</details>

## What you built

- A training step, and a network with a block in it that you wrote, function by function, from pooling to the whole backward
  pass. The loop that trains it is forward, loss, backward, step.
- Maps that began at one half everywhere and learned to look, and a measurement of what they look at.

**What would you tell a friend it does?** Write two sentences before you read on; chapter 11 puts them to the test.

**Next:** [11. What was measured](11_what_was_measured.ipynb)

**The code:** [training.py](../cbam_np/nets/training.py), [layers.py](../cbam_np/nets/layers.py),
[digits.py](../cbam_np/nets/data/digits.py); the same from the command line: `cbam-np train`
"""
