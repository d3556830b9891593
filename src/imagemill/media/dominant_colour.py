"""Find the dominant colour of a picture's subject, and the key colour that differs from it most."""

import colorsys

import numpy as np
from PIL import Image

from imagemill.domain.dataclass import dataclass
from imagemill.media.chroma_key import Array, NoBackground, measure
from imagemill.media.encoding import open_checked

Rgb = tuple[int, int, int]

_SIDE = 128
"""Pixels a side to which a picture is reduced first: details do not matter."""
_BACKGROUND = 36
"""Levels around a flat border's colour within which a pixel is background."""
_LEAST_FLAT = 0.6
"""Share of the border that must have one colour for it to be a background."""
_LEAST_SUBJECT = 0.03
"""Share of the picture that must remain without the background; below it the background counts as subject."""
_SAME_COLOUR = 18.0
"""Distance in CIELAB within which two colours count as one; 2.3 is just noticeable."""
_BIN = 8.0
"""Side of a histogram bin in CIELAB."""
_MOST_BINS = 1500
"""Number of the fullest bins that are compared with each other; the others of a photograph hold single
pixels."""

GREY_BELOW = 0.2
"""Saturation below which a colour has no opposite."""
DARK_BELOW, BRIGHT_ABOVE = 0.2, 0.9
"""Brightness (HSV value) limits outside of which hues are not reliable."""


@dataclass(frozen=True, slots=True)
class KeyColour:
    name: str
    hex: str
    """``#RRGGBB``."""
    rgb: Rgb


KEYS = tuple(
    KeyColour(name, f"#{red:02X}{green:02X}{blue:02X}", (red, green, blue))
    for name, (red, green, blue) in {
        "green": (0, 255, 0),
        "red": (255, 0, 0),
        "orange": (255, 128, 0),
        "blue": (0, 0, 255),
        "magenta": (255, 0, 255),
    }.items()
)
"""Green first: of two equally distant keys it is the one that models render best."""
GREEN = KEYS[0]


def contrasting_key(subject: bytes | Rgb, max_pixels: int = 64 * 2**20) -> KeyColour:
    """The key colour for a picture or for its dominant colour. Raises `InvalidImage`."""
    colour = find_dominant(open_checked(subject, max_pixels)) if isinstance(subject, bytes) else subject
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    if value < DARK_BELOW or value > BRIGHT_ABOVE or saturation < GREY_BELOW:
        return GREEN
    return min(KEYS, key=lambda key: round(_apart(_hue(key.rgb), (hue + 0.5) % 1), 4))


def find_dominant(picture: Image.Image) -> Rgb:
    """The subject's most frequent colour: the densest region in CIELAB, not a mean."""
    small = picture.convert("RGBA")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small)
    subject = _subject(pixels)
    bins = np.floor(lab(subject) / _BIN).astype(np.int64)
    _, where, counts = np.unique(bins, axis=0, return_inverse=True, return_counts=True)
    middles = np.zeros((len(counts), 3))
    np.add.at(middles, where.ravel(), subject)
    middles /= counts[:, None]
    fullest = np.argsort(-counts, kind="stable")[:_MOST_BINS]
    middles, counts = middles[fullest], counts[fullest]
    places = lab(middles)
    close = np.linalg.norm(places[:, None] - places[None], axis=2) < _SAME_COLOUR
    near = close[np.argmax(close @ counts)]
    red, green, blue = np.rint(np.average(middles[near], axis=0, weights=counts[near])).astype(int).tolist()
    return red, green, blue


def _subject(pixels: Array) -> Array:
    """(n, 3): the colours of the pixels that are opaque and not a flat background."""
    opaque = pixels[..., 3] >= 128
    if not opaque.any():
        opaque = np.ones_like(opaque)
    colours = pixels[..., :3].astype(np.float32)
    try:
        background = measure(colours, least=_LEAST_FLAT)
    except NoBackground:
        return colours[opaque]
    apart = np.abs(colours - background.whole(*opaque.shape)).max(2) > _BACKGROUND
    kept = opaque & apart
    return colours[kept if kept.mean() >= _LEAST_SUBJECT else opaque]


def lab(colours: Array) -> Array:
    """Convert sRGB (n, 3), 0 to 255, to CIELAB under D65."""
    share = np.asarray(colours, np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    ratio = linear @ np.array(to_xyz).T / np.array([0.95047, 1.0, 1.08883])
    bent = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = bent.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def _hue(colour: Rgb) -> float:
    return colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))[0]


def _apart(first: float, second: float) -> float:
    return abs((first - second + 0.5) % 1 - 0.5)
