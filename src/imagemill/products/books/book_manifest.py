"""The manifest of a book: characters, style, typography, covers and pages, as data.

A book is a folder with ``book.toml`` or ``book.json`` and the files it names, all relative to the folder.
The catalogue reads and checks them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

SLUG_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]
CharacterId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
FilePath = Annotated[
    str,
    StringConstraints(max_length=200, pattern=r"^[\w-][\w. -]*(/[\w-][\w. -]*){0,7}$"),
]
"""A file of the book's folder, with ``/`` between folders. It cannot leave the folder."""
Words = Annotated[str, StringConstraints(max_length=2000)]
Texts = Mapping[Language, Annotated[str, StringConstraints(max_length=4000)]]
"""The text by language."""
Position = Literal[
    "top-left", "top-center", "top-right",
    "middle-left", "middle-center", "middle-right",
    "bottom-left", "bottom-center", "bottom-right",
]  # fmt: skip
MOST_PAGES = 400


class TransferMode(StrEnum):
    """The way in which a face gets onto a page."""

    EDIT = "edit"
    """An edit model on a ComfyUI node with core nodes."""
    IPADAPTER = "ipadapter"
    """IPAdapter FaceID on a ComfyUI node with that pack."""
    LOCAL = "local"
    """On the CPU, without a node."""


class Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
        use_attribute_docstrings=True,  # for the reference, docs/book-manifest.md
    )


class Box(Part):
    """A rectangle in fractions of a picture's width and height."""

    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)
    width: float = Field(gt=0, le=1)
    height: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _check_inside(self) -> Self:
        if self.x + self.width > 1.0001 or self.y + self.height > 1.0001:
            raise ValueError("reaches beyond the picture: x + width and y + height are at most 1")
        return self


class BookCharacter(Part):
    """A person or animal of the book."""

    id: CharacterId
    """The name by which pages refer to the character."""
    role: Literal["hero", "sibling", "pet"] = "hero"
    """The part that the character plays; a book has one hero."""
    needs_photo: bool = True
    """Whether the character gets the face of a photo. Others are printed as they are drawn."""
    ages: tuple[Annotated[int, Field(ge=0, le=120)], Annotated[int, Field(ge=0, le=120)]] = (0, 12)
    """The youngest and the oldest age for which the book is meant."""

    @field_validator("ages")
    @classmethod
    def _check_order(cls, ages: tuple[int, int]) -> tuple[int, int]:
        if ages[0] > ages[1]:
            raise ValueError("the youngest age is above the oldest; write the youngest first")
        return ages


class StyleLora(Part):
    air: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    strength: float = Field(default=1.0, ge=-10, le=10)


class Style(Part):
    """The style in which nodes draw: a checkpoint or a stored workflow, LoRAs, and words."""

    checkpoint: Annotated[str, StringConstraints(max_length=400)] = ""
    workflow: Annotated[str, StringConstraints(max_length=64)] = ""
    loras: tuple[StyleLora, ...] = Field(default=(), max_length=8)
    words: Words = ""
    negative_words: Words = ""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.checkpoint and self.workflow:
            raise ValueError("names a checkpoint and a workflow; write one of them")
        return self


class Shadow(Part):
    """A shadow of the text. Lengths in points."""

    x: float = Field(default=1.0, ge=-72, le=72)
    y: float = Field(default=1.0, ge=-72, le=72)
    blur: float = Field(default=0.0, ge=0, le=36)
    colour: Colour = "#000000"


class Outline(Part):
    """A line around the letters."""

    width: float = Field(default=0.5, gt=0, le=12)
    """In points."""
    colour: Colour = "#ffffff"


class TextStyle(Part):
    size: float = Field(default=18.0, ge=4, le=200)
    """In points."""
    colour: Colour = "#1d1d1b"
    leading: float = Field(default=1.3, ge=0.8, le=3)
    """The distance of lines, in font sizes."""
    outline: Outline | None = None
    shadow: Shadow | None = None


class Fonts(Part):
    """Font files of the book's folder; the family built in has Latin, Greek and Cyrillic letters."""

    family: Annotated[str, StringConstraints(min_length=1, max_length=80)] = "Libertinus Serif"
    regular: FilePath | None = None
    bold: FilePath | None = None


class Typography(Part):
    fonts: Fonts = Fonts()
    by_language: Mapping[Language, Fonts] = {}
    """Other fonts for some languages, such as Arabic or Japanese."""
    body: TextStyle = TextStyle()
    accent: TextStyle = TextStyle(size=20.0)
    """The style of words between two asterisks on each side, and of layers with the style ``accent``."""


class TextLayer(Part):
    """A text on a page. ``{child_name}``, ``{child_age}`` and ``{child_gender}`` are filled in.

    Forms by gender are written ``{gender:he|she|they}``, forms by age ``{age:year|years}``; ``**word**``
    takes the accent.
    """

    text: Texts = Field(min_length=1)
    position: Position = "bottom-center"
    width: float = Field(default=1.0, gt=0.05, le=1)
    """Width of the box as a fraction of the safe area."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Points to the right and down."""
    style: Literal["body", "accent"] = "body"
    size: float | None = Field(default=None, ge=4, le=200)
    colour: Colour | None = None
    outline: Outline | None = None
    shadow: Shadow | None = None


class PageCharacter(Part):
    """A character on a page, and where the head is: by a mask, by a box, or as it is found."""

    id: CharacterId
    mask: FilePath | None = None
    """A picture that is white where the face may change; of any size, scaled to the page."""
    box: Box | None = None
    """The face: from hair line to chin, and from ear to ear."""
    tilt: float = Field(default=0.0, ge=-90, le=90)
    """Degrees by which the head leans to the right."""


class Availability(Part):
    preview: bool = False
    """Whether the page is made before the book is paid for."""
    full: bool = True


class Illustration(Part):
    """An illustration with characters on it."""

    base: FilePath
    characters: tuple[PageCharacter, ...] = Field(default=(), max_length=8)
    prompt: Words = ""
    negative_prompt: Words = ""
    transfer: TransferMode | None = None
    """None means the first mode that the installation has."""


class Page(Illustration):
    page_num: int = Field(ge=1, le=MOST_PAGES)
    availability: Availability = Availability()
    text_layers: tuple[TextLayer, ...] = Field(default=(), max_length=12)


class ReferenceSheet(Illustration):
    """The sheet by which the hero is approved: front, three-quarter and full figure."""


class Cover(Illustration):
    text_layers: tuple[TextLayer, ...] = Field(default=(), max_length=12)


class Spine(Part):
    text: Texts = {}
    colour: Colour = "#ffffff"
    background: Colour = "#3a4a6b"


class Covers(Part):
    front: Cover
    back: Cover
    spine: Spine = Spine()


class FillPage(Part):
    """A page that brings the block to a count that the print shop takes."""

    kind: Literal["title", "dedication", "end", "blank"]
    base: FilePath | None = None
    """None means an empty page."""
    background: Colour = "#ffffff"
    text_layers: tuple[TextLayer, ...] = Field(default=(), max_length=12)
    place: Literal["before", "after"] = "after"
    """Whether it stands before the first page of the book or after the last."""


class BookPrice(Part):
    """Credits of a page picture and of the print files; None means the recipe's price."""

    page: int | None = Field(default=None, ge=0, le=100_000)
    book: int | None = Field(default=None, ge=0, le=10_000_000)


class BookManifest(Part):
    slug: Slug
    title: Texts = Field(min_length=1)
    description: Texts = {}
    languages: tuple[Language, ...] = Field(min_length=1, max_length=40)
    characters: tuple[BookCharacter, ...] = Field(min_length=1, max_length=8)
    style: Style = Style()
    ratio: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")] = "1:1"
    profile: Slug = "square-8-25in"
    """The print profile, unless the personalization names another one."""
    typography: Typography = Typography()
    reference: ReferenceSheet
    covers: Covers
    pages: tuple[Page, ...] = Field(min_length=1, max_length=MOST_PAGES)
    fill: tuple[FillPage, ...] = Field(default=(), max_length=16)
    price: BookPrice = BookPrice()

    @property
    def preview_pages(self) -> tuple[Page, ...]:
        return tuple(page for page in self.pages if page.availability.preview)

    def faces(self, illustration: Illustration) -> tuple[PageCharacter, ...]:
        """Return the characters on an illustration that get the face of a photo."""
        with_photo = {each.id for each in self.characters if each.needs_photo}
        return tuple(each for each in illustration.characters if each.id in with_photo)
