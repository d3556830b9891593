"""Put the faces of photos onto an illustration on the CPU."""

from collections.abc import Mapping
from dataclasses import dataclass

from imagemill.media.page_work import PageResult
from imagemill.products.books.identity.base import FaceTarget, Size


@dataclass(frozen=True, slots=True)
class TransferFaces:
    """Put the crops ``face.CHARACTER`` onto the illustration ``base``, at the targets.

    File 0: a JPEG of ``size`` without chroma subsampling, that states 300 dpi. Values: ``faces``, a list with
    ``character``, ``box`` (where the face is on the page) and ``tilt``.
    """

    targets: tuple[FaceTarget, ...]
    size: Size
    quality: int = 95
    seed: int = 0

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        raise NotImplementedError
