"""The colours of a picture, found in a confined process: what dominates it, and the key to put behind it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from imagemill.media.layout import InvalidImage
from imagemill.media.transforms import OutputFile, TransformContext, check_pixels

_MOST_PIXELS = 64 * 2**20
"""Of an input, which was taken in within smaller bounds before."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours are ``#rrggbb``."""

    dominant: str
    key_name: str
    key: str


def measured(data: bytes, facts: TransformContext) -> Sequence[OutputFile]:
    """An `imagemill.media.transforms.ImageTransform`, whose file is no picture but what `read` reads."""
    del facts
    check_pixels("measuring a picture's colours")
    from imagemill.media.dominant_colour import contrasting, dominant
    from imagemill.media.encoding import open_checked

    colour = dominant(open_checked(data, _MOST_PIXELS))
    key = contrasting(colour)
    red, green, blue = colour
    told = {"dominant": f"#{red:02x}{green:02x}{blue:02x}", "name": key.name, "key": key.hex.lower()}
    return [OutputFile(json.dumps(told).encode(), "application/json", 0, 0)]


def read(made: Sequence[OutputFile]) -> Palette:
    """Raises `InvalidImage`."""
    try:
        told = json.loads(made[0].data)
        return Palette(str(told["dominant"]), str(told["name"]), str(told["key"]))
    except (IndexError, KeyError, ValueError, TypeError) as error:
        raise InvalidImage("has colours that could not be measured") from error
