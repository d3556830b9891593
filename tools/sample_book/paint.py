"""SVG to a painted picture: rasterised by typst, then uneven edges, pigment, and a soft light, by NumPy."""

from functools import cache
from io import BytesIO

import cv2
import numpy as np
import typst
from numpy.typing import NDArray
from PIL import Image

from tools.sample_book.ink import SIDE

Pixels = NDArray[np.float32]


def rasterise(svg: str, side_px: int) -> Image.Image:
    escaped = svg.replace("\\", "\\\\").replace('"', '\\"')
    page = "#set page(width: 1000pt, height: 1000pt, margin: 0pt)\n"
    source = f'{page}#image(bytes("{escaped}"), format: "svg", width: 1000pt)'
    data = typst.compile(source.encode(), format="png", ppi=72 * side_px / SIDE)
    picture = Image.open(BytesIO(data)).convert("RGB")
    return picture if picture.size == (side_px, side_px) else picture.resize((side_px, side_px))


@cache
def _noise(side_px: int, cell: float, seed: int) -> Pixels:
    """Soft noise from -1 to 1; a cell is the size of its spots in units of the canvas."""
    count = max(int(SIDE / cell), 2) + 3
    small = np.random.default_rng(seed).uniform(-1, 1, (count, count)).astype(np.float32)
    return cv2.resize(small, (side_px, side_px), interpolation=cv2.INTER_CUBIC)


def paint(svg: str, side_px: int) -> Image.Image:
    """Return the page as a painted picture."""
    pixels = np.asarray(rasterise(svg, side_px), np.float32) / 255
    pixels = _uneven_edges(pixels, side_px)
    pixels = _pigment(pixels, side_px)
    pixels = _light(pixels, side_px)
    return Image.fromarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))


def _uneven_edges(pixels: Pixels, side_px: int) -> Pixels:
    """Move each point by about one unit, so that no edge is perfectly straight."""
    unit = side_px / SIDE
    rows, columns = np.mgrid[0:side_px, 0:side_px].astype(np.float32)
    for cell, reach in ((26, 1.0), (9, 0.55)):
        columns = columns + _noise(side_px, cell, 1) * reach * unit
        rows = rows + _noise(side_px, cell, 2) * reach * unit
    return cv2.remap(pixels, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _pigment(pixels: Pixels, side_px: int) -> Pixels:
    """Uneven pigment: a grain in each wash, and darker rims where two washes meet."""
    unit = side_px / SIDE
    grain = 0.35 * _noise(side_px, 60, 3) + 0.5 * _noise(side_px, 17, 4) + 0.45 * _noise(side_px, 5, 5)
    strength = 0.024
    soft = cv2.GaussianBlur(pixels, (0, 0), 3.2 * unit)
    rims = np.abs(pixels - soft).mean(axis=2, keepdims=True)
    toned = pixels * (1 + strength * grain[..., None]) - 0.22 * rims
    return toned + 0.12 * (pixels - cv2.GaussianBlur(pixels, (0, 0), 1.4 * unit))


def _light(pixels: Pixels, side_px: int) -> Pixels:
    """Bright places shine a little, and the corners are darker."""
    small = cv2.resize(np.clip(pixels, 0, 1), (side_px // 4, side_px // 4), interpolation=cv2.INTER_AREA)
    bright = np.clip(small - 0.62, 0, 1)
    shine = cv2.GaussianBlur(bright, (0, 0), 14 * side_px / 4 / SIDE)
    shine = cv2.resize(shine, (side_px, side_px), interpolation=cv2.INTER_LINEAR)
    rows, columns = np.mgrid[-1 : 1 : side_px * 1j, -1 : 1 : side_px * 1j].astype(np.float32)
    corners = 1 - 0.10 * np.clip((rows**2 + columns**2) / 2, 0, 1) ** 1.6
    return (1 - (1 - pixels) * (1 - 0.35 * shine)) * corners[..., None]
