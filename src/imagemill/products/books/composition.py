"""The composition of a book: illustrations, faces and texts as the works of identity and layout take them.

The name of the child is read here only, and goes into page layouts only: prompts say "the child".
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imagemill.blobs.base import BlobStore
from imagemill.db.statements import load
from imagemill.domain.clock import SECOND
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError, Conflict, NotFound
from imagemill.domain.failures import FailureCode
from imagemill.media.layout import InvalidImage
from imagemill.media.page_work import PageResult
from imagemill.products.books.book_catalogue import Book, BookCatalogue
from imagemill.products.books.book_manifest import Box, FillPage, Fonts, Illustration
from imagemill.products.books.book_states import BACK_COVER, FILL, FRONT_COVER, REFERENCE
from imagemill.products.books.book_views import BoundBook
from imagemill.products.books.facts import (
    ApprovalFact,
    Facts,
    FileFact,
    FileKind,
    VersionFact,
    full_pages,
    texts_of,
)
from imagemill.products.books.identity.base import FacePlace, FaceTarget, PictureRequest, Size
from imagemill.products.books.identity.describe import words_for
from imagemill.products.books.layout import profiles
from imagemill.products.books.layout.findings import FindingCode, PrintFinding
from imagemill.products.books.layout.frames import picture_pixels
from imagemill.products.books.layout.imposition import arrange
from imagemill.products.books.layout.page_layouts import (
    BookLayout,
    FontFiles,
    PageKind,
    PageLayout,
    SpineLayout,
    lay_blocks,
    text_sha256,
)
from imagemill.products.books.layout.profiles import PrintProfile
from imagemill.products.books.layout.works import ICC_INPUT, LayBook, LayPage, LayProof, ProofPage
from imagemill.products.books.texts import Child, Gender, choose_text, fill, fill_plain

_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur", "yi"})
_PROMPT_LANGUAGE = "en"
_LEAST_SHARE, _MOST_SHARE = 0.99, 1.3
"""An illustration is printed as it is from 1 % fewer pixels than the profile asks for, to 30 % more."""
_FONT_INPUT = "font."
_REFERENCE_INPUT = "reference"


@dataclass(frozen=True, slots=True)
class ScoredFace:
    """A face on a page, and where the same character is on the reference sheet."""

    box: Box | None
    tilt: float
    reference: tuple[FacePlace, ...]


@dataclass(frozen=True, slots=True)
class ComposePage:
    """Lay a page, and score its faces against the reference sheet.

    File 0 is the preview. Values: ``score``, the lowest of all faces, and None where a face was not found or
    there is none; ``findings``. Nothing in them tells the child's name.
    """

    lay: LayPage
    faces: tuple[ScoredFace, ...] = ()
    model: Path | None = None
    """An operator's ONNX file of a face embedding."""

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        laid = self.lay(inputs)
        score, findings = self._score(inputs), list(laid.values.get("findings", []))
        if self.faces and score is None:
            findings.append(_not_scored(self.lay.page).as_dict())
        return PageResult(laid.files, {"score": score, "findings": findings})

    def _score(self, inputs: Mapping[str, bytes]) -> float | None:
        try:
            scores = [self._score_face(face, inputs) for face in self.faces]
        except InvalidImage:
            raise
        except ValueError as error:
            message = f"IMAGEMILL_BOOKS__EMBEDDING_MODEL: {error}"
            raise BackendError(FailureCode.BACKEND_REJECTED, message) from error
        found = [score for score in scores if score is not None]
        return round(min(found), 4) if found and len(found) == len(scores) else None

    def _score_face(self, face: ScoredFace, inputs: Mapping[str, bytes]) -> float | None:
        from imagemill.products.books.identity.score import score_face

        return score_face(
            inputs["picture"],
            face.box,
            inputs[_REFERENCE_INPUT],
            tilt=face.tilt,
            reference_faces=face.reference,
            model=self.model,
        )


@dataclass(frozen=True, slots=True)
class PrintBook:
    """Make the print files, or fail with the findings that stop them."""

    lay: LayBook

    def __call__(self, inputs: Mapping[str, bytes]) -> PageResult:
        made = self.lay(inputs)
        if not made.files:
            errors = [each for each in made.values.get("findings", []) if each.get("level") == "error"]
            said = "; ".join(f"{each['place']}: {each['message']} ({each['remedy']})" for each in errors)
            raise BackendError(FailureCode.INVALID_GRAPH, f"the print files have errors: {said}"[:2000])
        return PageResult(made.files, {k: v for k, v in made.values.items() if k != "textSha256"})


@dataclass(frozen=True, slots=True)
class Composition:
    """A page work with the files that it reads."""

    work: Any
    data: Mapping[str, bytes]


class BookComposer:
    """Composes the works of a book from its facts, the catalogue's files and its own."""

    def __init__(
        self,
        catalogue: BookCatalogue,
        blobs: BlobStore,
        *,
        profiles_folder: Path | None = None,
        embedding_model: Path | None = None,
        icc_profile: Path | None = None,
        identity_limit: float = 0.5,
    ) -> None:
        """``profiles_folder``: where the operator's own print profiles are; it need not exist."""
        self._catalogue = catalogue
        self._profiles_folder = profiles_folder
        self._blobs = blobs
        self._embedding_model = embedding_model
        self._icc_profile = icc_profile
        self._identity_limit = identity_limit

    def profile(self, slug: str) -> PrintProfile:
        """Return a print profile. Raises `NotFound`."""
        folder = self._profiles_folder
        return profiles.find(slug, folder if folder is not None and folder.is_dir() else None)

    def bound(self, facts: Facts) -> BoundBook:
        """Return the book as the shop binds it. Raises `NotFound` or `InvalidInput` for its profile."""
        profile = self.profile(facts.book.profile)
        pages = [PageLayout(page) for page in full_pages(facts.manifest) if page < FRONT_COVER]
        fill = [
            PageLayout(FILL + at if sheet.base else 0, kind=sheet.kind, before=sheet.place == "before")
            for at, sheet in enumerate(facts.manifest.fill)
        ]
        order = [page.number or None for page in arrange(profile, pages, fill)[0]]
        cover = profile.cover
        spine = cover.spine.width(len(order))
        return BoundBook(profile.page.width, profile.page.height, spine, cover.kind, order)

    def picture_size(self, facts: Facts, page: int) -> Size:
        """Return the pixels of a page's picture.

        They are those of the illustration where these suit the print, as nothing outside the faces changes
        then; else those of the page or side of the cover with its bleed, at the profile's resolution.
        """
        sheet = facts.sheet(page)
        wanted = picture_pixels(self.profile(facts.book.profile), _kind(page, sheet))
        known = self._book(facts).files.get(sheet.base) if sheet is not None and sheet.base else None
        if known is None or known.pixels is None:
            return wanted
        shares = [have / need for have, need in zip(known.pixels, wanted, strict=True)]
        suits = all(_LEAST_SHARE <= share <= _MOST_SHARE for share in shares)
        return known.pixels if suits or page == REFERENCE else wanted

    def picture(self, facts: Facts, version: VersionFact) -> PictureRequest:
        """Return all that the picture of a version is made of. Raises `BackendError`."""
        sheet = facts.sheet(version.page)
        if sheet is None or sheet.base is None:
            raise BackendError(FailureCode.BAD_INPUT, f"the book has no page {version.page}")
        book = self._book(facts)
        size = self.picture_size(facts, version.page)
        if isinstance(sheet, FillPage) or not facts.has_photo_face(version.page):
            return PictureRequest(self._read(book, sheet.base), (), {}, size, version.seed)
        targets = tuple(
            FaceTarget(each.id, self._read(book, each.mask) if each.mask else None, each.box, each.tilt)
            for each in facts.manifest.faces(sheet)
        )
        faces = {each.character: self._crop(facts, each.character) for each in targets}
        style = facts.manifest.style
        child = _prompt_child(facts)
        return PictureRequest(
            base=self._read(book, sheet.base),
            targets=targets,
            faces=faces,
            size=size,
            seed=version.seed,
            reference=None if version.page == REFERENCE else self._reference(facts),
            prompt=_joined(style.words, fill_plain(sheet.prompt, child, _PROMPT_LANGUAGE)),
            negative_prompt=_joined(style.negative_words, sheet.negative_prompt),
            people={each: self._words(facts, each) for each in faces},
            feedback=version.feedback,
            whole=sheet.whole,
            hero=next((each.id for each in facts.manifest.characters if each.role == "hero"), ""),
        )

    def _words(self, facts: Facts, character: str) -> str:
        """Return words for the person of a photo; age and gender are known of the hero alone."""
        hero = next((each.id for each in facts.manifest.characters if each.role == "hero"), character)
        age, gender = (facts.book.child_age, facts.book.child_gender) if character == hero else (None, None)
        return words_for(age, gender or "", self.details(facts, character))

    def details(self, facts: Facts, character: str) -> Mapping[str, Any]:
        """Return what the analysis told about a photo; empty once it is deleted."""
        stored = facts.file(FileKind.DETAILS, facts.position(character))
        return load(self._checked(stored).decode()) if stored is not None else {}

    def photo(self, facts: Facts, character: str) -> bytes:
        """Return the photo of a character. Raises `BackendError` once it is deleted."""
        photo = facts.photos.get(character)
        if photo is None:
            raise BackendError(FailureCode.BAD_INPUT, "the photo was deleted; begin a new book with it")
        return self._file(photo.key, photo.sha256, "the photo")

    def page(self, facts: Facts, version: VersionFact) -> Composition:
        """Return the work that lays a page and scores its faces."""
        layout, fonts = self.page_layout(facts, version.page, "picture"), self._fonts(facts)
        data = {**fonts.data, "picture": self._picture(facts, version.page, version.version)}
        faces = self._scored(facts, version.page)
        if faces:
            data[_REFERENCE_INPUT] = self._reference(facts)
        profile = self.profile(facts.book.profile)
        lay = LayPage(layout, profile, fonts.files, facts.book.language or _PROMPT_LANGUAGE)
        return Composition(ComposePage(lay, faces, self._embedding_model), data)

    def proof(self, facts: Facts, dated: str) -> Composition:
        """Return the work that makes the proof sheet of the current versions."""
        pages: list[ProofPage] = []
        data: dict[str, bytes] = {}
        for page in facts.wanted:
            current = facts.current(page)
            preview = facts.file(FileKind.PREVIEW, page, current.version) if current is not None else None
            if current is None or preview is None:
                raise BackendError(FailureCode.BAD_INPUT, f"page {page} is not made; ask for it again")
            name = f"preview.{page}"
            data[name] = self._checked(preview)
            pages.append(
                ProofPage(
                    self.page_layout(facts, page, "").name,
                    name,
                    facts.score(current),
                    facts.is_low(current, self._identity_limit),
                    len(facts.of_page(page)) - 1,
                    findings=tuple(preview.body.get("findings", ())),
                )
            )
        profile = self.profile(facts.book.profile)
        fonts = self._fonts(facts)
        sheet = LayProof(
            self._title(facts),
            tuple(pages),
            profile,
            dated,
            self._identity_limit,
            findings=tuple(each.as_dict() for each in self._count_findings(facts)),
            fonts=fonts.files,
        )
        return Composition(sheet, {**data, **fonts.data})

    def _count_findings(self, facts: Facts) -> Sequence[PrintFinding]:
        """Return the findings about the number of pages that the print profile asks for."""
        # With their pictures, as a page without one may be empty.
        layouts = {page: self.page_layout(facts, page, f"picture.{page}") for page in facts.wanted}
        pages = [each for page, each in sorted(layouts.items()) if page < FRONT_COVER]
        return arrange(self.profile(facts.book.profile), pages, self._fill(facts, layouts))[1]

    def errors(self, facts: Facts) -> list[str]:
        """Return the errors of preflight that are known before the print files are made, in sentences."""
        known: list[Mapping[str, Any]] = [each.as_dict() for each in self._count_findings(facts)]
        for page in facts.wanted:
            current = facts.current(page)
            preview = facts.file(FileKind.PREVIEW, page, current.version) if current is not None else None
            known += preview.body.get("findings", ()) if preview is not None else ()
        return [
            f"{each['place']}: {each['message']} ({each['remedy']})"
            for each in known
            if each["level"] == "error"
        ]

    def print_files(self, facts: Facts, approval: ApprovalFact) -> Composition:
        """Return the work that makes the print files from the approval record alone.

        Raises `BackendError` if a picture or a text is not the one that was approved.
        """
        fonts = self._fonts(facts)
        data = dict(fonts.data)
        layouts: dict[int, PageLayout] = {}
        for each in approval.pages:
            page, version = int(each["page"]), int(each["version"])
            stored = facts.file(FileKind.PICTURE, page, version)
            if stored is None or stored.sha256 != each["pictureSha256"]:
                raise BackendError(
                    FailureCode.BAD_INPUT, f"the picture of page {page} is not the approved one"
                )
            data[f"picture.{page}"] = self._checked(stored)
            layouts[page] = self.page_layout(facts, page, f"picture.{page}")
            if text_sha256(layouts[page], fonts.files, fonts.data) != each["textSha256"]:
                raise BackendError(FailureCode.BAD_INPUT, f"the text of page {page} is not the approved one")
        profile = self.profile(approval.profile)
        if self._icc_profile is not None:
            data[ICC_INPUT] = self._icc_profile.read_bytes()
        book = self._book_layout(facts, layouts, profile, fonts.files, approval.at)
        return Composition(PrintBook(LayBook(book)), data)

    def approved_pages(self, facts: Facts) -> list[dict[str, Any]]:
        """Return the approval record's pages: version, and the hashes of picture and text."""
        pages: list[dict[str, Any]] = []
        fonts = self._fonts(facts)
        for page in facts.wanted:
            current = facts.current(page)
            picture = facts.file(FileKind.PICTURE, page, current.version) if current is not None else None
            if current is None or picture is None:
                raise Conflict(f"page {page} is not ready")
            pages.append(
                {
                    "page": page,
                    "version": current.version,
                    "pictureSha256": picture.sha256,
                    "textSha256": text_sha256(self.page_layout(facts, page, ""), fonts.files, fonts.data),
                }
            )
        return pages

    def page_layout(self, facts: Facts, page: int, picture: str) -> PageLayout:
        """Return a page with its texts for the child; ``picture`` is the name of the input."""
        sheet = facts.sheet(page)
        is_fill = isinstance(sheet, FillPage)
        on_page = sheet.characters if isinstance(sheet, Illustration) else ()
        return PageLayout(
            number=page if page < FRONT_COVER else 0,
            picture=picture or None,
            background=sheet.background if is_fill else "#ffffff",
            blocks=self._blocks(facts, texts_of(sheet)),
            kind=_kind(page, sheet),
            faces=tuple(each.box for each in on_page if each.box is not None),
            before=is_fill and sheet.place == "before",
        )

    def _blocks(self, facts: Facts, layers: Sequence[Any]) -> Any:
        language, child = facts.book.language or _PROMPT_LANGUAGE, book_child(facts)
        written: list[Sequence[tuple[str, bool]]] = []
        for layer in layers:
            chosen = choose_text(layer.text, language, facts.manifest.languages)
            written.append(fill(chosen[1], child, chosen[0]) if chosen is not None else ())
        direction = "rtl" if language.split("-")[0] in _RIGHT_TO_LEFT else "ltr"
        return lay_blocks(layers, written, facts.manifest.typography, direction)

    def _book_layout(
        self,
        facts: Facts,
        layouts: Mapping[int, PageLayout],
        profile: PrintProfile,
        fonts: FontFiles,
        approved_at: int,
    ) -> BookLayout:
        spine, language = facts.manifest.covers.spine, facts.book.language or _PROMPT_LANGUAGE
        chosen = choose_text(spine.text, language, facts.manifest.languages)
        text = fill_plain(chosen[1], book_child(facts), chosen[0]) if chosen is not None else ""
        return BookLayout(
            profile=profile,
            pages=tuple(each for page, each in sorted(layouts.items()) if page < FRONT_COVER),
            front=layouts[FRONT_COVER],
            back=layouts[BACK_COVER],
            spine=SpineLayout(text, spine.colour, spine.background),
            fill=self._fill(facts, layouts),
            title=self._title(facts),
            language=language,
            fonts=fonts,
            made_at=approved_at // SECOND,
        )

    def _fill(self, facts: Facts, layouts: Mapping[int, PageLayout]) -> tuple[PageLayout, ...]:
        return tuple(
            layouts.get(FILL + at) or self._empty_page(facts, sheet)
            for at, sheet in enumerate(facts.manifest.fill)
        )

    def _empty_page(self, facts: Facts, sheet: FillPage) -> PageLayout:
        """Return a fill page without a picture."""
        return PageLayout(
            number=0,
            background=sheet.background,
            blocks=self._blocks(facts, sheet.text_layers),
            kind=sheet.kind,
            before=sheet.place == "before",
        )

    def _title(self, facts: Facts) -> str:
        """Return the book's title without the child's name, for the properties of documents."""
        chosen = choose_text(facts.manifest.title, facts.book.language or _PROMPT_LANGUAGE)
        return (
            fill_plain(chosen[1], _prompt_child(facts), chosen[0]) if chosen is not None else facts.book.slug
        )

    def _scored(self, facts: Facts, page: int) -> tuple[ScoredFace, ...]:
        sheet = facts.sheet(page)
        if page == REFERENCE or not isinstance(sheet, Illustration):
            return ()
        on_sheet = facts.manifest.reference.characters
        places = {
            each.id: tuple(
                (known.box, known.tilt) for known in on_sheet if known.id == each.id and known.box is not None
            )
            for each in sheet.characters
        }
        return tuple(ScoredFace(each.box, each.tilt, places[each.id]) for each in facts.manifest.faces(sheet))

    # Files

    def _book(self, facts: Facts) -> Book:
        try:
            return self._catalogue.get(facts.book.slug)
        except NotFound as error:
            raise BackendError(FailureCode.BAD_INPUT, str(error)) from error

    def _read(self, book: Book, path: str) -> bytes:
        try:
            return book.read(path)
        except (NotFound, Conflict) as error:
            raise BackendError(FailureCode.BAD_INPUT, str(error)) from error

    def _fonts(self, facts: Facts) -> "_LoadedFonts":
        typography = facts.manifest.typography
        language = facts.book.language or _PROMPT_LANGUAGE
        fonts = typography.by_language.get(language, typography.fonts)
        return self._loaded(self._book(facts), fonts)

    def _loaded(self, book: Book, fonts: Fonts) -> "_LoadedFonts":
        data: dict[str, bytes] = {}
        names: list[str | None] = []
        for number, path in enumerate((fonts.regular, fonts.bold)):
            names.append(f"{_FONT_INPUT}{number}" if path else None)
            if path:
                data[f"{_FONT_INPUT}{number}"] = self._read(book, path)
        return _LoadedFonts(FontFiles(fonts.family, *names), data)

    def _crop(self, facts: Facts, character: str) -> bytes:
        stored = facts.file(FileKind.CROP, facts.position(character))
        if stored is None:
            raise BackendError(FailureCode.BAD_INPUT, "the photo was deleted; choose another version instead")
        return self._checked(stored)

    def _reference(self, facts: Facts) -> bytes:
        current = facts.current(REFERENCE)
        if current is None:
            raise BackendError(FailureCode.BAD_INPUT, "there is no approved reference sheet")
        return self._picture(facts, REFERENCE, current.version)

    def _picture(self, facts: Facts, page: int, version: int) -> bytes:
        stored = facts.file(FileKind.PICTURE, page, version)
        if stored is None:
            raise BackendError(FailureCode.BAD_INPUT, f"the picture of page {page} is not there")
        return self._checked(stored)

    def _checked(self, stored: FileFact) -> bytes:
        return self._file(stored.key, stored.sha256, f"the {stored.kind.value} of page {stored.page}")

    def _file(self, key: str, sha256: str, title: str) -> bytes:
        """Return a stored file whose bytes are those that were stored."""
        try:
            data = self._blobs.get(key)
        except NotFound as error:
            raise BackendError(FailureCode.BAD_INPUT, f"{title} was deleted") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise BackendError(FailureCode.BAD_INPUT, f"{title} has changed in the blob store")
        return data


@dataclass(frozen=True, slots=True)
class _LoadedFonts:
    files: FontFiles
    data: Mapping[str, bytes]


def _not_scored(page: PageLayout) -> PrintFinding:
    return PrintFinding(
        page.name,
        page.number,
        "warning",
        FindingCode.FACE_NOT_SCORED,
        "the face was not found, so its likeness to the reference is not known",
        "look at the page; redraw it, or give the face a box in the manifest",
    )


def book_child(facts: Facts) -> Child:
    """Return the child of a book. Raises `Conflict` before it is known."""
    book = facts.book
    if book.child_name is None or book.child_age is None or book.child_gender is None:
        raise Conflict("the child's name, age and gender are not known yet")
    return Child(book.child_name, book.child_age, Gender(book.child_gender))


def _prompt_child(facts: Facts) -> Child:
    """Return the child as prompts and titles call it: without its name."""
    book = facts.book
    hero = facts.manifest.characters[0]
    age = book.child_age if book.child_age is not None else sum(hero.ages) // 2
    return Child("the child", age, Gender(book.child_gender or Gender.NEUTRAL))


def _joined(*words: str) -> str:
    return ", ".join(each.strip() for each in words if each.strip())


def _kind(page: int, sheet: Illustration | FillPage | None) -> PageKind:
    if isinstance(sheet, FillPage):
        return sheet.kind
    return {FRONT_COVER: "front", BACK_COVER: "back"}.get(page, "page")  # pyright: ignore[reportReturnType]
