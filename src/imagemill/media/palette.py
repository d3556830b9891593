"""Measure the colours of a picture in a confined process: its dominant colour and the best chroma key for
it."""

import json
from collections.abc import Sequence

from imagemill.domain.dataclass import dataclass
from imagemill.media.layout import InvalidImage
from imagemill.media.transforms import OutputFile, TransformContext, check_pixels

_MOST_PIXELS = 64 * 2**20
"""Most pixels of an input, which was accepted within smaller limits before."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The dominant colour and the chroma key; colours are ``#rrggbb``."""

    dominant: str
    key_name: str
    key: str


def measure_palette(data: bytes, context: TransformContext) -> Sequence[OutputFile]:
    """An `imagemill.media.transforms.ImageTransform` whose file is JSON, to be read with `read`."""
    del context
    check_pixels("measuring a picture's colours")
    from imagemill.media.dominant_colour import contrasting_key, find_dominant
    from imagemill.media.encoding import open_checked

    colour = find_dominant(open_checked(data, _MOST_PIXELS))
    key = contrasting_key(colour)
    red, green, blue = colour
    colours = {"dominant": f"#{red:02x}{green:02x}{blue:02x}", "name": key.name, "key": key.hex.lower()}
    return [OutputFile(json.dumps(colours).encode(), "application/json", 0, 0)]


def read(made: Sequence[OutputFile]) -> Palette:
    """Read the result of `measure_palette`. Raises `InvalidImage`."""
    try:
        colours = json.loads(made[0].data)
        return Palette(str(colours["dominant"]), str(colours["name"]), str(colours["key"]))
    except (IndexError, KeyError, ValueError, TypeError) as error:
        raise InvalidImage("has colours that could not be measured") from error
