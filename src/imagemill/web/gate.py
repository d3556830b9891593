"""Who calls: found out before any route runs, so that no route can forget to ask."""

import asyncio
from collections.abc import Mapping

from fastapi import Request
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from imagemill.domain.access import Caller
from imagemill.domain.errors import Forbidden, ImagemillError, InvalidInput, NotFound, Unauthenticated
from imagemill.service.access import Access, Credentials
from imagemill.web.permits import SAFE, Permits
from imagemill.web.problems import STATUSES, problem
from imagemill.web.requests import is_same_site

UNAUTHENTICATED, FORBIDDEN = 4401, 4403
"""Close codes of WebSockets."""

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def caller(request: HTTPConnection) -> Caller:
    """Whom the request is answered for."""
    found = request.scope["imagemill.caller"]
    assert isinstance(found, Caller)  # noqa: S101 - the gate puts it there
    return found


async def visitor(request: HTTPConnection, access: Access) -> Caller | None:
    """Who calls a route that needs no key; None for nobody we know."""
    credentials = _credentials(dict(request.scope["headers"]))
    try:
        return access.remembered(credentials) or await asyncio.to_thread(access.caller, credentials)
    except (Unauthenticated, Forbidden, InvalidInput):
        return None


class Gate:
    """Pure ASGI, behind `imagemill.web.edge.Edge`."""

    def __init__(self, app: ASGIApp, access: Access, permits: Permits) -> None:
        self._app = app
        self._access = access
        self._permits = permits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                await self._admit(scope)
            except ImagemillError as error:
                await _refuse(scope, receive, send, error)
                return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        method = scope.get("method", "GET")
        permit = self._permits.of(scope["path"])
        needed = permit.scope(method)
        if needed is None:
            return
        headers = {name: value for name, value in scope["headers"] if name in _HEADERS}
        credentials = _credentials(headers)
        found = self._access.remembered(credentials)
        if found is None:
            found = await asyncio.to_thread(self._access.caller, credentials)
        if found.is_open:
            _check_open(scope, method, permit.asks, credentials)
        if not found.may(needed):
            if not self._permits.declares(scope["path"]):
                raise NotFound(f"there is no {method} {scope['path'][:200]} here; /docs lists what there is")
            raise Forbidden(f"this needs the scope {needed.value!r}, which the key or session does not have")
        scope["imagemill.caller"] = found


_HEADERS = (b"authorization", b"x-imagemill-user")


def _credentials(headers: Mapping[bytes, bytes]) -> Credentials:
    acting_for = headers.get(b"x-imagemill-user")
    return Credentials(
        headers.get(b"authorization", b"").decode("latin-1"),
        acting_for.decode("latin-1") if acting_for is not None else None,
    )


def _check_open(scope: Scope, method: str, asks: bool, credentials: Credentials) -> None:
    """Where anybody may act, pages of other sites may not act for whoever looks at them."""
    if asks and not credentials.token:
        raise Unauthenticated(
            "send the header 'Authorization: Bearer <token>'; on this machine any token is accepted"
        )
    acts = method not in SAFE or scope["type"] == "websocket"
    if acts and scope["path"].startswith("/api/") and not is_same_site(HTTPConnection(scope)):
        raise Forbidden("this route may not be called from another site's page")


async def _refuse(scope: Scope, receive: Receive, send: Send, error: ImagemillError) -> None:
    status = STATUSES[error.code]
    if scope["type"] == "websocket":
        # Accepted first: only then a browser's script sees the code.
        await receive()
        await send({"type": "websocket.accept"})
        code = UNAUTHENTICATED if status == 401 else FORBIDDEN
        await send({"type": "websocket.close", "code": code, "reason": str(error)[:120]})
        return
    headers = _CHALLENGE if status == 401 else None
    await problem(Request(scope), status, str(error), code=error.code, headers=headers)(scope, receive, send)
