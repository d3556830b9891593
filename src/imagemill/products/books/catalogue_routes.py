"""``/api/v1/books``: the catalogue, and the start of a book."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from imagemill.domain.access import Scope
from imagemill.domain.errors import NotFound
from imagemill.media.intake import parse
from imagemill.net import pools
from imagemill.products.books.book_api import (
    KEYED_S,
    RANGES,
    BooksDep,
    Expires,
    Signature,
    SlugPath,
    file_answer,
)
from imagemill.products.books.book_catalogue import Book, BookCatalogue, write_problem
from imagemill.products.books.book_manifest import Slug
from imagemill.products.books.links import check_signature, is_signed
from imagemill.products.books.photo_form import FORM_BODY, read_new_book
from imagemill.products.books.responses import (
    BOOKS,
    BookDetails,
    BookPage,
    CataloguePictures,
    Personalization,
    details_body,
    drawn_pictures,
    pictures_body,
    summary_body,
)
from imagemill.web.auth import caller
from imagemill.web.blobs import picture_bytes, seconds_left
from imagemill.web.http import json_response, request_trace
from imagemill.web.routing import ApiRoute

router = APIRouter(prefix=BOOKS, tags=["books"], route_class=ApiRoute)
PictureName = Annotated[
    str,
    Path(
        description="`front`, `back`, or the number of a page of the preview.",
        openapi_examples={"front": {"value": "front"}},
    ),
]
_MOST_PROBLEMS = 20
"""Problems that are listed of one book."""
_REFUSED_PHOTO: dict[int | str, dict[str, Any]] = {
    415: {"description": "A photo is no PNG, JPEG or WebP, whatever it is called."},
    422: {"description": "A photo is damaged, larger than 10 MB, or has too many pixels."},
}


@router.get("", summary="List the books", response_model=BookPage)
async def list_books(
    request: Request,
    books: BooksDep,
    language: Annotated[
        str | None, Query(max_length=12, description="Only books with texts in this language.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Most books of a page.")] = 50,
    cursor: Annotated[Slug | None, Query(description="`next` of the last answer.")] = None,
) -> Response:
    found = [
        book
        for book in await pools.read(books.catalogue.books)
        if (cursor is None or book.slug > cursor) and (not language or language in book.manifest.languages)
    ]
    links = books.links(request)
    items = [summary_body(book, links) for book in found[:limit]]
    refused = await pools.read(_refused, books.catalogue) if caller(request).may(Scope.JOBS_ALL) else []
    next_ = found[limit - 1].slug if len(found) > limit else None
    return json_response({"items": items, "next": next_, "refused": refused})


def _refused(catalogue: BookCatalogue) -> list[dict[str, Any]]:
    return [
        {"book": slug, "problems": [write_problem(each) for each in problems[:_MOST_PROBLEMS]]}
        for slug, problems in sorted(catalogue.problems().items())
    ]


@router.get("/{slug}", summary="Read a book", response_model=BookDetails)
async def get_book(request: Request, books: BooksDep, slug: SlugPath) -> Response:
    book = await pools.read(books.catalogue.get, slug)
    return json_response(details_body(book, books.links(request)))


@router.get(
    "/{slug}/previews", summary="List the drawn pages of the preview", response_model=CataloguePictures
)
async def list_book_previews(request: Request, books: BooksDep, slug: SlugPath) -> Response:
    book = await pools.read(books.catalogue.get, slug)
    return json_response(pictures_body(book, books.links(request)))


@router.get(
    "/{slug}/previews/{name}",
    summary="Fetch a drawn page of the preview, or a cover",
    response_class=Response,
    responses={**RANGES, 409: {"description": "The book is being changed; ask again."}},
    openapi_extra=file_answer("The picture.", "image/webp", "image/jpeg", "image/png"),
)
async def get_book_preview(
    request: Request,
    books: BooksDep,
    slug: SlugPath,
    name: PictureName,
    exp: Expires = "",
    sig: Signature = "",
) -> Response:
    left_s = KEYED_S
    if is_signed(request):
        left_s = seconds_left(check_signature(request, books.services.response_config.signer))
    book = await pools.read(books.catalogue.get, slug)
    data, media_type = await pools.blob(_drawn, book, name)
    return picture_bytes(request, data, {"Cache-Control": f"private, max-age={left_s}"}, media_type)


def _drawn(book: Book, name: str) -> tuple[bytes, str]:
    """Return an illustration and its type. Raises `NotFound`."""
    illustration = drawn_pictures(book.manifest).get(name)
    if illustration is None:
        raise NotFound(f"the preview of the book {book.slug} has no picture {name[:40]}")
    data = book.read(illustration.base)
    return data, parse(data).media_type


@router.post(
    "/{slug}/personalizations",
    summary="Start a book with a photo",
    status_code=201,
    response_model=Personalization,
    responses=_REFUSED_PHOTO,
    openapi_extra=FORM_BODY,
)
async def start_book(request: Request, books: BooksDep, slug: SlugPath) -> Response:
    book = await pools.read(books.catalogue.get, slug)
    wanted = await read_new_book(request, book.manifest)
    if wanted.callback_url is not None:
        books.services.guard.check_url("callbackUrl", wanted.callback_url)
    owner, trace = caller(request).owner, request_trace(request)
    view = await pools.decode(books.service.create, owner, wanted, trace=trace)
    return await books.answer(request, view, 201)
