"""Control pictures that need no model: edges, a binary picture, colours, a blurred tile, shuffled content.

`ControlMap` is an `imagemill.media.transforms.ImageTransform`. Its results resemble those of the node packs
whose names the kinds have, so that ControlNets trained on those take them.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from imagemill.domain.dataclass import dataclass
from imagemill.media.encoding import open_checked
from imagemill.media.layout import InvalidImage
from imagemill.media.pixels import on_white
from imagemill.media.transforms import OutputFile, TransformContext

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Kind = Literal["binary", "canny", "color", "shuffle", "tile"]
KINDS: tuple[Kind, ...] = ("binary", "canny", "color", "shuffle", "tile")
NUMPY_KINDS: tuple[Kind, ...] = ("canny",)
"""Kinds that need NumPy."""
_MAX_PIXELS = 64 * 2**20
_CELL = 64
"""Pixels of a side of a cell of one colour."""
_WAVE, _MESH = 256, 16
"""Pixels between two random points of a shuffle, and of a side of a cell of its mesh."""

# Sobel's kernels need the neighbours in these places.
_SIDES = (-1, 0, 1)


@dataclass(frozen=True, slots=True)
class ControlMap:
    kind: Kind
    resolution: int = 512
    """Pixels of the shorter side of the result."""
    low_threshold: int = 100
    """Canny: gradient from which an edge is kept where it continues a stronger one. Gradients are of 8-bit
    levels by Sobel, the sum of both directions."""
    high_threshold: int = 200
    """Canny: gradient from which an edge is kept in any case."""
    bin_threshold: int = 100
    """Binary: level up to which a pixel counts as a line."""
    pyr_up_iterations: int = 3
    """Tile: number of times that the picture is halved before it is enlarged again."""
    seed: int | None = None
    """Shuffle: seed of the waves; None means one that depends on the picture."""

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> "ControlMap":
        """Return the transform of a task's arguments: ``kind``, ``resolution`` and ``options``."""
        return cls(arguments["kind"], arguments["resolution"], **arguments["options"])

    def __call__(self, data: bytes, context: TransformContext) -> Sequence[OutputFile]:
        """Return the control picture as a PNG. Raises `InvalidImage`."""
        del context
        picture = _fitted(on_white(open_checked(data, _MAX_PIXELS)), self.resolution)
        made = self._make(picture, data)
        file = io.BytesIO()
        made.convert("RGB").save(file, "PNG", compress_level=3)
        return [OutputFile(file.getvalue(), "image/png", *made.size)]

    def _make(self, picture: Image.Image, data: bytes) -> Image.Image:
        match self.kind:
            case "binary":
                return _binary(picture, self.bin_threshold)
            case "canny":
                return _canny(picture, self.low_threshold, self.high_threshold)
            case "color":
                return _colours(picture)
            case "shuffle":
                own = int.from_bytes(hashlib.sha256(data).digest()[:8])
                return _shuffle(picture, own if self.seed is None else self.seed)
            case "tile":
                return _tile(picture, 2**self.pyr_up_iterations)


def _fitted(picture: Image.Image, resolution: int) -> Image.Image:
    """Return the picture with this shorter side."""
    factor = resolution / min(picture.size)
    width, height = (max(1, round(side * factor)) for side in picture.size)
    if width * height > _MAX_PIXELS:
        raise InvalidImage(f"would become {width} x {height}, more than {_MAX_PIXELS} pixels")
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _binary(picture: Image.Image, threshold: int) -> Image.Image:
    """White where the picture is dark, else black."""
    return picture.convert("L").point([255 if level <= threshold else 0 for level in range(256)])


def _colours(picture: Image.Image) -> Image.Image:
    """Cells of one colour each."""
    cells = (max(1, picture.width // _CELL), max(1, picture.height // _CELL))
    small = picture.resize(cells, Image.Resampling.BICUBIC)
    return small.resize(picture.size, Image.Resampling.NEAREST)


def _tile(picture: Image.Image, factor: int) -> Image.Image:
    """The picture without its fine detail."""
    size = (max(1, picture.width // factor), max(1, picture.height // factor))
    return picture.resize(size, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BICUBIC)


def _shuffle(picture: Image.Image, seed: int) -> Image.Image:
    """The picture with its content moved by smooth random waves: its colours and textures stay, its
    composition does not."""
    width, height = picture.size
    random = Random(seed)  # noqa: S311 - repeatable
    across, down = (_waves(width, height, side, random) for side in (width, height))

    def source(x: int, y: int) -> tuple[float, float]:
        at = (min(x, width - 1), min(y, height - 1))
        return across[at], down[at]

    mesh: list[tuple[tuple[int, int, int, int], tuple[float, ...]]] = []
    for top in range(0, height, _MESH):
        for left in range(0, width, _MESH):
            right, bottom = min(left + _MESH, width), min(top + _MESH, height)
            corners = ((left, top), (left, bottom), (right, bottom), (right, top))
            mesh.append(
                ((left, top, right, bottom), tuple(value for x, y in corners for value in source(x, y)))
            )
    return picture.transform(picture.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _waves(width: int, height: int, side: int, random: Random) -> Mapping[tuple[int, int], float]:
    """Return positions from 0 to ``side`` that change smoothly, for the corners of the mesh."""
    points = (width // _WAVE + 2, height // _WAVE + 2)
    noise = Image.new("F", points)
    for y in range(points[1]):
        for x in range(points[0]):
            noise.putpixel((x, y), random.random())
    columns, rows = -(-width // _MESH) + 1, -(-height // _MESH) + 1
    smooth = noise.resize((columns, rows), Image.Resampling.BICUBIC)
    low, high = smooth.getextrema()
    assert isinstance(low, float)  # noqa: S101 - the mode is F
    assert isinstance(high, float)  # noqa: S101 - the mode is F
    reach = (side - 1) / max(high - low, 1e-6)
    found: dict[tuple[int, int], float] = {}
    for row in range(rows):
        for column in range(columns):
            value = smooth.getpixel((column, row))
            assert isinstance(value, float)  # noqa: S101 - the mode is F
            place = (min(column * _MESH, width - 1), min(row * _MESH, height - 1))
            found[place] = (value - low) * reach
    return found


def _canny(picture: Image.Image, low: int, high: int) -> Image.Image:
    """Edges one pixel wide, white on black (Canny's detector)."""
    import numpy as np

    grey = np.asarray(picture.convert("L"), np.int32)
    padded = np.pad(grey, 1, mode="edge")
    around = {(y, x): _moved(padded, y, x, grey.shape) for y in _SIDES for x in _SIDES}
    across = (
        around[-1, 1] + 2 * around[0, 1] + around[1, 1] - around[-1, -1] - 2 * around[0, -1] - around[1, -1]
    )
    down = (
        around[1, -1] + 2 * around[1, 0] + around[1, 1] - around[-1, -1] - 2 * around[-1, 0] - around[-1, 1]
    )
    strength = np.abs(across) + np.abs(down)
    ridge = _ridges(strength, across, down)
    edges = _connected(ridge & (strength > low), ridge & (strength > high))
    return Image.fromarray(edges.astype(np.uint8) * 255)


def _moved(
    padded: "npt.NDArray[np.int32]", down: int, across: int, shape: tuple[int, ...]
) -> "npt.NDArray[np.int32]":
    """Return the neighbours in this place of all pixels of an array that was padded by one."""
    return padded[1 + down : 1 + down + shape[0], 1 + across : 1 + across + shape[1]]


def _ridges(
    strength: "npt.NDArray[np.int32]", across: "npt.NDArray[np.int32]", down: "npt.NDArray[np.int32]"
) -> "npt.NDArray[np.bool_]":
    """Return where the gradient is stronger than before and after it in its own direction."""
    import numpy as np

    padded = np.pad(strength, 1)
    wide, high = np.abs(across), np.abs(down)
    level, steep = high * 1000 <= wide * 414, high * 1000 >= wide * 2414  # tangents of 22.5 and 67.5 degrees
    falling = (across >= 0) == (down >= 0)
    found = np.zeros(strength.shape, np.bool_)
    directions = (
        (level, (0, 1)),
        (steep & ~level, (1, 0)),
        (~level & ~steep & falling, (1, 1)),
        (~level & ~steep & ~falling, (1, -1)),
    )
    for where, (y, x) in directions:
        before, after = _moved(padded, -y, -x, strength.shape), _moved(padded, y, x, strength.shape)
        found |= where & (strength > before) & (strength >= after)
    return found


def _connected(weak: "npt.NDArray[np.bool_]", strong: "npt.NDArray[np.bool_]") -> "npt.NDArray[np.bool_]":
    """Return the weak pixels that are connected to a strong one by weak ones."""
    import numpy as np

    open_ = np.pad(weak, 1).ravel()
    found = np.pad(strong, 1).ravel()
    row = weak.shape[1] + 2
    offsets = np.array([y * row + x for y in _SIDES for x in _SIDES if y or x])
    open_ &= ~found
    front = np.flatnonzero(found)
    while front.size:
        near = (front[:, None] + offsets).ravel()
        front = np.unique(near[open_[near]])
        open_[front] = False
        found[front] = True
    return found.reshape(weak.shape[0] + 2, row)[1:-1, 1:-1]
