"""The work that puts the faces of photos onto an illustration, on the CPU."""

from collections.abc import Mapping

from imagemill.domain.dataclass import dataclass
from imagemill.media.page_work import PageFile, PageResult
from imagemill.products.books.identity.base import FaceTarget, Size, check_faces


@dataclass(frozen=True, slots=True)
class TransferFaces:
    """Put the crops ``face.CHARACTER`` onto the illustration ``base``, at the targets.

    File 0: a JPEG of ``size`` without chroma subsampling, that states 300 dpi. Values: ``faces``, a list with
    ``character``, ``box`` (where the face is on the page) and ``tilt``. The seed varies place, tone and
    light; seed 0 is the plain one. Raises `InvalidImage`.
    """

    targets: tuple[FaceTarget, ...]
    size: Size
    quality: int = 95
    seed: int = 0

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        check_faces("putting faces onto pages")
        from imagemill.products.books.identity.painting import paint_faces
        from imagemill.products.books.identity.rasters import PRINT_DPI, read_pixels, resized, write_jpeg

        page = resized(read_pixels(inputs["base"]), self.size)
        painted, areas = paint_faces(page, self.targets, inputs, self.seed)
        places = [
            {
                "character": target.character,
                "box": area.frame.box(*self.size).model_dump(),
                "tilt": round(area.frame.tilt, 1),
            }
            for target, area in zip(self.targets, areas, strict=True)
        ]
        picture = write_jpeg(painted, self.quality, dpi=PRINT_DPI)
        return PageResult((PageFile(picture, "image/jpeg"),), {"faces": places})
