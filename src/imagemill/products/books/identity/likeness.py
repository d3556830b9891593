"""Align faces, and compare them by the embeddings of a network."""

from functools import lru_cache
from hashlib import sha256
from math import cos, hypot, radians, sin
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from imagemill.domain.errors import MissingExtra
from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import FacePlace
from imagemill.products.books.identity.faces import (
    Corners,
    corners_in,
    embed,
    eye_centres,
    find_faces,
    frontal_faces,
)
from imagemill.products.books.identity.masks import FACE_ABOVE, FACE_BELOW, FaceFrame, frame_of, frame_of_box
from imagemill.products.books.identity.rasters import Pixels, read_pixels, shrunk

Embedding = NDArray[np.float64]

_FURTHEST = 0.9
"""Distance of dlib's embeddings at which the score is 0; the score falls evenly with the distance. dlib's
authors take two photos below 0.6 for one person. Faces drawn in one style are more alike, so 0.45 is the
score 0.5."""
_SAME_COSINE = 0.363
"""Cosine of embeddings above which OpenCV takes two photos for one person with SFace. It is the score 0.5."""
_UPRIGHT = 300
"""Side in pixels of the upright cut-out in which the landmarks of a face are found."""
_CUT_OUT = 1.9
"""Side of the cut-out in sizes of the face."""
_FLAT = 4.0
"""Standard deviation of brightness (0 to 255) below which a place shows no face."""
_RECTANGLE, _RECTANGLE_BELOW = 2.36, 0.5
"""Side of the rectangle in which dlib expects landmarks, and its middle below the eyes, in eye distances."""
_ONNX_SIDE = 112
_ONNX_POINTS = ((38.3, 51.6), (73.5, 51.6), (56.0, 76.0))
"""The eyes and the lower edge of the nose in the pictures of 112 pixels that models of ArcFace's kind get."""


def measure(
    page: bytes,
    box: Box | None,
    tilt: float,
    reference: bytes,
    reference_faces: tuple[FacePlace, ...],
    model: Path | None,
) -> float | None:
    """See `score_face`."""
    shown = read_pixels(page)
    place = _page_frame(shown, box, tilt)
    face = None if place is None else _embedding(shown, place, model)
    if face is None:
        return None
    known = _reference_embeddings(reference, reference_faces, model)
    score = cosine_score if model else distance_score
    return max((score(face, each) for each in known), default=None)


def distance_score(a: Embedding, b: Embedding) -> float:
    """Return the score of two of dlib's embeddings."""
    return max(0.0, 1 - float(np.linalg.norm(a - b)) / _FURTHEST)


def cosine_score(a: Embedding, b: Embedding) -> float:
    """Return the score of two embeddings of an operator's model."""
    cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-9))
    return float(np.clip(0.5 + (cosine - _SAME_COSINE) / (2 * (1 - _SAME_COSINE)), 0, 1))


def _page_frame(page: Pixels, box: Box | None, tilt: float) -> FaceFrame | None:
    if box is not None:
        return frame_of_box(box, tilt, page.shape[1], page.shape[0])
    found = find_faces(page, quick=True)
    return frame_of(found[0]) if found else None


def embed_faces(picture: Pixels, places: tuple[FacePlace, ...], model: Path | None) -> tuple[Embedding, ...]:
    """Return the embeddings of the faces at these places, or of those that are found if none is given."""
    height, width = picture.shape[:2]
    frames = [frame_of_box(box, tilt, width, height) for box, tilt in places]
    frames = frames or [frame_of(face) for face in find_faces(picture, quick=True)]
    found = (_embedding(picture, frame, model) for frame in frames)
    return tuple(each for each in found if each is not None)


def _embedding(picture: Pixels, frame: FaceFrame, model: Path | None) -> Embedding | None:
    """Return the embedding of the face in a frame; None where the place is flat or outside the picture."""
    upright, distance = _cut_upright(picture, frame)
    middle = upright[_UPRIGHT // 4 : -_UPRIGHT // 4, _UPRIGHT // 4 : -_UPRIGHT // 4]
    if float(cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY).std()) < _FLAT:
        return None
    corners = _corners(upright, distance)
    return embed(upright, corners) if model is None else _onnx_embedding(upright, corners, model)


def _cut_upright(picture: Pixels, frame: FaceFrame) -> tuple[Pixels, float]:
    """Return the face upright in the middle of a square, and the expected distance of its eyes there."""
    size = max(frame.width, frame.height, 2.0)
    scale = _UPRIGHT / (_CUT_OUT * size)
    x, y = frame.x, frame.y
    if scale < 0.5:
        picture = shrunk(picture, 2 * scale)
        x, y, scale = x * 2 * scale, y * 2 * scale, 0.5
    angle = radians(-frame.tilt)
    linear = scale * np.array(((cos(angle), -sin(angle)), (sin(angle), cos(angle))))
    offset = np.array((_UPRIGHT / 2, _UPRIGHT / 2)) - linear @ np.array((x, y))
    upright = cv2.warpAffine(
        picture, np.column_stack((linear, offset)), (_UPRIGHT, _UPRIGHT), borderMode=cv2.BORDER_REPLICATE
    )
    distance = _UPRIGHT / _CUT_OUT * frame.height / size / (FACE_ABOVE + FACE_BELOW)
    return np.asarray(upright, np.uint8), distance


def _corners(upright: Pixels, distance: float) -> Corners:
    """Return the landmarks: as detected, else as predicted where the eyes should be, else those of the
    frame."""
    x = _UPRIGHT / 2
    eyes_y = _UPRIGHT / 2 - (FACE_BELOW - FACE_ABOVE) / 2 * distance
    for face in frontal_faces(upright):
        if _is_plausible(face.corners, x, eyes_y, distance):
            return face.corners
    half, middle = _RECTANGLE / 2 * distance, eyes_y + _RECTANGLE_BELOW * distance
    predicted = corners_in(upright, x - half, middle - half, x + half, middle + half)
    if _is_plausible(predicted, x, eyes_y, distance):
        return predicted
    return (
        (x + 0.74 * distance, eyes_y), (x + 0.26 * distance, eyes_y),
        (x - 0.74 * distance, eyes_y), (x - 0.26 * distance, eyes_y),
        (x, eyes_y + 0.6 * distance),
    )  # fmt: skip


def _is_plausible(corners: Corners, x: float, y: float, distance: float) -> bool:
    """Whether landmarks are about where the eyes should be."""
    (x1, y1), (x2, y2) = eye_centres(corners)
    found = hypot(x2 - x1, y2 - y1)
    away = hypot((x1 + x2) / 2 - x, (y1 + y2) / 2 - y)
    return 0.6 < found / distance < 1.6 and away < 0.8 * distance


_MOST_KNOWN = 8
_known: dict[tuple[bytes, tuple[FacePlace, ...], Path | None], tuple[Embedding, ...]] = {}
"""The embeddings of the last references of this process: all pages of a book are scored with the same one."""


def _reference_embeddings(
    reference: bytes, places: tuple[FacePlace, ...], model: Path | None
) -> tuple[Embedding, ...]:
    key = (sha256(reference).digest(), places, model)
    if (found := _known.get(key)) is None:
        found = embed_faces(read_pixels(reference), places, model)
        while len(_known) >= _MOST_KNOWN:
            _known.pop(next(iter(_known)), None)
        _known[key] = found
    return found


def _onnx_embedding(upright: Pixels, corners: Corners, model: Path) -> Embedding:
    session = _session(model)
    given = session.get_inputs()[0]
    points = np.array((*eye_centres(corners), corners[4]), np.float32)
    matrix, _ = cv2.estimateAffinePartial2D(points, np.array(_ONNX_POINTS, np.float32), method=cv2.LMEDS)
    chip = cv2.warpAffine(upright, matrix, (_ONNX_SIDE, _ONNX_SIDE)).astype(np.float32)
    # Models exported from MXNet, such as SFace, name their input "data" and scale the levels themselves.
    levels = chip if given.name == "data" else (chip - 127.5) / 127.5
    answer = session.run(None, {given.name: levels.transpose(2, 0, 1)[None]})[0]
    return np.asarray(answer, np.float64).reshape(-1)


@lru_cache(maxsize=2)
def _session(model: Path) -> Any:
    MissingExtra.check("onnxruntime", "classify", "scoring faces with an ONNX model")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many classes
        raise ValueError(f"the embedding model {model.name} cannot be loaded: give an ONNX file") from error
    shape = session.get_inputs()[0].shape
    if len(shape) != 4 or list(shape[1:]) != [3, _ONNX_SIDE, _ONNX_SIDE]:
        raise ValueError(
            f"the embedding model {model.name} takes {shape}; give one for 3 x {_ONNX_SIDE} x {_ONNX_SIDE}"
        )
    return session
