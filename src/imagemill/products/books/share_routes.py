"""The link by which others may read a book: making and ending it, and what it shows."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from imagemill.api.dependencies import FilesDep
from imagemill.api.jobs_schemas import moment
from imagemill.domain.errors import NotFound
from imagemill.net import pools
from imagemill.products.books.book_api import (
    RANGES,
    REFUSED_MOVE,
    BookApi,
    BooksDep,
    PageNumber,
    PersonalizationId,
    file_answer,
)
from imagemill.products.books.book_states import REFERENCE
from imagemill.products.books.book_views import PersonalizationView
from imagemill.products.books.file_routes import find_page, send_shown
from imagemill.products.books.links import NOT_SHARED, check_shared, shared_id
from imagemill.products.books.responses import (
    BOOKS,
    PERSONALIZATIONS,
    BoundBody,
    Personalization,
    ShareBody,
    bound_body,
    share_body,
    shown_file,
)
from imagemill.products.books.schemas import SHARE_DAYS, ShareRequest, example
from imagemill.web.auth import caller
from imagemill.web.http import json_response
from imagemill.web.routing import ApiRoute, ResponseModel

SHARED = "/api/v1/shared-books"
router = APIRouter(tags=["books"], route_class=ApiRoute)
Token = Annotated[str, Path(max_length=160, description="`token` of the shared link.")]


class SharedPage(ResponseModel):
    page: int = Field(description="1001 and 1002 are the covers.")
    url: str


class SharedBook(ResponseModel):
    """A book as its readers see it: pages that are ready, and neither photo nor reference sheet."""

    model_config = example(
        title={"en": "The star that lost its way"},
        language="en",
        coverUrl=f"http://localhost:8000{BOOKS}/the-star-that-lost-its-way/previews/front?exp=1&sig=...",
        isWhole=True,
        bound=None,
        pages=[{"page": 2, "url": f"http://localhost:8000{SHARED}/01a2.1769864400.5d41/pages/2/picture"}],
        expiresAt="2026-01-31T13:00:00+00:00",
    )

    title: dict[str, str] = Field(description="By language.")
    language: str
    cover_url: str | None = Field(description="The front cover as it is drawn; null once its book is gone.")
    is_whole: bool = Field(description="False while only the preview is made.")
    bound: BoundBody | None = Field(description="The book as the print shop binds it.")
    pages: list[SharedPage] = Field(description="The pages that are ready.")
    expires_at: datetime


@router.post(
    f"{PERSONALIZATIONS}/{{id}}/share",
    summary="Make a link by which others may read the book",
    status_code=201,
    response_model=ShareBody,
    responses=REFUSED_MOVE,
)
async def share_book(
    request: Request, books: BooksDep, id: PersonalizationId, body: ShareRequest | None = None
) -> Response:
    """A book has one such link: an earlier one ends. It shows the pages, never the photo."""
    days = body.days if body is not None else SHARE_DAYS
    view = await pools.write(books.service.share, caller(request).owner, id, days)
    return json_response(share_body(view, books.links(request)), 201)


@router.delete(
    f"{PERSONALIZATIONS}/{{id}}/share", summary="End the link at once", response_model=Personalization
)
async def unshare_book(request: Request, books: BooksDep, id: PersonalizationId) -> Response:
    view = await pools.write(books.service.unshare, caller(request).owner, id)
    return await books.answer(request, view)


@router.get(f"{SHARED}/{{token}}", summary="Read a book by its shared link", response_model=SharedBook)
async def get_shared_book(request: Request, books: BooksDep, token: Token) -> Response:
    """Needs no key. A link that is wrong, has expired or was ended is a 404."""
    view = await _shared_view(books, token)
    return json_response(await pools.read(_shared_body, books, request, view, token))


def _shared_body(books: BookApi, request: Request, view: PersonalizationView, token: str) -> dict[str, Any]:
    links = books.links(request)
    assert view.share is not None  # noqa: S101 - the link was checked
    ready = [page.number for page in view.pages if page.current is not None]
    cover, title = None, {}
    try:
        title = dict(books.catalogue.get(view.slug).manifest.title)
        cover = links.link(f"{BOOKS}/{view.slug}/previews/front")["url"]
    except NotFound:
        pass  # it is offered no more; what was made can still be read
    return {
        "title": title,
        "language": view.child.language if view.child is not None else "",
        "coverUrl": cover,
        "isWhole": view.unlocked_at is not None,
        "bound": bound_body(view),
        "pages": [
            {"page": page, "url": f"{links.base}{SHARED}/{token}/pages/{page}/picture"} for page in ready
        ],
        "expiresAt": moment(view.share.until),
    }


@router.get(
    f"{SHARED}/{{token}}/pages/{{page}}/picture",
    summary="Fetch a page by the shared link of its book",
    response_class=Response,
    responses=RANGES,
    openapi_extra=file_answer("The picture.", "image/jpeg", "image/png", "image/webp"),
)
async def get_shared_page(
    request: Request, books: BooksDep, files: FilesDep, token: Token, page: PageNumber
) -> Response:
    view = await _shared_view(books, token)
    current = None if page == REFERENCE else find_page(view, page).current
    file = None if current is None else shown_file(current)
    if file is None:
        raise NotFound(f"page {page} has no picture yet")
    return await send_shown(request, files, file)


async def _shared_view(books: BookApi, token: str) -> PersonalizationView:
    """Return the book of a shared link. Raises `NotFound`."""
    try:
        view = await pools.read(books.service.shown_to_readers, shared_id(token))
    except NotFound:
        raise NotFound(NOT_SHARED) from None
    check_shared(token, view, books.services.response_config.signer)
    return view
