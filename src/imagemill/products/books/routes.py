"""``/api/v1/personalizations``: a book from its photo to the print files, and the module with all routes."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from imagemill.api.base import ApiModule, no_callback
from imagemill.api.dependencies import FilesDep
from imagemill.domain.access import EVERY_OWNER, Scope
from imagemill.net import pools
from imagemill.products.books import catalogue_routes, file_routes, share_routes
from imagemill.products.books.book_api import (
    REFUSED_MOVE,
    BookApi,
    BooksDep,
    OpenService,
    PageNumber,
    PersonalizationId,
)
from imagemill.products.books.book_catalogue import BookCatalogue
from imagemill.products.books.book_events import (
    BookEventStream,
    BookFeed,
    after,
    callback_format,
    event_body,
    webhook_data,
)
from imagemill.products.books.book_manifest import Slug
from imagemill.products.books.book_states import REFERENCE, BookState
from imagemill.products.books.book_views import BookFilter, ChildDetails, PersonalizationSummary
from imagemill.products.books.file_routes import find_page, send_picture
from imagemill.products.books.photo_form import LARGEST_FORM
from imagemill.products.books.progress import NAME
from imagemill.products.books.responses import (
    BOOKS,
    PERSONALIZATIONS,
    BookEventList,
    Personalization,
    PersonalizationPage,
    PersonalizedPage,
    overview_body,
    page_body,
)
from imagemill.products.books.review_answers import Approval, approval_body
from imagemill.products.books.schemas import (
    ApproveRequest,
    ChooseRequest,
    GenerateRequest,
    RedrawRequest,
    ReferenceApproval,
)
from imagemill.web.auth import caller
from imagemill.web.http import cursor, json_response
from imagemill.web.policies import CHANGING, READING, PathPolicy
from imagemill.web.routing import ApiRoute, Cursor, Flag

router = APIRouter(prefix=PERSONALIZATIONS, tags=["books"], route_class=ApiRoute)
_MOST_READ = 2000
"""Personalizations that one request reads to find those in a state, which is derived and in no column."""


@router.get("", summary="List books in the making, newest first", response_model=PersonalizationPage)
async def list_personalizations(
    request: Request,
    books: BooksDep,
    book: Annotated[Slug | None, Query(description="Only those of this book.")] = None,
    state: Annotated[BookState | None, Query(description="Only those in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Most of a page.")] = 50,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = None,
) -> Response:
    before = cursor(cursor_, "cursor", "next")
    owner = caller(request).owner
    wanted = BookFilter(None if owner == EVERY_OWNER else owner, book, before, limit)
    items, next_ = await pools.read(_page, books, wanted, state)
    return json_response({"items": [overview_body(each) for each in items], "next": next_})


def _page(
    books: BookApi, wanted: BookFilter, state: BookState | None
) -> tuple[list[PersonalizationSummary], str | None]:
    """Return the next ones in a state, and the cursor of those after them."""
    found: list[PersonalizationSummary] = []
    before = wanted.before
    for _ in range(max(1, _MOST_READ // (wanted.limit + 1))):
        rows = books.service.list(BookFilter(wanted.owner, wanted.slug, before, wanted.limit + 1))
        for row in rows:
            if len(found) == wanted.limit:
                return found, before
            before = row.id
            if state in (None, row.state):
                found.append(row)
        if len(rows) <= wanted.limit:
            return found, None
    return found, before


@router.get("/{id}", summary="Read a book in the making", response_model=Personalization)
async def get_personalization(request: Request, books: BooksDep, id: PersonalizationId) -> Response:
    return await books.answer(request, await books.view(request, id))


@router.delete(
    "/{id}", summary="Delete the photo and everything made from it", response_model=Personalization
)
async def delete_personalization(request: Request, books: BooksDep, id: PersonalizationId) -> Response:
    """Ids, times and counts are left as the proof of the deletion."""
    view = await pools.write(books.service.erase, await books.owner(request, id), id)
    return await books.answer(request, view)


@router.post("/{id}/cancel", summary="Cancel a book", response_model=Personalization, responses=REFUSED_MOVE)
async def cancel_personalization(request: Request, books: BooksDep, id: PersonalizationId) -> Response:
    view = await pools.write(books.service.cancel, await books.owner(request, id), id)
    return await books.answer(request, view)


# The reference


@router.get("/{id}/reference", summary="Read the reference sheet", response_model=PersonalizedPage)
async def get_reference(
    request: Request, books: BooksDep, files: FilesDep, id: PersonalizationId
) -> Response:
    """With `Accept: image/*` the answer is the picture."""
    if _wants_picture(request):
        return await send_picture(request, books, files, id, REFERENCE, None)
    return await _page_answer(request, books, id, REFERENCE)


@router.post(
    "/{id}/reference/redraw",
    summary="Draw another reference sheet",
    status_code=202,
    response_model=Personalization,
    responses=REFUSED_MOVE,
)
async def redraw_reference(
    request: Request, books: BooksDep, id: PersonalizationId, body: RedrawRequest | None = None
) -> Response:
    feedback = body.feedback if body is not None else ""
    view = await pools.write(books.service.redraw_reference, await books.owner(request, id), id, feedback)
    return await books.answer(request, view, 202)


@router.post(
    "/{id}/reference/approve",
    summary="Approve how the hero looks",
    response_model=Personalization,
    responses=REFUSED_MOVE,
)
async def approve_reference(
    request: Request, books: BooksDep, id: PersonalizationId, body: ReferenceApproval | None = None
) -> Response:
    version = body.version if body is not None else None
    view = await pools.write(books.service.approve_reference, await books.owner(request, id), id, version)
    return await books.answer(request, view)


# The pages


@router.post(
    "/{id}/generate",
    summary="Make the pages of the preview, or those that are missing",
    status_code=202,
    response_model=Personalization,
    responses=REFUSED_MOVE,
)
async def generate_preview(
    request: Request, books: BooksDep, id: PersonalizationId, body: GenerateRequest
) -> Response:
    child = ChildDetails(body.child_name, body.child_age, body.child_gender, body.language)
    view = await pools.write(books.service.generate, await books.owner(request, id), id, child)
    return await books.answer(request, view, 202)


@router.get("/{id}/pages/{page}", summary="Read a page", response_model=PersonalizedPage)
async def get_page(
    request: Request, books: BooksDep, files: FilesDep, id: PersonalizationId, page: PageNumber
) -> Response:
    """With `Accept: image/*` the answer is the picture."""
    if _wants_picture(request):
        return await send_picture(request, books, files, id, page, None)
    return await _page_answer(request, books, id, page)


@router.post(
    "/{id}/pages/{page}/redraw",
    summary="Draw another version of a page",
    status_code=202,
    response_model=Personalization,
    responses=REFUSED_MOVE,
)
async def redraw_page(
    request: Request,
    books: BooksDep,
    id: PersonalizationId,
    page: PageNumber,
    body: RedrawRequest | None = None,
) -> Response:
    feedback = body.feedback if body is not None else ""
    view = await pools.write(books.service.redraw_page, await books.owner(request, id), id, page, feedback)
    return await books.answer(request, view, 202)


@router.post(
    "/{id}/pages/{page}/choose",
    summary="Take an earlier version of a page",
    response_model=Personalization,
    responses=REFUSED_MOVE,
)
async def choose_page_version(
    request: Request, books: BooksDep, id: PersonalizationId, page: PageNumber, body: ChooseRequest
) -> Response:
    view = await pools.write(
        books.service.choose_version, await books.owner(request, id), id, page, body.version
    )
    return await books.answer(request, view)


# The whole book


@router.post(
    "/{id}/unlock",
    summary="Make all pages, since the book is paid",
    status_code=202,
    response_model=Personalization,
    responses=REFUSED_MOVE,
)
async def unlock_personalization(request: Request, books: BooksDep, id: PersonalizationId) -> Response:
    """Needs the scope `books:unlock`. A repeated request has no further effect."""
    found = caller(request)
    by = found.credential or found.account
    view = await pools.write(books.service.unlock, await books.owner(request, id), id, by=by)
    return await books.answer(request, view, 202)


@router.post(
    "/{id}/approve",
    summary="Approve the book and make the print files",
    status_code=202,
    response_model=Personalization,
    responses=REFUSED_MOVE,
)
async def approve_personalization(
    request: Request, books: BooksDep, id: PersonalizationId, body: ApproveRequest
) -> Response:
    view = await pools.write(books.service.approve, await books.owner(request, id), id, body.who)
    return await books.answer(request, view, 202)


@router.get("/{id}/approval", summary="Read what was approved, and by whom", response_model=Approval)
async def get_approval(request: Request, books: BooksDep, id: PersonalizationId) -> Response:
    found = await pools.read(books.service.approval, await books.owner(request, id), id)
    return json_response(approval_body(found))


@router.get(
    "/{id}/events",
    summary="Follow a book by server-sent events",
    response_model=BookEventList,
    responses={
        200: {"description": "Events as they happen, or a list.", "content": {"text/event-stream": {}}}
    },
)
async def follow_personalization(
    request: Request,
    books: BooksDep,
    id: PersonalizationId,
    after_: Annotated[
        str,
        Query(
            alias="after",
            max_length=100,
            description="Only events after the one with this id; the header Last-Event-ID has precedence.",
        ),
    ] = "",
    stream: Annotated[Flag, Query(description="False returns the events there are, as a list.")] = True,
) -> Response:
    services = books.services
    seen = request.headers.get("last-event-id") or after_
    feed = BookFeed(books.service, services.jobs, await books.owner(request, id), id)
    after([], seen)  # refuses an id that is none
    view, events, _ = await pools.read(feed.read)
    if stream:
        return BookEventStream(feed, services.hub, seen)
    return json_response({"items": [event_body(view, event) for event in after(events, seen)]})


async def _page_answer(request: Request, books: BookApi, id_: str, number: int) -> Response:
    page = find_page(await books.view(request, id_), number)
    return json_response(page_body(page, f"{PERSONALIZATIONS}/{id_}", books.links(request)))


def _wants_picture(request: Request) -> bool:
    return request.headers.get("accept", "").lstrip().startswith("image/")


_routes = APIRouter()
for _each in (catalogue_routes.router, router, file_routes.router, share_routes.router):
    _routes.include_router(_each)
_READ, _WRITE = Scope.JOBS_READ, Scope.JOBS_WRITE
_SIGNED_PATHS = (
    f"{BOOKS}/{{slug}}/previews/{{name}}",
    *(
        f"{PERSONALIZATIONS}/{{id}}/{path}"
        for path in (
            "reference/picture",
            "pages/{page}/picture",
            "pdf",
            "cover.pdf",
            "spreads.pdf",
            "proof.pdf",
            "zip",
        )
    ),
)


def api_module(service: OpenService, catalogue: BookCatalogue) -> ApiModule:
    return ApiModule(
        name=NAME,
        router=_routes,
        context=lambda services, _: BookApi(services, service(services), catalogue),
        callback=no_callback,
        webhook_format=lambda services, _: callback_format(service(services)),
        webhook_data=lambda services: webhook_data(service(services)),
        policies=(
            PathPolicy(BOOKS, _READ),
            PathPolicy(f"{BOOKS}/", _READ),
            PathPolicy(f"{BOOKS}/{{slug}}/personalizations", _READ, _WRITE, body_bytes=LARGEST_FORM),
            PathPolicy(PERSONALIZATIONS, _READ, _WRITE, owner_methods=READING, all_owners=True),
            PathPolicy(f"{PERSONALIZATIONS}/", _READ, _WRITE, owner_methods=CHANGING, all_owners=True),
            PathPolicy(
                f"{PERSONALIZATIONS}/{{id}}/unlock",
                _READ,
                Scope.BOOKS_UNLOCK,
                owner_methods=frozenset({"POST"}),
                all_owners=True,
            ),
            PathPolicy(f"{PERSONALIZATIONS}/{{id}}/share", _READ, _WRITE, audited=True),
            PathPolicy(f"{share_routes.SHARED}/", None),
            *(PathPolicy(path, _READ, signed=True) for path in _SIGNED_PATHS),
        ),
        tags={"books": "Picture books in which a child is the hero, from one photo to the print files."},
    )
