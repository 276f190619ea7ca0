"""Classic wrong gradients, each with the report it gets: mutants of the table, planted and checked while this runs."""

from difflib import unified_diff
from textwrap import dedent, fill

from sphinx.ext.autodoc.mock import mock

from cbam_np.checking.thorough import gradcheck

with mock(["torch"]):
    from cbam_np.checking.mutants import GRADIENTS, MUTANTS, Mutant, load, sources

CLASSICS = (
    "avg_pool_over_space: sum for mean",
    "avg_pool_over_space: 1/C for 1/(HW)",
    "max_pool_over_space: every entry gets the gradient",
    "max_pool_over_channels: winner searched along the wrong axis",
    "relu: upstream ignored",
    "relu: mask inverted",
    "sigmoid: without the factor 1 - s",
    "sigmoid: derivative of tanh",
    "mlp, biases: d_w2 transposed",
    "mlp, biases: d_w1 averaged over the batch",
    "mlp, biases: w2 transposed in the backward pass",
    "shared_mlp, biases: weights from the average only",
    "shared_mlp, biases: bias b2 counted once",
    "conv2d 3×3, bias: kernel not flipped",
    "conv2d 3×3, bias: padding cut off wrong by one",
    "conv2d 3×3, bias: d_bias averaged over the batch",
    "gate by M_c: path into the map dropped",
    "channel_attention, biases: map path dropped",
    "batch_norm: path through the variance dropped",
    "softmax_cross_entropy: wrong sign",
)


def gallery() -> str:
    """One section for each."""
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    return "\n\n".join(section(k, by_name[name]) for k, name in enumerate(CLASSICS, start=1))


def section(number: int, mutant: Mutant) -> str:
    """The mistake, what the report says of it, and the report."""
    operation, mistake = mutant.name.split(": ", 1)
    op, *inputs = GRADIENTS[mutant.check](load(mutant))
    report = gradcheck(op, *inputs)
    said = "\n".join(fill(note, 88, subsequent_indent="    ") for note in report.notes())
    return f"""## {number}. {mistake[0].upper()}{mistake[1:]}: {operation}

In [`{mutant.file}`](code:{mutant.file}):

```diff
{difference(mutant)}
```

The report says:

```text
{said}
```

:::{{dropdown}} The whole report
```text
{report}
```
:::
"""


def difference(mutant: Mutant) -> str:
    """The lines as they are, marked with -, and with the mistake in them, marked with +."""
    right = sources()[mutant.file]
    wrong = right.replace(mutant.original, mutant.replacement)
    lines = unified_diff(right.splitlines(), wrong.splitlines(), n=1, lineterm="")
    shown = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    marks, code = [line[0] for line in shown], dedent("\n".join(line[1:] for line in shown)).split("\n")
    return "\n".join(f"{mark} {line}".rstrip() for mark, line in zip(marks, code, strict=True))
