"""Answers of the API of personalised books: their models, and the bodies of books and personalizations."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from imagemill.api.jobs_schemas import moment
from imagemill.products.books.book_catalogue import Book
from imagemill.products.books.book_manifest import BookManifest, Illustration, Page
from imagemill.products.books.book_states import REFERENCE, BookAction, BookState, PageState
from imagemill.products.books.book_views import (
    BookFile,
    BookFiles,
    PageView,
    PersonalizationSummary,
    PersonalizationView,
    VersionView,
)
from imagemill.products.books.links import BookLinks
from imagemill.products.books.review_answers import PageFinding, finding_body
from imagemill.products.books.schemas import example
from imagemill.web.routing import ResponseModel

BOOKS = "/api/v1/books"
PERSONALIZATIONS = "/api/v1/personalizations"
_ID = "01a2238c-4a37-7e4e-8fe9-c660c98ffd26"
_SLUG = "the-star-that-lost-its-way"
_AT = "2026-01-31T12:00:00+00:00"
_SIGNED = "exp=1769860800&sig=..."
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_EXPIRES = "2026-01-31T13:00:00+00:00"
_TOKEN = f"{_ID}.1769864400.5d41402abc4b2a76b9719d911017c5926d3f1b0f3a1c"


# The catalogue


class BookPerson(ResponseModel):
    id: str
    role: str = Field(description="`hero`, `sibling` or `pet`.")
    needs_photo: bool = Field(description="A personalization needs a photo of this one.")
    ages: list[int] = Field(description="The youngest and the oldest age for which the book is meant.")


class BookPriceBody(ResponseModel):
    page: int | None = Field(description="Credits of a page; null for the price of the recipe.")
    book: int | None = Field(description="Credits of the print files; null for the price of the recipe.")


class BookSummary(ResponseModel):
    slug: str
    title: dict[str, str] = Field(description="By language.")
    description: dict[str, str]
    languages: list[str]
    pages: int
    preview_pages: int = Field(description="Pages that are made before the book is unlocked.")
    pages_with_face: int
    people: list[BookPerson]
    ratio: str = Field(description="Width and height of a page, such as `1:1`.")
    profile: str = Field(description="The print profile, unless the personalization names another one.")
    price: BookPriceBody
    cover_url: str = Field(description="The front cover as it is drawn, without a key for a limited time.")
    digest: str = Field(description="Changes with the manifest and its files.")


_BOOK: dict[str, Any] = {
    "slug": _SLUG,
    "title": {"en": "The star that lost its way"},
    "description": {"en": "A child brings a star home."},
    "languages": ["uk", "en"],
    "pages": 24,
    "previewPages": 3,
    "pagesWithFace": 10,
    "people": [{"id": "hero", "role": "hero", "needsPhoto": True, "ages": [2, 9]}],
    "ratio": "1:1",
    "profile": "square-8-25in",
    "price": {"page": None, "book": None},
    "coverUrl": f"http://localhost:8000{BOOKS}/{_SLUG}/previews/front?{_SIGNED}",
    "digest": _DIGEST,
}


class RefusedBook(ResponseModel):
    book: str = Field(description="The name of its folder.")
    problems: list[str] = Field(description="What its publisher has to change; at most 20.")


class BookPage(ResponseModel):
    model_config = example(items=[_BOOK], next=None, refused=[])

    items: list[BookSummary]
    refused: list[RefusedBook] = Field(
        description="Books whose newest version has problems, so it is not offered; shown to operators."
    )
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class BookDetails(BookSummary):
    model_config = example(
        **_BOOK, contents=[{"page": 1, "kind": "both", "people": ["hero"], "inPreview": True}]
    )

    contents: list["BookContents"] = Field(description="The pages in their order.")


class BookContents(ResponseModel):
    page: int
    kind: str = Field(description="`face`, `text`, `both` or `neither`.")
    people: list[str] = Field(description="The characters whose face is on it.")
    in_preview: bool


class CataloguePicture(ResponseModel):
    name: str = Field(description="`front`, `back`, or the number of a page of the preview.")
    url: str = Field(description="Where it can be fetched without a key, for a limited time.")
    url_expires_at: datetime


class CataloguePictures(ResponseModel):
    """The covers and the pages of the preview as they are drawn, without a child."""

    model_config = example(items=[{"name": "front", "url": _BOOK["coverUrl"], "urlExpiresAt": _EXPIRES}])

    items: list[CataloguePicture]


def summary_body(book: Book, links: BookLinks) -> dict[str, Any]:
    manifest = book.manifest
    return {
        "slug": manifest.slug,
        "title": dict(manifest.title),
        "description": dict(manifest.description),
        "languages": list(manifest.languages),
        "pages": len(manifest.pages),
        "previewPages": len(manifest.preview_pages),
        "pagesWithFace": sum(bool(manifest.faces(page)) for page in manifest.pages),
        "people": [
            {"id": each.id, "role": each.role, "needsPhoto": each.needs_photo, "ages": list(each.ages)}
            for each in manifest.characters
        ],
        "ratio": manifest.ratio,
        "profile": manifest.profile,
        "price": {"page": manifest.price.page, "book": manifest.price.book},
        "coverUrl": links.link(f"{BOOKS}/{manifest.slug}/previews/front")["url"],
        "digest": book.digest,
    }


def details_body(book: Book, links: BookLinks) -> dict[str, Any]:
    contents = [
        {
            "page": page.page_num,
            "kind": _kind(book.manifest, page),
            "people": list(dict.fromkeys(each.id for each in book.manifest.faces(page))),
            "inPreview": page.availability.preview,
        }
        for page in book.manifest.pages
    ]
    return summary_body(book, links) | {"contents": contents}


def _kind(manifest: BookManifest, page: Page) -> str:
    if manifest.faces(page):
        return "both" if page.text_layers else "face"
    return "text" if page.text_layers else "neither"


def pictures_body(book: Book, links: BookLinks) -> dict[str, Any]:
    paths = {name: f"{BOOKS}/{book.slug}/previews/{name}" for name in drawn_pictures(book.manifest)}
    return {"items": [{"name": name, **links.link(path)} for name, path in paths.items()]}


def drawn_pictures(manifest: BookManifest) -> Mapping[str, Illustration]:
    """Return the illustrations that everybody may see, by their name in paths."""
    pages = {str(page.page_num): page for page in manifest.preview_pages}
    return {"front": manifest.covers.front, "back": manifest.covers.back, **pages}


# Personalizations


class ChildBody(ResponseModel):
    name: str
    age: int
    gender: str
    language: str


class PhotoAnalysis(ResponseModel):
    character_id: str
    usable: bool | None = Field(description="Null until the photo is analysed.")
    problem: str | None = Field(
        description="`no_face`, `several_faces`, `too_small`, `blurred` or `turned_away`."
    )
    message: str | None = Field(description="What a parent can do about it.")
    details: dict[str, Any] = Field(
        description="The box of the face, colours and description; empty once the photo is deleted."
    )


class PageVersion(ResponseModel):
    version: int
    state: PageState
    current: bool = Field(description="Whether it is the one that is printed.")
    mode: str = Field(description="How the face got onto it; empty for a page without a face.")
    seed: int
    automatic: bool = Field(description="Drawn because the version before it had a low score.")
    feedback: str
    score: float | None = Field(description="How much the face is that of the reference, from 0 to 1.")
    findings: list[PageFinding] = Field(description="What the preflight check has found.")
    error: str | None
    created_at: datetime
    url: str | None = Field(description="The page as it will be printed; without a key for a limited time.")
    url_expires_at: datetime | None


class PersonalizedPage(ResponseModel):
    page: int = Field(description="0 for the reference sheet, 1001 and 1002 for the covers.")
    state: PageState
    score: float | None
    flagged: bool = Field(description="The score stayed below the limit, or could not be told.")
    redraws_left: int
    version: int | None = Field(description="The version that is printed.")
    url: str | None = Field(description="Its picture, without a key for a limited time.")
    url_expires_at: datetime | None
    versions: list[PageVersion]


class FileBody(ResponseModel):
    kind: str = Field(description="`pdf`, `cover`, `spreads`, `proof` or `zip`.")
    media_type: str
    size: int | None = Field(description="Bytes; null for the ZIP file, which is made as it is sent.")
    sha256: str | None
    url: str = Field(description="Where it can be fetched without a key, for a limited time.")
    url_expires_at: datetime


class BoundBody(ResponseModel):
    """The book as the print shop binds it."""

    width_mm: float = Field(description="Width of a page after the cut.")
    height_mm: float
    spine_mm: float = Field(description="Thickness of the spine.")
    cover: str = Field(description="`soft` or `hard`.")
    order: list[int | None] = Field(
        description="Numbers of the pages as they are bound, the first on the right; null for an empty page."
    )


class ShareBody(ResponseModel):
    """The link by which others may read the book; whoever has it needs no key."""

    model_config = example(
        url=f"http://localhost:8000/books/shared/{_TOKEN}", token=_TOKEN, expiresAt=_EXPIRES
    )

    url: str = Field(description="The page that shows the book.")
    token: str = Field(description="For `GET /api/v1/shared-books/{token}`.")
    expires_at: datetime


class Personalization(ResponseModel):
    id: str
    owner: str
    book: str = Field(description="The slug of the book.")
    manifest: str = Field(description="The digest of the book as it was when this one was started.")
    profile: str
    state: BookState
    allowed: list[BookAction] = Field(description="The requests that this state allows.")
    problem: str | None = Field(description="Why it failed or waits.")
    done: int = Field(description="Pages that are ready.")
    total: int = Field(description="Pages that are asked for.")
    child: ChildBody | None
    analyses: list[PhotoAnalysis]
    reference: PersonalizedPage | None
    reference_approved: bool
    pages: list[PersonalizedPage] = Field(description="Those that are asked for, with covers and fill pages.")
    files: list[FileBody] = Field(description="The files that are complete.")
    bound: BoundBody | None = Field(description="Null once it is deleted, or where its profile is gone.")
    share: ShareBody | None = Field(description="Null while the book is not shared.")
    created_at: datetime
    unlocked_at: datetime | None
    approved_at: datetime | None
    canceled_at: datetime | None
    photo_deleted_at: datetime | None
    deleted_at: datetime | None = Field(
        description="Set once everything was deleted; then only ids, times and counts are left."
    )
    deletion: dict[str, Any] = Field(description="The proof of the deletion: counts, and ids of jobs.")


_VERSION: dict[str, Any] = {
    "version": 1,
    "state": "ready",
    "current": True,
    "mode": "local",
    "seed": 7,
    "automatic": False,
    "feedback": "",
    "score": 0.87,
    "findings": [],
    "error": None,
    "createdAt": _AT,
    "url": f"http://localhost:8000{PERSONALIZATIONS}/{_ID}/pages/2/picture?version=1&{_SIGNED}",
    "urlExpiresAt": _EXPIRES,
}
_PAGE: dict[str, Any] = {
    "page": 2,
    "state": "ready",
    "score": 0.87,
    "flagged": False,
    "redrawsLeft": 3,
    "version": 1,
    "url": _VERSION["url"],
    "urlExpiresAt": _EXPIRES,
    "versions": [_VERSION],
}
_PERSONALIZATION: dict[str, Any] = {
    "id": _ID,
    "owner": "shop:ann",
    "book": _SLUG,
    "manifest": _DIGEST,
    "profile": "square-8-25in",
    "state": "preview_ready",
    "allowed": ["cancel", "choose_version", "delete", "redraw_page", "share", "unlock"],
    "problem": None,
    "done": 3,
    "total": 3,
    "child": {"name": "Lia", "age": 5, "gender": "girl", "language": "en"},
    "analyses": [{"characterId": "hero", "usable": True, "problem": None, "message": None, "details": {}}],
    "reference": _PAGE | {"page": 0},
    "referenceApproved": True,
    "pages": [_PAGE],
    "files": [],
    "bound": {"widthMm": 209.6, "heightMm": 209.6, "spineMm": 1.8, "cover": "soft", "order": [1, 2, None]},
    "share": None,
    "createdAt": _AT,
    "unlockedAt": None,
    "approvedAt": None,
    "canceledAt": None,
    "photoDeletedAt": None,
    "deletedAt": None,
    "deletion": {},
}
Personalization.model_config |= example(**_PERSONALIZATION)
PersonalizedPage.model_config |= example(**_PAGE)


class PersonalizationOverview(ResponseModel):
    id: str
    owner: str
    book: str
    state: BookState
    done: int
    total: int
    created_at: datetime


class PersonalizationPage(ResponseModel):
    model_config = example(
        items=[
            {
                "id": _ID,
                "owner": "shop:ann",
                "book": _SLUG,
                "state": "preview_ready",
                "done": 3,
                "total": 3,
                "createdAt": _AT,
            }
        ],
        next=None,
    )

    items: list[PersonalizationOverview]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class BookEventBody(ResponseModel):
    id: str = Field(description="Its time and cause; a client that resumes may see one twice.")
    type: str = Field(description="Such as `page.ready`.")
    at: datetime
    personalization: str
    book: str
    data: dict[str, Any] = Field(description="Neither the name nor the age nor the photo of the child.")


class BookEventList(ResponseModel):
    model_config = example(
        items=[
            {
                "id": f"1769860800000000.{_ID}",
                "type": "page.ready",
                "at": _AT,
                "personalization": _ID,
                "book": _SLUG,
                "data": {"page": 2, "version": 1, "score": 0.87, "flagged": False},
            }
        ]
    )

    items: list[BookEventBody]


def personalization_body(view: PersonalizationView, files: BookFiles, links: BookLinks) -> dict[str, Any]:
    at = f"{PERSONALIZATIONS}/{view.id}"
    child = view.child
    return {
        "id": view.id,
        "owner": view.owner,
        "book": view.slug,
        "manifest": view.manifest,
        "profile": view.profile,
        "state": view.state.value,
        "allowed": sorted(action.value for action in view.allowed),
        "problem": view.problem,
        "done": view.done,
        "total": view.total,
        "child": None
        if child is None
        else {"name": child.name, "age": child.age, "gender": child.gender, "language": child.language},
        "analyses": [
            {
                "characterId": each.character,
                "usable": each.usable,
                "problem": each.problem,
                "message": each.message,
                "details": dict(each.details),
            }
            for each in view.analyses
        ],
        "reference": None if view.reference is None else page_body(view.reference, at, links),
        "referenceApproved": view.reference_approved,
        "pages": [page_body(page, at, links) for page in view.pages],
        "files": _file_bodies(files, at, links),
        "bound": bound_body(view),
        "share": share_body(view, links),
        "createdAt": moment(view.created_at),
        "unlockedAt": moment(view.unlocked_at),
        "approvedAt": moment(view.approved_at),
        "canceledAt": moment(view.canceled_at),
        "photoDeletedAt": moment(view.photo_deleted_at),
        "deletedAt": moment(view.deleted_at),
        "deletion": dict(view.deletion),
    }


def bound_body(view: PersonalizationView) -> dict[str, Any] | None:
    if (bound := view.bound) is None:
        return None
    return {
        "widthMm": bound.width,
        "heightMm": bound.height,
        "spineMm": bound.spine,
        "cover": bound.cover,
        "order": list(bound.order),
    }


def share_body(view: PersonalizationView, links: BookLinks) -> dict[str, Any] | None:
    if view.share is None:
        return None
    token = links.share_token(view.id, view.share)
    return {
        "url": f"{links.base}/books/shared/{token}",
        "token": token,
        "expiresAt": moment(view.share.until),
    }


def page_body(page: PageView, at: str, links: BookLinks) -> dict[str, Any]:
    """Return the body of a page of the personalization at the path ``at``."""
    versions = [_version_body(version, page.number, at, links) for version in page.versions]
    current = next((each for each in versions if each["current"]), None)
    return {
        "page": page.number,
        "state": page.state.value,
        "score": page.score,
        "flagged": page.flagged,
        "redrawsLeft": page.redraws_left,
        "version": None if current is None else current["version"],
        "url": None if current is None else current["url"],
        "urlExpiresAt": None if current is None else current["urlExpiresAt"],
        "versions": versions,
    }


def _version_body(version: VersionView, page: int, at: str, links: BookLinks) -> dict[str, Any]:
    link: Mapping[str, Any] = {"url": None, "urlExpiresAt": None}
    if shown_file(version) is not None:
        path = f"{at}/reference/picture" if page == REFERENCE else f"{at}/pages/{page}/picture"
        link = links.link(path, version.version)
    return {
        "version": version.version,
        "state": version.state.value,
        "current": version.current,
        "mode": version.mode,
        "seed": version.seed,
        "automatic": version.automatic,
        "feedback": version.feedback,
        "score": version.score,
        "findings": [finding_body(each) for each in version.findings],
        "error": version.error,
        "createdAt": moment(version.created_at),
        **link,
    }


def shown_file(version: VersionView) -> BookFile | None:
    """Return the picture that clients see: with the text, or the reference sheet."""
    return version.preview or version.picture


FILES: Mapping[str, tuple[str, str]] = {
    "pdf": ("block", "pdf"),
    "cover": ("cover", "cover.pdf"),
    "spreads": ("spreads", "spreads.pdf"),
    "proof": ("proof", "proof.pdf"),
}
"""The name in `BookFiles` and the last part of the path, by the kind of a file."""


def _file_bodies(files: BookFiles, at: str, links: BookLinks) -> Sequence[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for kind, (name, path) in FILES.items():
        file: BookFile | None = getattr(files, name)
        if file is not None:
            found.append(
                {
                    "kind": kind,
                    "mediaType": file.media_type,
                    "size": file.size,
                    "sha256": file.sha256,
                    **links.link(f"{at}/{path}"),
                }
            )
    if files.block is not None:
        zipped = {"kind": "zip", "mediaType": "application/zip", "size": None, "sha256": None}
        found.append({**zipped, **links.link(f"{at}/zip")})
    return found


def overview_body(summary: PersonalizationSummary) -> dict[str, Any]:
    return {
        "id": summary.id,
        "owner": summary.owner,
        "book": summary.slug,
        "state": summary.state.value,
        "done": summary.done,
        "total": summary.total,
        "createdAt": moment(summary.created_at),
    }
