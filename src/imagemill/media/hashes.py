"""Perceptual hashes of a picture: pictures that look alike have hashes that differ in few bits.

`MediaHash` is an `imagemill.media.transforms.ImageTransform` whose file is a JSON object. A picture is laid
on white and made grey first. Bits are in rows from the upper left, written as hexadecimal digits.
"""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, Literal

from PIL import Image

from imagemill.domain.dataclass import dataclass
from imagemill.media.encoding import open_checked
from imagemill.media.pixels import on_white
from imagemill.media.transforms import OutputFile, TransformContext

HashType = Literal["perceptual", "perceptualDct", "perceptualDct256"]
HASH_TYPES: tuple[HashType, ...] = ("perceptual", "perceptualDct", "perceptualDct256")
_MAX_PIXELS = 64 * 2**20
_SIDE = 8
_OVERSAMPLED = 4
"""Pixels of a side for each of a hash by cosines: the hash has the lowest quarter of the frequencies."""


@dataclass(frozen=True, slots=True)
class MediaHash:
    types: tuple[HashType, ...] = HASH_TYPES

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> "MediaHash":
        """Return the transform of a task's arguments."""
        return cls(tuple(arguments["types"]))

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        """Return a JSON object: type -> hash. Raises `InvalidImage`."""
        del context
        grey = on_white(open_checked(data, _MAX_PIXELS)).convert("L")
        hashes = {each: _hash(grey, each) for each in self.types}
        return [OutputFile(json.dumps(hashes).encode(), "application/json", 0, 0)]


def _hash(grey: Image.Image, kind: HashType) -> str:
    match kind:
        case "perceptual":
            return difference_hash(grey)
        case "perceptualDct":
            return cosine_hash(grey, _SIDE)
        case "perceptualDct256":
            return cosine_hash(grey, 2 * _SIDE)


def difference_hash(grey: Image.Image) -> str:
    """64 bits: whether a pixel of the picture at 9 x 8 is brighter than its left neighbour (dHash)."""
    rows = _rows(grey, _SIDE + 1, _SIDE)
    return _digits([right > left for row in rows for left, right in pairwise(row)])


def cosine_hash(grey: Image.Image, side: int) -> str:
    """``side`` squared bits: which of the lowest frequencies are above their median (pHash).

    They are those of the cosine transform (DCT-II) of the picture at four times the side.
    """
    size = side * _OVERSAMPLED
    waves = [[math.cos(math.pi * k * (2 * i + 1) / (2 * size)) for i in range(size)] for k in range(side)]
    by_row = [[_product(row, wave) for wave in waves] for row in _rows(grey, size, size)]
    columns = list(zip(*by_row, strict=True))
    values = [_product(column, wave) for wave in waves for column in columns]
    middle = median(values)
    return _digits([value > middle for value in values])


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _rows(grey: Image.Image, width: int, height: int) -> list[Sequence[int]]:
    levels = grey.resize((width, height), Image.Resampling.LANCZOS).tobytes()
    return [levels[start : start + width] for start in range(0, len(levels), width)]


def _digits(bits: Sequence[bool]) -> str:
    value = int("".join("1" if bit else "0" for bit in bits), 2)
    return f"{value:0{len(bits) // 4}x}"
