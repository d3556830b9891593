"""Score whether two pictures show the same person."""

from collections.abc import Sequence
from pathlib import Path

from imagemill.products.books.book_manifest import Box
from imagemill.products.books.identity.base import FacePlace, check_faces


def score_face(
    page: bytes,
    box: Box | None,
    reference: bytes,
    *,
    tilt: float = 0.0,
    reference_faces: Sequence[FacePlace] = (),
    model: Path | None = None,
) -> float | None:
    """Return the likeness of the face on a page with the reference, 0 to 1; None where none can be aligned.

    Without a box the largest face of the page is scored. ``reference_faces``: where the faces on the
    reference are; else they are found. The most alike of them counts. ``model``: an operator's ONNX file,
    such as SFace or AuraFace, in place of dlib's. Raises `InvalidImage`, `MissingExtra`, and ValueError for
    an unusable model.
    """
    check_faces("scoring faces")
    from imagemill.products.books.identity.likeness import measure

    return measure(page, box, tilt, reference, tuple(reference_faces), model)
