"""Print profiles: the sizes, page counts and files that a print shop takes, as TOML files.

Those of the package are in ``profiles/``; an operator's own folder may add some and replace some. Lengths are
millimetres.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from imagemill.domain.errors import FieldError, InvalidInput, NotFound
from imagemill.domain.field_messages import field_message, field_path
from imagemill.products.books.book_manifest import Slug

PACKAGED = Path(__file__).parent / "profiles"
MM_PER_INCH = 25.4
MOST_BYTES = 64 * 1024
MOST_PROFILES = 200
Words = Annotated[str, StringConstraints(max_length=400)]
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
Millimetres = Annotated[float, Field(ge=0, le=2000)]
Difference = Annotated[float, Field(ge=-50, le=50)]
"""In millimetres."""


def points(mm: float) -> float:
    """Return millimetres in points."""
    return mm * 72 / MM_PER_INCH


def millimetres(length_pt: float) -> float:
    """Return points in millimetres."""
    return length_pt * MM_PER_INCH / 72


class ProfilePart(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_strip_whitespace=True, defer_build=True
    )


class Bleed(ProfilePart):
    """How far a page's picture reaches beyond the cut, by side. ``inner`` is the side of the spine."""

    top: Millimetres
    bottom: Millimetres
    outer: Millimetres
    inner: Millimetres


class PageRules(ProfilePart):
    width: float = Field(gt=20, le=1000)
    """Size of the trimmed page."""
    height: float = Field(gt=20, le=1000)
    bleed: Bleed
    safe: Millimetres
    """The distance from the cut that text keeps on three sides."""
    safe_inner: Millimetres | None = None
    """The distance from the spine; None means the same as on the other sides."""
    dpi: int = Field(default=300, ge=72, le=1200)
    """Below it a picture is a warning."""
    least_dpi: int = Field(default=200, ge=36, le=1200)
    """Below it a picture is an error."""
    least_text_pt: float = Field(default=7.0, ge=3, le=30)
    """Smaller text is an error."""


class CountRules(ProfilePart):
    least: int = Field(ge=1, le=2000)
    most: int = Field(ge=1, le=2000)
    multiple: int = Field(default=2, ge=1, le=64)
    blank_in_a_row: int | None = Field(default=None, ge=0, le=2000)
    """Most empty pages in a row; None means any number."""
    counted: Literal["block", "block_and_cover"] = "block"
    """The pages that the shop counts: those of the block, or these and the four sides of the cover."""

    @model_validator(mode="after")
    def _check_some(self) -> Self:
        if self.most < self.least:
            raise ValueError("most is below least")
        return self


class SpineRules(ProfilePart):
    """The width of the spine: by a formula, or by a table with a width for each range of pages."""

    per_page: float | None = Field(default=None, ge=0, le=2)
    added: Millimetres = 0.0
    """Added to the pages' thickness."""
    table: tuple[tuple[int, Millimetres], ...] = ()
    """Pairs of the most pages and the width, in rising order."""
    text_from_pages: int = Field(default=80, ge=0, le=2000)
    """A thinner book has no text on the spine."""
    text_margin: Millimetres = 1.6
    """Between the text and the edges of the spine."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.per_page is None) == (not self.table):
            raise ValueError("needs either per_page or table")
        if list(self.table) != sorted(self.table):
            raise ValueError("table: the pages must rise")
        return self

    def width(self, pages: int) -> float:
        """Return the width in millimetres; the last row of a table holds for more pages, too."""
        if self.per_page is not None:
            return round(pages * self.per_page + self.added, 4)
        return next((width for most, width in self.table if pages <= most), self.table[-1][1])


class BarcodeBox(ProfilePart):
    """The rectangle on the back cover that the shop prints a barcode into."""

    width: Millimetres
    height: Millimetres
    right: Millimetres
    """Distance of its right edge from the spine's fold."""
    bottom: Millimetres
    """Distance of its lower edge from the cut."""


class CoverRules(ProfilePart):
    kind: Literal["soft", "hard"]
    bleed: Millimetres = 3.175
    wrap: Millimetres = 0.0
    """The part of a hard cover that is folded around the boards, on each outer side."""
    hinge: Millimetres = 0.0
    """Between the spine and each board of a hard cover."""
    board_width: Difference = 0.0
    """How much wider a board is than the trimmed page; negative where the hinge takes from it."""
    board_height: Difference = 0.0
    """How much higher a board is than the trimmed page."""
    safe: Millimetres
    spine: SpineRules
    barcode: BarcodeBox | None = None


class OutputRules(ProfilePart):
    files: Literal["block_and_cover", "cover_first"] = "block_and_cover"
    """A block and a wrap cover, or one PDF whose first page is the cover."""
    colour: Literal["rgb"] = "rgb"
    """Pictures are sRGB. With PDF/X-4 the press converts them by the output intent."""
    standard: Literal["pdf-1.7", "pdf-x-4"] = "pdf-1.7"
    """PDF/X-4 needs an ICC profile of the press; see ``icc_profile`` of the settings."""
    transparency: bool = True
    """Whether the shop takes transparency, which blurred shadows need."""
    condition: Words = ""
    """The name of the printing condition in the output intent, such as ``FOGRA51``."""


class FigureSource(ProfilePart):
    """The source of one or several figures of the profile, and how sure they are."""

    fields: tuple[Words, ...] = Field(min_length=1)
    """Paths, such as ``cover.spine.per_page``."""
    source: Words
    doubt: Words = ""


class PrintProfile(ProfilePart):
    slug: Slug
    shop: Words
    product: Words
    url: Annotated[str, StringConstraints(pattern=r"^https://", max_length=400)] | None = None
    """The shop's page to check the figures against."""
    dated: date
    page: PageRules
    pages: CountRules
    cover: CoverRules
    output: OutputRules = OutputRules()
    figures: tuple[FigureSource, ...] = ()

    @model_validator(mode="after")
    def _check_safe_area(self) -> Self:
        if self.safe_box[2] <= 10 or self.safe_box[3] <= 10:
            raise ValueError("page.safe leaves no room for text")
        return self

    @model_validator(mode="after")
    def _check_figures(self) -> Self:
        known = set(_paths(self.model_dump(exclude={"figures"})))
        for number, figure in enumerate(self.figures):
            for path in figure.fields:
                if path not in known:
                    raise ValueError(f"figures[{number}].fields: there is no field {path}")
        return self

    @property
    def safe_box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the safe area within the trimmed page, in millimetres.

        The same on left and right pages: both inner and outer distance are kept on each side, so that a text
        stands at one place whichever side its page comes to lie on.
        """
        page = self.page
        side = max(page.safe, page.safe if page.safe_inner is None else page.safe_inner)
        return side, page.safe, page.width - 2 * side, page.height - 2 * page.safe


def load(folder: Path | None = None) -> Mapping[str, PrintProfile]:
    """Return the profiles by slug: the package's, and those of the operator's folder, which go first.

    Raises `InvalidInput` with file, field and remedy.
    """
    if folder is None:
        return _packaged()
    if not folder.is_dir():
        raise InvalidInput.at(str(folder), "is not a folder; name one with print profiles")
    return {**_packaged(), **_load_folder(folder)}


def find(slug: str, folder: Path | None = None) -> PrintProfile:
    """Return one profile; other files of the folder are not read. Raises `NotFound` and `InvalidInput`."""
    own = folder / f"{slug}.toml" if folder is not None and _SLUG.fullmatch(slug) else None
    if own is not None and own.is_file():
        return read(own)
    if slug not in _packaged():
        known = {*_packaged(), *(file.stem for file in folder.glob("*.toml"))} if folder else {*_packaged()}
        raise NotFound(f"there is no print profile {slug}; use one of {', '.join(sorted(known))}")
    return _packaged()[slug]


@cache
def _packaged() -> Mapping[str, PrintProfile]:
    return _load_folder(PACKAGED)


def _load_folder(folder: Path) -> dict[str, PrintProfile]:
    files = sorted(folder.glob("*.toml"))
    if len(files) > MOST_PROFILES:
        raise InvalidInput.at(str(folder), f"has {len(files)} profiles; at most {MOST_PROFILES}")
    return {profile.slug: profile for profile in map(read, files)}


def read(file: Path) -> PrintProfile:
    """Read one profile. Raises `InvalidInput`."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InvalidInput.at(file.name, f"is larger than {MOST_BYTES // 1024} KiB")
        data = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidInput.at(file.name, f"cannot be read as TOML: {error}") from error
    try:
        profile = PrintProfile.model_validate(data)
    except ValidationError as error:
        raise InvalidInput([_field_error(file.name, fault) for fault in error.errors()]) from error
    if profile.slug != file.stem:
        raise InvalidInput.at(f"{file.name}: slug", f"should be {file.stem}, as the file's name")
    return profile


def _field_error(name: str, fault: Mapping[str, Any]) -> FieldError:
    path = field_path(fault["loc"])
    return FieldError(f"{name}: {path}" if path else name, field_message(fault))


def _paths(values: Mapping[str, Any], start: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{start}{name}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{start}{name}.")
