"""Pictures for dark pages: each figure that a notebook shows is drawn a second time, light on dark.

    %load_ext cbam_np.course.dark

`notebooks/build.py run` says this to its kernels; nobody else needs it. What has a colour of its own is mirrored in
lightness and keeps its hue: black lines turn white, pale boxes deep, and red stays red. An image stays as it is, since
its colours are numbers, and so does what is drawn on top of it, and an artist whose gid is "kept".
"""

from base64 import b64encode
from collections.abc import Iterator
from colorsys import hls_to_rgb, rgb_to_hls
from io import BytesIO
from typing import Any

from IPython.core.formatters import BaseFormatter
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from traitlets import Unicode

from cbam_np.course import learned_maps

MIME = "application/x-for-dark-pages"  # beside the picture in the output of a cell: another one, base64-coded
KEPT = "kept"
PAPER, INK = 0.08, 0.92  # the lightness that white and black get
COLOURS = {
    Text: ("color",),
    Line2D: ("color", "markerfacecolor", "markeredgecolor"),
    Patch: ("facecolor", "edgecolor"),
}


def mirrored(colour: Any) -> tuple[float, ...]:
    """The colour of the same hue with its lightness turned over."""
    *rgb, alpha = to_rgba(colour)
    hue, lightness, saturation = rgb_to_hls(*rgb)
    return (*hls_to_rgb(hue, INK + (PAPER - INK) * lightness, saturation), alpha)


def darken(figure: Figure) -> None:
    """Mirror the colours of a figure that has been drawn, in place."""
    kept = {part for ax in figure.findobj(Axes) for artist in over_images(ax) for part in with_parts(artist)}
    found = {part for artist in figure.findobj() for part in with_parts(artist)}
    for artist in found - kept:
        if artist.get_gid() == KEPT:
            continue
        for kind, names in COLOURS.items():
            if isinstance(artist, kind):
                artist.set(**{name: mirrored(getattr(artist, f"get_{name}")()) for name in names})
        if isinstance(artist, Collection) and artist.get_array() is None:
            for name in ("facecolor", "edgecolor"):
                artist.set(**{name: [mirrored(one) for one in getattr(artist, f"get_{name}")()]})


def with_parts(artist: Artist) -> Iterator[Artist]:
    """The artist, and what matplotlib doesn't count among its children: the box and the arrow of a text."""
    parts = artist, getattr(artist, "arrow_patch", None), artist.get_bbox_patch() if isinstance(artist, Text) else None
    return filter(None, parts)


def over_images(ax: Axes) -> Iterator[Artist]:
    """What is drawn on top of an image of these axes; its grid is."""
    boxes = [image.get_window_extent() for image in ax.images]
    if boxes:
        yield from [*ax.xaxis.get_gridlines(), *ax.yaxis.get_gridlines()]
    for artist in (*ax.texts, *ax.lines, *ax.patches, *ax.collections):
        extent = artist.get_window_extent()
        if any(box.contains((extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2) for box in boxes):
            yield artist


def draw(figure: Figure) -> bytes:
    """The PNG, of the size of the inline backend's."""
    darken(figure)
    figure.savefig(file := BytesIO(), bbox_inches="tight")
    return file.getvalue()


class ForDarkPages(BaseFormatter):
    """Draws what is shown for dark pages. It comes after the other formatters, and so it may change a figure."""

    format_type = Unicode(MIME)

    def __call__(self, shown: Any) -> str | None:
        """The picture, base64-coded, if one is shown."""
        if isinstance(shown, Figure):
            return b64encode(draw(shown)).decode()
        if isinstance(shown, learned_maps.Moving):
            return b64encode(learned_maps.draw(learned_maps.numbers(), dark=True)).decode()
        return None


def load_ipython_extension(shell: InteractiveShell) -> None:
    """From now on each figure is put out for both kinds of pages."""
    display: Any = shell.display_formatter
    display.formatters[MIME] = ForDarkPages(parent=display)
    display.active_types = [*display.active_types, MIME]
