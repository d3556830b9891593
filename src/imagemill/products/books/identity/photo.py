"""The work that analyses a photo, and what a parent reads about a photo that cannot be used."""

from collections.abc import Mapping

from imagemill.domain.dataclass import dataclass
from imagemill.media.page_work import PageFile, PageResult
from imagemill.products.books.identity.base import PhotoProblem, check_faces

MESSAGES: Mapping[PhotoProblem, str] = {
    "no_face": "No face was found on this photo. Choose a photo on which the child looks at the camera, with "
    "the whole face visible and in good light.",
    "several_faces": "Several faces of about the same size are on this photo. Choose a photo of the child "
    "alone, or cut the other faces off.",
    "too_small": "The face is too small on this photo. Choose a photo taken from nearer, or the original "
    "file in place of one that a messenger made smaller.",
    "blurred": "The face is blurred on this photo. Choose a sharp photo, taken in good light and without "
    "motion.",
    "turned_away": "The face is turned to the side on this photo. Choose a photo on which the child looks at "
    "the camera.",
}
"""Problem -> what a parent reads."""


@dataclass(frozen=True, slots=True)
class AnalysePhoto:
    """Analyse the input ``photo``.

    Values: ``usable``; ``problem`` and ``message`` where it is not; ``box`` (fractions of the photo, from
    hair line to chin and from ear to ear), ``eyes`` (two points in fractions), ``tilt`` in degrees, ``turn``,
    ``sharpness``, and ``colours`` (``skin``, ``hair`` and ``eyes``, each with ``colour`` and ``words``) where
    a face was found. File 0, where the photo is usable: the crop of the face as JPEG without metadata.
    """

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        check_faces("analysing photos")
        from imagemill.products.books.identity.portraits import analyse

        problem, facts, crop = analyse(inputs["photo"])
        if problem is not None:
            return PageResult(
                values={"usable": False, "problem": problem, "message": MESSAGES[problem], **facts}
            )
        return PageResult((PageFile(crop, "image/jpeg"),), {"usable": True, **facts})
