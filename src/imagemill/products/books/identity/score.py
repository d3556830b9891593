"""Score whether two pictures show the same person."""

from collections.abc import Sequence

from imagemill.products.books.book_manifest import Box


def score_face(
    page: bytes,
    box: Box | None,
    reference: bytes,
    *,
    tilt: float = 0.0,
    reference_boxes: Sequence[Box] = (),
    model: bytes | None = None,
) -> float | None:
    """Return the likeness of the face on a page with the reference, 0 to 1; None where none is found.

    ``model``: an operator's ONNX file for faces of 112 x 112 pixels, in place of dlib's.
    """
    raise NotImplementedError
