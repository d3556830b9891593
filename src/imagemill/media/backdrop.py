"""The flat background of a picture as it was really rendered, measured at the picture's border."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from imagemill.media.layout import BadPicture

Array = Any
"""A NumPy array; shapes are said where they matter."""

_LEAST_SHARE = 0.25
"""Part of the border that must show the background: a portrait may fill the other three sides."""
_ALIKE = 48
"""Levels around the most frequent colour within which border pixels belong to the background."""
_TINTED = 0.3
"""Part of the asked key's tint from which a border pixel may be the key as it was rendered."""
_MOST_NOISE = 9.0
"""Levels; more is a texture. Renders have one to three."""
_GRID = 96
"""Points a side at which a slope is measured."""
_VISIBLE_SLOPE = 3.0
"""Levels; less is flat, and cheaper."""
_COLOURFUL = 40
"""Levels of tint from which a background tells mixtures by their tint."""


class NoBackdrop(BadPicture):
    """The picture has no flat background to remove."""


@dataclass(frozen=True, slots=True)
class Backdrop:
    colour: Array
    """(3,), 0 to 255."""
    noise: float
    """Standard deviation, in levels."""
    slope: Array | None
    """(6, 3): a quadratic surface over -1 to 1 in both directions; None: it is flat."""

    @property
    def colourful(self) -> bool:
        return bool(tint(self.colour[None], self.colour)[0] >= _COLOURFUL)

    def whole(self, height: int, width: int) -> Array:
        """(height, width, 3), or (1, 1, 3) where it is flat; 32-bit floats."""
        if self.slope is None:
            return self.colour[None, None]
        y, x = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
        c = self.slope.astype(np.float32)
        across = c[0] + c[1] * x[:, None] + c[3] * (x * x)[:, None]
        down = c[2] * y[:, None] + c[4] * (y * y)[:, None]
        found = across[None] + down[:, None] + c[5] * (x[None, :, None] * y[:, None, None])
        return np.clip(found, np.maximum(self.colour - _ALIKE, 0), np.minimum(self.colour + _ALIKE, 255))


def tint(colours: Array, key: Array) -> Array:
    """How far colours (n, 3) lean to the hue of ``key`` more than to any other, in levels; negative: away.

    For green it is green less the greater of red and blue, for magenta the lesser of red and blue less green;
    between them the same in the colour circle turned to the key's hue.
    """
    u, v = _circle(colours)
    key_u, key_v = _circle(np.asarray(key, np.float32)[None])
    length = float(np.hypot(key_u[0], key_v[0])) or 1.0
    cos, sin = float(key_u[0]) / length, float(key_v[0]) / length
    return u * cos + v * sin - np.abs(v * cos - u * sin) / np.float32(np.sqrt(3))


def _circle(colours: Array) -> tuple[Array, Array]:
    """The plane of hues: red lies at 0, green at 120 degrees; a full colour at 255."""
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    return red - (green + blue) / 2, (green - blue) * np.float32(np.sqrt(3) / 2)


def measure(pixels: Array, key: tuple[int, int, int] | None = None, least: float = _LEAST_SHARE) -> Backdrop:
    """``key``: the colour that was asked for, which wins where the border shows several. ``least``: part of
    the border that must show it.

    Raises `NoBackdrop`.
    """
    border = _border(pixels)
    found = None
    if key is not None:
        asked = np.array(key, np.float32)
        like = border[tint(border, asked) >= _TINTED * max(1.0, float(tint(asked[None], asked)[0]))]
        found = _mode(like, least * len(border)) if len(like) else None
    if found is None:
        found = _mode(border, least * len(border))
    if found is None:
        raise _none()
    return _refined(pixels, found)


def _none() -> NoBackdrop:
    return NoBackdrop("shows no flat background at its border, so there is none to remove")


def _border(pixels: Array) -> Array:
    """(n, 3): a frame, 2 px wide at least."""
    wide = max(2, min(pixels.shape[:2]) // 96)
    parts = pixels[:wide], pixels[-wide:], pixels[:, :wide], pixels[:, -wide:]
    return np.concatenate([part.reshape(-1, 3) for part in parts]).astype(np.float32)


def _mode(colours: Array, least: float) -> Array | None:
    """The most frequent colour, where it makes up ``least`` pixels."""
    bins = (colours.astype(np.int32) >> 4) @ np.array([256, 16, 1])
    middle = colours[bins == np.bincount(bins, minlength=4096).argmax()].mean(0)
    like = colours[np.abs(colours - middle).max(1) < _ALIKE]
    # The bin's border may have cut the colour in two.
    middle = np.median(like, axis=0)
    like = colours[np.abs(colours - middle).max(1) < _ALIKE]
    middle = np.median(like, axis=0)
    return middle if len(like) >= least else None


def _refined(pixels: Array, colour: Array) -> Backdrop:
    """Its slope and noise, by all that looks like it."""
    height, width = pixels.shape[:2]
    rows = np.linspace(0, height - 1, min(_GRID, height)).astype(int)
    columns = np.linspace(0, width - 1, min(_GRID, width)).astype(int)
    y, x = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
    values = pixels[y, x].astype(np.float32)
    y, x = 2 * y / max(1, height - 1) - 1, 2 * x / max(1, width - 1) - 1
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1)
    rest = values - colour
    slope = np.zeros((6, 3))
    slope[0] = colour
    for bound in (_ALIKE, _ALIKE / 2, _ALIKE / 3):
        like = np.abs(rest).max(1) < bound
        if like.sum() < 60:
            break
        slope = np.linalg.lstsq(terms[like], values[like], rcond=None)[0]
        rest = values - terms @ slope
    near = np.abs(rest)[np.abs(rest).max(1) < _ALIKE / 2]
    noise = 1.4826 * float(np.median(near, axis=0).max()) if len(near) else 0.0
    if noise > _MOST_NOISE:
        raise _none()
    height_of = np.abs(terms @ slope - slope[0]).max()
    flat = height_of < _VISIBLE_SLOPE
    return Backdrop((colour if flat else slope[0]).astype(np.float32), noise, None if flat else slope)
