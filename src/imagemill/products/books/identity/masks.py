"""The places where faces belong: their geometry, and feathered masks."""

from math import cos, radians, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import FaceTarget
from imagemill.products.books.identity.faces import FoundFace, find_faces
from imagemill.products.books.identity.rasters import Pixels, read_grey

Alpha = NDArray[np.float32]

FACE_WIDTH, FACE_ABOVE, FACE_BELOW = 2.35, 1.0, 1.45
"""Width of a face from ear to ear, its height above the eyes to the hair line, and below them to the chin: in
distances of the eyes' centres, as of a child of about six."""
_FEATHER = 0.11
"""Width of the soft edge, in widths of the face: the skin's colours meet without a line, and the features are
inside."""
_WHITE = 128
"""Brightness from which a pixel of a mask lets the face change."""
_UPPER_HALF = Box(x=0.34, y=0.12, width=0.32, height=0.36)
"""The face of a page that tells nothing about it."""


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """An upright rectangle about a face, from hair line to chin and from ear to ear, turned by its tilt."""

    x: float
    """The centre, in pixels."""
    y: float
    width: float
    height: float
    tilt: float
    """Degrees by which the head leans to the right."""

    def box(self, width: int, height: int) -> Box:
        """The rectangle without its tilt, as fractions of a picture, cut off at the picture's edges."""
        left, right = (max(0.0, min(1.0, (self.x + side * self.width / 2) / width)) for side in (-1, 1))
        top, bottom = (max(0.0, min(1.0, (self.y + side * self.height / 2) / height)) for side in (-1, 1))
        return Box(x=left, y=top, width=max(1e-4, right - left), height=max(1e-4, bottom - top))


@dataclass(frozen=True, slots=True)
class FaceArea:
    """The place of a face on a page, and the part of the page that may change."""

    frame: FaceFrame
    left: int
    top: int
    """Where ``alpha`` is on the page, in pixels."""
    alpha: Alpha
    """Opacity of the face, 0 to 1."""

    @property
    def part(self) -> tuple[slice, slice]:
        """The rows and columns of the page that ``alpha`` covers."""
        rows, columns = self.alpha.shape
        return slice(self.top, self.top + rows), slice(self.left, self.left + columns)


def frame_of(face: FoundFace) -> FaceFrame:
    """Return the frame of a face by its landmarks."""
    (x1, y1), (x2, y2) = face.eyes
    distance, tilt = face.eye_distance, radians(face.tilt)
    below = (FACE_BELOW - FACE_ABOVE) / 2 * distance
    return FaceFrame(
        (x1 + x2) / 2 - sin(tilt) * below,
        (y1 + y2) / 2 + cos(tilt) * below,
        FACE_WIDTH * distance,
        (FACE_ABOVE + FACE_BELOW) * distance,
        face.tilt,
    )


def frame_of_box(box: Box, tilt: float, width: int, height: int) -> FaceFrame:
    """Return the frame of a box in a picture of this size."""
    return FaceFrame(
        (box.x + box.width / 2) * width,
        (box.y + box.height / 2) * height,
        box.width * width,
        box.height * height,
        tilt,
    )


def face_area(page: Pixels, target: FaceTarget) -> FaceArea:
    """Return the area of a target.

    It comes from the mask, else from the box, else from the face in the illustration, else it is an ellipse
    in the upper half of the page. An empty mask counts as none.
    """
    height, width = page.shape[:2]
    if target.mask is not None:
        mask = read_grey(target.mask, (width, height))
        if (mask >= _WHITE).any():
            return _masked(mask, target)
    return _ellipse(_frame(page, target), width, height)


def _frame(page: Pixels, target: FaceTarget) -> FaceFrame:
    height, width = page.shape[:2]
    if target.box is not None:
        return frame_of_box(target.box, target.tilt, width, height)
    if found := find_faces(page):
        return frame_of(found[0])
    return frame_of_box(_UPPER_HALF, target.tilt, width, height)


def _masked(mask: NDArray[np.uint8], target: FaceTarget) -> FaceArea:
    height, width = mask.shape
    rows, columns = (np.flatnonzero((mask > 0).any(axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    if target.box is not None:
        frame = frame_of_box(target.box, target.tilt, width, height)
    else:
        frame = _frame_of_mask(mask >= _WHITE, target.tilt)
    part = mask[top:bottom, left:right]
    alpha = _feathered(part > 0, frame.width) * part.astype(np.float32) / np.float32(255)
    return FaceArea(frame, int(left), int(top), alpha)


def _frame_of_mask(white: NDArray[np.bool_], tilt: float) -> FaceFrame:
    """The frame that encloses the mask when the head is upright."""
    rows, columns = np.nonzero(white)
    angle = radians(tilt)
    across = columns * cos(angle) + rows * sin(angle)
    down = -columns * sin(angle) + rows * cos(angle)
    x, y = (float(across.min()) + float(across.max())) / 2, (float(down.min()) + float(down.max())) / 2
    return FaceFrame(
        x * cos(angle) - y * sin(angle),
        x * sin(angle) + y * cos(angle),
        float(np.ptp(across)) + 1,
        float(np.ptp(down)) + 1,
        tilt,
    )


def _ellipse(frame: FaceFrame, width: int, height: int) -> FaceArea:
    reach = max(frame.width, frame.height) / 2 + 2
    left, top = max(0, int(frame.x - reach)), max(0, int(frame.y - reach))
    right, bottom = min(width, int(frame.x + reach) + 1), min(height, int(frame.y + reach) + 1)
    shape = np.zeros((max(1, bottom - top), max(1, right - left)), np.uint8)
    cv2.ellipse(
        shape,
        ((frame.x - left, frame.y - top), (max(2.0, frame.width), max(2.0, frame.height)), frame.tilt),
        255,
        -1,
    )
    return FaceArea(frame, left, top, _feathered(shape > 0, frame.width))


def _feathered(inside: NDArray[np.bool_], face_width: float) -> Alpha:
    """Return the mask with a soft edge that lies inside it: nothing outside the mask changes."""
    padded = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    share = np.clip(distance / max(1.0, _FEATHER * face_width), 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)
