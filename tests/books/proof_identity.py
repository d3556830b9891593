"""Faces on drawn pages are recognised: the right child has a higher score than every other child.

``python -m tests.books.proof_identity`` does it with 20 drawn photos on 5 pages and says how often.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from imagemill.products.books.identity.likeness import Embedding, distance_score, embed_faces
from imagemill.products.books.identity.local import TransferFaces
from imagemill.products.books.identity.photo import AnalysePhoto
from imagemill.products.books.identity.rasters import read_pixels
from tests.books.drawn_pages import PAGES, SHEET, DrawnPage, draw_page
from tests.books.drawn_photos import photo

SIZE = (1000, 1000)
LEAST_SHARE = 0.95


@dataclass
class Separation:
    """The scores of pages with the references of the right child and of others."""

    right: list[float] = field(default_factory=list[float])
    wrong: list[float] = field(default_factory=list[float])
    lost: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(photo, page) where another child had a score as high."""

    @property
    def share(self) -> float:
        return 1 - len(self.lost) / len(self.right)


def crop_of(number: int) -> bytes:
    """The crop of the face on a drawn photo."""
    result = AnalysePhoto()({"photo": photo(number)})
    assert result.values["usable"], (number, result.values)
    return result.files[0].data


def picture_of(page: DrawnPage, crop: bytes, seed: int) -> bytes:
    """The page with the face."""
    work = TransferFaces(page.targets, SIZE, seed=seed)
    return work({"base": draw_page(page, SIZE[0]), "face.hero": crop}).files[0].data


def embeddings_of(page: DrawnPage, picture: bytes) -> tuple[Embedding, ...]:
    places = tuple((target.box, target.tilt) for target in page.targets if target.box is not None)
    found = embed_faces(read_pixels(picture), places, None)
    assert len(found) == len(places)
    return found


def separate(photos: Sequence[int], pages: Sequence[DrawnPage]) -> Separation:
    """Score each page of each child with the reference sheet of each child."""
    crops = {number: crop_of(number) for number in photos}
    sheets = {n: embeddings_of(SHEET, picture_of(SHEET, crop, seed=50 + n)) for n, crop in crops.items()}
    found = Separation()
    for number, crop in crops.items():
        for index, page in enumerate(pages):
            (face,) = embeddings_of(page, picture_of(page, crop, seed=100 * number + index + 1))
            scores = {
                other: max(distance_score(face, each) for each in sheet) for other, sheet in sheets.items()
            }
            right = scores.pop(number)
            found.right.append(right)
            found.wrong.extend(scores.values())
            if max(scores.values()) >= right:
                found.lost.append((number, index))
    return found


def main() -> int:
    found = separate(range(20), PAGES)
    print(
        f"the right child won on {found.share:.0%} of {len(found.right)} pages; "
        f"right {min(found.right):.2f} to {max(found.right):.2f}, "
        f"others {min(found.wrong):.2f} to {max(found.wrong):.2f}"
    )
    for number, page in found.lost:
        print(f"lost: photo {number} on page {page}")
    return 0 if found.share >= LEAST_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
