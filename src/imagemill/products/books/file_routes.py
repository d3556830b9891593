"""The pictures and files of a book, by a key or by a signed link."""

import tempfile
import zipfile
from collections.abc import AsyncIterator, Mapping
from typing import IO, Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from imagemill.api.dependencies import FilesDep
from imagemill.blobs.base import BlobStore
from imagemill.domain.errors import NotFound
from imagemill.domain.jobs import Artifact
from imagemill.media.pictures import extension_of
from imagemill.net import pools
from imagemill.products.books.book_api import (
    RANGES,
    REFUSED_MOVE,
    BookApi,
    BooksDep,
    Expires,
    PageNumber,
    PersonalizationId,
    Signature,
    file_answer,
)
from imagemill.products.books.book_states import BACK_COVER, FILL, FRONT_COVER, REFERENCE
from imagemill.products.books.book_views import BookFile, PageView, PersonalizationView
from imagemill.products.books.responses import PERSONALIZATIONS, shown_file
from imagemill.web.blobs import ArtifactFiles
from imagemill.web.routing import ApiRoute

router = APIRouter(prefix=PERSONALIZATIONS, tags=["books"], route_class=ApiRoute)
Version = Annotated[int | None, Query(ge=1, description="A version; the default is the one that is printed.")]
_PICTURE = file_answer("The picture.", "image/jpeg", "image/png", "image/webp")
_PDF = file_answer("The file.", "application/pdf")
_ZIP = file_answer("The file.", "application/zip")
_IN_MEMORY_BYTES = 8 * 2**20
"""A larger ZIP file waits on disk."""
_PIECE_BYTES = 256 * 2**10
_MIDNIGHT = (1980, 1, 1, 0, 0, 0)
"""The time of each file in a ZIP file, so that equal books are equal files."""


@router.get(
    "/{id}/reference/picture",
    summary="Fetch the reference sheet",
    response_class=Response,
    responses=RANGES,
    openapi_extra=_PICTURE,
)
async def get_reference_picture(
    request: Request,
    books: BooksDep,
    files: FilesDep,
    id: PersonalizationId,
    version: Version = None,
    exp: Expires = "",
    sig: Signature = "",
) -> Response:
    return await send_picture(request, books, files, id, REFERENCE, version)


@router.get(
    "/{id}/pages/{page}/picture",
    summary="Fetch a page as it will be printed",
    response_class=Response,
    responses=RANGES,
    openapi_extra=_PICTURE,
)
async def get_page_picture(
    request: Request,
    books: BooksDep,
    files: FilesDep,
    id: PersonalizationId,
    page: PageNumber,
    version: Version = None,
    exp: Expires = "",
    sig: Signature = "",
) -> Response:
    return await send_picture(request, books, files, id, page, version)


async def send_picture(
    request: Request, books: BookApi, files: ArtifactFiles, id_: str, page: int, version: int | None
) -> Response:
    """Return the picture of a page or of the reference sheet. Raises `NotFound`."""
    reader = await books.reader(request, id_, version)
    view = await pools.read(books.service.get, reader.owner, id_)
    chosen = find_page(view, page)
    found = chosen.current
    if version is not None:
        found = next((each for each in chosen.versions if each.version == version), None)
    file = None if found is None else shown_file(found)
    if file is None:
        what = "yet" if version is None else f"of version {version}"
        raise NotFound(f"page {page} has no picture {what}; its state is {chosen.state.value}")
    # What is printed may change; a version does not.
    return await send_shown(request, files, file, 0 if version is None else reader.left_s)


async def send_shown(request: Request, files: ArtifactFiles, file: BookFile, kept_s: int = 0) -> Response:
    """Return a stored picture; ``kept_s``: for how many seconds the client may keep it unasked."""
    return await files.answer(request, _artifact(file), kept_s)


def find_page(view: PersonalizationView, number: int) -> PageView:
    """Return a page or the reference sheet. Raises `NotFound` for one that is not asked for yet."""
    known = (view.reference, *view.pages)
    page = next((each for each in known if each is not None and each.number == number), None)
    if page is None:
        what = "the reference sheet" if number == REFERENCE else f"page {number}"
        raise NotFound(f"{what} is not made yet, or the book has none; the state is {view.state.value}")
    return page


@router.get(
    "/{id}/pdf",
    summary="Fetch the block for print",
    response_class=Response,
    responses=REFUSED_MOVE | RANGES,
    openapi_extra=_PDF,
)
async def get_book_pdf(
    request: Request,
    books: BooksDep,
    files: FilesDep,
    id: PersonalizationId,
    exp: Expires = "",
    sig: Signature = "",
) -> Response:
    return await _send_file(request, books, files, id, "block")


@router.get(
    "/{id}/cover.pdf",
    summary="Fetch the wrap cover for print",
    response_class=Response,
    responses=REFUSED_MOVE | RANGES,
    openapi_extra=_PDF,
)
async def get_book_cover(
    request: Request,
    books: BooksDep,
    files: FilesDep,
    id: PersonalizationId,
    exp: Expires = "",
    sig: Signature = "",
) -> Response:
    return await _send_file(request, books, files, id, "cover")


@router.get(
    "/{id}/spreads.pdf",
    summary="Fetch the pages in pairs, for the screen",
    response_class=Response,
    responses=REFUSED_MOVE | RANGES,
    openapi_extra=_PDF,
)
async def get_book_spreads(
    request: Request,
    books: BooksDep,
    files: FilesDep,
    id: PersonalizationId,
    exp: Expires = "",
    sig: Signature = "",
) -> Response:
    return await _send_file(request, books, files, id, "spreads")


@router.get(
    "/{id}/proof.pdf",
    summary="Fetch the proof: all pages with scores and findings",
    response_class=Response,
    responses=REFUSED_MOVE | RANGES,
    openapi_extra=_PDF,
)
async def get_book_proof(
    request: Request,
    books: BooksDep,
    files: FilesDep,
    id: PersonalizationId,
    exp: Expires = "",
    sig: Signature = "",
) -> Response:
    return await _send_file(request, books, files, id, "proof")


async def _send_file(request: Request, books: BookApi, files: ArtifactFiles, id_: str, kind: str) -> Response:
    reader = await books.reader(request, id_)
    file = await pools.read(books.service.file, reader.owner, id_, kind)
    name = "book" if kind == "block" else kind
    return await files.answer(request, _artifact(file), 0, f'inline; filename="{name}.pdf"')


@router.get(
    "/{id}/zip",
    summary="Fetch all pages as pictures",
    response_class=Response,
    responses=REFUSED_MOVE,
    openapi_extra=_ZIP,
)
async def get_book_zip(
    request: Request, books: BooksDep, id: PersonalizationId, exp: Expires = "", sig: Signature = ""
) -> Response:
    reader = await books.reader(request, id)
    await pools.read(books.service.file, reader.owner, id, "block")  # a conflict until it is complete
    found = await pools.read(books.service.files, reader.owner, id)
    file = await pools.blob(_zipped, books.services.blobs, found.pages)
    headers = {
        "Content-Disposition": 'attachment; filename="book.zip"',
        "Cache-Control": "no-store",
        "Content-Length": str(file.seek(0, 2)),
    }
    file.seek(0)
    if request.method == "HEAD":
        file.close()
        return Response(None, 200, headers, "application/zip")
    return StreamingResponse(_pieces(file), 200, headers, "application/zip")


def _zipped(blobs: BlobStore, pages: Mapping[int, BookFile]) -> IO[bytes]:
    """Return a ZIP file of the pages. Pictures are stored as they are, since they do not get smaller."""
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - closed once it is sent
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for number, page in sorted(pages.items()):
            name = f"{_page_name(number)}.{extension_of(page.media_type)}"
            archive.writestr(zipfile.ZipInfo(name, _MIDNIGHT), blobs.get(page.key))
    return file


def _page_name(number: int) -> str:
    covers = {FRONT_COVER: "cover-front", BACK_COVER: "cover-back"}
    return covers.get(number) or (f"fill-{number - FILL + 1:02}" if number >= FILL else f"page-{number:03}")


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    try:
        while piece := await pools.blob(file.read, _PIECE_BYTES):
            yield piece
    finally:
        file.close()


def _artifact(file: BookFile) -> Artifact:
    """Return a stored file in the form in which files of jobs are sent."""
    return Artifact(
        id=file.key,
        job_id="",
        position=0,
        attempt=0,
        blob_key=file.key,
        media_type=file.media_type,
        size=file.size,
        width=0,
        height=0,
        sha256=file.sha256,
        seed=None,
        created_at=file.created_at,
    )
