"""Analyse a photo: find the face, say why a photo cannot be used, measure colours, and crop the face."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from imagemill.media.page_work import PageResult

PhotoProblem = Literal["no_face", "several_faces", "too_small", "blurred", "turned_away"]


@dataclass(frozen=True, slots=True)
class AnalysePhoto:
    """Analyse the input ``photo``.

    Values: ``usable``, ``problem`` and ``message`` where it is not usable, ``box`` (fractions of the photo),
    ``eyes`` (two points, in fractions), ``tilt``, ``turn``, ``sharpness``, ``colours`` (skin, hair and eyes,
    each with ``colour`` and ``words``). File 0, where a face was found: the crop of the face as JPEG.
    """

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        raise NotImplementedError
