"""How far the colours of pictures lie apart: a simple measure of whether they show the same character.

`ListColours` is an `imagemill.media.transforms.ImageTransform` whose file is JSON, to be read with
`read_colours`. It needs Pillow only, since it also runs where the extra ``pixels`` is not installed.
"""

import json
from collections import Counter
from collections.abc import Sequence

from imagemill.domain.dataclass import dataclass
from imagemill.media.encoding import open_checked
from imagemill.media.layout import InvalidImage
from imagemill.media.pixels import on_white
from imagemill.media.transforms import OutputFile, TransformContext

_MAX_PIXELS = 64 * 2**20
_SIDE = 64
"""Pixels a side to which a picture is reduced: details do not matter."""
_LEVELS = 16
"""Colours whose red, green and blue differ by less than this count as one."""
_OPAQUE = 128
_BORDER_SHARE = 0.6
"""Share of the border that must have one colour for it to be a background, which is left out."""
_LEAST_SHARE = 0.01
"""Share of the subject's pixels below which a colour is left out."""
_MOST_COLOURS = 48
_WHITE = (0.95047, 1.0, 1.08883)

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class WeightedColour:
    """A colour in CIELAB and its share of the subject's pixels."""

    lab: tuple[float, float, float]
    share: float


@dataclass(frozen=True, slots=True)
class ListColours:
    """Lists the colours of a picture's subject: of its opaque pixels without a flat background."""

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        """Raises `InvalidImage`."""
        del context
        picture = open_checked(data, _MAX_PIXELS).convert("RGBA")
        picture.thumbnail((_SIDE, _SIDE))
        width, height = picture.size
        alpha = picture.getchannel("A").tobytes()
        levels = on_white(picture).tobytes()
        pixels = [_coarse(levels[at : at + 3]) for at in range(0, len(levels), 3)]
        opaque = [colour for colour, visible in zip(pixels, alpha, strict=True) if visible >= _OPAQUE]
        edge = [
            colour
            for at, colour in enumerate(pixels)
            if (at // width in (0, height - 1) or at % width in (0, width - 1)) and alpha[at] >= _OPAQUE
        ]
        found = Counter(_without_background(opaque, edge))
        total = found.total() or 1
        colours = [
            [*_lab(colour), count / total]
            for colour, count in found.most_common(_MOST_COLOURS)
            if count / total >= _LEAST_SHARE
        ]
        return [OutputFile(json.dumps(colours).encode(), "application/json", 0, 0)]


def read_colours(made: Sequence[OutputFile]) -> tuple[WeightedColour, ...]:
    """Read the result of `ListColours`. Raises `InvalidImage`."""
    try:
        return tuple(
            WeightedColour((float(light), float(a), float(b)), float(share))
            for light, a, b, share in json.loads(made[0].data)
        )
    except (IndexError, ValueError, TypeError) as error:
        raise InvalidImage("has colours that could not be measured") from error


def colour_distance(known: Sequence[WeightedColour], other: Sequence[WeightedColour]) -> float:
    """Return how far the colours of ``known`` are on average from the nearest ones of ``other``, in CIELAB.

    2 is just noticeable, above 20 a colour is missing or is another one. Neither may be empty.
    """
    total = sum(each.share for each in known)
    return sum(each.share * min(_apart(each, one) for one in other) for each in known) / total


def _apart(one: WeightedColour, other: WeightedColour) -> float:
    return sum((a - b) ** 2 for a, b in zip(one.lab, other.lab, strict=True)) ** 0.5


def _coarse(level: bytes) -> Rgb:
    red, green, blue = (value // _LEVELS * _LEVELS + _LEVELS // 2 for value in level)
    return red, green, blue


def _without_background(opaque: Sequence[Rgb], edge: Sequence[Rgb]) -> Sequence[Rgb]:
    if not edge:
        return opaque
    colour, count = Counter(edge).most_common(1)[0]
    if count < _BORDER_SHARE * len(edge):
        return opaque
    kept = [each for each in opaque if max(abs(a - b) for a, b in zip(each, colour, strict=True)) > _LEVELS]
    return kept or opaque


def _lab(colour: Rgb) -> tuple[float, float, float]:
    """Convert sRGB to CIELAB under D65."""
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (value / 255 for value in colour)
    )
    xyz = (
        0.4124564 * red + 0.3575761 * green + 0.1804375 * blue,
        0.2126729 * red + 0.7151522 * green + 0.0721750 * blue,
        0.0193339 * red + 0.1191920 * green + 0.9503041 * blue,
    )
    ratios = (value / white for value, white in zip(xyz, _WHITE, strict=True))
    x, y, z = (
        ratio ** (1 / 3) if ratio > 216 / 24389 else (24389 / 27 * ratio + 16) / 116 for ratio in ratios
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)
