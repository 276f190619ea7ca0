"""The moving picture of chapter 0: the spatial maps of a small network while it learns to read cluttered digits.

    python -m cbam_np.course.learned_maps       trains (about three minutes) and writes both files anew

`learned_maps.npz` holds the numbers, `learned_maps.gif` the picture that is drawn from them. Needs the extra "train".
A training repeats itself to the last bit on one machine only: with another BLAS the maps will be different ones, and
some end up open almost everywhere.
"""

from base64 import b64encode
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

NUMBERS, PICTURE = "learned_maps.npz", "learned_maps.gif"
COUNT, EVERY, SCENES, BLOCK = 3000, 16, (4, 5, 9, 12, 20), "layer2.0"


class Moving:
    """A GIF that notebooks and the site show in motion."""

    def __init__(self, gif: bytes, alt: str) -> None:
        self.alt = alt
        self.html = f'<img alt="{alt}" src="data:image/gif;base64,{b64encode(gif).decode()}">'

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        return self.html


def moving_maps() -> Moving:
    """The picture: five scenes, M_s, and what it lets through, from the first step to the last."""
    gif = files("cbam_np.course").joinpath(PICTURE).read_bytes()
    return Moving(gif, "Five cluttered digits; their spatial maps start grey and come to light up on the digit.")


def numbers() -> dict[str, np.ndarray]:
    """What the picture shows at T steps for S scenes, and the trained block.

    step, accuracy, on, off: (T,); the last two are the mean gate on the digit's ink and on the rest, over all 600
    pictures that are not trained on. scenes (S, 24, 24) and maps (T, S, 12, 12): 0 to 255. labels: (S,).
    f (S, 32, 12, 12): what goes into the block after training. channel.w1, channel.w2, spatial.kernel: its weights.
    """
    with files("cbam_np.course").joinpath(NUMBERS).open("rb") as file, np.load(file) as data:
        return dict(data)


def record() -> dict[str, np.ndarray]:
    """Train, and note every few steps where the network looks; at the end, the block's input and its weights."""
    from cbam_np.nets import pictures, resnet, training
    from cbam_np.nets.data import cluttered_digits
    from cbam_np.ops import avg_pool2d

    train, held_out = (cluttered_digits(split, n, clutter=4) for split, n in (("train", COUNT), ("validation", 600)))
    x, x_held_out = (avg_pool2d(scenes.images, k=2, stride=2)[0] for scenes in (train, held_out))
    ink = held_out.masks[:, 0].reshape(600, 12, 4, 12, 4).mean(axis=(2, 4))  # how much of a pixel of M_s is ink
    net = resnet(8, "cbam", classes=10, channels=1, reduction=4, seed=0)
    chosen = list(SCENES)
    rows: list[dict[str, Any]] = []

    def note(step: int) -> None:
        m_s = pictures.spatial_maps(net, x_held_out)[BLOCK]
        on, off = (float(np.sum(m_s * part) / np.sum(part)) for part in (ink, 1 - ink))
        accuracy = training.accuracy(net, x_held_out, held_out.labels)
        maps = np.round(255 * m_s[chosen]).astype(np.uint8)
        rows.append({"step": step, "accuracy": accuracy, "on": on, "off": off, "maps": maps})

    note(0)
    state, recipe = training.at_rest(net), training.Recipe(epochs=8, peak=0.1)
    for done in training.train(net, (x, train.labels), (x_held_out, held_out.labels), recipe, state):
        if done["step"] % EVERY == 0:
            note(done["step"])
    data = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    data |= {"scenes": np.round(255 * x_held_out[chosen, 0]).astype(np.uint8), "labels": held_out.labels[chosen]}
    data |= {"f": features(net.eval(), x_held_out[chosen]).astype(np.float16)}
    return data | {name: net.params[f"{BLOCK}.cbam.{name}"] for name in ("channel.w1", "channel.w2", "spatial.kernel")}


def features(net: Any, x: np.ndarray) -> np.ndarray:
    """F: what arrives at the CBAM of `BLOCK`."""
    from cbam_np.nets.attention import Gated
    from cbam_np.nets.layers import Residual

    for layer in net.layers.layers:
        inner = layer.branch.layers if isinstance(layer, Residual) else ()
        if any(isinstance(part, Gated) and part.block == BLOCK for part in inner):
            for part in inner:
                if isinstance(part, Gated):
                    return x
                x, _ = part(x, net)
        x, _ = layer(x, net)
    raise AssertionError(BLOCK)


def draw(data: dict[str, np.ndarray], dark: bool = False) -> bytes:
    """The GIF: the scenes, their maps as they change, and the scenes times their maps; the last frame stays longest."""
    import matplotlib as mpl

    paper, ink = ("#141414", "#ebebeb") if dark else ("white", "black")
    style: dict[Any, Any] = dict.fromkeys(["text.color", "axes.edgecolor", "axes.labelcolor"], ink)
    with mpl.rc_context(style | {"figure.facecolor": paper}):
        return animate(data, paper)


def animate(data: dict[str, np.ndarray], paper: str) -> bytes:
    """The same in matplotlib's present style, whose paper has this colour."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from PIL import Image

    steps, S = data["step"], len(data["scenes"])
    figure = Figure(figsize=(6.4, 4.1), dpi=80)
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.subplots(3, S, gridspec_kw={"left": 0.1, "right": 0.99, "bottom": 0.01, "top": 0.88, "hspace": 0.05})
    scenes = data["scenes"] / 255
    grey, heat = {"cmap": "gray", "vmin": 0, "vmax": 0.9}, {"cmap": "viridis", "vmin": 0, "vmax": 1}
    for ax, scene, label in zip(axes[0], scenes, data["labels"], strict=True):
        ax.imshow(scene, **grey)
        ax.set_title(f"a {label}", fontsize=10, pad=3)
    maps = [ax.imshow(np.zeros((12, 12)), **heat) for ax in axes[1]]
    gated = [ax.imshow(np.zeros((24, 24)), **grey) for ax in axes[2]]
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    for ax, name in zip(axes[:, 0], ("picture", "$M_s$", "picture\ntimes $M_s$"), strict=True):
        ax.set_ylabel(name, fontsize=10)
    title = figure.suptitle("", fontsize=11, x=0.11, ha="left", y=0.985)
    frames = []
    for t, step in [*list(enumerate(steps))[::3], (-1, steps[-1])]:
        title.set_text(f"step {step:3} of {steps[-1]}      {data['accuracy'][t]:4.0%} of new pictures read correctly")
        for image, product, m_s, scene in zip(maps, gated, data["maps"][t] / 255, scenes, strict=True):
            image.set_data(m_s)
            product.set_data(scene * np.kron(m_s, np.ones((2, 2))))
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    colours = [*colormaps["viridis"](np.linspace(0, 1, 28))[:, :3], *np.linspace(0, 1, 20)[:, None] * np.ones(3)]
    colours += [] if paper == "white" else [np.array(to_rgb(paper))]  # white is one of the greys
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.round(255 * np.array(colours)).astype(np.uint8).tobytes())
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in frames]
    times = [1200, *[420] * (len(frames) - 2), 4000]
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    here = Path(__file__).parent
    np.savez_compressed(here / NUMBERS, **record())  # type: ignore[arg-type]
    (here / PICTURE).write_bytes(draw(numbers()))
