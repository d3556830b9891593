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
        defer_build=True,
    )


class Box(Part):
    """A rectangle in fractions of a picture's width and height."""

    x: float = Field(ge=0, le=1)
    """The left edge."""
    y: float = Field(ge=0, le=1)
    """The upper edge."""
    width: float = Field(gt=0, le=1)
    """The width as a share of the picture's width."""
    height: float = Field(gt=0, le=1)
    """The height as a share of the picture's height."""

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
    """A LoRA of the style."""

    air: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    """Its AIR, or its file on the nodes."""
    strength: float = Field(default=1.0, ge=-10, le=10)
    """How strongly it is applied."""


class Style(Part):
    """The style in which nodes draw: a checkpoint or a stored workflow, LoRAs, and words."""

    checkpoint: Annotated[str, StringConstraints(max_length=400)] = ""
    """AIR or file of the checkpoint. Only one of checkpoint and workflow may be given."""
    workflow: Annotated[str, StringConstraints(max_length=64)] = ""
    """Name of a stored workflow."""
    loras: tuple[StyleLora, ...] = Field(default=(), max_length=8)
    """LoRAs that are applied to the checkpoint."""
    words: Words = ""
    """Words that each prompt gets, such as the technique of the drawings."""
    negative_words: Words = ""
    """Words that each negative prompt gets."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.checkpoint and self.workflow:
            raise ValueError("names a checkpoint and a workflow; write one of them")
        return self


class Shadow(Part):
    """A shadow of the text. Lengths in points."""

    x: float = Field(default=1.0, ge=-72, le=72)
    """The distance to the right."""
    y: float = Field(default=1.0, ge=-72, le=72)
    """The distance down."""
    blur: float = Field(default=0.0, ge=0, le=36)
    """The radius of the blur."""
    colour: Colour = "#000000"
    """The colour."""


class Outline(Part):
    """A line around the letters."""

    width: float = Field(default=0.5, gt=0, le=12)
    """In points."""
    colour: Colour = "#ffffff"
    """The colour."""


class TextStyle(Part):
    """The look of a text."""

    size: float = Field(default=18.0, ge=4, le=200)
    """In points."""
    colour: Colour = "#1d1d1b"
    """The colour of the letters."""
    leading: float = Field(default=1.3, ge=0.8, le=3)
    """The distance of lines, in font sizes."""
    outline: Outline | None = None
    """A line around the letters; none by default."""
    shadow: Shadow | None = None
    """A shadow; none by default."""


class Fonts(Part):
    """Font files of the book's folder; the family built in has Latin, Greek and Cyrillic letters."""

    family: Annotated[str, StringConstraints(min_length=1, max_length=80)] = "Libertinus Serif"
    """The name of the family, as the font files have it."""
    regular: FilePath | None = None
    """A TrueType or OpenType file. None takes the family that is built in."""
    bold: FilePath | None = None
    """The bold font, for accents."""


class Typography(Part):
    """The fonts and styles of the book's texts."""

    fonts: Fonts = Fonts()
    """The fonts of all languages without fonts of their own."""
    by_language: Mapping[Language, Fonts] = {}
    """Other fonts for some languages, such as Arabic or Japanese."""
    body: TextStyle = TextStyle()
    """The style of layers."""
    accent: TextStyle = TextStyle(size=20.0)
    """The style of words between two asterisks on each side, and of layers with the style ``accent``."""


class TextLayer(Part):
    """A text on a page. ``{child_name}``, ``{child_age}`` and ``{child_gender}`` are filled in.

    Forms by gender are written ``{gender:he|she|they}``, forms by age ``{age:year|years}``; ``**word**``
    takes the accent.
    """

    text: Texts = Field(min_length=1)
    """The text, in each language of the book."""
    position: Position = "bottom-center"
    """The place in the safe area."""
    width: float = Field(default=1.0, gt=0.05, le=1)
    """Width of the box as a fraction of the safe area."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Points to the right and down."""
    style: Literal["body", "accent"] = "body"
    """The style that the layer begins with."""
    size: float | None = Field(default=None, ge=4, le=200)
    """Another size than that of the style, in points."""
    colour: Colour | None = None
    """Another colour than that of the style."""
    outline: Outline | None = None
    """Another outline than that of the style."""
    shadow: Shadow | None = None
    """Another shadow than that of the style."""


class PageCharacter(Part):
    """A character on a page, and where the head is: by a mask, by a box, or as it is found."""

    id: CharacterId
    """The id of one of the book's characters."""
    mask: FilePath | None = None
    """A picture that is white where the face may change. It is scaled to the page."""
    box: Box | None = None
    """The face: from hair line to chin, and from ear to ear."""
    tilt: float = Field(default=0.0, ge=-90, le=90)
    """Degrees by which the head is turned clockwise; the box is the upright head's, around its centre."""


class Availability(Part):
    """When a page is made."""

    preview: bool = False
    """Whether the page is made before the book is paid for."""
    full: bool = True
    """Whether the page belongs to the whole book."""


class Illustration(Part):
    """An illustration with characters on it."""

    base: FilePath
    """The illustration, with the bleed."""
    characters: tuple[PageCharacter, ...] = Field(default=(), max_length=8)
    """The characters on it; those with `needs_photo` get the face of a photo."""
    prompt: Words = ""
    """The words for models that draw the face, such as the clothes and the mood. In English."""
    negative_prompt: Words = ""
    """The words for what such a model should not draw."""
    transfer: TransferMode | None = None
    """The way in which faces get onto it. None means the first mode that the installation has."""
    whole: bool = False
    """Whether the mode edit draws the whole picture anew, in place of the surroundings of the faces."""


class Page(Illustration):
    """A page of the story."""

    page_num: int = Field(ge=1, le=MOST_PAGES)
    """The number. Pages stand in order, from 1."""
    availability: Availability = Availability()
    """Whether the page is in the preview."""
    text_layers: tuple[TextLayer, ...] = Field(default=(), max_length=12)
    """The texts on the page."""


class ReferenceSheet(Illustration):
    """The sheet by which the hero is approved: front, three-quarter and full figure."""


class Cover(Illustration):
    """One side of the cover, an illustration of the size of a page with bleed."""

    text_layers: tuple[TextLayer, ...] = Field(default=(), max_length=12)
    """The texts on it."""


class Spine(Part):
    """The spine of the cover."""

    text: Texts = {}
    """The text, if the book is thick enough for one."""
    colour: Colour = "#ffffff"
    """The colour of the text."""
    background: Colour = "#3a4a6b"
    """The colour of the spine."""


class Covers(Part):
    """The cover: both sides and the spine."""

    front: Cover
    """The front."""
    back: Cover
    """The back. Keep its lower right corner free for a barcode."""
    spine: Spine = Spine()
    """The spine."""


class FillPage(Part):
    """A page that brings the block to a count that the print shop takes."""

    kind: Literal["title", "dedication", "end", "blank"]
    """The kind of page."""
    base: FilePath | None = None
    """The illustration. None means an empty page."""
    background: Colour = "#ffffff"
    """The colour of a page without an illustration."""
    text_layers: tuple[TextLayer, ...] = Field(default=(), max_length=12)
    """The texts on it."""
    place: Literal["before", "after"] = "after"
    """Whether it stands before the first page of the book or after the last."""


class BookPrice(Part):
    """Credits of a page picture and of the print files; None means the recipe's price."""

    page: int | None = Field(default=None, ge=0, le=100_000)
    """Credits of one page's picture."""
    book: int | None = Field(default=None, ge=0, le=10_000_000)
    """Credits of the print files."""


class BookManifest(Part):
    """A personalised picture book."""

    slug: Slug
    """The name of the book in URLs, and of its folder."""
    title: Texts = Field(min_length=1)
    """The title."""
    description: Texts = {}
    """A sentence for the catalogue."""
    languages: tuple[Language, ...] = Field(min_length=1, max_length=40)
    """The languages in which all texts are written, the main one first."""
    characters: tuple[BookCharacter, ...] = Field(min_length=1, max_length=8)
    """The people and animals of the book."""
    style: Style = Style()
    """The style in which models draw."""
    ratio: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]?:[1-9][0-9]?$")] = "1:1"
    """Width to height of the pages, and of all illustrations."""
    profile: Slug = "square-8-25in"
    """The print profile, unless the personalization names another one."""
    typography: Typography = Typography()
    """The fonts and styles of texts."""
    reference: ReferenceSheet
    """The sheet by which parents approve how the hero looks."""
    covers: Covers
    """The cover."""
    pages: tuple[Page, ...] = Field(min_length=1, max_length=MOST_PAGES)
    """The story."""
    fill: tuple[FillPage, ...] = Field(default=(), max_length=16)
    """Pages that may be added, the most wanted first, until the print shop takes the count."""
    price: BookPrice = BookPrice()
    """The price in credits, where it is not that of the recipes."""

    @property
    def preview_pages(self) -> tuple[Page, ...]:
        return tuple(page for page in self.pages if page.availability.preview)

    def faces(self, illustration: Illustration) -> tuple[PageCharacter, ...]:
        """Return the characters on an illustration that get the face of a photo."""
        with_photo = {each.id for each in self.characters if each.needs_photo}
        return tuple(each for each in illustration.characters if each.id in with_photo)
