"""The dependencies of the handlers of books, and the parameters of their paths."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response

from imagemill.api.base import Services
from imagemill.api.dependencies import context
from imagemill.domain.access import EVERY_OWNER
from imagemill.domain.dataclass import dataclass
from imagemill.net import pools
from imagemill.products.books.book_catalogue import BookCatalogue
from imagemill.products.books.book_views import BookFiles, PersonalizationView
from imagemill.products.books.links import BookLinks, check_signature, is_signed
from imagemill.products.books.progress import NAME
from imagemill.products.books.responses import PERSONALIZATIONS, personalization_body
from imagemill.products.books.service import BookService
from imagemill.web import openapi
from imagemill.web.auth import caller
from imagemill.web.blobs import seconds_left
from imagemill.web.http import base_url, json_response

OpenService = Callable[[Services], BookService]
KEYED_S = 300
"""Seconds for which a client may keep a picture that it has fetched with a key."""


@dataclass(frozen=True, slots=True)
class FileReader:
    """The owner whose file is read, and how long the answer may be kept."""

    owner: str
    left_s: int


class BookApi:
    """The service and the catalogue in the form of this API."""

    def __init__(self, services: Services, service: BookService, catalogue: BookCatalogue) -> None:
        self.services = services
        self.service = service
        self.catalogue = catalogue

    def links(self, request: Request) -> BookLinks:
        config = self.services.response_config
        return BookLinks(config.signer, base_url(request, config.public_url))

    async def owner(self, request: Request, id_: str) -> str:
        """Return whose book the request is about: the caller's, or that of any owner for ``?owner=*``."""
        owner = caller(request).owner
        return await pools.read(self.service.owner_of, id_) if owner == EVERY_OWNER else owner

    async def view(self, request: Request, id_: str) -> PersonalizationView:
        return await pools.read(self.service.get, await self.owner(request, id_), id_)

    async def answer(self, request: Request, view: PersonalizationView, status: int = 200) -> Response:
        files = BookFiles({})
        if view.deleted_at is None:
            files = await pools.read(self.service.files, view.owner, view.id)
        response = json_response(personalization_body(view, files, self.links(request)), status)
        if status == 201:
            response.headers["Location"] = f"{PERSONALIZATIONS}/{view.id}"
        return response

    async def reader(self, request: Request, id_: str, version: int | None = None) -> FileReader:
        """Return who reads a file of a book: the caller, or the owner by whose link it comes.

        Raises a 403 for a wrong or expired link, `NotFound` for another owner's book.
        """
        if not is_signed(request):
            return FileReader(await self.owner(request, id_), KEYED_S)
        expires = check_signature(request, self.services.response_config.signer, version)
        return FileReader(await pools.read(self.service.owner_of, id_), seconds_left(expires))


BooksDep = Annotated[BookApi, context(NAME)]
SlugPath = Annotated[
    str,
    Path(
        description="The `slug` of the book.",
        openapi_examples={"star": {"value": "the-star-that-lost-its-way"}},
    ),
]
PersonalizationId = Annotated[str, Path(description="`id` of the personalization.")]
PageNumber = Annotated[
    int, Path(ge=1, le=9999, description="The number of the page; 1001 and 1002 are the covers.")
]
REFUSED_MOVE: dict[int | str, dict[str, Any]] = {
    409: {"description": "The state does not allow it: `state` names it, `allowed` what it allows."}
}
RANGES: dict[int | str, dict[str, Any]] = {
    304: {"description": "Not modified."},
    416: {"description": "The range is outside the file."},
}


def file_answer(description: str, *media_types: str) -> dict[str, Any]:
    """Return the answers with a file, whole or a range of it, in one of the media types."""
    whole = openapi.answered(200, description, *media_types)
    part = openapi.answered(206, "A range of the file.", *media_types)
    return {"responses": {**whole["responses"], **part["responses"]}}


_OF_LINK = "Of the link in an answer, in place of a key."
Expires = Annotated[str, Query(alias="exp", description=_OF_LINK)]
Signature = Annotated[str, Query(alias="sig", description=_OF_LINK)]
