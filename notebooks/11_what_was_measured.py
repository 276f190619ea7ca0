# %% [markdown]
r"""
# 11. What was measured · 实验结果

> **You've built it, and it's right. Is it worth having?**
"""

# %% tags=["hide-input"] mystnb={"image": {"alt": "Test accuracy of five variants, one dot a seed, with means and intervals that overlap."}}
import numpy as np

from cbam_np.course import answer, measured, pictures_b
from cbam_np.reference.cost import cbam_cost, se_cost

VARIANTS = ("none", "SE", "channel", "spatial", "CBAM")
OPEN = "as released, gates open"
accuracy = {variant: measured.accuracies("features", variant=variant) for variant in (*VARIANTS, "as released", OPEN)}
means = {variant: measured.interval(list(values.values())) for variant, values in accuracy.items()}
pictures_b.dots_and_intervals(
    {variant: (list(accuracy[variant].values()), means[variant]) for variant in VARIANTS},
    "test accuracy, %",
    means["none"].mean,
)

# %% [markdown]
r"""
A small ResNet of eight layers finds digits among pieces of others: without attention, with SE, with one half of CBAM, and
with CBAM. A grey dot is one training, a blue square their mean, the bar its 95 % interval (置信区间). Look at it for a
while. What would you report?

| | |
|---|---|
| **Time** | about 45 minutes |
| **You need** | chapter [10](10_training.ipynb); what a mean and a standard deviation are |
| **You build** | a judgement |

Section 4 of the document, *CBAM 的优点*, claims three merits. This chapter puts each to the test, and also a common saying about
wrong gradients. All numbers here are read from the files of `cbam-np study`; the full tables are on the page
*What was measured* of the documentation, which also says what has been run and what hasn't.

## Claim 1: it's light

<details><summary>The document's own words</summary>

Section 4: *轻量级*, lightweight. Compared with SE, it says, CBAM needs less computation. SE (Squeeze-and-Excitation) is the
channel branch with the average alone.

</details>

Count before you measure. $C$ channels of $H \times W$ pixels, reduction $r$, kernel size $k$:

| | parameters | multiply-adds (乘加) |
|---|---|---|
| SE | $2C^2/r$ | $2C^2/r$ |
| CBAM | $2C^2/r + 2k^2$ | $4C^2/r + 2k^2HW$ |

**11.1** How many more parameters does CBAM have than SE, for $k = 7$ and any number of channels?
"""

# %%
answer("11.1", ...)  # solved: 98

print("   C  H=W   parameters SE, CBAM    multiply-adds SE, CBAM")
for C, side in ((64, 56), (256, 56), (512, 28), (1024, 14), (2048, 7)):
    se, ours = se_cost(C), cbam_cost(C, side, side)
    assert ours.parameters == se.parameters + 98
    assert ours.multiply_adds > 2 * se.multiply_adds
    assert ours.multiply_adds < 0.003 * 9 * C * C * side * side  # beside one 3×3 convolution of the network
    print(f"{C:4} {side:4}  {se.parameters:9,} {ours.parameters:9,}   {se.multiply_adds:12,} {ours.multiply_adds:12,}")

# %% [markdown]
r"""
So the claim is **false as written**: CBAM does all that SE does, twice, and a convolution on top. What is true is
weaker: beside the network around it, the arithmetic of both is small. One $3\times3$ convolution from $C$ to $C$ channels
needs more than 300 times as many multiply-adds.

But arithmetic isn't time. In NumPy, with this package:
"""

# %%
print("network    parameters: none, SE, CBAM               a training step, none = 1: SE, CBAM")
slower = {}
for result in measured.results("light"):
    found = result["found"]
    counts = [found[name]["parameters"] for name in ("none", "SE", "CBAM")]
    seconds = [np.array(found[name]["training s"]) for name in ("none", "SE", "CBAM")]
    ratios = [float(np.median(s / seconds[0])) for s in seconds[1:]]
    slower[result["run"]["net"]] = ratios
    print(
        f"{result['run']['net']:9}"
        + "".join(f"{count:13,}" for count in counts)
        + f"{ratios[0]:12.2f} {ratios[1]:6.2f}"
    )

assert min(slower["resnet8"][1], slower["vgg11"][1]) > 1.5
assert slower["resnet50"][1] > 1.1
assert slower["vgg16"][1] < 1.1
(found,) = (r["found"] for r in measured.results("light") if r["run"]["net"] == "resnet50")
assert round(100 * (found["CBAM"]["multiply-adds"] / found["none"]["multiply-adds"] - 1), 1) == 0.2
assert all(cbam > se - 0.05 for se, cbam in slower.values())

# %% [markdown]
r"""
In small networks a step with CBAM takes more than 1.5 times as long, and even a ResNet-50 is clearly slower, with 0.2 %
more multiply-adds. (In VGG-16, whose own layers are huge, it's lost in the noise.) What takes the time are the passes over memory: each pooling and each gate reads or writes all of
$F$, and computes next to nothing on the way. One fused, compiled kernel takes less time.

## Claim 2: better features

<details><summary>The document's own words</summary>

Section 4: *更强的特征表达能力*. Channel and spatial attention together, it says, strengthen the key features more fully. The
paper reports, for ResNet-50 on ImageNet, an error of 24.56 % without attention, 23.14 % with SE and 22.66 % with CBAM.

</details>

The picture at the top is our answer at a small scale. Each variant was trained with the same scenes, first weights and
batches, once for each of several seeds, and its learning rate was chosen on other scenes. Since the seeds match, compare them pair by pair:
subtract, and then take the mean and its interval, $\bar d \pm t\, s/\sqrt n$. Here $n$ is the number of seeds, $\bar d$ and $s$ are the
mean and the standard deviation of the $n$ differences, and $t$ comes from a table: 2.3 for ten seeds.
"""

# %%
differences = {v: measured.difference(accuracy["none"], accuracy[v]) for v in VARIANTS[1:]}
print(f"none      {means['none']} %")
for variant, d in differences.items():
    print(f"{variant:9} {means[variant]} %, minus none: {d} points")

assert round(measured.T[10], 1) == 2.3
print("seeds:", {variant: len(values) for variant, values in accuracy.items()})

assert all(len(values) >= 5 for values in accuracy.values())
assert all(d.mean < 0 for d in differences.values())  # every mean is below that without attention
assert 0.7 < -differences["CBAM"].mean / differences["CBAM"].half < 2  # about as large as its interval
assert abs(measured.difference(accuracy["channel"], accuracy["CBAM"]).mean) < 3

# %% [markdown]
r"""
**We found no gain.** With attention the mean accuracy is lower in all four variants. How certain is that drop? For CBAM it's about as
large as its own interval, and there are four comparisons in this table. One in twenty such intervals misses the truth by
chance alone, and with four intervals the chance is larger. So here: no gain, and a drop that more seeds may or may not confirm.

One task is one task. The same networks were trained with less clutter, with more of it, and on pieces of clothing
(Fashion-MNIST, 2000 pictures); and once more without attention for twice as many epochs, which takes at least as long as ten with CBAM.
"""

# %%
elsewhere = {
    "less clutter": {"clutter": 2},
    "more clutter": {"clutter": 8},
    "clothes": {"data": "fashion", "clutter": 0},
}
gain = {}
for place, where in elsewhere.items():
    without, with_cbam = (measured.accuracies("features", variant=variant, **where) for variant in ("none", "CBAM"))
    assert len(without) == len(with_cbam) == 5
    gain[place] = measured.difference(without, with_cbam)
    print(f"{place:13} without {np.mean(list(without.values())):.0f} %; with CBAM, minus without: {gain[place]} points")
longer = measured.difference(measured.accuracies("features", variant="none", epochs=20), accuracy["CBAM"])
print(f"CBAM, minus twice as many epochs without attention: {longer} points")
assert all(gain[place].mean + gain[place].half < 0 for place in ("less clutter", "more clutter"))
assert abs(gain["clothes"].mean) < 1 < gain["clothes"].half < 2
assert longer.mean + longer.half < -10

# %% [markdown]
r"""
Among scraps of digits the drop is confirmed twice. On clothes, which fill the whole picture, there's no difference: to within two points
the block neither helps nor harms. And if time is what you have to spend, in this network, spend it on epochs.

**Does it stay behind?** Ten epochs are a short training. The same networks were also trained for forty, until their accuracy
hardly rose any more:
"""

# %%
plateau = {}
for place, where in {"as above": {}, **elsewhere}.items():
    without, with_cbam = (
        measured.accuracies("features", variant=variant, epochs=40, **where) for variant in ("none", "CBAM")
    )
    assert len(without) == len(with_cbam) == 5
    plateau[place] = measured.difference(without, with_cbam)
    print(
        f"{place:13} without {np.mean(list(without.values())):.0f} %; with CBAM, minus without: {plateau[place]} points"
    )
assert all(abs(d.mean) < d.half for d in plateau.values())
assert all(abs(plateau[place].mean) < 0.5 for place in elsewhere)
assert 6 < max(d.half for d in plateau.values()) < 9
trainings = [result["found"] for result in measured.results("features")]
assert len(trainings) == 642
assert round(sum(found["seconds"][-1] for found in trainings if found.get("seconds")) / 3600, 1) == 3.5

# %% [markdown]
r"""
After forty epochs no drop is left to see, in any of the four. (Where the intervals are wide, up to 8 points, one may hide.)
So the block doesn't spoil these networks: it **delays** them. And at the end there's no gain either.

**Why should it be slower?** One guess: its gates begin near one half, and two of them in a row pass on a quarter of a block's branch.
In ten epochs that may be a handicap. A guess can be tested: take the block as the authors released it (batch norm in its spatial gate, biases in its MLP), start it once as it is
and once with biases that hold all gates **open**, near 1, and change nothing else.
"""

# %% mystnb={"image": {"alt": "Accuracies without attention, as released and with open gates: the last is back at the first."}}
pictures_b.dots_and_intervals(
    {variant: (list(accuracy[variant].values()), means[variant]) for variant in ("none", "CBAM", "as released", OPEN)},
    "test accuracy, %",
    means["none"].mean,
)
opened = measured.difference(accuracy["as released"], accuracy[OPEN])
beside_none = measured.difference(accuracy["none"], accuracy[OPEN])
as_it_is = measured.difference(accuracy["none"], accuracy["as released"])
print(f"Starting open gained {opened} points. With that, the block differed from none by {beside_none}.")
assert opened.mean - opened.half > 0
assert opened.mean > -as_it_is.mean / 2
assert abs(beside_none.mean) < beside_none.half

# %% [markdown]
r"""
What to see: with its gates open at the start, the block is back where the network without attention is, after ten epochs. So
the start explains the delay, here, better than the idea does. And still there is no gain.

| we may say | we may not say |
|---|---|
| At this size, on these tasks, CBAM showed no gain. Among clutter it was behind after 10 epochs, and no longer after 40. | CBAM is useless. |
| The spread between seeds is larger than the gains that the paper reports. | The paper is wrong: it trained networks a thousand times as large, on a million images. |
| A single training, with and without, proves nothing, here or elsewhere. | |

**How large is chance?** Two networks were trained a second time, in PyTorch: same formulas, same first weights, same batches.
For twenty steps the losses agree to at least five digits. At the end of the training:
"""

# %%
apart = {}
for variant in ("none", "CBAM"):
    (ours,) = [r for r in measured.chosen("features", variant=variant) if r["run"]["seed"] == 0]
    (theirs,) = [r for r in measured.chosen("features", variant=variant, library="torch") if r["run"]["seed"] == 0]
    first = max(abs(a - b) / b for a, b in zip(ours["found"]["first"], theirs["found"]["first"], strict=True))
    scores = [100 * r["found"]["scores"]["accuracy"] for r in (ours, theirs)]
    apart[variant] = abs(scores[0] - scores[1])
    print(
        f"{variant:5} losses of the first 20 steps within {first:.0e}; accuracy {scores[0]:.1f} % and {scores[1]:.1f} %"
    )
    assert first < 1e-5
assert max(apart.values()) > 5

# %% [markdown]
r"""
Nothing but rounding differs, and it moved a score by more than five points. You saw the same in chapter 10. Any report of
"+1 %" from one run of each is in this range.

## Claim 3: it fits everywhere, and looks at the right place

<details><summary>The document's own words</summary>

Section 4: *容易嵌入 CNN 结构*. It can be put into networks such as ResNet and VGG and, it says, improves classification,
detection and segmentation.

</details>

That it **fits** isn't in question: what comes out has the shape of what goes in. That it **improves** other tasks can be
tried: a box around the digit, the digit's mask, and another network, each with five seeds.
"""

# %%
places = {
    "a box, resnet8": {"net": "resnet8", "head": "box"},
    "a mask, resnet8": {"net": "resnet8", "head": "mask"},
    "the class, vgg11": {"net": "vgg11", "head": "class"},
}
for place, where in places.items():
    without, with_cbam = (measured.accuracies("everywhere", variant=variant, **where) for variant in ("none", "CBAM"))
    d = measured.difference(without, with_cbam)
    print(f"{place:17} with CBAM, minus without: {d} points")
    assert len(without) == len(with_cbam) == 5
    assert d.mean < 0

# %% [markdown]
r"""
(Boxes and masks are scored by their overlap with the true ones, 100 for the same.) No gain in any of the three places, and for
boxes a clear drop: its interval is far from 0.

**Where does it look?** The scenes know where their digit is. So take the share of the map's sum that
lies on the digit, and divide it by the share of the picture that the digit covers: 1 is chance.
"""

# %% mystnb={"image": {"alt": "For each block, how far its map lies on the digit after each epoch, around 1; Grad-CAM above 2."}}
runs = {variant: measured.chosen("features", variant=variant) for variant in ("spatial", "CBAM")}
inside = {
    variant: [
        {block: [epoch[block]["inside"] for epoch in r["found"]["looks"]] for block in r["found"]["looks"][0]}
        for r in chosen
    ]
    for variant, chosen in runs.items()
}
grad_cam = measured.interval([r["found"]["grad-cam"]["inside"] for r in runs["CBAM"]])
pictures_b.looks_over_epochs(inside, grad_cam)

after = {block: measured.interval([seed[block][-1] for seed in inside["CBAM"]]) for block in inside["CBAM"][0]}
for block, share in after.items():
    print(f"CBAM, M_s of {block}: {share}")
    assert share.mean < 1.3 < grad_cam.mean - grad_cam.half
print(f"CBAM, Grad-CAM:         {grad_cam}")
assert sum(seed["layer1.0"][-1] < 0.2 for seed in inside["CBAM"]) >= 2

for block in after:
    pointing = measured.interval([r["found"]["looks"][-1][block]["pointing"] for r in runs["CBAM"]])
    print(f"CBAM, highest pixel of M_s of {block}: {pointing} times as often on the digit as chance")
    assert pointing.mean - pointing.half > 2

# %% [markdown]
r"""
What to see: each line is a seed. They start at chance, and with CBAM they end scattered around it. On average they are
a little above 1 at best, and in some runs the first block's map even **avoids** the digit. The dashed line is **Grad-CAM**, a map that needs no attention. It takes the last feature
maps (特征图), weights each by the average slope of the right class's logit along it, and adds them up; what is positive speaks
for that class. It lies on the digit more than twice as much as chance.

The **highest pixel** of a map tells another story: it lies on the digit three to four times as often as chance. That's what is called the
pointing game. Both are true. The map has a peak on the digit, and nearly as much of it lies everywhere else.

So the network knows where the digit is, and its spatial maps, in these residual blocks, say so only with their peak. In chapter 10, where one
block sat in a plain chain and everything had to pass through it, the whole map did lean towards the digit. **A map that is bright somewhere
isn't an explanation of the network.** Measure what it covers before you call it one, and say how you measured.

## The saying: "a wrong gradient still trains, only worse"

The document doesn't say this, but people do. Six mistakes were planted in the backward pass (反向传播), one at a time, and the
network was trained with each, five times.

<details><summary>Before you look: which would you expect to do the most harm, and which the least?</summary>

map path dropped · direct path dropped · spatial maximum path dropped · sigmoid's derivative forgotten ·
upstream ignored · kernel not flipped

</details>
"""

# %% mystnb={"image": {"alt": "Six panels of losses over those of the right backward pass: three lie on it, three do not."}}
MISTAKES = {  # what it's called here, and in the files
    "map path dropped": "path through the map dropped",
    "spatial maximum path dropped": "maximum dropped",
    "kernel not flipped": "kernel not flipped",
    "direct path dropped": "path through the features dropped",
    "upstream ignored": "upstream ignored",
    "sigmoid's derivative forgotten": "sigmoid's derivative forgotten",
}
planted = {mistake: measured.chosen("bugs", mistake=name) for mistake, name in {"": "", **MISTAKES}.items()}
losses = {mistake: [r["found"]["losses"] for r in chosen] for mistake, chosen in planted.items()}
pictures_b.losses_beside_the_right_one({m: losses[m] for m in MISTAKES}, losses[""])

right = measured.accuracies("bugs", mistake="")
minus_right, trained, falls, wrong_by = {}, {}, {}, {}
for mistake, name in MISTAKES.items():
    trained[mistake] = measured.accuracies("bugs", mistake=name)
    falls[mistake] = sum(not r["found"]["diverged"] and each[-1] < 0.95 * each[0]
                         for r, each in zip(planted[mistake], losses[mistake], strict=True))  # fmt: skip
    wrong_by[mistake] = float(np.median([r["found"]["gradient error"] for r in planted[mistake]]))
    off = f"{wrong_by[mistake]:.0%}" if wrong_by[mistake] < 10 else f"{float(f'{wrong_by[mistake]:.2g}'):,.0f} times"
    said = f"{mistake:31} gradient off by {off:>12}, loss falls in {falls[mistake]} of 5"
    if trained[mistake]:
        minus_right[mistake] = measured.difference(right, trained[mistake])
        said += f", accuracy minus the right one's: {minus_right[mistake]}"
    print(said)

no_loss, (worse, sometimes, never) = list(MISTAKES)[:3], list(MISTAKES)[3:]
assert all(abs(minus_right[mistake].mean) < minus_right[mistake].half < 10 for mistake in no_loss)
assert all(falls[mistake] == 5 and 0.035 < wrong_by[mistake] < 0.07 for mistake in no_loss)
assert minus_right[worse].mean + minus_right[worse].half < -20
assert [falls[mistake] for mistake in (worse, sometimes, never)] == [5, 2, 0]
assert measured.interval(list(trained[sometimes].values())).mean < 17
assert not trained[never]

# %% [markdown]
r"""
What to see: grey is the right backward pass, the other colour the wrong one, one line a seed. The saying is half true, and
that's the trouble.

- **Three train, and no loss is shown.** The map path is missing, or the spatial maximum path, or the kernel isn't flipped:
  gradients that are off by 4 to 7 %. There may be a loss; the intervals are up to 9 points wide on either side. But no curve
  will tell you of these mistakes.
- **One trains, only worse**, by more than 20 points: without the direct path.
- **One doesn't always train.** If the upstream gradient is ignored, the loss falls in two runs of five, and the accuracy ends
  near chance, which is 10 %.
- **One doesn't train**: without the sigmoid's derivative, all five runs diverged.

So "it trains" is no evidence for a gradient, and "it trains badly" is no evidence against one. Check it.

<details><summary>Why might a network do well although the map path is missing?</summary>

That path is a small part of the gradient (chapter 8), and with it the maps' own parameters still learn: only what comes
**before** the block gets a slightly wrong direction. A direction that is 4 or 7 % off still leads downhill.

</details>

## What can't be said at this scale

Nothing about ImageNet, or about networks with millions of parameters that train for days. Nothing about other optimisers,
schedules and batch sizes. Little about detection and segmentation: one digit in a scene isn't a street. The 642 trainings behind
claim 2 took three and a half hours of one core. If you doubt a number, `cbam-np study features` makes it again.

## What you built

A judgement that you can defend:

- CBAM is **small**, not small**er**; and it costs more time than its count says.
- At this size it showed **no gain**. It learnt more slowly, and not even that when its gates started open.
- Its maps are **not an explanation**, unless you measure what they cover.
- A wrong gradient may train as well as a right one. That's why chapter 1 was a gradient check.

What would you tell a friend it does? Compare with the two sentences that you wrote at the end of chapter 10.

**Next:** [12. CBAM in PyTorch](12_cbam_in_pytorch.ipynb)

**The code:** [measured.py](../cbam_np/course/measured.py), [cost.py](../cbam_np/reference/cost.py)

**The paper:** Woo, Park, Lee, Kweon,
[CBAM: Convolutional Block Attention Module](https://arxiv.org/abs/1807.06521), section 4.
"""
