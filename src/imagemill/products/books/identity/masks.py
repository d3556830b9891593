"""Feathered masks of the places where faces belong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagemill.products.books.identity.base import FaceTarget
from imagemill.products.books.identity.faces import Pixels


@dataclass(frozen=True, slots=True)
class FaceArea:
    """The place of a face on a page, in pixels."""

    x: float
    y: float
    width: float
    height: float
    """Centre and size of the upright face, from hair line to chin and from ear to ear."""
    tilt: float
    """Degrees by which the head leans to the right."""
    alpha: NDArray[np.float32]
    """Opacity of each pixel of the page, 0 to 1."""


def face_area(page: Pixels, target: FaceTarget) -> FaceArea:
    """Return the area of a target.

    It comes from the mask, else from the box, else from the face in the illustration, else an ellipse in the
    upper half of the page.
    """
    raise NotImplementedError
