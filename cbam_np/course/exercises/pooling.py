"""3 to 6: pooling over space and over channels."""

from typing import Any

from cbam_np.course.exercise import Exercise, mistake
from cbam_np.course.exercises.inputs import features, ties


def tied(f: Any, axis: tuple[int, ...]) -> Any:
    """Where an entry is as large as another one, and none is larger."""
    largest = f == f.max(axis=axis, keepdims=True)
    return largest & (largest.sum(axis=axis, keepdims=True) > 1)


AVG_POOL_OVER_SPACE = (
    # forward
    mistake("if the sum is not divided by H·W", "f.mean(axis=(2, 3))", "f.sum(axis=(2, 3))", more="An average is a sum divided by the number of its terms. How many pixels does a channel have?"),
    mistake("if the average is taken over the channels (axis 1)", "f.mean(axis=(2, 3))", "f.mean(axis=1)", more="(N, C) is to be left. Which axes are H and W, counted from 0?"),
    mistake("if the average is taken over the channels (axis 1), and the axis is kept", "f.mean(axis=(2, 3))", "f.mean(axis=1, keepdims=True)", more="(N, C) is to be left. Which axes are H and W, counted from 0?"),
    mistake("if the average is taken over C and H, the axes 1 and 2", "f.mean(axis=(2, 3))", "f.mean(axis=(1, 2))", more="Axes are counted from 0: N is axis 0, C is axis 1."),
    mistake("if the average is taken over N and C, the axes 0 and 1", "f.mean(axis=(2, 3))", "f.mean(axis=(0, 1))", more="Axes are counted from 0: N is axis 0, C is axis 1."),
    mistake("if the average is taken over H only, axis 2", "f.mean(axis=(2, 3))", "f.mean(axis=2)", more="A channel has two axes of pixels."),
    mistake("if the average is taken over W only, the last axis", "f.mean(axis=(2, 3))", "f.mean(axis=3)", more="A channel has two axes of pixels."),
    mistake("if the samples of the batch are averaged too", "f.mean(axis=(2, 3))", "f.mean(axis=(0, 2, 3))", more="Samples have nothing to do with each other: every one has averages of its own."),
    mistake("if the samples of the batch are averaged too, and their axis is kept", "f.mean(axis=(2, 3))", "np.broadcast_to(f.mean(axis=(0, 2, 3)), (N, C))", more="Samples have nothing to do with each other: every one has averages of its own."),
    mistake("if channels are averaged too, to one number for each sample", "f.mean(axis=(2, 3))", "f.mean(axis=(1, 2, 3))", more="Every channel has an average of its own."),
    mistake("if everything is averaged to one number", "f.mean(axis=(2, 3))", "f.mean()", more="Every channel of every sample has an average of its own: which axes go?"),
    mistake("if the maximum is taken in place of the average", "f.mean(axis=(2, 3))", "f.max(axis=(2, 3))", more="The maximum is formula (4)."),
    mistake("if the sum is divided by the number of channels C", "f.mean(axis=(2, 3))", "f.sum(axis=(2, 3)) / C", more="How many numbers are added for one average?"),
    mistake("if the sum is divided by N·H·W", "f.mean(axis=(2, 3))", "f.sum(axis=(2, 3)) / (N * H * W)", more="How many numbers are added for one average?"),
    mistake("if the sum is divided by H alone", "f.mean(axis=(2, 3))", "f.sum(axis=(2, 3)) / H", more="How many numbers are added for one average?"),
    mistake("if the sum is divided by W alone", "f.mean(axis=(2, 3))", "f.sum(axis=(2, 3)) / W", more="How many numbers are added for one average?"),
    mistake("if the median is taken", "f.mean(axis=(2, 3))", "np.median(f, axis=(2, 3))"),
    # backward
    mistake("if every pixel gets the whole d_avg_c: the factor 1/(H·W) is missing", "None] / (H * W)", "None]", more="If one pixel grows by 1, by how much does the average grow?"),
    mistake("if d_avg_c is multiplied by H·W, not divided", "None] / (H * W)", "None] * (H * W)", more="If one pixel grows by 1, by how much does the average grow?"),
    mistake("if '/ H * W' divides by H and multiplies by W", "None] / (H * W)", "None] / H * W", more="Python goes from left to right. Where are brackets missing?"),
    mistake("if the share is 1/C", "None] / (H * W)", "None] / C", more="How many pixels share one average?"),
    mistake("if the share is 1/N", "None] / (H * W)", "None] / N", more="How many pixels share one average?"),
    mistake("if the share is 1/H", "None] / (H * W)", "None] / H", more="How many pixels share one average?"),
    mistake("if the share is 1/W", "None] / (H * W)", "None] / W", more="How many pixels share one average?"),
    mistake("if the share is 1/(N·H·W)", "None] / (H * W)", "None] / (N * H * W)", more="How many pixels share one average? Another sample has another average."),
    mistake("if the share is 1/(C·H·W)", "None] / (H * W)", "None] / (C * H * W)", more="How many pixels share one average? Another channel has another average."),
    mistake("if the share is 1/f.size, with all axes counted", "None] / (H * W)", "None] / f.size", more="How many pixels share one average?"),
    mistake("if // divides: it rounds down to whole numbers", "None] / (H * W)", "None] // (H * W)", more="/ divides, // rounds down."),
    mistake("if d_avg_c is left out: 1/(H·W) everywhere", "d_avg_c[:, :, None, None] / (H * W)", "np.full((N, C, 1, 1), 1 / (H * W))", more="The chain rule multiplies the slope, 1/(H·W), with the gradient that comes from above."),
    mistake("if f is a factor", "share = d_avg_c[:, :, None, None] / (H * W)", "share = d_avg_c[:, :, None, None] * f / (H * W)", more="avg_c is a sum of the entries of F, so its slope along one of them doesn't depend on F."),
    mistake("if avg_c stands in place of d_avg_c", "share = d_avg_c[:, :, None, None]", "share = avg_c[:, :, None, None]", more="What comes back is the gradient, not the value."),
    mistake("if d_avg_c is averaged over the channels", "share = d_avg_c[:, :, None, None]", "share = d_avg_c.mean(axis=1)[:, None, None, None]"),
    mistake("if np.tile repeats the row of channels, and a reshape then takes it for pixels", "return np.broadcast_to(share, f.shape).copy()", "return np.tile(d_avg_c, (1, H * W)).reshape(f.shape) / (H * W)", more="reshape never moves entries: the last axis counts fastest. d_avg_c[:, :, None, None] broadcasts along H and W."),
    mistake("if all goes to the first pixel", "return np.broadcast_to(share, f.shape).copy()", "d_f = np.zeros(f.shape)\n        d_f[:, :, 0, 0] = d_avg_c\n        return d_f", more="Every pixel is in the average."),
    mistake("if only the largest pixel of each channel gets a gradient", "return np.broadcast_to(share, f.shape).copy()", "return share * H * W * (f == f.max(axis=(2, 3), keepdims=True))", more="That is the backward of the maximum. Which entries move the average?"),
    mistake("if d_avg_c is divided by H·W and not yet brought to the shape of f", "return np.broadcast_to(share, f.shape).copy()", "return d_avg_c / (H * W)", more="d_f has one entry for each entry of f."),
    mistake("if d_avg_c is returned as it is", "return np.broadcast_to(share, f.shape).copy()", "return d_avg_c", more="d_f has one entry for each entry of f: all pixels of a channel share its gradient."),
)

avg_pool_over_space = Exercise(
    3, "avg_pool_over_space", 2, "(3)", ("avg_c", "d_f"), features(),
    mistakes=AVG_POOL_OVER_SPACE,
    hints={
        "avg_c": ("Over which axes of F is the average taken, and which are left? Count them from 0.", "n and c stay, i and j go: axes 2 and 3."),
        "d_f": ("How often does F[n, c, i, j] occur in avg_c, where, and with which factor?",
                "It occurs once, in avg_c[n, c], with the factor 1/(H·W). So d_f[n, c, i, j] is d_avg_c[n, c] times this factor, the same for all i, j.",
                "To bring (N, C) to (N, C, H, W): d_avg_c[:, :, None, None], then np.broadcast_to or times np.ones."),
    },
)

MAX_POOL_OVER_SPACE = (
    # forward
    mistake("if the average is taken in place of the maximum", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "f.mean(axis=(2, 3))", more="The average is formula (3)."),
    mistake("if the maximum is taken over the channels (axis 1)", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "f.max(axis=1)", more="(N, C) is to be left. Which axes are H and W, counted from 0?"),
    mistake("if the maximum is taken over the channels (axis 1), and the axis is kept", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "f.max(axis=1, keepdims=True)", more="(N, C) is to be left. Which axes are H and W, counted from 0?"),
    mistake("if the maximum is taken over C and H, the axes 1 and 2", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "f.max(axis=(1, 2))", more="Axes are counted from 0: N is axis 0, C is axis 1."),
    mistake("if the maximum is taken over H only, axis 2", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "f.max(axis=2)", more="A channel has two axes of pixels."),
    mistake("if the maximum is taken over W only, the last axis", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "f.max(axis=3)", more="A channel has two axes of pixels."),
    mistake("if the maximum is taken over the samples too", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "f.max(axis=(0, 2, 3))", more="Samples have nothing to do with each other."),
    mistake("if the largest entry of all is taken", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "f.max()", more="Every channel of every sample has a maximum of its own: which axes go?"),
    mistake("if the maximum is taken over all channels of a sample", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "f.max(axis=(1, 2, 3))", more="Every channel has a maximum of its own."),
    mistake("if the entry that is largest without its sign wins", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "np.abs(f).max(axis=(2, 3))"),
    mistake("if the search for the maximum starts from 0: a channel of negative entries gets 0", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "np.maximum(f.max(axis=(2, 3)), 0)", more="Start from the first entry, or from -np.inf."),
    mistake("if the smallest entry is taken", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "f.min(axis=(2, 3))"),
    mistake("if the place of the winner is returned, not its value", "np.take_along_axis(pixels, winner, axis=2)[:, :, 0]", "pixels.argmax(axis=2).astype(float)", more="argmax says where, max says how much."),
    # backward
    mistake("if every entry that ties gets the whole gradient", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels += d_max_c[:, :, None] * (pixels == pixels.max(axis=2, keepdims=True))", more="One of the inputs has ties, and f == max is true for all of them. The first one wins: argmax finds it."),
    mistake("if entries that tie share the gradient", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "tied = pixels == pixels.max(axis=2, keepdims=True)\n        d_pixels += d_max_c[:, :, None] * tied / tied.sum(axis=2, keepdims=True)", more="Here the first of them gets all of it, as in PyTorch's pooling."),
    mistake("if the last of the entries that tie wins", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "np.put_along_axis(d_pixels, H * W - 1 - pixels[:, :, ::-1].argmax(axis=2)[:, :, None], d_max_c[:, :, None], axis=2)", more="With >= a later entry takes the place of an earlier one of the same size."),
    mistake("if the first one wins column by column, not row by row", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_t = np.zeros((N, C, W * H))\n        np.put_along_axis(d_t, f.transpose(0, 1, 3, 2).reshape(N, C, -1).argmax(axis=2)[:, :, None], d_max_c[:, :, None], axis=2)\n        d_pixels = d_t.reshape(N, C, W, H).transpose(0, 1, 3, 2)"),
    mistake("if every pixel gets the whole gradient of its channel", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels += d_max_c[:, :, None]", more="If an entry that isn't the largest moves a little, does the maximum move?"),
    mistake("if the gradient is shared by all pixels, as for the average", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels += d_max_c[:, :, None] / (H * W)", more="If an entry that isn't the largest moves a little, does the maximum move?"),
    mistake("if d_max_c is left out: a 1 at every winner", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "np.put_along_axis(d_pixels, winner, np.ones((N, C, 1)), axis=2)", more="The mask is the slope. The chain rule multiplies it with what comes from above."),
    mistake("if d_max_c is left out, and every entry that ties gets a 1", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels += pixels == pixels.max(axis=2, keepdims=True)", more="The mask is the slope. The chain rule multiplies it with what comes from above."),
    mistake("if the maximum itself is put back at the winner, not its gradient", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "np.put_along_axis(d_pixels, winner, max_c[:, :, None], axis=2)", more="What comes back is d_max_c."),
    mistake("if the gradient is multiplied by the maximum", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "np.put_along_axis(d_pixels, winner, (d_max_c * max_c)[:, :, None], axis=2)", more="If the winner grows by 1, by how much does the maximum grow?"),
    mistake("if every row has a winner of its own", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels = (d_max_c[:, :, None, None] * (f == f.max(axis=3, keepdims=True))).reshape(N, C, H * W)", more="There is one winner for each channel, among all its pixels."),
    mistake("if every column has a winner of its own", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels = (d_max_c[:, :, None, None] * (f == f.max(axis=2, keepdims=True))).reshape(N, C, H * W)", more="There is one winner for each channel, among all its pixels."),
    mistake("if there is one winner for all channels of a sample", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels += d_max_c[:, :, None] * (pixels == pixels.max(axis=(1, 2), keepdims=True))", more="There is one winner for each channel."),
    mistake("if there is one winner in the whole of f", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels += d_max_c[:, :, None] * (pixels == pixels.max())", more="There is one winner for each channel of each sample. f.max() has no axis, and argmax without an axis counts through everything."),
    mistake("if the winner is looked for among the channels", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels = (d_max_c[:, :, None, None] * (f == f.max(axis=1, keepdims=True))).reshape(N, C, H * W)", more="That is formula (9). Here the winner is one of the pixels of a channel."),
    mistake("if the smallest entry gets the gradient", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "np.put_along_axis(d_pixels, pixels.argmin(axis=2)[:, :, None], d_max_c[:, :, None], axis=2)"),
    mistake("if the winner's gradient is divided by H·W", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None] / (H * W), axis=2)", more="If the winner grows by 1, by how much does the maximum grow?"),
    mistake("if every channel gets something at the winners of all channels and samples, as d_f[:, :, where] does", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels[:, :, winner[:, :, 0]] = d_max_c", more="An index array beside a `:` picks all its places in every n and c. np.put_along_axis, or an index array for each axis, picks one for each."),
    mistake("if every channel's gradient goes to the winners of all channels and samples, as d_f[:, :, where] does", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "d_pixels[:, :, winner[:, :, 0]] = d_max_c[:, :, None, None]", more="An index array beside a `:` picks all its places in every n and c. np.put_along_axis, or an index array for each axis, picks one for each."),
    mistake("if the winner's place in its channel is taken for a place in the whole array, as np.put does", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "np.put(d_pixels, winner[:, :, 0], d_max_c)", more="argmax along one axis counts within each channel. Which n and c belong to it?"),
    mistake("if the pixels are still in one axis: (N, C, H·W)", "return d_pixels.reshape(f.shape)", "return d_pixels", more="d_f has the shape of f."),
    mistake("if H and W are exchanged when the place of the winner is turned into a row and a column", "np.put_along_axis(d_pixels, winner, d_max_c[:, :, None], axis=2)", "w = pixels.argmax(axis=2)\n        d_f = np.zeros(f.shape)\n        n, c = np.indices((N, C))\n        d_f[n, c, (w // H) % H, w % H % W] = d_max_c\n        return d_f", more="Place i in a row-major image is row i // W and column i % W."),
)

max_pool_over_space = Exercise(
    4, "max_pool_over_space", 2, "(4)", ("max_c", "d_f"), features(ties()),
    mistakes=MAX_POOL_OVER_SPACE,
    hints={
        "max_c": ("Over which axes is the maximum taken, and which are left?",),
        "d_f": ("If you move one entry of F a little, when does max_c move, and how much?",
                "Only the winner of each channel gets a gradient, and all of it. With ties: the first one, row by row.",
                "f.reshape(N, C, H * W).argmax(axis=2) finds the first winner. Put d_max_c there, into an array of zeros."),
        "index": ("If this index was made of a pixel's number p: each row has W pixels, so p is in row p // W and in column p % W.",),
    },
    places={"among entries that tie": lambda f: tied(f, (2, 3))},
)

AVG_POOL_OVER_CHANNELS = (
    # forward
    mistake("if the sum is not divided by C", "f.mean(axis=1, keepdims=True)", "f.sum(axis=1, keepdims=True)", more="An average is a sum divided by the number of its terms. How many channels are added?"),
    mistake("if axis 1 is not kept: keepdims=True is missing", "f.mean(axis=1, keepdims=True)", "f.mean(axis=1)", more="The shape (N, 1, H, W) lets the map be multiplied with (N, C, H, W) later."),
    mistake("if the average is taken over space, as in (3)", "f.mean(axis=1, keepdims=True)", "f.mean(axis=(2, 3))", more="Now n, i and j stay, and c goes. Which axis is c?"),
    mistake("if the average is taken over space, with the axes kept", "f.mean(axis=1, keepdims=True)", "f.mean(axis=(2, 3), keepdims=True)", more="Now n, i and j stay, and c goes. Which axis is c?"),
    mistake("if the average is taken over the samples, axis 0", "f.mean(axis=1, keepdims=True)", "f.mean(axis=0, keepdims=True)", more="Axes are counted from 0: N is axis 0, C is axis 1."),
    mistake("if the average is taken over H, axis 2", "f.mean(axis=1, keepdims=True)", "f.mean(axis=2, keepdims=True)", more="Axes are counted from 0: N is axis 0, C is axis 1."),
    mistake("if the average is taken over W, the last axis", "f.mean(axis=1, keepdims=True)", "f.mean(axis=3, keepdims=True)", more="Axes are counted from 0: N is axis 0, C is axis 1. -1 is the last one, W."),
    mistake("if the average is taken over N and C", "f.mean(axis=1, keepdims=True)", "f.mean(axis=(0, 1), keepdims=True)", more="Samples have nothing to do with each other."),
    mistake("if everything is averaged to one number", "f.mean(axis=1, keepdims=True)", "f.mean()", more="Every pixel of every sample has an average of its own."),
    mistake("if the maximum is taken in place of the average", "f.mean(axis=1, keepdims=True)", "f.max(axis=1, keepdims=True)", more="The maximum is formula (9)."),
    mistake("if the sum is divided by H·W", "f.mean(axis=1, keepdims=True)", "f.sum(axis=1, keepdims=True) / (H * W)", more="How many numbers are added for one average?"),
    mistake("if the sum is divided by N", "f.mean(axis=1, keepdims=True)", "f.sum(axis=1, keepdims=True) / N", more="How many numbers are added for one average?"),
    # backward
    mistake("if every channel gets the whole d_avg_s: the factor 1/C is missing", "d_avg_s / C", "d_avg_s", more="If one channel grows by 1, by how much does the average grow?"),
    mistake("if d_avg_s is multiplied by C, not divided", "d_avg_s / C", "d_avg_s * C", more="If one channel grows by 1, by how much does the average grow?"),
    mistake("if the share is 1/(H·W), as in (3)", "d_avg_s / C", "d_avg_s / (H * W)", more="How many entries share one average here?"),
    mistake("if the share is 1/N", "d_avg_s / C", "d_avg_s / N", more="How many entries share one average here?"),
    mistake("if the share is 1/(C·H·W)", "d_avg_s / C", "d_avg_s / (C * H * W)", more="How many entries share one average here?"),
    mistake("if // divides: it rounds down to whole numbers", "d_avg_s / C", "d_avg_s // C", more="/ divides, // rounds down."),
    mistake("if d_avg_s is left out: 1/C everywhere", "d_avg_s / C", "1 / C", more="The chain rule multiplies the slope, 1/C, with the gradient that comes from above."),
    mistake("if f is a factor", "d_avg_s / C", "d_avg_s * f / C", more="avg_s is a sum of entries of F, so its slope along one of them doesn't depend on F."),
    mistake("if avg_s stands in place of d_avg_s", "d_avg_s / C, f.shape", "avg_s / C, f.shape", more="What comes back is the gradient, not the value."),
    mistake("if only the largest channel gets a gradient", "np.broadcast_to(d_avg_s / C, f.shape).copy()", "d_avg_s * (f == f.max(axis=1, keepdims=True))", more="That is the backward of the maximum. Which entries move the average?"),
    mistake("if all goes to the first channel", "return np.broadcast_to(d_avg_s / C, f.shape).copy()", "d_f = np.zeros(f.shape)\n        d_f[:, :1] = d_avg_s\n        return d_f"),
    mistake("if d_avg_s / C is not brought to the shape of f", "return np.broadcast_to(d_avg_s / C, f.shape).copy()", "return d_avg_s / C", more="d_f has one entry for each entry of f."),
    mistake("if d_avg_s is returned as it is", "return np.broadcast_to(d_avg_s / C, f.shape).copy()", "return d_avg_s", more="d_f has one entry for each entry of f: all channels of a pixel share its gradient."),
)

avg_pool_over_channels = Exercise(
    5, "avg_pool_over_channels", 2, "(8)", ("avg_s", "d_f"), features(),
    mistakes=AVG_POOL_OVER_CHANNELS,
    hints={
        "avg_s": ("Over which axis is the average taken? What shape has the result to have?", "keepdims=True leaves an axis of length 1."),
        "d_f": ("How often does F[n, c, i, j] occur in avg_s, where, and with which factor?",
                "Once, in avg_s[n, 0, i, j], with the factor 1/C."),
    },
)

MAX_POOL_OVER_CHANNELS = (
    # forward
    mistake("if the average is taken in place of the maximum", "np.take_along_axis(f, winner, axis=1)", "f.mean(axis=1, keepdims=True)", more="The average is formula (8)."),
    mistake("if axis 1 is not kept: keepdims=True is missing", "np.take_along_axis(f, winner, axis=1)", "f.max(axis=1)", more="The shape (N, 1, H, W) lets the map be multiplied with (N, C, H, W) later."),
    mistake("if the maximum is taken over space, as in (4)", "np.take_along_axis(f, winner, axis=1)", "f.max(axis=(2, 3))", more="Now n, i and j stay, and c goes. Which axis is c?"),
    mistake("if the maximum is taken over space, with the axes kept", "np.take_along_axis(f, winner, axis=1)", "f.max(axis=(2, 3), keepdims=True)", more="Now n, i and j stay, and c goes. Which axis is c?"),
    mistake("if the maximum is taken over the samples, axis 0", "np.take_along_axis(f, winner, axis=1)", "f.max(axis=0, keepdims=True)", more="Axes are counted from 0: N is axis 0, C is axis 1."),
    mistake("if the maximum is taken over H, axis 2", "np.take_along_axis(f, winner, axis=1)", "f.max(axis=2, keepdims=True)", more="Axes are counted from 0: N is axis 0, C is axis 1."),
    mistake("if the maximum is taken over W, the last axis", "np.take_along_axis(f, winner, axis=1)", "f.max(axis=3, keepdims=True)", more="-1 is the last axis, W."),
    mistake("if the largest entry of all is taken", "np.take_along_axis(f, winner, axis=1)", "f.max()", more="Every pixel of every sample has a maximum of its own."),
    mistake("if the entry that is largest without its sign wins", "np.take_along_axis(f, winner, axis=1)", "np.abs(f).max(axis=1, keepdims=True)"),
    mistake("if the search for the maximum starts from 0: where all channels are negative, it stays 0", "np.take_along_axis(f, winner, axis=1)", "np.maximum(f.max(axis=1, keepdims=True), 0)", more="Start from the first channel, or from -np.inf."),
    mistake("if the smallest entry is taken", "np.take_along_axis(f, winner, axis=1)", "f.min(axis=1, keepdims=True)"),
    mistake("if the number of the winning channel is returned, not its value", "np.take_along_axis(f, winner, axis=1)", "winner.astype(float)", more="argmax says where, max says how much."),
    # backward
    mistake("if every channel that ties gets the whole gradient", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "d_f += d_max_s * (f == f.max(axis=1, keepdims=True))", more="One of the inputs has ties, and f == max is true for all of them. The first one wins: argmax finds it."),
    mistake("if channels that tie share the gradient", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "tied = f == f.max(axis=1, keepdims=True)\n        d_f += d_max_s * tied / tied.sum(axis=1, keepdims=True)", more="Here the first of them gets all of it, as in PyTorch's max."),
    mistake("if the last of the channels that tie wins", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "np.put_along_axis(d_f, f.shape[1] - 1 - f[:, ::-1].argmax(axis=1)[:, None], d_max_s, axis=1)", more="With >= a later channel takes the place of an earlier one of the same size."),
    mistake("if every channel gets the whole gradient of its pixel", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "d_f += d_max_s", more="If a channel that isn't the largest moves a little, does the maximum move?"),
    mistake("if the gradient is shared by all channels, as for the average", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "d_f += d_max_s / f.shape[1]", more="If a channel that isn't the largest moves a little, does the maximum move?"),
    mistake("if d_max_s is left out: a 1 at every winner", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "np.put_along_axis(d_f, winner, 1.0, axis=1)", more="The mask is the slope. The chain rule multiplies it with what comes from above."),
    mistake("if d_max_s is left out, and every channel that ties gets a 1", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "d_f += f == f.max(axis=1, keepdims=True)", more="The mask is the slope. The chain rule multiplies it with what comes from above."),
    mistake("if the maximum itself is put back at the winner, not its gradient", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "np.put_along_axis(d_f, winner, max_s, axis=1)", more="What comes back is d_max_s."),
    mistake("if the gradient is multiplied by the maximum", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "np.put_along_axis(d_f, winner, d_max_s * max_s, axis=1)", more="If the winner grows by 1, by how much does the maximum grow?"),
    mistake("if the winner is looked for among the pixels of a channel, as in (4)", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "d_f += d_max_s * (f == f.max(axis=(2, 3), keepdims=True))", more="Here the winner is one of the channels of a pixel."),
    mistake("if the number of the winning channel is compared along W", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "d_f += d_max_s * (winner == np.arange(f.shape[3]))", more="The numbers of the channels belong along axis 1: np.arange(C)[:, None, None]."),
    mistake("if there is one winning channel for all pixels of a sample", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "best = f.max(axis=(2, 3)).argmax(axis=1)\n        d_f[np.arange(len(f)), best] = d_max_s[:, 0]", more="Every pixel has a winner of its own."),
    mistake("if there is one winner in the whole of f", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "d_f += d_max_s * (f == f.max())", more="Every pixel has a winner of its own. f.max() has no axis."),
    mistake("if the smallest channel gets the gradient", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "np.put_along_axis(d_f, f.argmin(axis=1)[:, None], d_max_s, axis=1)"),
    mistake("if the winner's gradient is divided by C", "np.put_along_axis(d_f, winner, d_max_s, axis=1)", "np.put_along_axis(d_f, winner, d_max_s / f.shape[1], axis=1)", more="If the winner grows by 1, by how much does the maximum grow?"),
    mistake("if d_max_s is returned as it is", "return d_f", "return d_max_s", more="d_f has one entry for each entry of f."),
)

max_pool_over_channels = Exercise(
    6, "max_pool_over_channels", 2, "(9)", ("max_s", "d_f"), features(ties()),
    mistakes=MAX_POOL_OVER_CHANNELS,
    hints={
        "max_s": ("Over which axis is the maximum taken? What shape has the result to have?", "keepdims=True leaves an axis of length 1."),
        "d_f": ("If you move one entry of F a little, when does max_s move, and how much?",
                "Only the winning channel of each pixel gets a gradient, and all of it. With ties: the first one.",
                "f.argmax(axis=1) finds the first winner. Put d_max_s there, into an array of zeros."),
    },
    places={"among entries that tie": lambda f: tied(f, (1,))},
)
