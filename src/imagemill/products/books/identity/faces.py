"""Find faces and their landmarks with dlib's models; needs the extra ``faces``."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""Rows, columns, and red, green and blue."""
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face in a picture. Points and lengths are in pixels of the picture."""

    left: float
    top: float
    right: float
    bottom: float
    eyes: tuple[Point, Point]
    """The centres of the eyes, the one further left in the picture first."""
    nose: Point
    """The lower edge of the nose."""
    corners: tuple[Point, Point, Point, Point, Point]
    """dlib's landmarks: the corners of the right eye of the picture, outer first, of the left, the nose."""


def find_faces(picture: Pixels) -> tuple[FoundFace, ...]:
    """Return the faces of a picture, the largest first."""
    raise NotImplementedError
