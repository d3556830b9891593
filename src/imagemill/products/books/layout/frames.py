"""Where pages and covers lie on their sheets. Points from the sheet's top left corner."""

from dataclasses import replace
from typing import Self

from imagemill.domain.dataclass import dataclass
from imagemill.products.books.book_manifest import Box
from imagemill.products.books.layout.page_layouts import PageKind
from imagemill.products.books.layout.profiles import PrintProfile, points


@dataclass(frozen=True, slots=True)
class Rect:
    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def grow(self, by: float) -> Self:
        return replace(
            self,
            left=self.left - by,
            top=self.top - by,
            width=self.width + 2 * by,
            height=self.height + 2 * by,
        )

    def move(self, right: float, down: float) -> Self:
        return replace(self, left=self.left + right, top=self.top + down)

    def clip(self, other: "Rect") -> "Rect":
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Rect(left, top, max(0.0, right - left), max(0.0, bottom - top))

    def contains(self, other: "Rect", slack: float = 0.0) -> bool:
        return (
            other.left >= self.left - slack
            and other.top >= self.top - slack
            and other.right <= self.right + slack
            and other.bottom <= self.bottom + slack
        )

    @property
    def area(self) -> float:
        return self.width * self.height

    def in_pdf(self, sheet_height: float) -> list[float]:
        """Return left, bottom, right and top as a PDF counts them, from the lower left corner."""
        edges = (self.left, sheet_height - self.bottom, self.right, sheet_height - self.top)
        return [round(edge, 4) for edge in edges]


@dataclass(frozen=True, slots=True)
class PageFrame:
    """The place of one page or side of the cover on its sheet."""

    trim: Rect
    """The visible page."""
    bleed: Rect
    """The trim with what is cut off or folded away; the picture is clipped to it."""
    picture: Rect
    """The area that the picture covers; it may reach beyond ``bleed`` on the spine's side."""
    safe: Rect

    def move(self, right: float, down: float) -> Self:
        return replace(
            self,
            trim=self.trim.move(right, down),
            bleed=self.bleed.move(right, down),
            picture=self.picture.move(right, down),
            safe=self.safe.move(right, down),
        )

    def place_picture(self, size: tuple[int, int]) -> Rect:
        """Return where a picture of this size in pixels is drawn: it covers ``picture``, centred."""
        scale = max(self.picture.width / size[0], self.picture.height / size[1])
        width, height = size[0] * scale, size[1] * scale
        return Rect(
            self.picture.left - (width - self.picture.width) / 2,
            self.picture.top - (height - self.picture.height) / 2,
            width,
            height,
        )

    def place_box(self, box: Box, size: tuple[int, int]) -> Rect:
        """Return where a box of a picture of this size lies on the sheet."""
        drawn = self.place_picture(size)
        return Rect(
            drawn.left + box.x * drawn.width,
            drawn.top + box.y * drawn.height,
            box.width * drawn.width,
            box.height * drawn.height,
        )


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page of a PDF with what lies on it."""

    width: float
    height: float
    trim: Rect
    frames: tuple[PageFrame, ...]

    @property
    def whole(self) -> Rect:
        return Rect(0, 0, self.width, self.height)


def page_sheet(profile: PrintProfile, *, is_right: bool = True) -> Sheet:
    """Return the sheet of a page of the block; odd pages are right pages."""
    page, bleed = profile.page, profile.page.bleed
    left, right = (bleed.inner, bleed.outer) if is_right else (bleed.outer, bleed.inner)
    most = max(bleed.inner, bleed.outer, bleed.top, bleed.bottom)
    trim = Rect(points(left), points(bleed.top), points(page.width), points(page.height))
    width, height = points(left + page.width + right), points(bleed.top + page.height + bleed.bottom)
    safe = Rect(*map(points, profile.safe_box)).move(trim.left, trim.top)
    frame = PageFrame(trim, Rect(0, 0, width, height), trim.grow(points(most)), safe)
    return Sheet(width, height, trim, (frame,))


def side_sheet(profile: PrintProfile, kind: PageKind) -> Sheet:
    """Return the sheet of one page or one side of the cover alone, for its preview."""
    if kind not in ("front", "back"):
        return page_sheet(profile)
    frame = _cover_side(profile, kind)
    return Sheet(frame.bleed.width, frame.bleed.height, frame.trim, (frame,))


def picture_pixels(profile: PrintProfile, kind: PageKind = "page") -> tuple[int, int]:
    """Return the size of a picture that fills a page or side of the cover at the profile's resolution."""
    picture, dpi = side_sheet(profile, kind).frames[0].picture, profile.page.dpi
    return round(picture.width / 72 * dpi), round(picture.height / 72 * dpi)


def _cover_side(profile: PrintProfile, kind: PageKind) -> PageFrame:
    """Return a side of the cover with its bleed on all four sides; the picture covers the hinge, too."""
    cover, page = profile.cover, profile.page
    outside, hinge = points(cover.bleed + cover.wrap), points(cover.hinge)
    width, height = points(page.width + cover.board_width), points(page.height + cover.board_height)
    trim = Rect(outside, outside, width, height)
    whole = trim.grow(outside)
    picture = replace(whole, width=whole.width + hinge)
    if kind == "front":
        picture = picture.move(-hinge, 0)
    return PageFrame(trim, whole, picture, trim.grow(-points(cover.safe)))


@dataclass(frozen=True, slots=True)
class CoverSheet:
    """The wrap cover: the back on the left, the spine, the front on the right."""

    sheet: Sheet
    back: PageFrame
    front: PageFrame
    spine: Rect
    """The spine from the sheet's upper to its lower edge."""
    spine_text: Rect
    barcode: Rect | None


def cover_sheet(profile: PrintProfile, pages: int) -> CoverSheet:
    """Return the sheet of the cover around a block of so many pages."""
    cover = profile.cover
    back, front = _cover_side(profile, "back"), _cover_side(profile, "front")
    spine_width = points(cover.spine.width(pages))
    spine_left = back.trim.right + points(cover.hinge)
    width, height = 2 * spine_left + spine_width, back.bleed.height
    back = replace(back, bleed=Rect(0, 0, spine_left, height))
    front = replace(
        front.move(spine_left + spine_width + points(cover.hinge) - front.trim.left, 0),
        bleed=Rect(spine_left + spine_width, 0, spine_left, height),
    )
    margin = points(cover.spine.text_margin)
    text = Rect(spine_left + margin, back.safe.top, max(0.0, spine_width - 2 * margin), back.safe.height)
    whole = Rect(0, 0, width, height)
    sheet = Sheet(width, height, whole.grow(-points(cover.bleed)), (back, front))
    spine = Rect(spine_left, 0, spine_width, height)
    return CoverSheet(sheet, back, front, spine, text, barcode_box(profile, back))


def barcode_box(profile: PrintProfile, back: PageFrame) -> Rect | None:
    """Return the place of the barcode on the back cover; None if the shop needs none."""
    box = profile.cover.barcode
    if box is None:
        return None
    width, height = points(box.width), points(box.height)
    return Rect(
        back.trim.right - points(box.right) - width,
        back.trim.bottom - points(box.bottom) - height,
        width,
        height,
    )
