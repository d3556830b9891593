"""Find faces and their landmarks with dlib's models; needs the extra ``faces``."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import atan2, degrees, hypot
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import MissingExtra
from imagemill.products.books.identity.rasters import Pixels

Point = tuple[float, float]
Corners = tuple[Point, Point, Point, Point, Point]

_SIDES = (480, 960, 1920)
"""Longer sides of a picture, in pixels, at which faces are searched. The detector finds faces from 80 pixels,
so the first one finds portraits quickly and the last one faces from a twenty-fourth of the picture."""
_QUICK_SIDES = _SIDES[:2]
_MOST_ENLARGED = 2.0
_SAFE_WIDTH = 116
"""Width in pixels from which a face hides no other of 0.7 times its size, which would be too small to be
found."""
_CNN_SIDE = 480
"""Longer side at which the CNN searches; it takes about 0.4 s on one core there and four times that at
960."""
_CNN_LEAST_SIDE = 64
"""Pixels of the shorter side below which the CNN is not asked: no face fits, and it can crash the process."""
_GRAIN = 1.0
"""Pixels of blur before sharpness is measured, so that the grain of a dark photo does not count as
sharpness."""
_SHARP_WIDTH = 160
"""Width of a face, in pixels, at which sharpness is measured, so that it does not depend on the
resolution."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face in a picture. Points and lengths are in pixels of the picture."""

    left: float
    top: float
    right: float
    bottom: float
    corners: Corners
    """dlib's landmarks: the corners of the right eye of the picture, outer first, of the left, the nose."""

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def eyes(self) -> tuple[Point, Point]:
        """The centres of the eyes, the one further left in the picture first."""
        return eye_centres(self.corners)

    @property
    def nose(self) -> Point:
        """The lower edge of the nose."""
        return self.corners[4]

    @property
    def eye_distance(self) -> float:
        (x1, y1), (x2, y2) = self.eyes
        return hypot(x2 - x1, y2 - y1)

    @property
    def tilt(self) -> float:
        """Degrees by which the head leans to the right of the picture."""
        (x1, y1), (x2, y2) = self.eyes
        return degrees(atan2(y2 - y1, x2 - x1))

    @property
    def turn(self) -> float:
        """The nose's distance from the middle of the eyes, along their line, in eye distances.

        It is 0 in a frontal face; positive where the head is turned to the right of the picture.
        """
        (x1, y1), (x2, y2) = self.eyes
        along = ((x2 - x1) / self.eye_distance, (y2 - y1) / self.eye_distance)
        return (
            (self.nose[0] - (x1 + x2) / 2) * along[0] + (self.nose[1] - (y1 + y2) / 2) * along[1]
        ) / self.eye_distance


def eye_centres(corners: Corners) -> tuple[Point, Point]:
    """Return the centres of the eyes, the one further left in the picture first."""
    return _middle(corners[2], corners[3]), _middle(corners[0], corners[1])


def find_faces(picture: Pixels, *, quick: bool = False) -> tuple[FoundFace, ...]:
    """Return the faces of a picture, the largest first.

    dlib's HOG detector searches; where it finds none, and unless ``quick``, its CNN does, which also finds
    faces that are turned or partly hidden.
    """
    longer = max(picture.shape[:2])
    found: tuple[FoundFace, ...] = ()
    for side in _QUICK_SIDES if quick else _SIDES:
        scale = side / longer
        if scale > _MOST_ENLARGED and side != _SIDES[0]:
            break
        found = frontal_faces(_resized(picture, scale), scale) or found
        if found and found[0].width * scale >= _SAFE_WIDTH:
            break
    if found:
        return found
    if quick:
        return ()
    scale = min(1.0, _CNN_SIDE / longer)
    small = _resized(picture, scale)
    if min(small.shape[:2]) < _CNN_LEAST_SIDE:
        return ()
    return _largest_first(small, [each.rect for each in _cnn()(small, 0)], scale)


def frontal_faces(picture: Pixels, scale: float = 1.0) -> tuple[FoundFace, ...]:
    """Return the faces that the HOG detector finds in a picture as it is, the largest first.

    ``scale``: what the picture was scaled by; the faces are in pixels before that.
    """
    return _largest_first(picture, list(_hog()(picture, 0)), scale)


def corners_in(picture: Pixels, left: float, top: float, right: float, bottom: float) -> Corners:
    """Return the landmarks of a face whose rectangle is known, in pixels of the picture."""
    rectangle = _dlib().rectangle(round(left), round(top), round(right), round(bottom))
    shape = _landmarks()(picture, rectangle)
    a, b, c, d, e = ((float(shape.part(i).x), float(shape.part(i).y)) for i in range(5))
    return a, b, c, d, e


def embed(picture: Pixels, corners: Corners) -> NDArray[np.float64]:
    """Return the 128 numbers by which dlib's network tells faces apart."""
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    around = _dlib().rectangle(round(min(xs)), round(min(ys)), round(max(xs)), round(max(ys)))
    points = [_dlib().point(round(x), round(y)) for x, y in corners]
    chip = _dlib().get_face_chip(
        picture, _dlib().full_object_detection(around, points), size=150, padding=0.25
    )
    return np.array(_recogniser().compute_face_descriptor(chip))


def sharpness(picture: Pixels, face: FoundFace) -> float:
    """Return the variance of the Laplacian in the middle of the face, over the variance of its brightness.

    It is measured at one size of face, so that resolution, light and contrast do not count.
    """
    left, top = max(0, round(face.left)), max(0, round(face.top))
    part = picture[top : round(face.bottom), left : round(face.right)]
    if min(part.shape[:2]) < 8:
        return 0.0
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    scale = _SHARP_WIDTH / part.shape[1]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=method)
    grey = cv2.GaussianBlur(grey, (0, 0), _GRAIN)
    spread = float(grey.var())
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()) / spread if spread > 1 else 0.0


def _middle(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _resized(picture: Pixels, scale: float) -> Pixels:
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    width, height = (max(1, round(length * scale)) for length in (picture.shape[1], picture.shape[0]))
    return np.ascontiguousarray(cv2.resize(picture, (width, height), interpolation=method), np.uint8)


def _largest_first(small: Pixels, rectangles: list[Any], scale: float) -> tuple[FoundFace, ...]:
    found: list[FoundFace] = []
    for each in rectangles:
        left, top, right, bottom = each.left(), each.top(), each.right(), each.bottom()
        a, b, c, d, e = ((x / scale, y / scale) for x, y in corners_in(small, left, top, right, bottom))
        face = FoundFace(left / scale, top / scale, right / scale, bottom / scale, (a, b, c, d, e))
        if face.eye_distance > 0:
            found.append(face)
    return tuple(sorted(found, key=lambda face: -face.eye_distance))


# dlib's models take 0.3 s to load and are kept for the life of the process. The files are found by path,
# since their package imports setuptools' `pkg_resources`. Its model of 68 landmarks is not used: the pictures
# that it was trained on are not for commercial use.


def _model_file(name: str) -> str:
    spec = find_spec("face_recognition_models")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / "models" / name).is_file():
            return str(path)
    raise MissingExtra(
        f"finding faces needs the file {name}: pip install --force-reinstall face-recognition-models"
    )


@cache
def _dlib() -> Any:
    return import_module("dlib")


@cache
def _hog() -> Any:
    return _dlib().get_frontal_face_detector()


@cache
def _cnn() -> Any:
    return _dlib().cnn_face_detection_model_v1(_model_file("mmod_human_face_detector.dat"))


@cache
def _landmarks() -> Any:
    return _dlib().shape_predictor(_model_file("shape_predictor_5_face_landmarks.dat"))


@cache
def _recogniser() -> Any:
    return _dlib().face_recognition_model_v1(_model_file("dlib_face_recognition_resnet_model_v1.dat"))
