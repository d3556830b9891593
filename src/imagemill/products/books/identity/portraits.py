"""Find the face of a photo, say why a photo cannot be used, measure colours, and crop the face."""

from collections.abc import Mapping
from math import cos, radians, sin
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from imagemill.products.books.identity.base import PhotoProblem
from imagemill.products.books.identity.faces import FoundFace, find_faces, sharpness
from imagemill.products.books.identity.masks import frame_of
from imagemill.products.books.identity.rasters import Pixels, read_pixels, write_jpeg

ABOUT_EQUAL = 0.7
"""Size of the second face, in sizes of the first one, from which nobody can know which one is meant. A person
in the background is smaller."""
LEAST_WIDTH = 110
"""Pixels from ear to ear. On a page a face is about 500 pixels wide: enlarged five times it is soft
already."""
LEAST_SHARPNESS = 0.005
"""See `sharpness`. It is that of a blur of a hundredth of the face's width, which is 5 pixels on a page;
sharp photos have three times as much."""
LEAST_TURN_AWAY = 0.22
"""Distance of the nose from the middle of the eyes, in eye distances, from which half of the face is hidden:
the head is turned by about 40 degrees."""

_MOST_SIDE = 3000
"""Longer side to which a photo is scaled down: a face at the least width is a twenty-seventh of it."""
_CROP_SIDE = 768
_CROP_QUALITY = 95


def analyse(data: bytes) -> tuple[PhotoProblem | None, dict[str, Any], bytes]:
    """Return why a photo cannot be used, the facts of its largest face, and the crop of the face as JPEG.

    Without a face there are no facts, and of a photo that cannot be used there is no crop.
    """
    photo = read_pixels(data, _MOST_SIDE)
    faces = find_faces(photo)
    problem = problem_of(photo, faces)
    facts = _facts(photo, faces[0]) if faces else {}
    crop = write_jpeg(crop_face(photo, faces[0]), _CROP_QUALITY) if problem is None else b""
    return problem, facts, crop


def crop_face(photo: Pixels, face: FoundFace) -> Pixels:
    """Return the face with half of its size around it, and so hair and chin; at most 768 pixels."""
    frame = frame_of(face)
    height, width = photo.shape[:2]
    reach = max(frame.width, frame.height)
    left, right = max(0, round(frame.x - reach)), min(width, round(frame.x + reach))
    top, bottom = max(0, round(frame.y - reach)), min(height, round(frame.y + reach))
    crop = photo[top:bottom, left:right]
    scale = _CROP_SIDE / max(crop.shape[:2])
    if scale < 1:
        size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(crop, np.uint8)


def problem_of(photo: Pixels, faces: tuple[FoundFace, ...]) -> PhotoProblem | None:
    """Return why a photo with these faces cannot be used, the largest first; None where it can."""
    if not faces:
        return "no_face"
    face = faces[0]
    if len(faces) > 1 and faces[1].eye_distance >= ABOUT_EQUAL * face.eye_distance:
        return "several_faces"
    if frame_of(face).width < LEAST_WIDTH:
        return "too_small"
    if abs(face.turn) >= LEAST_TURN_AWAY:
        return "turned_away"
    return "blurred" if sharpness(photo, face) < LEAST_SHARPNESS else None


def _facts(photo: Pixels, face: FoundFace) -> dict[str, Any]:
    height, width = photo.shape[:2]
    box = frame_of(face).box(width, height)
    return {
        "box": {name: round(value, 4) for name, value in box.model_dump().items()},
        "eyes": [[round(x / width, 4), round(y / height, 4)] for x, y in face.eyes],
        "tilt": round(face.tilt, 1),
        "turn": round(face.turn, 3),
        "sharpness": round(sharpness(photo, face), 4),
        "colours": _colours(photo, face),
    }


# Colours: the means of small places, and the words of the nearest named colour

_SKIN_WORDS = {
    "very light skin": "#f6ddcb", "light skin": "#e8bf9f", "tan skin": "#cf9f78",
    "light brown skin": "#b07b55", "brown skin": "#86583a", "dark brown skin": "#553525",
}  # fmt: skip
_HAIR_WORDS = {
    "black hair": "#17120f", "dark brown hair": "#38261a", "brown hair": "#5e4029",
    "light brown hair": "#876445", "dark blond hair": "#a4845a", "blond hair": "#cdab74",
    "light blond hair": "#e6d0a4", "red hair": "#9c4a22", "auburn hair": "#6a2f1c",
    "grey hair": "#8d8a86", "white hair": "#dcdad6",
}  # fmt: skip
_EYE_WORDS = {
    "dark brown eyes": "#2c1a10", "brown eyes": "#553521", "hazel eyes": "#7a5f38", "green eyes": "#5d6b47",
    "blue eyes": "#5d7f9f", "dark blue eyes": "#2f4562", "grey eyes": "#7e8589",
}  # fmt: skip


def _colours(photo: Pixels, face: FoundFace) -> dict[str, dict[str, str]]:
    distance = face.eye_distance
    middle = ((face.eyes[0][0] + face.eyes[1][0]) / 2, (face.eyes[0][1] + face.eyes[1][1]) / 2)
    lean = radians(face.tilt)

    def around(x: float, y: float, radius: float) -> NDArray[np.uint8]:
        """The pixels of a place, whose centre is given from the middle of the eyes in eye distances."""
        cx = middle[0] + distance * (x * cos(lean) - y * sin(lean))
        cy = middle[1] + distance * (x * sin(lean) + y * cos(lean))
        return _disc(photo, cx, cy, radius * distance)

    skin = np.concatenate([around(-0.55, 0.75, 0.14), around(0.55, 0.75, 0.14), around(0.0, -0.5, 0.12)])
    hair = np.concatenate([around(x, -1.35, 0.16) for x in (-0.4, 0.0, 0.4)])
    # The iris is brighter than the pupil, and darker than the white and the glint.
    eyes = np.concatenate([_between(_disc(photo, x, y, 0.11 * distance), 0.35, 0.8) for x, y in face.eyes])
    return {
        # The brighter half: the other one is in the shade.
        "skin": _named(_between(skin, 0.5, 1), _SKIN_WORDS),
        "hair": _named(_between(hair, 0.15, 0.85), _HAIR_WORDS),
        "eyes": _named(eyes, _EYE_WORDS),
    }


def _disc(photo: Pixels, x: float, y: float, radius: float) -> NDArray[np.uint8]:
    """Return the pixels of a disc as rows of red, green and blue; the nearest ones where it is outside."""
    height, width = photo.shape[:2]
    reach = max(1, round(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = rows**2 + columns**2 <= reach**2
    at_rows = np.clip(round(y) + rows[inside], 0, height - 1)
    at_columns = np.clip(round(x) + columns[inside], 0, width - 1)
    return photo[at_rows, at_columns]


def _between(pixels: NDArray[np.uint8], low: float, high: float) -> NDArray[np.uint8]:
    """Return the pixels whose brightness is between two quantiles."""
    order = np.argsort(pixels.sum(1, dtype=np.int64))
    start = min(len(pixels) - 1, round(low * len(pixels)))
    return pixels[order[start : max(start + 1, round(high * len(pixels)))]]


def _named(pixels: NDArray[np.uint8], words: Mapping[str, str]) -> dict[str, str]:
    mean = pixels.mean(0)
    found = _lab_of(mean)
    nearest = min(words, key=lambda name: float(np.linalg.norm(_lab_of(_levels(words[name])) - found)))
    red, green, blue = (round(float(level)) for level in mean)
    return {"colour": f"#{red:02x}{green:02x}{blue:02x}", "words": nearest}


def _levels(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], np.float64)


def _lab_of(levels: NDArray[np.floating]) -> NDArray[np.float32]:
    return cv2.cvtColor((levels / 255).astype(np.float32)[None, None], cv2.COLOR_RGB2LAB)[0, 0].astype(
        np.float32
    )
