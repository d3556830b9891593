"""Warp faces of photos onto the faces of an illustration."""

from collections.abc import Mapping
from math import cos, radians, sin
from random import Random

import cv2
import numpy as np

from imagemill.domain.dataclass import dataclass
from imagemill.media.layout import InvalidImage
from imagemill.products.books.identity.base import FACE_INPUT, FaceTarget
from imagemill.products.books.identity.blends import Floats, lab, lay_over, match_tone, meet_edge, rgb
from imagemill.products.books.identity.faces import find_faces
from imagemill.products.books.identity.masks import FaceArea, FaceFrame, face_area, frame_of
from imagemill.products.books.identity.rasters import Pixels, read_pixels, shrunk

_MOST_STRETCH = 1.18
"""Most by which a face is stretched in one direction to fill its place: more would change who it is."""


def paint_faces(
    page: Pixels, targets: tuple[FaceTarget, ...], inputs: Mapping[str, bytes], seed: int
) -> tuple[Pixels, tuple[FaceArea, ...]]:
    """Return the page with the faces, and their areas. Outside the areas' alpha no pixel changes."""
    painted = page.copy()
    crops: dict[str, tuple[Pixels, FaceFrame]] = {}
    areas: list[FaceArea] = []
    for index, target in enumerate(targets):
        if target.character not in crops:
            crops[target.character] = _read_crop(target.character, inputs)
        area = face_area(page, target)
        variation = _Variation.of(seed, index)
        _paint(painted, area, *crops[target.character], variation)
        areas.append(area)
    return painted, tuple(areas)


@dataclass(frozen=True, slots=True)
class _Variation:
    """The differences of one drawing from another."""

    tilt: float
    """Degrees."""
    scale: float
    shift: tuple[float, float]
    """In widths of the face."""
    lightness: float
    warmth: float
    """Both in steps of Lab."""
    light_from: float
    """Degrees; the side from which additional light comes."""
    light: float
    """Steps of lightness between the sides."""
    blend: float
    """Share by which the middle of the face takes over the colours around it."""

    @classmethod
    def of(cls, seed: int, index: int) -> "_Variation":
        """Seed 0 is the plain one."""
        if seed == 0:
            return cls(0, 1, (0, 0), 0, 0, 0, 0, 0.6)
        random = Random(f"{seed}/{index}")  # noqa: S311 - no secret
        return cls(
            tilt=random.uniform(1.2, 4) * random.choice((-1, 1)),
            scale=random.uniform(0.97, 1.06),
            shift=(random.uniform(-0.02, 0.02), random.uniform(-0.02, 0.02)),
            lightness=random.uniform(-7, 7),
            warmth=random.uniform(-6, 7),
            light_from=random.uniform(0, 360),
            light=random.uniform(8, 22),
            blend=random.uniform(0.5, 0.75),
        )


def _read_crop(character: str, inputs: Mapping[str, bytes]) -> tuple[Pixels, FaceFrame]:
    name = FACE_INPUT + character
    if name not in inputs:
        raise InvalidImage(f"lacks the face of the character {character}; send a photo of it")
    crop = read_pixels(inputs[name])
    if found := find_faces(crop):
        return crop, frame_of(found[0])
    # The crop that the analysis makes has the face in the middle, with half of its size around it.
    height, width = crop.shape[:2]
    return crop, FaceFrame(width / 2, height / 2, width / 2, height / 2, 0.0)


def _paint(page: Pixels, area: FaceArea, crop: Pixels, frame: FaceFrame, variation: _Variation) -> None:
    """Paint one face into the page."""
    beneath = page[area.part].astype(np.float32)
    face = lab(_warped(crop, frame, area, variation))
    toned = _varied(match_tone(face, lab(beneath), area.alpha), area, variation)
    lay_over(page, area, meet_edge(rgb(toned), beneath, area.alpha, variation.blend))


def _warped(crop: Pixels, frame: FaceFrame, area: FaceArea, variation: _Variation) -> Floats:
    """Return the crop, moved so that its face fills the frame of the area."""
    goal = area.frame
    across, down = goal.width / frame.width, goal.height / frame.height
    stretch = float(np.clip(down / across, 1 / _MOST_STRETCH, _MOST_STRETCH))
    even = (across * down) ** 0.5
    across, down = even / stretch**0.5 * variation.scale, even * stretch**0.5 * variation.scale
    if (shrink := max(across, down)) < 0.5:
        # Affine warps do not filter, so a much larger crop is reduced first.
        factor = 2 * shrink
        crop = shrunk(crop, factor)
        across, down = across / factor, down / factor
        frame = FaceFrame(
            frame.x * factor, frame.y * factor, frame.width * factor, frame.height * factor, frame.tilt
        )
    lean, upright = radians(goal.tilt + variation.tilt), radians(-frame.tilt)
    turn_back = np.array(((cos(upright), -sin(upright)), (sin(upright), cos(upright))))
    turn = np.array(((cos(lean), -sin(lean)), (sin(lean), cos(lean))))
    linear = turn @ np.diag((across, down)) @ turn_back
    centre = np.array((goal.x - area.left + variation.shift[0] * goal.width,
                       goal.y - area.top + variation.shift[1] * goal.width))  # fmt: skip
    offset = centre - linear @ np.array((frame.x, frame.y))
    rows, columns = area.alpha.shape
    # A reflected border would never end for a crop of one pixel.
    moved = cv2.warpAffine(
        crop,
        np.column_stack((linear, offset)),
        (columns, rows),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return moved.astype(np.float32)


def _varied(face: Floats, area: FaceArea, variation: _Variation) -> Floats:
    """Return the face in the variation's light; in Lab."""
    if not (variation.lightness or variation.warmth or variation.light):
        return face
    rows, columns = np.mgrid[0 : face.shape[0], 0 : face.shape[1]].astype(np.float32)
    angle = radians(variation.light_from)
    along = (columns + area.left - area.frame.x) * cos(angle) + (rows + area.top - area.frame.y) * sin(angle)
    light = variation.lightness + variation.light * np.clip(along / area.frame.width, -0.6, 0.6)
    changed = face.copy()
    changed[..., 0] += light
    changed[..., 2] += variation.warmth
    return changed
