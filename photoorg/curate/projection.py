"""Vectors on a sheet of paper: two dimensions, and the picture of them."""

from __future__ import annotations

import colorsys
import importlib.util
import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from photoorg.errors import ConfigError

Method = Literal["auto", "pca", "umap"]
FITTED = 20_000
SIDE = 1_200
MARGIN = 60
RADIUS = 4
LABELS = 40
GOLDEN = 0.618034


def project(x_nd: NDArray[np.float32], method: Method = "auto") -> NDArray[np.float32]:
    """Vectors [n, dim] to places [n, 2] within -1..1.

    UMAP (McInnes, Healy and Melville, 2018) where it is installed and there is enough to lay out,
    else the two principal components, fitted on at most FITTED rows. ConfigError if UMAP is asked
    for and not there.
    """
    there = importlib.util.find_spec("umap") is not None
    if method == "umap" and not there:
        raise ConfigError(
            "The method umap needs umap-learn, which is not installed.",
            fix="pip install umap-learn, or use pca.",
        )
    n = len(x_nd)
    if n == 0:
        return np.zeros((0, 2), np.float32)
    if method != "pca" and there and n > 16:
        from umap import UMAP

        xy = np.asarray(UMAP(metric="cosine", random_state=0).fit_transform(x_nd), np.float64)
    else:
        xy = _principal(x_nd)
    xy = xy - (xy.max(axis=0) + xy.min(axis=0)) / 2
    return np.asarray(xy / max(float(np.abs(xy).max()), 1e-12), np.float32)


def draw(xy_n2: NDArray[np.float32], labels_n: NDArray[np.int64], names: Sequence[str]) -> bytes:
    """A PNG of places within -1..1, coloured by label, the largest groups named (-1: grey)."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(18)
    scale = SIDE / 2 - MARGIN
    places = np.stack([xy_n2[:, 0], -xy_n2[:, 1]], axis=1) * scale + SIDE / 2
    order = np.argsort(labels_n, kind="stable")
    for row in order.tolist():
        x, y = places[row].tolist()
        box = (x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)
        pen.ellipse(box, fill=_colour(int(labels_n[row])))
    sizes = np.bincount(labels_n[labels_n >= 0], minlength=len(names))
    for label in np.argsort(-sizes, kind="stable")[:LABELS].tolist():
        if sizes[label]:
            x, y = np.median(places[labels_n == label], axis=0).tolist()
            pen.text(
                (x, y),
                names[label],
                fill="black",
                font=font,
                anchor="mm",
                stroke_width=3,
                stroke_fill="white",
            )
    sink = io.BytesIO()
    image.save(sink, "PNG", optimize=True)
    return sink.getvalue()


def _principal(x_nd: NDArray[np.float32]) -> NDArray[np.float64]:
    sample = x_nd[np.linspace(0, len(x_nd) - 1, min(len(x_nd), FITTED)).astype(np.int64)]
    mean = sample.mean(axis=0, dtype=np.float64)
    centred = sample - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    xy = (x_nd - mean) @ axes
    return np.pad(xy, ((0, 0), (0, 2 - xy.shape[1])))


def _colour(label: int) -> tuple[int, int, int]:
    """Hues a golden ratio apart, so that neighbours in number differ."""
    if label < 0:
        return 200, 200, 200
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN % 1.0, 0.65, 0.75 + label % 3 * 0.1)
    return round(red * 255), round(green * 255), round(blue * 255)
